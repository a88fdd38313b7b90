"""The default networks of the diffusion models: from a noisy image and the time to a prediction.

`build_unet` is a U-Net [1], `build_dit` a Transformer over patches [2]. What they share: the time and the
class scale and shift the features of each block [2]; the last layer of each block is initialized to zero;
and the stem also takes Fourier features of the pixels, with periods of one and four 8-bit levels [3], since
at low noise an image differs from its noisy version by less than a level.

References:
    1. Ronneberger et al. 2015, U-Net: Convolutional Networks for Biomedical Image Segmentation,
       arXiv 1505.04597.
    2. Peebles & Xie 2023, Scalable Diffusion Models with Transformers, arXiv 2212.09748.
    3. Kingma et al. 2021, Variational Diffusion Models, arXiv 2107.00630.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_gen.models.diffusion.schedules import Schedule
from keras_gen.models.networks import Builder, crop, feature_sizes

FREQUENCIES = np.exp(np.linspace(0.0, np.log(50.0), 32)).astype("float32")  # of the times' sines
# Of the pixels' sines: a period is a level of 8-bit pixels in [-1, 1], or four.
PIXEL_FREQUENCIES = (255.0 * np.pi, 255.0 / 4.0 * np.pi)
FINE_RATIO = 0.03  # noise_rate / signal_rate up to which they are seen: four levels
SHORTEST_DURATION = 1e-3  # from which on they are not seen
HEAD_WIDTH = 32  # channels of each head of attention
LARGEST_WITH_SMALL_PATCHES = 64  # pixels
DURATION_LAYER = "duration"


def build_unet(
    image_shape: tuple[int, int, int],
    num_classes: int | None,
    schedule: Schedule,
    widths: Sequence[int],
    num_blocks: int,
    has_attention: bool,
    build: Builder,
    has_durations: bool = False,
) -> keras.Model:
    """Residual blocks at 1/2, 1/4, ... of the image's size, down and up again, with skips across.

    Most operations are spent on small maps: at full size there is a single convolution at each end.
    """
    inputs, condition = conditions(image_shape, num_classes, has_durations, 2 * widths[-1], build)
    sizes = feature_sizes(image_shape, len(widths))
    x = stem(inputs, condition, schedule, widths[0], 2, build, has_durations)  # (h / 2, w / 2, 64)
    skips = []
    for level, width in enumerate(widths):
        if level:
            x = build.conv(width, strides=2, size=2, use_bias=False)(x)  # (h / 4, w / 4, 128)
        for _ in range(num_blocks):
            x = convolutions(x, condition, width, build)
            if has_attention and level == len(widths) - 1:
                x = attention(x, condition, build)
        skips.append(x)
    for level in reversed(range(len(widths) - 1)):
        x = build.conv_transpose(widths[level], 2, use_bias=False)(x)
        x = layers.Concatenate(dtype=build.dtype)([crop(x, sizes[level + 1], build), skips[level]])
        x = build.conv(widths[level], strides=1, size=1, use_bias=False)(x)  # (h / 2, w / 2, 64)
        for _ in range(num_blocks):
            x = convolutions(x, condition, widths[level], build)
    x = layers.ReLU(dtype=build.dtype)(normalized(x, condition, build))
    return keras.Model(inputs, outputs(x, inputs, condition, 4, 2, build), name="network")


def build_dit(
    image_shape: tuple[int, int, int],
    num_classes: int | None,
    schedule: Schedule,
    width: int,
    num_blocks: int,
    build: Builder,
    has_durations: bool = False,
) -> keras.Model:
    """Blocks of attention between patches, 4 or 8 pixels wide, and an MLP applied to each patch."""
    inputs, condition = conditions(image_shape, num_classes, has_durations, 2 * width, build)
    patch_size = 4 if max(image_shape[:2]) <= LARGEST_WITH_SMALL_PATCHES else 8
    x = stem(inputs, condition, schedule, width, patch_size, build, has_durations)  # (h / 4, w / 4, 128)
    x = x + position_embedding(*x.shape[1:])
    for _ in range(num_blocks):
        x = attention(x, condition, build)
        found = build.dense(4 * width, activation="gelu")(normalized(x, condition, build))
        found = build.dense(width, kernel_initializer="zeros")(found)
        x = layers.Add(dtype=build.dtype)([x, found])
    x = normalized(x, condition, build)
    return keras.Model(inputs, outputs(x, inputs, condition, patch_size, patch_size, build), name="network")


def conditions(
    image_shape: tuple[int, int, int],
    num_classes: int | None,
    has_durations: bool,
    width: int,
    build: Builder,
) -> tuple[list, Any]:
    """The inputs of a network, and a vector of their times, durations and labels, (n, width)."""
    x, t = keras.Input(image_shape, name="images"), keras.Input((1,), name="times")
    # The fourth root tells small times apart, and leaves the features smooth in all others.
    inputs, condition = (
        [x, t],
        build.dense(width, dtype="float32")(sinusoidal_embedding(ops.sqrt(ops.sqrt(t)))),
    )
    if num_classes is not None:
        labels = keras.Input((num_classes,), name="labels")
        inputs.append(labels)
        condition += build.dense(width, use_bias=False, dtype="float32")(labels)
    if has_durations:
        duration = keras.Input((1,), name="durations")
        inputs.append(duration)
        options = {"use_bias": False, "kernel_initializer": "zeros", "dtype": "float32"}
        condition += build.dense(width, name=DURATION_LAYER, **options)(sinusoidal_embedding(duration))
    return inputs, build.dense(width, activation="silu", dtype="float32")(ops.silu(condition))


def sinusoidal_embedding(t: Any) -> Any:
    """Times (n, 1) -> sines and cosines of them, from slow to fast, (n, 64)."""
    angles = t * FREQUENCIES
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)


def stem(
    inputs: list,
    condition: Any,
    schedule: Schedule,
    width: int,
    strides: int,
    build: Builder,
    has_durations: bool,
) -> Any:
    """Features of the noisy images and, where there is little noise, of their pixels' sines."""
    size = max(strides, 4)
    signal_rate, noise_rate = schedule.rates(ops.reshape(inputs[1], (-1, 1, 1, 1)))
    x = inputs[0] / ops.sqrt(ops.square(signal_rate) + ops.square(noise_rate))
    waves = [wave(x * frequency) for frequency in PIXEL_FREQUENCIES for wave in (ops.sin, ops.cos)]
    fine = build.conv(width, strides, size)(ops.concatenate(waves, axis=-1))
    # More noise than a few levels makes noise of the sines, too.
    share = ops.exp(-ops.square(noise_rate / (FINE_RATIO * ops.maximum(signal_rate, FINE_RATIO))))
    if has_durations:  # the sines are too steep for mean velocities, which are differentiated by time
        share *= ops.exp(-ops.reshape(inputs[-1], (-1, 1, 1, 1)) / SHORTEST_DURATION)
    fine = layers.Multiply(dtype=build.dtype)([fine, share])
    gain = build.dense(width, kernel_initializer="zeros")(condition)
    x = build.conv(width, strides, size)(x)
    return x + fine * ops.reshape(gain, (-1, 1, 1, width))


