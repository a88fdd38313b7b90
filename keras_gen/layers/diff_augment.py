"""Random augmentation of a discriminator's inputs, through which gradients reach the generator."""

from typing import Any

import keras
import tensorflow as tf

from keras_gen.layers.checked_inputs import CheckedInputs
from keras_gen.layers.sampling import replica_seed
from keras_gen.utils.arguments import Seed, checked, received

POLICIES = ("color", "translation", "cutout")


@keras.saving.register_keras_serializable("keras_gen")
class DiffAugment(CheckedInputs, keras.layers.Layer):
    """Augments real and generated images alike, so that a discriminator cannot memorize a few [1].

    Images are in [-1, 1]. Each image gets its own random changes, as large as in the paper: `"color"` adds
    -0.5 to 0.5 (a quarter of the range) to its brightness and scales its saturation by 0 to 2 and its
    contrast by 0.5 to 1.5; `"translation"` shifts it by up to an eighth of its size; `"cutout"` blanks a
    square of half its size. Blank pixels are 0. Gradients flow through all changes. Outside of training
    the layer does nothing.

    Args:
        policy: The changes, in order, with commas: `"color,translation,cutout"`; `""` for none.
        seed: Integer that determines the changes; random by default.

    Raises:
        ValueError: A change is unknown, or the inputs are not images.

    References:
        1. Zhao et al. 2020, Differentiable Augmentation for Data-Efficient GAN Training, arXiv 2006.10738.

    Example:

    >>> images = tf.ones((4, 8, 8, 1))
    >>> augmented = DiffAugment("cutout", seed=0)(images, training=True)
    >>> augmented.shape, bool(tf.reduce_min(augmented) == 0.0)
    (TensorShape([4, 8, 8, 1]), True)
    """

    least_axes = most_axes = 4
    axes = "(n, height, width, channels)"

    @checked
    def __init__(self, policy: str = "color,translation,cutout", seed: Seed | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.policy = policy
        self.changes = [name.strip() for name in policy.split(",") if name.strip()]
        for name in self.changes:
            if name not in POLICIES:
                raise ValueError(
                    f"policy must name some of {', '.join(POLICIES)}, with commas. "
                    f"Received: {received(policy)}"
                )
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Images (n, height, width, channels) in [-1, 1] -> the same shape, augmented."""
        if not training:
            return images
        for name in self.changes:
            images = getattr(self, f"_{name}")(images, replica_seed(self.seed_generator))
        return images

    def get_config(self) -> dict:
        return {**super().get_config(), "policy": self.policy, "seed": self.seed}

    def _color(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        amounts = tf.random.stateless_uniform((3, tf.shape(images)[0], 1, 1, 1), seed, dtype=images.dtype)
        images += amounts[0] - 0.5
        grey = tf.reduce_mean(images, axis=3, keepdims=True)
        images = (images - grey) * (amounts[1] * 2.0) + grey
        mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
        return (images - mean) * (amounts[2] + 0.5) + mean

    def _translation(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        n = tf.shape(images)[0]
        seeds = tf.random.experimental.stateless_split(seed, 2)
        for axis in (1, 2):
            size = images.shape[axis]
            most = max(1, round(size / 8))
            shifts = tf.random.stateless_uniform((n, 1), seeds[axis - 1], -most, most + 1, tf.int32)
            # Zeros on both sides; a clipped position reads one of them.
            margins = [[0, 0], *[[1, 1] if a == axis else [0, 0] for a in (1, 2, 3)]]
            positions = tf.clip_by_value(tf.range(1, size + 1) + shifts, 0, size + 1)
            images = tf.gather(tf.pad(images, margins), positions, axis=axis, batch_dims=1)
        return images

    def _cutout(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        n = tf.shape(images)[0]
        seeds = tf.random.experimental.stateless_split(seed, 2)
        inside = []
        for axis in (1, 2):
            size = images.shape[axis]
            length = max(1, size // 2)
            # The square may reach over the edge, so that each pixel is as likely to go.
            start = tf.random.stateless_uniform((n, 1), seeds[axis - 1], -(length // 2), size - length // 2)
            start = tf.floor(start)
            position = tf.range(size, dtype=tf.float32)
            inside.append((position >= start) & (position < start + length))
        hole = inside[0][:, :, tf.newaxis] & inside[1][:, tf.newaxis, :]
        return images * tf.cast(~hole, images.dtype)[..., tf.newaxis]
