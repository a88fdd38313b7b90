"""What every model has in common that draws images from latent vectors."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_gen.losses import spherical_interpolation
from keras_gen.models import checks
from keras_gen.models.image_model import ImageModel


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

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_dim: int,
        num_classes: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        checks.at_least("latent_dim", latent_dim, 1)
        super().__init__(image_shape, num_classes, seed, **kwargs)
        self.latent_dim = latent_dim
        self.seed_generator = keras.random.SeedGenerator(seed)  # for `generate` without a seed

    def get_config(self) -> dict:
        return {**super().get_config(), "latent_dim": self.latent_dim}

    # === Generating ===

    def images_from_latents(self, z: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        """Latent vectors (n, latent_dim), one-hot labels -> float32 images in [0, 1] (n, h, w, c)."""
        raise NotImplementedError

    def latents(self, num_samples: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Latent vectors (num_samples, latent_dim) of the prior, from an integer seed."""
        return tf.random.stateless_normal((num_samples, self.latent_dim), seed=(seed, 0))

    def generate(self, num_samples: int = 1, seed: int | None = None, labels: Any = None) -> np.ndarray:
        """Draws new images.

        Args:
            num_samples: How many, 1 or more.
            seed: Integer. The same weights and seed give the same images; without one, each call
                gives others.
            labels: For a conditional model: integers from 0 to num_classes - 1, or one-hot rows;
                repeated in order up to `num_samples`. Random labels where none are given.

        Returns:
            float32 in [0, 1], (num_samples, height, width, channels).

        Raises:
            ValueError: `num_samples` is less than 1; labels are out of range, or given to an
                unconditional model.
        """
        checks.at_least("num_samples", num_samples, 1)
        if seed is None:
            seed = self.drawn_seed()
        z = self.latents(num_samples, seed)
        return self.in_chunks(
            self.images_from_latents, z, self.generation_labels(num_samples, seed, labels)
        )

    def generation_labels(self, num_samples: int, seed: int, labels: Any) -> tf.Tensor | None:
        """One-hot labels (num_samples, num_classes) for `generate`; None where unconditional."""
        if self.num_classes is None:
            if labels is not None:
                raise ValueError(
                    f"{self.name} is unconditional (num_classes=None) and takes no labels. "
                    f"Received: labels={labels!r}"
                )
            return None
        if labels is None:
            labels = tf.random.stateless_uniform((num_samples,), (seed, 1), 0, self.num_classes, tf.int32)
        else:
            labels = np.atleast_1d(np.asarray(labels))
            checks.labels(labels, self.num_classes, len(labels))
            labels = labels[np.arange(num_samples) % len(labels)]
        return self.to_one_hot(labels)

    def decode(self, z: Any, labels: Any = None) -> np.ndarray:
        """Latent vectors (n, latent_dim) -> images (n, height, width, channels), float32 in [0, 1]."""
        z = np.asarray(z, "float32")
        if z.ndim != 2 or z.shape[1] != self.latent_dim:
            raise ValueError(f"z must have shape (n, {self.latent_dim}). Received: {z.shape}")
        if self.num_classes is not None:
            checks.labels(labels, self.num_classes, len(z))
        return self.in_chunks(self.images_from_latents, z, self.to_one_hot(labels))

    def interpolate(self, z_start: Any, z_end: Any, num_steps: int = 10, labels: Any = None) -> np.ndarray:
        """Images on the great arcs between latent vectors: what lies between two garments.

        Args:
            z_start: (n, latent_dim); where a model has `encode`, for example `encode(images)`.
            z_end: (n, latent_dim).
            num_steps: Images on each way, both ends included; 2 or more.
            labels: Integers (n,) or one-hot, one for each way, where the model is conditional.

        Returns:
            (n, num_steps, height, width, channels), float32 in [0, 1].
        """
        checks.at_least("num_steps", num_steps, 2)
        z_start, z_end = np.asarray(z_start, "float32"), np.asarray(z_end, "float32")
        fractions = tf.linspace(0.0, 1.0, num_steps)
        z = spherical_interpolation(z_start, z_end, fractions).numpy()
        if labels is not None:
            labels = np.repeat(np.asarray(labels), num_steps, axis=0)
        images = self.decode(z.reshape(-1, self.latent_dim), labels)
        return images.reshape(len(z_start), num_steps, *self.image_shape)

    # === Export ===

    def signatures(self) -> dict[str, tuple[Callable, dict[str, tf.TensorSpec]]]:
        """What a SavedModel of this model offers: name -> (function, its inputs by name)."""

        def generate(seed, num_samples, labels=None):  # type: ignore[no-untyped-def]
            one_hot = None
            if labels is not None:
                repeated = tf.gather(labels, tf.range(num_samples) % tf.shape(labels)[0])
                one_hot = self.to_one_hot(repeated)
            return {"images": self.images_from_latents(self.latents(num_samples, seed), one_hot)}

        inputs = {
            "seed": tf.TensorSpec((), tf.int32, "seed"),
            "num_samples": tf.TensorSpec((), tf.int32, "num_samples"),
        }

        def decode(z, labels=None):  # type: ignore[no-untyped-def]
            return {"images": self.images_from_latents(z, self.to_one_hot(labels))}

        z = {"z": tf.TensorSpec((None, self.latent_dim), tf.float32, "z")}
        return {
            "serving_default": (generate, {**inputs, **self.label_spec()}),
            "decode": (decode, {**z, **self.label_spec()}),
        }
