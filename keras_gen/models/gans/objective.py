"""What the two networks of a GAN minimize: losses, a penalty, and the optimizer that suits them."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_gen.losses import ADVERSARIAL_LOSSES, AdversarialLosses, mean_over_batch, r1_penalty
from keras_gen.optimizers import Adam


class Objective:
    """An adversarial loss, and the R1 penalty on the discriminator's slopes at real images [1].

    Args:
        loss_name: One of `keras_gen.losses.ADVERSARIAL_LOSSES`.
        penalty_weight: Weight of the penalty in the discriminator's loss; 0 for none.

    References:
        1. Mescheder et al. 2018, Which Training Methods for GANs do actually Converge?, arXiv 1801.04406.
        2. Radford et al. 2015, Unsupervised Representation Learning with DCGANs, arXiv 1511.06434.
    """

    def __init__(self, loss_name: str, penalty_weight: float):
        self.loss_name = loss_name
        self.penalty_weight = penalty_weight

    def losses(self, logits: tf.Tensor) -> AdversarialLosses:
        """The losses of the discriminator's logits (n,)."""
        return ADVERSARIAL_LOSSES[self.loss_name](logits)

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
    ) -> tf.Tensor:
        """What is added to the discriminator's loss, times `penalty_weight`.

        Args:
            discriminator: Images -> logits (n,).
            real_images: (n, h, w, c) in [-1, 1].
            generated_images: Likewise.
            seed_generator: Of the noise that a penalty may need.
        """
        return mean_over_batch(r1_penalty(discriminator, real_images))

    def optimizer(self, learning_rate: Any) -> keras.optimizers.Optimizer:
        """Adam with DCGAN's momentum of 0.5: with more, the two networks oscillate [2]."""
        return Adam(learning_rate, beta_1=0.5)
