"""Adversarial mean flow: a mean flow whose images also have to fool a discriminator.

After short training, a mean flow's images of one step are blurred, since its loss averages over all images
that a noise may become. A discriminator D is therefore trained to tell real images from the ends of jumps
to time 0, which start from noise or from a noisy image x_t:

    G(x_t, t) = x_t - t * network(x_t, t, duration=t)
    discriminator:  min of E[-log D(image)] + E[-log(1 - D(G(x_t, t)))] + R1 penalty [3]
    network:        min of the mean flow's loss + weight * E[-log D(G(x_t, t))]

The mean flow's loss keeps the path; the adversarial loss sharpens its end, as in consistency trajectory
models [1]. Differences from [1]: the path is learned by the mean flow's identity; the discriminator sees
pixels, is trained from the start, and has a penalty on its slopes; and the gradients of both losses are
brought to the same norm [2] over all weights, not those of the last layer, before they are weighted.

References:
    1. Kim et al. 2024, Consistency Trajectory Models: Learning Probability Flow ODE Trajectory of
       Diffusion, arXiv 2310.02279.
    2. Esser et al. 2021, Taming Transformers for High-Resolution Image Synthesis, arXiv 2012.09841.
    3. Mescheder et al. 2018, Which Training Methods for GANs do actually Converge?, arXiv 1801.04406.
"""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import keras
import tensorflow as tf
from annotated_types import Interval

from keras_gen.layers import child_seed, replica_seed
from keras_gen.losses import mean_over_batch
from keras_gen.models.base import validation
from keras_gen.models.base.image_model import NumClasses
from keras_gen.models.diffusion.diffusion_model import DiffusionModel
from keras_gen.models.diffusion.mean_flow import MeanFlow
from keras_gen.models.diffusion.probability_flow import Guidance
from keras_gen.models.diffusion.schedules import add_noise
from keras_gen.models.gans.networks import build_discriminator, default_discriminator_widths
from keras_gen.models.gans.objective import Objective, first_share, logits_of
from keras_gen.models.networks import Builder
from keras_gen.optimizers import scaled_like
from keras_gen.utils.arguments import ImageShape, checked

DISCRIMINATOR_LEARNING_RATE = 1.5e-3
LARGEST_RATIO = 10.0  # of the norms of both gradients: one that vanishes is noise [1]
OBJECTIVE = Objective("non_saturating", penalty_weight=0.1)  # of a discriminator, as in the GANs' recipes
R1_SHARE = 0.25  # of a batch that the penalty [3] is estimated from
AdversarialWeight = Annotated[float, Interval(ge=0, le=100)]
LOGGED_IN_TRAINING = ("generator_loss", "discriminator_loss", "real_accuracy", "generated_accuracy")


