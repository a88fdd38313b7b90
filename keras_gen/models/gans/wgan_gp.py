"""Wasserstein GAN with gradient penalty: the discriminator becomes a critic that measures a distance.

    critic:     min over D of E[D(G(z))] - E[D(x)] + gradient_penalty_weight * E[(|dD/dx'| - 1)^2],
                x' = a x + (1 - a) G(z),  a ~ U(0, 1) for each image
    generator:  min over G of -E[D(G(z))]

The critic's loss without the penalty is an estimate of minus the Wasserstein distance, which still
measures how far apart the two are where a discriminator would saturate [1]. The penalty keeps the critic's
slope near 1 [2]. Differences from the paper: small convolutional networks, Adam with a higher rate and a
longer memory of squared gradients, one critic step for each of the generator's, a quarter of the batch for
the penalty, and a moving average of the generator's weights draws the images.

References:
    1. Arjovsky et al. 2017, Wasserstein GAN, arXiv 1701.07875.
    2. Gulrajani et al. 2017, Improved Training of Wasserstein GANs, arXiv 1704.00028.
"""

from collections.abc import Callable
from typing import Any, Literal

import keras
import tensorflow as tf

from keras_gen.layers import replica_seed
from keras_gen.losses import gradient_penalty, mean_over_batch
from keras_gen.models.base import validation
from keras_gen.models.base.image_model import NumClasses
from keras_gen.models.gans.gan import GAN
from keras_gen.models.gans.objective import Objective
from keras_gen.optimizers import Adam
from keras_gen.utils.arguments import Count, ImageShape, Positive, Share, checked

GRADIENT_PENALTY_WEIGHT = 10.0
PENALTY_SHARE = 0.25


class WassersteinObjective(Objective):
    """The Wasserstein distance, and the gradient penalty [2].

    Args:
        penalty_weight: Weight of the penalty in the critic's loss.
    """

    def __init__(self, penalty_weight: float):
        super().__init__("wasserstein", penalty_weight)

    def classified_as_real(
        self, real_logits: tf.Tensor, generated_logits: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Images with scores above the midpoint of the mean scores of real and of generated images."""
        middle = 0.5 * (mean_over_batch(real_logits) + mean_over_batch(generated_logits))
        return real_logits > middle, generated_logits > middle

    def penalty(
        self,
        discriminator: Callable[[tf.Tensor], tf.Tensor],
        real_images: tf.Tensor,
        generated_images: tf.Tensor,
        seed_generator: keras.random.SeedGenerator,
        sample_weight: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Squared deviation of the critic's slopes from 1, between real and generated images [2]."""
        shape = (tf.shape(real_images)[0], 1, 1, 1)
        fractions = tf.random.stateless_uniform(shape, replica_seed(seed_generator))
        slopes = gradient_penalty(discriminator, real_images, generated_images, fractions)
        return mean_over_batch(slopes, sample_weight)

    def optimizer(self, learning_rate: Any) -> keras.optimizers.Optimizer:
        """Adam without momentum, as in the paper, where beta_2 is 0.9.

        With 3e-3, samples are better after four minutes on full Fashion-MNIST, but hardly better after an
        hour: the critic ends up guessing.
        """
        return Adam(learning_rate, beta_1=0.0, beta_2=0.99)


@keras.saving.register_keras_serializable("keras_gen")
class WGANGP(GAN):
    """Wasserstein GAN with gradient penalty.

    It logs what `GAN` logs. `discriminator_loss` is minus the estimated distance, without the penalty;
    the accuracies are relative to the midpoint of the critic's mean scores of real and of generated
    images, since scores have no absolute zero.

    Args:
        image_shape: (height, width, channels); any size.
        latent_dim: Length of the latent vector z.
        num_classes: Number of classes to condition both networks on; None to ignore labels. See `CGAN`.
        gradient_penalty_weight: Weight of the penalty on slopes that are not 1; more than 0.
        discriminator_normalization: `"none"` or `"spectral"`. The penalty is on each image's own slope,
            which batch normalization would mix with other images'.
        penalty_share: Fraction of each batch that the penalty's mean is estimated from, in (0, 1]. With 1
            the penalty takes a third of a step's time.
        **kwargs: As for `GAN`. The paper has `discriminator_steps=5, penalty_share=1.0`, which take
            longer.

    Raises:
        ValueError: An argument is out of range, or the critic has batch normalization.

    Example:

    >>> import numpy as np
    >>> model = WGANGP(generator_widths=(8, 4), discriminator_widths=(4, 8), seed=0)
    >>> model.compile()
    >>> history = model.fit(np.zeros((256, 28, 28), "uint8"), epochs=1, verbose=0)
    >>> "penalty" in history.history
    True
    """

    fixed_arguments = ("loss", "r1_weight")

    @checked
    def __init__(
        self,
        image_shape: ImageShape = (28, 28, 1),
        latent_dim: Count = 64,
        num_classes: NumClasses | None = None,
        gradient_penalty_weight: Positive = GRADIENT_PENALTY_WEIGHT,
        discriminator_normalization: Literal["none", "spectral"] = "none",
        penalty_share: Share = PENALTY_SHARE,
        **kwargs: Any,
    ):
        self.refuse_fixed(kwargs, "its loss is Wasserstein's, with a gradient penalty")
        super().__init__(
            image_shape,
            latent_dim,
            num_classes,
            discriminator_normalization=discriminator_normalization,
            penalty_share=penalty_share,
            **kwargs,
        )
        validation.no_batch_normalization(self.discriminator)
        self.gradient_penalty_weight = gradient_penalty_weight
        self.objective = WassersteinObjective(gradient_penalty_weight)

    def get_config(self) -> dict:
        config = super().get_config()
        for name in self.fixed_arguments:
            del config[name]
        return {**config, "gradient_penalty_weight": self.gradient_penalty_weight}
