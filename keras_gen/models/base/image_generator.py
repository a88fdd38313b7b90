"""What all models that generate images have in common."""

import functools
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_gen.layers import child_seed
from keras_gen.layers.keyed_noise import keyed_uniform
from keras_gen.models.base import validation
from keras_gen.models.base.image_model import ImageModel, NumClasses
from keras_gen.models.base.verbs import Keys, Labels, verb
from keras_gen.utils.arguments import ImageShape, Seed, checked
from keras_gen.utils.memory import refuse_beyond_memory

LABEL_STREAM = 2**31 - 1  # of the noise that random labels come from
PNG_CHANNELS = (1, 2, 3, 4)


class ImageGenerator(ImageModel):
    """Base of the models that generate images.

    A subclass writes the verb `generate` beside what an `ImageModel` needs.

    Args:
        image_shape: (height, width, channels).
        num_classes: Number of classes for a conditional model; None for an unconditional one,
            which ignores labels.
        seed: Integer that determines the initial weights and all noise; random by default.
        **kwargs: `class_names`, `name` and `dtype`.

    Raises:
        ValueError: An argument is out of its range.
    """

    default_verb = "generate"

    @checked
    def __init__(
        self,
        image_shape: ImageShape,
        num_classes: NumClasses | None = None,
        seed: Seed | None = None,
        **kwargs: Any,
    ):
        super().__init__(image_shape, num_classes, seed, **kwargs)
        # For `generate` without a seed.
        self.seed_generator = keras.random.SeedGenerator(child_seed(seed, "generate"))

    @verb("images")
    def generate(self, keys: Keys, labels: Labels = None) -> tf.Tensor:
        """Draws new images.

        Args:
            num_samples: How many, 1 or more; by default the number of labels, or 1 where there are none.
            labels: For a conditional model: integers from 0 to num_classes - 1, class names, or one-hot
                rows. `num_samples` must be a multiple of their number: they are repeated in order. Random
                labels where none are given.
            seed: Integer. Image i depends on the weights, the seed and i alone; without a seed, each call
                gives different images.

        Returns:
            float32 in [0, 1], (num_samples, height, width, channels).

        Raises:
            ValueError: `num_samples` is less than 1, beyond memory, or not a multiple of the number of
                labels; labels are out of range, or given to an unconditional model.
        """
        raise NotImplementedError

    def labels_or_random(self, labels: tf.Tensor | None, keys: tf.Tensor) -> tf.Tensor | None:
        """One-hot labels (n, num_classes): those that were given, or random ones of keys (n, 2)."""
        if labels is not None or not self.conditional:
            return labels
        uniform = keyed_uniform(keys, (), LABEL_STREAM)
        return self.to_one_hot(tf.cast(uniform * self.num_classes, tf.int32))

    def rows_to_draw(
        self, num_samples: int | None, labels: ArrayLike | None
    ) -> tuple[int, np.ndarray | None]:
        """How many images, and a label for each of them, where labels are given."""
        if labels is not None:
            if not self.conditional:
                self.checked_labels(labels, 1)  # says that it takes none
            labels = np.atleast_1d(self.to_numbers(labels))
            num_samples = len(labels) if num_samples is None else num_samples
            if not len(labels) or num_samples % len(labels):
                raise ValueError(
                    f"num_samples must be a multiple of the number of labels, which are repeated in order, "
                    f"or be left out. Received: num_samples={num_samples} and {len(labels)} labels"
                )
            labels = validation.labels(labels, self.num_classes, len(labels))
        num_samples = num_samples or 1
        self.refuse_beyond_memory(num_samples, f"num_samples={num_samples}")
        if labels is not None:
            labels = np.concatenate([labels] * (num_samples // len(labels)))
        return num_samples, labels

    def refuse_beyond_memory(self, num_images: int, what: str, further_numbers: int = 0) -> None:
        """Raises a ValueError if so many images, with their inputs, are more than memory holds."""
        numbers = math.prod(self.image_shape) + (self.num_classes or 0) + 2 + further_numbers
        remedy = "Draw fewer at a time, with a seed for each call."
        refuse_beyond_memory(4 * num_images * numbers, what, remedy)

    # === Export ===

    def signatures(self) -> dict[str, tuple[Callable, dict[str, tf.TensorSpec]]]:
        found = super().signatures()
        generate, specs = found["serving_default"]
        if self.image_shape[2] not in PNG_CHANNELS:
            return found

        @functools.wraps(generate)
        def generate_with_files(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
            outputs = generate(*tensors)
            return {**outputs, "png_bytes": png_bytes(outputs["images"])}

        return {**found, "serving_default": (generate_with_files, specs)}


def png_bytes(images: tf.Tensor) -> tf.Tensor:
    """float32 images in [0, 1] (n, h, w, c) -> the bytes of a PNG file of each, strings (n,)."""
    pixels = tf.cast(tf.round(255.0 * images), tf.uint8)
    return tf.map_fn(tf.io.encode_png, pixels, fn_output_signature=tf.string)
