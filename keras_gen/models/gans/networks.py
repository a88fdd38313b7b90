"""The default networks of the GANs, after DCGAN (arXiv 1511.06434).

They are sized for quality per second: DCGAN's 512 and 1024 filters on maps of 4 x 4 pixels take most of the
time and add little.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from keras_gen.layers import Dropout
from keras_gen.models.networks import (
    Builder,
    RandomNormal,
    crop,
    feature_sizes,
    latent_inputs,
    upsampled,
)

WIDEST = 256  # filters of default networks
SHARPNESS = 8.0  # standard deviation of the clusters' logits at first: one is chosen nearly always
CLUSTER_WEIGHT = 2.0  # of the cluster beside the numbers of z: more draws fewer hybrids, less variety
LABEL_WEIGHT = 3.0  # of the label beside them: it is what two images of different classes do not share
SLOPE = 0.2  # of the discriminator's leaky ReLU for what is below 0


def default_generator_widths(image_shape: Sequence[int]) -> tuple[int, ...]:
    """Filters of a generator's maps, from a map of at most 8 x 8 pixels on: ..., 256, 128, 64.

    Example:

    >>> default_generator_widths((28, 28, 1)), default_generator_widths((128, 128, 3))
    ((128, 64), (256, 256, 128, 64))
    """
    return doubling_widths(image_shape, 64, smallest_map=8)[::-1]


def default_discriminator_widths(image_shape: Sequence[int]) -> tuple[int, ...]:
    """Filters of a discriminator's convolutions, down to a map of at most 4 x 4: 32, 64, 128, ...

    Three convolutions have a receptive field of 22 pixels; two with twice as many filters have 10, take
    longer, and accept garments whose parts do not match.

    Example:

    >>> default_discriminator_widths((28, 28, 1)), default_discriminator_widths((128, 128, 3))
    ((32, 64, 128), (32, 64, 128, 256, 256))
    """
    return doubling_widths(image_shape, 32, smallest_map=4)


def doubling_widths(image_shape: Sequence[int], narrowest: int, smallest_map: int) -> tuple[int, ...]:
    halvings = max(1, math.ceil(math.log2(min(image_shape[:2]) / smallest_map)))
    return tuple(min(narrowest * 2**number, WIDEST) for number in range(halvings))


@keras.saving.register_keras_serializable("keras_gen")
def leaky_hard_tanh(x: Any) -> Any:
    """The identity within [-1, 1], and a slope of 0.01 beyond.

    Unlike tanh, it can reach a background of -1, and its gradient does not vanish there.

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
    clusters: int,
    widths: Sequence[int],
    build: Builder,
) -> keras.Model:
    """z, and one-hot labels where there are classes -> images in [-1, 1] or slightly beyond."""
    inputs, x = latent_inputs(latent_dim, num_classes, build, LABEL_WEIGHT)
    if clusters:
        x = layers.Concatenate(dtype="float32")([x, chosen_cluster(x, clusters, build)])
    sizes = feature_sizes(image_shape, len(widths))[::-1]
    x = upsampled(x, widths, sizes, 4, build)
    x = build.conv_transpose(image_shape[2], 4, activation=leaky_hard_tanh, dtype="float32")(x)
    return keras.Model(inputs, crop(x, sizes[-1], build), name="generator")


def chosen_cluster(x: Any, clusters: int, build: Builder) -> Any:
    """The soft assignment of a latent vector to clusters: (n, clusters).

    Kinds of images are far apart, and a first layer that is linear in z draws hybrids in between. The
    softmax makes most of these transitions short: a mixture of latent distributions, as in DeLiGAN (arXiv
    1706.02071), but chosen by z itself, which remains the only input.
    """
    start = RandomNormal(stddev=SHARPNESS / math.sqrt(x.shape[1]), seed=build.seed())
    choice = layers.Dense(
        clusters, activation="softmax", kernel_initializer=start, dtype="float32", name="cluster"
    )
    return layers.Rescaling(CLUSTER_WEIGHT, dtype="float32")(choice(x))


def build_discriminator(
    image_shape: tuple[int, int, int],
    num_classes: int | None,
    conditioning: str,
    widths: Sequence[int],
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

    def block(x: Any, width: int, batch: bool) -> Any:
        x = normalized(build.conv(width, size=4, use_bias=not batch))(x)
        x = build.activated(x, SLOPE) if batch else layers.LeakyReLU(SLOPE, dtype=build.dtype)(x)
        return Dropout(dropout, seed=build.seed(), dtype=build.dtype)(x) if dropout else x

    batch = normalization == "batch"
    for number, width in enumerate(widths):
        # DCGAN's first layer has no normalization, so that it sees how bright an image is.
        x = block(x, width, batch and number > 0)  # (h / 2, w / 2, 32)
    features = layers.Flatten(dtype=build.dtype)(x)
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
