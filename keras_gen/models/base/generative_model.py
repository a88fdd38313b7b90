"""What all models that draw images from latent vectors have in common."""

import math
from collections.abc import Callable
from typing import Annotated, Any

import keras
import numpy as np
import tensorflow as tf
from annotated_types import Interval
from numpy.typing import ArrayLike

from keras_gen.layers import child_seed
from keras_gen.losses import spherical_interpolation
from keras_gen.models.base import validation
from keras_gen.models.base.image_model import ImageModel, NumClasses
from keras_gen.serving import assertions
from keras_gen.utils.arguments import LARGEST, Count, ImageShape, Seed, checked
from keras_gen.utils.memory import refuse_beyond_memory

MOST_SERVED_PIXELS = 2**23  # in one request: ten thousand images of 28 x 28


class GenerativeModel(ImageModel):
    """Base of the models that generate images.

    A subclass writes `images_from_latents` beside what an `ImageModel` needs, and inherits
    `generate`, `decode` and `interpolate`, which give float32 in [0, 1].

    Args:
        image_shape: (height, width, channels).
        latent_dim: Length of the latent vector.
        num_classes: Number of classes for a conditional model; None for an unconditional one,
            which ignores labels.
        seed: Integer that determines the initial weights and all noise; random by default.
        **kwargs: `class_names`, `name` and `dtype`.

    Raises:
        ValueError: An argument is out of its range.
    """

    @checked
    def __init__(
        self,
        image_shape: ImageShape,
        latent_dim: Count,
        num_classes: NumClasses | None = None,
        seed: Seed | None = None,
        **kwargs: Any,
    ):
        super().__init__(image_shape, num_classes, seed, **kwargs)
        self.latent_dim = latent_dim
        self.seed_generator = keras.random.SeedGenerator(
            child_seed(seed, "generate")
        )  # for `generate` without a seed

    def get_config(self) -> dict:
        return {**super().get_config(), "latent_dim": self.latent_dim}

    # === Generating ===

    def images_from_latents(self, z: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        """Latent vectors (n, latent_dim), one-hot labels -> float32 images in [0, 1] (n, h, w, c)."""
        raise NotImplementedError

    def latents(self, num_samples: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Latent vectors (num_samples, latent_dim) of the prior, from an integer seed."""
        return tf.random.stateless_normal((num_samples, self.latent_dim), seed=(seed, 0))

    @checked
    def generate(
        self,
        num_samples: Count | None = None,
        *,
        labels: ArrayLike | None = None,
        seed: Seed | None = None,
    ) -> np.ndarray:
        """Draws new images.

        Args:
            num_samples: How many, 1 or more; by default the number of labels, or 1 where there are none.
            labels: For a conditional model: integers from 0 to num_classes - 1, class names, or one-hot
                rows. `num_samples` must be a multiple of their number: they are repeated in order. Random
                labels where none are given.
            seed: Integer. The same weights and seed give the same images; without one, each call
                gives different ones.

        Returns:
            float32 in [0, 1], (num_samples, height, width, channels).

        Raises:
            ValueError: `num_samples` is less than 1, beyond memory, or not a multiple of the number of
                labels; labels are out of range, or given to an unconditional model.
        """
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
        seed = self.drawn_seed() if seed is None else seed
        if labels is None and self.conditional:
            labels = tf.random.stateless_uniform((num_samples,), (seed, 1), 0, self.num_classes, tf.int32)
        one_hot = self.checked_labels(labels, num_samples)
        return self.in_chunks(self.images_from_latents, self.latents(num_samples, seed), one_hot)

    def decode(self, z: ArrayLike, labels: ArrayLike | None = None) -> np.ndarray:
        """Latent vectors (n, latent_dim) -> images (n, height, width, channels), float32 in [0, 1].

        Args:
            z: (n, latent_dim).
            labels: One for each, as for `generate`, where the model is conditional.

        Raises:
            ValueError: The shape is not (n, latent_dim), or the labels do not fit.
        """
        z = validation.latents("z", z, self.latent_dim)
        return self.in_chunks(self.images_from_latents, z, self.checked_labels(labels, len(z)))

    @checked
    def interpolate(
        self,
        z_start: ArrayLike,
        z_end: ArrayLike,
        labels: ArrayLike | None = None,
        num_steps: Annotated[int, Interval(ge=2, le=LARGEST)] = 10,
    ) -> np.ndarray:
        """Images along the great arcs between pairs of latent vectors.

        Args:
            z_start: (n, latent_dim); where a model has `encode`, for example `encode(images)`.
            z_end: (n, latent_dim).
            labels: One for each pair, as for `generate`, where the model is conditional.
            num_steps: Images along each arc, both ends included; 2 or more.

        Returns:
            (n, num_steps, height, width, channels), float32 in [0, 1].

        Raises:
            ValueError: The shape is not (n, latent_dim), the numbers of vectors differ, or the labels do
                not fit.
        """
        z_start, z_end = (
            validation.latents(name, z, self.latent_dim)
            for name, z in (("z_start", z_start), ("z_end", z_end))
        )
        if len(z_start) != len(z_end):
            raise ValueError(
                "z_start and z_end must have the same number of vectors. "
                f"Received: {len(z_start)} and {len(z_end)}"
            )
        one_hot = self.checked_labels(labels, len(z_start))
        self.refuse_beyond_memory(len(z_start) * num_steps, f"num_steps={num_steps}")
        fractions = tf.linspace(0.0, 1.0, num_steps)
        z = spherical_interpolation(z_start, z_end, fractions).numpy()
        if one_hot is not None:
            one_hot = np.repeat(one_hot, num_steps, axis=0)
        images = self.in_chunks(self.images_from_latents, z.reshape(-1, self.latent_dim), one_hot)
        return images.reshape(len(z_start), num_steps, *self.image_shape)

    def refuse_beyond_memory(self, num_images: int, what: str) -> None:
        """Raises a ValueError where so many images, their latents and labels are more than memory holds."""
        numbers = math.prod(self.image_shape) + self.latent_dim + (self.num_classes or 0)
        remedy = "Draw fewer at a time, with a seed for each call."
        refuse_beyond_memory(4 * num_images * numbers, what, remedy)

    # === Export ===

    def signatures(self) -> dict[str, tuple[Callable, dict[str, tf.TensorSpec]]]:
        """What a SavedModel of this model offers: name -> (function, its inputs by name)."""

        # At once, without chunks: what the feature maps of so many images take, must fit into memory.
        most = max(1, MOST_SERVED_PIXELS // math.prod(self.image_shape[:2]))

        def generate(seed, num_samples, labels=None):  # type: ignore[no-untyped-def]
            few = (num_samples >= 1) & (num_samples <= most)
            num_samples = assertions.asserted(f"num_samples must be from 1 to {most}", few, num_samples)
            seed = assertions.asserted("seed must be 0 or more", seed >= 0, seed)
            one_hot = None
            if labels is not None:
                labels = assertions.labels(labels, self.num_classes)
                repeated = tf.gather(labels, tf.range(num_samples) % tf.shape(labels)[0])
                one_hot = self.to_one_hot(repeated)
            return {"images": self.images_from_latents(self.latents(num_samples, seed), one_hot)}

        inputs = {
            "seed": tf.TensorSpec((), tf.int32, "seed"),
            "num_samples": tf.TensorSpec((), tf.int32, "num_samples"),
        }

        def decode(z, labels=None):  # type: ignore[no-untyped-def]
            z = assertions.latents(z)
            return {"images": self.images_from_latents(z, self.served_labels(labels, z))}

        z = {"z": tf.TensorSpec((None, self.latent_dim), tf.float32, "z")}
        return {
            "serving_default": (generate, {**inputs, **self.label_spec()}),
            "decode": (decode, {**z, **self.label_spec()}),
        }