def outputs(x: Any, inputs: list, condition: Any, size: int, strides: int, build: Builder) -> Any:
    """The prediction of features, plus a learned multiple of the noisy images; at first 0."""
    images = inputs[0]
    options = {"kernel_initializer": "zeros", "dtype": "float32"}
    x = crop(build.conv_transpose(images.shape[3], size, strides, **options)(x), images.shape[1:3], build)
    gain = build.dense(1, **options)(condition)
    return x + images * ops.reshape(gain, (-1, 1, 1, 1))


def convolutions(x: Any, condition: Any, width: int, build: Builder) -> Any:
    """What two convolutions find, added to their input: at first nothing."""
    found = build.conv(width, strides=1)(normalized(x, condition, build))
    found = layers.ReLU(dtype=build.dtype)(found)
    found = build.conv(width, strides=1, kernel_initializer="zeros")(found)
    return layers.Add(dtype=build.dtype)([x, found])


def attention(x: Any, condition: Any, build: Builder) -> Any:
    """What each place of a map (n, h, w, width) finds at all others, added to it: at first nothing.

    Queries and keys have a root mean square of 1, which keeps the products in range.
    """
    height, width, channels = x.shape[1:]
    num_heads = max(k for k in range(1, max(1, channels // HEAD_WIDTH) + 1) if channels % k == 0)
    shape = (-1, height * width, num_heads, channels // num_heads)

    def heads(values: Any) -> Any:
        return ops.transpose(ops.reshape(values, shape), (0, 2, 1, 3))  # (n, heads, places, channels)

    queries, keys, values = ops.split(
        build.dense(3 * channels)(normalized(x, condition, build)), 3, axis=-1
    )
    queries = layers.RMSNormalization(dtype=build.dtype)(heads(queries))
    keys = layers.RMSNormalization(dtype=build.dtype)(heads(keys))
    products = ops.matmul(queries, ops.transpose(keys, (0, 1, 3, 2))) / shape[3] ** 0.5
    weights = layers.Activation("linear", dtype=build.dtype)(layers.Softmax(dtype="float32")(products))
    found = ops.transpose(ops.matmul(weights, heads(values)), (0, 2, 1, 3))
    found = ops.reshape(found, (-1, height, width, channels))
    found = build.dense(channels, kernel_initializer="zeros")(found)
    return layers.Add(dtype=build.dtype)([x, found])


def normalized(x: Any, condition: Any, build: Builder) -> Any:
    """Features with a root mean square of 1 over the channels, scaled and shifted by the condition."""
    width = x.shape[-1]
    x = layers.RMSNormalization(dtype=build.dtype)(x)
    both = build.dense(2 * width, kernel_initializer="zeros")(condition)
    scale, shift = ops.split(ops.reshape(both, (-1, 1, 1, 2 * width)), 2, axis=-1)
    return x * (1.0 + scale) + shift


def position_embedding(height: int, width: int, channels: int) -> np.ndarray:
    """Sines and cosines of each row's and each column's number, float32 (height, width, channels)."""
    quarter = -(-channels // 4)
    frequencies = 1e-4 ** (np.arange(quarter) / quarter)
    rows = np.arange(height)[:, None, None] * frequencies + np.zeros((height, width, quarter))
    columns = np.arange(width)[None, :, None] * frequencies + np.zeros((height, width, quarter))
    waves = [wave(angles) for angles in (rows, columns) for wave in (np.sin, np.cos)]
    return np.concatenate(waves, axis=-1)[..., :channels].astype("float32")
