"""What the two networks of a GAN minimize: losses, a penalty, and the optimizer that suits them."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_gen.losses import ADVERSARIAL_LOSSES, AdversarialLosses, mean_over_batch, r1_penalty
from keras_gen.models.networks import join, sum_of_losses
from keras_gen.optimizers import Adam


class Objective:
    """An adversarial loss, and the R1 penalty on the discriminator's slopes at real images [1].

    Args:
        loss_name: One of `keras_gen.losses.ADVERSARIAL_LOSSES`.
        penalty_weight: Weight of the penalty in the discriminator's loss; 0 for none.

    References:
        1. Mescheder et al. 2018, Which Training Methods for GANs do actually Converge?, arXiv 1801.04406.
        2. Radford et al. 2015, Unsupervised Representation Learning with DCGANs, arXiv 1511.06434.
        3. Salimans et al. 2016, Improved Techniques for Training GANs, arXiv 1606.03498.
    """

    def __init__(self, loss_name: str, penalty_weight: float):
        self.loss_name = loss_name
        self.penalty_weight = penalty_weight

    def losses(self, logits: tf.Tensor) -> AdversarialLosses:
        """The losses of the discriminator's logits (n,)."""
        return ADVERSARIAL_LOSSES[self.loss_name](logits)

    def discriminator_loss(
        self,
        discriminator: keras.Model,
        real_images: tf.Tensor,
        generated_images: tf.Tensor,
        labels: tf.Tensor | None,
        training: bool,
        targets: tuple[Any, Any] = (1.0, 0.0),
        sample_weight: tf.Tensor | None = None,
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """The logged values of a discriminator, and its loss without the penalty.

        Args:
            discriminator: The network, with the losses of its own layers.
            real_images: (n, h, w, c) in [-1, 1].
            generated_images: Likewise.
            labels: One-hot (n, num_classes), where the discriminator is conditional.
            training: Whether it is being trained.
            targets: Of the real and of the generated images, each a number or (n,), in [0, 1], where 1 is
                real.
            sample_weight: Weight of each example, (n,).
        """
        # Each kind by itself: with batch normalization, the discriminator must not see them mixed [3].
        real_logits = logits_of(discriminator, real_images, labels, training)
        own_losses = sum_of_losses(discriminator)
        generated_logits = logits_of(discriminator, generated_images, labels, training)
        own_losses = 0.5 * (own_losses + sum_of_losses(discriminator))
        losses = self.losses(real_logits).discriminator(targets[0])
        losses += self.losses(generated_logits).discriminator(targets[1])
        loss = mean_over_batch(losses, sample_weight) + own_losses
        real_called_real, generated_called_real = self.classified_as_real(real_logits, generated_logits)
        values = {
            "discriminator_loss": loss,
            "real_accuracy": mean_over_batch(tf.cast(real_called_real, tf.float32)),
            "generated_accuracy": mean_over_batch(1.0 - tf.cast(generated_called_real, tf.float32)),
        }
        return values, loss

    def classified_as_real(
        self, real_logits: tf.Tensor, generated_logits: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Which of the real and of the generated images the discriminator calls real."""
        real, generated = self.losses(real_logits), self.losses(generated_logits)
        return real.real < real.generated, generated.real < generated.generated

    def penalty(
        self,
        discriminator: Callable[[tf.Tensor], tf.Tensor],
        real_images: tf.Tensor,
        generated_images: tf.Tensor,
        seed_generator: keras.random.SeedGenerator,
        sample_weight: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """What is added to the discriminator's loss, times `penalty_weight`.

        Args:
            discriminator: Images -> logits (n,).
            real_images: (n, h, w, c) in [-1, 1].
            generated_images: Likewise.
            seed_generator: Of the noise that a penalty may need.
            sample_weight: Weight of each example, (n,).
        """
        return mean_over_batch(r1_penalty(discriminator, real_images), sample_weight)

    def optimizer(self, learning_rate: Any) -> keras.optimizers.Optimizer:
        """Adam with DCGAN's momentum of 0.5: with more, the two networks oscillate [2]."""
        return Adam(learning_rate, beta_1=0.5)


def logits_of(
    discriminator: keras.Model, images: tf.Tensor, labels: tf.Tensor | None, training: bool = False
) -> tf.Tensor:
    """A discriminator's logits, float32 (n,), for images in [-1, 1]."""
    logits = discriminator(join(images, labels), training=training)
    return tf.cast(tf.squeeze(logits, axis=1), tf.float32)


def first_share(share: float, *batches: tf.Tensor | None) -> list[tf.Tensor | None]:
    """The first examples of batches (n, ...), a fraction `share` of each, at least one."""
    n = tf.cast(tf.math.ceil(share * tf.cast(tf.shape(batches[0])[0], tf.float32)), tf.int32)
    return [None if batch is None else batch[:n] for batch in batches]
