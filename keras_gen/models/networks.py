"""The default convolutional networks of models, and copies of networks."""

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

    def conv_transpose(self, filters: int, size: int, **options: Any) -> layers.Conv2DTranspose:
        options = self._options(**options)
        return layers.Conv2DTranspose(filters, size, strides=2, padding="same", **options)

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


def build_encoder(
    image_shape: tuple[int, int, int],
    output_dims: dict[str, int],
    num_classes: int | None,
    widths: Sequence[int],
    hidden_units: int,
    build: Builder,
) -> keras.Model:
    """Strided convolutions, a dense layer, and one linear output for each of `output_dims`."""
    inputs = [keras.Input(image_shape, name="images")]
    x = inputs[0]
    if num_classes is not None:
        inputs.append(keras.Input((num_classes,), name="labels"))
        label_map = build.dense(math.prod(image_shape[:2]))(inputs[1])
        label_map = layers.Reshape((*image_shape[:2], 1), dtype=build.dtype)(label_map)
        x = layers.Concatenate(dtype=build.dtype)([x, label_map])  # (h, w, channels + 1)
    for width in widths:
        x = build.activated(build.conv(width, use_bias=False)(x))  # (h / 2, w / 2, width)
    x = layers.Flatten(dtype=build.dtype)(x)
    x = build.activated(build.dense(hidden_units, use_bias=False)(x))
    outputs = [build.dense(units, name=name, dtype="float32")(x) for name, units in output_dims.items()]
    return keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0], name="encoder")


def build_decoder(
    image_shape: tuple[int, int, int],
    latent_dim: int,
    num_classes: int | None,
    widths: Sequence[int],
    hidden_units: int,
    outputs: dict[str, float],
    build: Builder,
) -> keras.Model:
    """The mirror of the encoder: dense layers, then transposed convolutions up to the size of the image.

    Each of `outputs` has the shape of the image, and is initially near its number.
    """
    inputs, x = latent_inputs(latent_dim, num_classes, build)
    for _ in range(2):
        x = build.activated(build.dense(hidden_units, use_bias=False)(x))
    sizes = feature_sizes(image_shape, len(widths))[::-1]
    x = upsampled(x, widths[::-1], sizes, 3, build)
    # 5 x 5, so that each pixel sees several of the neighbours that its logit is made of.
    maps = [
        crop(
            build.conv_transpose(
                image_shape[2],
                5,
                bias_initializer=keras.initializers.Constant(start),
                dtype="float32",
                name=name,
            )(x),
            sizes[-1],
            build,
        )
        for name, start in outputs.items()
    ]  # (h, w, channels) each
    return keras.Model(inputs, maps if len(maps) > 1 else maps[0], name="decoder")


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

    def float32_layer(layer: keras.Layer) -> keras.Layer:
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    copy = keras.models.clone_model(network, clone_function=float32_layer)
    copy.set_weights(network.get_weights())
    return copy


def plain_copy(network: keras.Model) -> keras.Model:
    """A copy of a network for other runtimes: Keras' own layers only, all in float32."""
    copy = keras.models.clone_model(network, clone_function=plain_layer)
    copy.set_weights(network.get_weights())
    return copy


def plain_layer(layer: keras.Layer) -> keras.Layer:
    """A float32 copy of a layer, as the Keras layer that it extends."""
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
