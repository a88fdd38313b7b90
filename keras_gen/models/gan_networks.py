"""The networks that the GANs build where they are given none, after DCGAN (arXiv 1511.06434).

Sized for quality per second: DCGAN's own 512 and 1024 filters on maps of 4 x 4 pixels take most of the
time and add little.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from keras_gen.layers import Dropout
from keras_gen.models.networks import Builder, crop, feature_sizes

NORMALIZATIONS = ("none", "batch", "spectral")
SMALLEST_MAP = 8  # pixels: default networks halve the image until it is at most this
NARROWEST, WIDEST = 64, 256  # filters of default networks
SLOPE = 0.2  # of the discriminator's leaky ReLU for what is below 0


def default_widths(image_shape: Sequence[int]) -> tuple[int, ...]:
    """Filters of a discriminator's convolutions: 64, 128, 256, 256, ..., each of which halves the image.

    Example:

    >>> default_widths((28, 28, 1)), default_widths((128, 128, 3))
    ((64, 128), (64, 128, 256, 256))
    """
    halvings = max(1, math.ceil(math.log2(min(image_shape[:2]) / SMALLEST_MAP)))
    return tuple(min(NARROWEST * 2**number, WIDEST) for number in range(halvings))


@keras.saving.register_keras_serializable("keras_gen")
def leaky_hard_tanh(x: Any) -> Any:
    """x within [-1, 1], and beyond it a hundredth of the slope.

    Where tanh comes near a background of -1 this reaches it, and still has a gradient that leads back.

    Example:

    >>> leaky_hard_tanh(tf.constant([-2.0, 0.5, 1.0])).numpy().tolist()
    [-1.01, 0.5, 1.0]
    """
    inside = tf.clip_by_value(x, -1.0, 1.0)
    return inside + 0.01 * (x - inside)


def build_generator(
    image_shape: tuple[int, int, int],
    latent_dim: int,
    num_classes: int | None,
    widths: Sequence[int],
    hidden_units: int,
    build: Builder,
) -> keras.Model:
    """z, and one-hot labels where there are classes -> images in [-1, 1] but for a hair."""
    inputs = [keras.Input((latent_dim,), name="z")]
    x = inputs[0]
    if num_classes is not None:
        inputs.append(keras.Input((num_classes,), name="labels"))
        x = layers.Concatenate(dtype=build.dtype)(inputs)
    if hidden_units:
        x = build.activated(build.dense(hidden_units, use_bias=False)(x))
    sizes = feature_sizes(image_shape, len(widths))
    x = build.dense(math.prod(sizes[-1]) * widths[0], use_bias=False)(x)
    x = layers.Reshape((*sizes[-1], widths[0]), dtype=build.dtype)(x)  # (h / 4, w / 4, 128)
    x = build.activated(x)
    for width, size in zip(widths[1:], sizes[-2:0:-1], strict=True):
        x = crop(build.conv_transpose(width, 4, use_bias=False)(x), size, build)
        x = build.activated(x)  # (h / 2, w / 2, 64)
    x = build.conv_transpose(image_shape[2], 4, activation=leaky_hard_tanh, dtype="float32")(x)
    return keras.Model(inputs, crop(x, sizes[0], build), name="generator")


def build_discriminator(
    image_shape: tuple[int, int, int],
    num_classes: int | None,
    conditioning: str,
    widths: Sequence[int],
    hidden_units: int,
    normalization: str,
    dropout: float,
    build: Builder,
) -> keras.Model:
    """Images in [-1, 1], and one-hot labels where there are classes -> a logit, by strided convolutions.

    With `conditioning="concat"` the label is `num_classes` more channels of the image; with
    `"projection"` the logit has a term for each class, linear in the features (arXiv 1802.05637).
    """
    images = keras.Input(image_shape, name="images")
    labels = None if num_classes is None else keras.Input((num_classes,), name="labels")
    x = images
    if labels is not None and conditioning == "concat":
        maps = layers.RepeatVector(math.prod(image_shape[:2]), dtype=build.dtype)(labels)
        maps = layers.Reshape((*image_shape[:2], num_classes), dtype=build.dtype)(maps)
        x = layers.Concatenate(dtype=build.dtype)([x, maps])  # (h, w, channels + num_classes)

    def normalized(layer: layers.Layer) -> layers.Layer:
        if normalization != "spectral":
            return layer
        return layers.SpectralNormalization(layer, dtype="float32")  # its norms overflow float16

    def block(x: Any, layer: Callable[..., layers.Layer], width: int, batch: bool, **options: Any) -> Any:
        x = normalized(layer(width, use_bias=not batch, **options))(x)
        x = build.activated(x, SLOPE) if batch else layers.LeakyReLU(SLOPE, dtype=build.dtype)(x)
        return Dropout(dropout, seed=build.seed(), dtype=build.dtype)(x) if dropout else x

    batch = normalization == "batch"
    for number, width in enumerate(widths):
        # DCGAN's first layer has no normalization, so that it sees how bright an image is.
        x = block(x, build.conv, width, batch and number > 0, size=4)  # (h / 2, w / 2, 64)
    features = layers.Flatten(dtype=build.dtype)(x)
    if hidden_units:
        # Convolutions see 10 pixels of the image; this layer sees whether its parts go together.
        features = block(features, build.dense, hidden_units, batch)
    logits = normalized(build.dense(1, dtype="float32"))(features)
    if labels is not None and conditioning == "projection":
        directions = normalized(build.dense(features.shape[1], use_bias=False, dtype="float32"))(labels)
        projection = layers.Dot(1, dtype="float32")([features, directions])
        logits = layers.Add(dtype="float32")([logits, projection])
    inputs: Any = images if labels is None else [images, labels]
    network = keras.Model(inputs, logits, name="discriminator")
    for layer in network.layers:
        if isinstance(layer, layers.SpectralNormalization):
            # Keras draws what its power iteration starts from without a seed.
            start = keras.initializers.TruncatedNormal(stddev=0.02, seed=build.seed())
            layer.vector_u.assign(start(layer.vector_u.shape))
    return network