@keras.saving.register_keras_serializable("keras_gen")
class AdversarialMeanFlow(MeanFlow):
    """Mean flow with a discriminator, for sharper images in one to four steps.

    In addition to what `MeanFlow` logs, it logs in training, as a GAN does: `generator_loss`,
    `discriminator_loss`, and `real_accuracy` and `generated_accuracy`, the fractions of real and of
    generated images that the discriminator classifies correctly (0.5 is chance).

    Args:
        image_shape: (height, width, channels); any size.
        num_classes: Number of classes to condition the network on; those of the flow if there is one;
            otherwise None, to ignore labels.
        flow: A trained `DiffusionModel` that the network learns from and whose weights it begins with: see
            `MeanFlow`. Without it, the network learns from the data alone.
        guidance: Guidance of the flow's velocity, from 0 to 100, 1.5 by default. Only with `flow`.
        adversarial_weight: Norm of the gradient of `generator_loss`, relative to that of the mean flow's
            loss, from 0 to 100.
        discriminator: Your own network in place of the default: images (height, width, channels) in
            [-1, 1], and with `num_classes` one-hot labels -> logits (1,), without a sigmoid.
        **kwargs: As for `MeanFlow`.

    Raises:
        ValueError: As for `MeanFlow`, or the discriminator does not fit.

    Example:

    >>> import numpy as np
    >>> model = AdversarialMeanFlow(image_shape=(8, 8, 1), widths=(4,), num_blocks=1, seed=0)
    >>> model.compile()
    >>> history = model.fit(np.zeros((256, 8, 8), "uint8"), verbose=0)
    >>> model.generate(2, num_steps=1, seed=0).shape
    (2, 8, 8, 1)
    """

    own_networks: ClassVar[tuple[str, ...]] = (*MeanFlow.own_networks, "discriminator")
    logged_in_training: ClassVar[tuple[str, ...]] = (*MeanFlow.logged_in_training, *LOGGED_IN_TRAINING)

    @checked
    def __init__(
        self,
        image_shape: ImageShape = (28, 28, 1),
        num_classes: NumClasses | None = None,
        flow: DiffusionModel | None = None,
        guidance: Guidance | None = None,
        adversarial_weight: AdversarialWeight = 1.0,
        discriminator: keras.Model | None = None,
        **kwargs: Any,
    ):
        super().__init__(image_shape, num_classes, flow, guidance, **kwargs)
        self.adversarial_weight = adversarial_weight
        if discriminator is None:
            self.discriminator = build_discriminator(
                self.image_shape,
                self.num_classes,
                conditioning="projection",
                widths=default_discriminator_widths(self.image_shape),
                normalization="batch",
                dropout=0.0,
                build=Builder(child_seed(self.seed, "discriminator"), self.dtype_policy),
            )
        else:
            labels = [(self.num_classes,)] if self.conditional else []
            validation.network("discriminator", discriminator, [self.image_shape, *labels], [(1,)])
            validation.gives_logits("discriminator", discriminator)
            self.discriminator = discriminator
        self._own_networks["discriminator"] = discriminator
        self.trackers = [*self.trackers, *(keras.metrics.Mean(name=name) for name in LOGGED_IN_TRAINING)]

    def get_config(self) -> dict:
        return {**super().get_config(), "adversarial_weight": self.adversarial_weight}

    def count_params(self) -> int:
        """Number of weights of both networks, without the moving average and the flow."""
        return super().count_params() + self.discriminator.count_params()

    # === Training ===

    @checked
    def compile(  # type: ignore[override]
        self, optimizer: Any = None, discriminator_optimizer: Any = None, **kwargs: Any
    ) -> None:
        """Prepares the model for `fit`.

        Args:
            optimizer: Of the network; by default `default_optimizer()`.
            discriminator_optimizer: Of the discriminator; by default Adam with a learning rate of 1.5e-3
                and a momentum of 0.5.
            **kwargs: See `BaseModel.compile`.

        Raises:
            ValueError: A loss was given, a metric is unknown or has a name that is taken, or both
                optimizers are the same.
        """
        second = validation.optimizer("discriminator_optimizer", discriminator_optimizer)
        if second is not None and second is optimizer:
            raise ValueError(
                "optimizer and discriminator_optimizer must be two: an optimizer belongs to one network's "
                "weights. Received: the same for both"
            )
        super().compile(optimizer, **kwargs)
        second = second or OBJECTIVE.optimizer(DISCRIMINATOR_LEARNING_RATE)
        self.discriminator_optimizer: Any = scaled_like(second, self.optimizer, "discriminator_loss_scale")
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    def updates_per_step(self) -> dict[str, int]:
        return {"optimizer": 1, "discriminator_optimizer": 1}

    def optimizers(
        self, learning_rates: dict[str, float | None], decay_steps: int | None
    ) -> dict[str, keras.optimizers.Optimizer]:
        """As for other models; the discriminator's learning rate does not follow from the network's."""
        found = super().optimizers(learning_rates, decay_steps)
        rate: Any = learning_rates.get("discriminator_optimizer") or DISCRIMINATOR_LEARNING_RATE
        if decay_steps is not None:
            rate = self.learning_rate_schedule(rate, decay_steps)
        return {**found, "discriminator_optimizer": OBJECTIVE.optimizer(rate)}

    def train_network(
        self,
        images: tf.Tensor,
        noise: tf.Tensor,
        t_normal: tf.Tensor,
        labels: tf.Tensor | None,
        sample_weight: tf.Tensor | None,
        count: tf.Tensor,
    ) -> tuple[dict[str, tf.Tensor], Callable[[], tf.Tensor]]:
        """Updates both networks."""
        values, gradients, predicted = self.losses_and_gradients(
            images, noise, t_normal, labels, sample_weight, count
        )
        with tf.GradientTape() as tape:
            generated_images = self.jump(images, labels)
            logits = logits_of(self.discriminator, generated_images, labels, training=True)
            values["generator_loss"] = mean_over_batch(OBJECTIVE.losses(logits).generator, sample_weight)
            scaled_loss = self.scale_loss(values["generator_loss"], count)
        adversarial = tape.gradient(scaled_loss, self.network.trainable_variables)
        values["gradient_norm"] = self.apply_to_network(self.weighted_sum(gradients, adversarial), count)
        values |= self.train_discriminator(images, generated_images, labels, sample_weight, count)
        return values, predicted

    def weighted_sum(
        self, gradients: list[tf.Tensor | None], adversarial: list[tf.Tensor | None]
    ) -> list[tf.Tensor | None]:
        """The gradients of both losses, with norms of 1 : `adversarial_weight`."""
        norms = [tf.linalg.global_norm(some) for some in (gradients, adversarial)]
        if self.distribute_strategy.num_replicas_in_sync > 1:  # one weight for all
            norms = tf.distribute.get_replica_context().all_reduce("sum", norms)
        ratio = tf.minimum(tf.math.divide_no_nan(*norms), LARGEST_RATIO)
        weight = self.adversarial_weight * ratio
        return [
            one if other is None else weight * other if one is None else one + weight * other
            for one, other in zip(gradients, adversarial, strict=True)
        ]

    def jump(self, images: tf.Tensor, labels: tf.Tensor | None) -> tf.Tensor:
        """Images in [-1, 1] -> what the network makes of their noisy versions in one step."""
        shape = tf.shape(images)
        noise = tf.random.stateless_normal(shape, replica_seed(self.noise_seed))
        uniform = tf.random.stateless_uniform((shape[0], 1, 1, 1), replica_seed(self.noise_seed))
        t = tf.minimum(1.0, 2.0 * uniform)
        x = add_noise(self.schedule, images, noise, t)
        return x - t * self._predicted(self.network, x, t, labels, t, training=True)

    def train_discriminator(
        self,
        images: tf.Tensor,
        generated_images: tf.Tensor,
        labels: tf.Tensor | None,
        sample_weight: tf.Tensor | None,
        count: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Updates the discriminator; returns its logged values for images in [-1, 1]."""
        with tf.GradientTape() as tape:
            values, loss = OBJECTIVE.discriminator_loss(
                self.discriminator, images, generated_images, labels, True, sample_weight=sample_weight
            )
            loss += OBJECTIVE.penalty_weight * self.penalty(images, generated_images, labels, sample_weight)
            scaled_loss = self.scale_loss(loss, count, self.discriminator_optimizer)
        variables = self.discriminator.trainable_variables
        self.discriminator_optimizer.apply(tape.gradient(scaled_loss, variables), variables)
        return values

    def penalty(
        self,
        images: tf.Tensor,
        generated_images: tf.Tensor,
        labels: tf.Tensor | None,
        sample_weight: tf.Tensor | None,
    ) -> tf.Tensor:
        """The objective's penalty, estimated from the first images of the batch."""
        images, generated_images, labels, sample_weight = first_share(
            R1_SHARE, images, generated_images, labels, sample_weight
        )

        def logits(images: tf.Tensor) -> tf.Tensor:
            return logits_of(self.discriminator, images, labels, training=True)

        return OBJECTIVE.penalty(logits, images, generated_images, self.noise_seed, sample_weight)

    def preset_copy(self) -> "MeanFlow":
        copy: Any = super().preset_copy()
        copy.discriminator.set_weights(self.discriminator.get_weights())
        return copy
