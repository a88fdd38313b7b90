"""Layers that several models' default networks are built of, and copies of networks."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from keras_gen.layers import BatchNormalization, child_seed
from keras_gen.utils.devices import refuse_channels_first
from keras_gen.utils.memory import refuse_beyond_memory


class InMemory:
    """An initializer that refuses weights that would not fit into memory when training."""

    def __call__(self, shape: Any, *args: Any, **kwargs: Any) -> Any:
        remedy = "Choose smaller widths, latent_dim, num_classes or images."
        refuse_beyond_memory(16 * math.prod(shape), f"weights of shape {tuple(shape)}", remedy)
        return super().__call__(shape, *args, **kwargs)  # type: ignore[misc]


@keras.saving.register_keras_serializable("keras_gen")
class GlorotUniform(InMemory, keras.initializers.GlorotUniform):
    """Keras' initializer, with a check of memory."""


@keras.saving.register_keras_serializable("keras_gen")
class RandomNormal(InMemory, keras.initializers.RandomNormal):
    """Keras' initializer, with a check of memory."""


class Builder:
    """Makes the layers of a model, with its dtype, and initial weights from its seed.

    With batch normalization, a VAE learns in one minute what takes ten without it.
    """

    def __init__(self, seed: int | None, dtype: Any):
        refuse_channels_first()
        self.dtype = dtype
        self._seed = seed
        self._numbers = itertools.count()

    def seed(self) -> int | None:
        """The seed of the next layer."""
        return child_seed(self._seed, f"layer {next(self._numbers)}")

    def _options(self, **options: Any) -> dict:
        initializer = GlorotUniform(seed=self.seed())
        return {"kernel_initializer": initializer, "dtype": self.dtype, **options}

    def dense(self, units: int, **options: Any) -> layers.Dense:
        return layers.Dense(units, **self._options(**options))

    def conv(self, filters: int, strides: int = 2, size: int = 3, **options: Any) -> layers.Conv2D:
        return layers.Conv2D(filters, size, strides, padding="same", **self._options(**options))

    def conv_transpose(
        self, filters: int, size: int, strides: int = 2, **options: Any
    ) -> layers.Conv2DTranspose:
        return layers.Conv2DTranspose(filters, size, strides, padding="same", **self._options(**options))

    def activated(self, x: Any, negative_slope: float = 0.0) -> Any:
        """Batch normalization and ReLU, after a layer without bias."""
        x = BatchNormalization(momentum=0.9, dtype=self.dtype)(x)
        return layers.ReLU(negative_slope=negative_slope, dtype=self.dtype)(x)


def feature_sizes(image_shape: Sequence[int], num_halvings: int) -> list[tuple[int, int]]:
    """(height, width) of the image and of each feature map, with strides of 2."""
    sizes = [(image_shape[0], image_shape[1])]
    for _ in range(num_halvings):
        sizes.append((math.ceil(sizes[-1][0] / 2), math.ceil(sizes[-1][1] / 2)))
    return sizes


def latent_inputs(
    latent_dim: int, num_classes: int | None, build: Builder, label_weight: float = 1.0
) -> tuple[list, Any]:
    """The inputs z and, with classes, one-hot labels; and both concatenated."""
    z = keras.Input((latent_dim,), name="z")
    if num_classes is None:
        return [z], z
    labels = keras.Input((num_classes,), name="labels")
    weighted = labels if label_weight == 1 else layers.Rescaling(label_weight, dtype=build.dtype)(labels)
    return [z, labels], layers.Concatenate(dtype=build.dtype)([z, weighted])


def upsampled(
    x: Any, widths: Sequence[int], sizes: Sequence[tuple[int, int]], kernel_size: int, build: Builder
) -> Any:
    """A dense layer to the smallest map, and transposed convolutions that double its size."""
    x = build.dense(math.prod(sizes[0]) * widths[0], use_bias=False)(x)
    x = layers.Reshape((*sizes[0], widths[0]), dtype=build.dtype)(build.activated(x))  # (h / 4, w / 4, 64)
    for width, size in zip(widths[1:], sizes[1:-1], strict=True):
        x = crop(build.conv_transpose(width, kernel_size, use_bias=False)(x), size, build)
        x = build.activated(x)  # (h / 2, w / 2, 32)
    return x


def crop(x: Any, size: tuple[int, int], build: Builder) -> Any:
    """Removes the row or column that doubling an odd size adds."""
    extra = (x.shape[1] - size[0], x.shape[2] - size[1])
    if extra == (0, 0):
        return x
    return layers.Cropping2D(((0, extra[0]), (0, extra[1])), dtype=build.dtype)(x)


def float32_copy(network: keras.Model) -> keras.Model:
    """A copy of a network, with its weights, that computes in float32."""

    def float32_layer(layer: Any) -> Any:
        if not isinstance(layer, keras.Layer):  # an operation, such as x + y
            return type(layer).from_config(layer.get_config())
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    copy = keras.models.clone_model(network, clone_function=float32_layer)
    copy.set_weights(network.get_weights())
    return copy


def frozen_copy(network: keras.Model) -> keras.Model:
    """A float32 copy that is not trained."""
    copy = float32_copy(network)
    copy.trainable = False
    return copy


def plain_copy(network: keras.Model) -> keras.Model:
    """A copy of a network for other runtimes: Keras' own layers only, all in float32."""
    copy = keras.models.clone_model(network, clone_function=plain_layer)
    copy.set_weights(network.get_weights())
    return copy


def plain_layer(layer: Any) -> Any:
    """A float32 copy of a layer, as the Keras layer that it extends; or of an operation, such as x + y."""
    if not isinstance(layer, keras.Layer):
        return type(layer).from_config(layer.get_config())
    plain: Any = next(cls for cls in type(layer).__mro__ if not cls.__module__.startswith("keras_gen."))
    config = {**layer.get_config(), "dtype": "float32"}
    if "kernel_initializer" in config:
        # The weights come from the original; and older Keras cannot read newer initializers' options.
        config["kernel_initializer"] = "zeros"
    return plain.from_config(config)


def join(x: Any, labels: Any) -> Any:
    """The inputs of a network: `x` alone, or with one-hot labels."""
    return x if labels is None else [x, labels]


def sum_of_losses(network: keras.Model) -> tf.Tensor | float:
    """The losses of a network's layers in its last call: `add_loss` and regularizers."""
    losses = [tf.reduce_sum(tf.cast(loss, tf.float32)) for loss in network.losses]
    return tf.add_n(losses) if losses else 0.0
