"""Conditional GAN: a generator that draws the class it is asked for.

    discriminator:  min over D of E[-log D(x, y)] + E[-log(1 - D(G(z, y), y))]
    generator:      min over G of E[-log D(G(z, y), y)]

or the Wasserstein losses in their place. The label y, one-hot, joins the generator's latent vector [1]. The
discriminator's logit has a term y' V f(x), linear in its features f of the image [2]; or, with
`conditioning="concat"`, it gets the label as more channels of the image, each constant, as first proposed,
and learns more slowly. The generated images of a step have the labels of its real ones.

References:
    1. Mirza & Osindero 2014, Conditional Generative Adversarial Nets, arXiv 1411.1784.
    2. Miyato & Koyama 2018, cGANs with Projection Discriminator, arXiv 1802.05637.
"""

from typing import Any, Literal

import keras

from keras_gen.models.base import validation
from keras_gen.models.base.image_model import NumClasses
from keras_gen.models.gans.gan import GAN
from keras_gen.models.gans.wgan_gp import GRADIENT_PENALTY_WEIGHT, PENALTY_SHARE, WassersteinObjective
from keras_gen.utils.arguments import Count, ImageShape, Positive, Share, checked


@keras.saving.register_keras_serializable("keras_gen")
class CGAN(GAN):
    """Conditional GAN with the objective of `GAN` or of `WGANGP`.

    It logs the same values.

    Args:
        image_shape: (height, width, channels); any size.
        latent_dim: Length of the latent vector z.
        num_classes: Number of classes, 2 or more.
        base: `"gan"` or `"wgan_gp"`, whose losses, penalty and optimizers it trains with.
        loss: With the base `"gan"`, as there; `"non_saturating"` by default.
        discriminator_normalization: As for the base; None for the base's default.
        gradient_penalty_weight: With the base `"wgan_gp"`, as there, in place of R1's; 10 by default.
        penalty_share: As for the base; None for the base's default.
        **kwargs: As for `GAN`.

    Raises:
        ValueError: An argument is out of range, or does not fit the base.

    Example:

    >>> import numpy as np
    >>> model = CGAN(num_classes=10, generator_widths=(8, 4), discriminator_widths=(4, 8), seed=0)
    >>> model.compile()
    >>> history = model.fit(np.zeros((256, 28, 28), "uint8"), np.arange(256) % 10, epochs=1, verbose=0)
    >>> model.generate(3, seed=0, labels=[7, 7, 2]).shape
    (3, 28, 28, 1)
    """

    @checked
    def __init__(
        self,
        image_shape: ImageShape = (28, 28, 1),
        latent_dim: Count = 64,
        num_classes: NumClasses = 10,
        base: Literal["gan", "wgan_gp"] = "gan",
        loss: Literal["non_saturating", "minimax", "least_squares", "hinge"] | None = None,
        discriminator_normalization: Literal["batch", "spectral", "none"] | None = None,
        gradient_penalty_weight: Positive = GRADIENT_PENALTY_WEIGHT,
        penalty_share: Share | None = None,
        **kwargs: Any,
    ):
        wasserstein = base == "wgan_gp"
        default_share = PENALTY_SHARE if wasserstein else 1.0
        not_used = {"gradient_penalty_weight": gradient_penalty_weight != GRADIENT_PENALTY_WEIGHT}
        if wasserstein:
            not_used = {"loss": loss is not None, "r1_weight": kwargs.get("r1_weight", 0.0) != 0.0}
        for name, is_given in not_used.items():
            if is_given:
                raise ValueError(f"{name} is not used with base={base!r}: leave it out. Received: {name}")
        super().__init__(
            image_shape,
            latent_dim,
            num_classes,
            loss=loss or "non_saturating",
            discriminator_normalization=discriminator_normalization or ("none" if wasserstein else "batch"),
            penalty_share=default_share if penalty_share is None else penalty_share,
            **kwargs,
        )
        self.base = base
        self.gradient_penalty_weight = gradient_penalty_weight
        if wasserstein:
            validation.no_batch_normalization(self.discriminator)
            self.objective = WassersteinObjective(gradient_penalty_weight)

    def get_config(self) -> dict:
        config = super().get_config()
        if self.base == "wgan_gp":
            config["loss"] = None  # its only one, which is no argument's value
        return {
            **config,
            "base": self.base,
            "gradient_penalty_weight": self.gradient_penalty_weight,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> "CGAN":
        # An older file may hold a weight that its base did not use.
        unused = {"gradient_penalty_weight": GRADIENT_PENALTY_WEIGHT}
        if config["base"] == "wgan_gp":
            unused = {"r1_weight": 0.0}
        model = super().from_config({**config, **unused}, custom_objects)
        assert isinstance(model, cls)
        return model
