"""What all models that decode images from latent variables have in common."""

import math
from typing import Annotated, Any

import numpy as np
import tensorflow as tf
from annotated_types import Interval
from numpy.typing import ArrayLike

from keras_gen.layers.keyed_noise import keyed_normal
from keras_gen.losses import spherical_interpolation
from keras_gen.models.base import validation
from keras_gen.models.base.image_generator import ImageGenerator
from keras_gen.models.base.image_model import NumClasses
from keras_gen.models.base.verbs import Keys, Labels, Latents, verb
from keras_gen.utils.arguments import LARGEST, Count, ImageShape, Seed, checked


class LatentGenerator(ImageGenerator):
    """Base of the models that decode images from latent variables: a vector, or noise of the image's shape.

    A subclass writes the verb `decode` beside what an `ImageModel` needs, and `latents` where its prior is
    not a standard normal distribution.

    Args:
        image_shape: (height, width, channels).
        latent_dim: Length of the latent vector; None where a latent variable is noise of the image's shape,
            as in diffusion models.
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
        latent_dim: Count | None,
        num_classes: NumClasses | None = None,
        seed: Seed | None = None,
        **kwargs: Any,
    ):
        super().__init__(image_shape, num_classes, seed, **kwargs)
        self.latent_dim: Any = latent_dim

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """The shape of one latent variable."""
        return self.image_shape if self.latent_dim is None else (self.latent_dim,)

    def get_config(self) -> dict:
        config = super().get_config()
        return config if self.latent_dim is None else {**config, "latent_dim": self.latent_dim}

    def latents(self, keys: tf.Tensor) -> tf.Tensor:
        """Latent variables (n, *latent_shape) of the prior, one for each key: integers (n, 2)."""
        return keyed_normal(keys, self.latent_shape)

    @verb("images")
    def generate(self, keys: Keys, labels: Labels = None) -> tf.Tensor:
        return self.decode.on_tensors(self.latents(keys), self.labels_or_random(labels, keys))

    @verb("images")
    def decode(self, z: Latents, labels: Labels = None) -> tf.Tensor:
        """Latent variables -> images (n, height, width, channels), float32 in [0, 1].

        Args:
            z: (n, latent_dim), or (n, height, width, channels) where `latent_dim` is None.
            labels: One for each, as for `generate`, where the model is conditional.

        Raises:
            ValueError: `z` is of another shape, or the labels do not fit.
        """
        raise NotImplementedError

    @checked
    def interpolate(
        self,
        z_start: ArrayLike,
        z_end: ArrayLike,
        labels: ArrayLike | None = None,
        num_steps: Annotated[int, Interval(ge=2, le=LARGEST)] = 10,
    ) -> np.ndarray:
        """Images along the great arcs between pairs of latent variables.

        Args:
            z_start: As for `decode`; where a model has `encode`, for example `encode(images)`.
            z_end: The same.
            labels: One for each pair, as for `generate`, where the model is conditional.
            num_steps: Images along each arc, both ends included; 2 or more.

        Returns:
            (n, num_steps, height, width, channels), float32 in [0, 1].

        Raises:
            ValueError: The shapes are others, or differ from each other, or the labels do not fit.
        """
        z_start, z_end = (
            validation.latents(name, z, self.latent_shape)
            for name, z in (("z_start", z_start), ("z_end", z_end))
        )
        if len(z_start) != len(z_end):
            raise ValueError(
                "z_start and z_end must have the same number of vectors. "
                f"Received: {len(z_start)} and {len(z_end)}"
            )
        one_hot = self.checked_labels(labels, len(z_start))
        num_images = len(z_start) * num_steps
        self.refuse_beyond_memory(num_images, f"num_steps={num_steps}", math.prod(self.latent_shape))
        flat = [z.reshape(len(z), -1) for z in (z_start, z_end)]
        z = spherical_interpolation(flat[0], flat[1], tf.linspace(0.0, 1.0, num_steps))
        labels = None if one_hot is None else np.repeat(one_hot, num_steps, axis=0)
        images = self.decode(tf.reshape(z, (num_images, *self.latent_shape)), labels)
        return images.reshape(len(z_start), num_steps, *self.image_shape)
