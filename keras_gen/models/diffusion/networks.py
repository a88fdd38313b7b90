"""The default network of the diffusion models: a U-Net from a noisy image and the time to a prediction."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_gen.models.networks import Builder, crop, feature_sizes

FREQUENCIES = np.exp(np.linspace(0.0, np.log(200.0), 32)).astype("float32")  # of the time's sines


def build_unet(
    image_shape: tuple[int, int, int],
    num_classes: int | None,
    widths: Sequence[int],
    num_blocks: int,
    build: Builder,
) -> keras.Model:
    """Residual blocks at 1/2, 1/4, ... of the image's size, down and up again, with skips across.

    Most operations are spent on small maps: at full size there is a single convolution at each end. The
    time, and the class, scale and shift the features of each block.
    """
    x = keras.Input(image_shape, name="images")
    t = keras.Input((1,), name="times")
    inputs, condition = [x, t], build.dense(2 * widths[-1], dtype="float32")(sines(t))
    if num_classes is not None:
        labels = keras.Input((num_classes,), name="labels")
        inputs.append(labels)
        condition += build.dense(2 * widths[-1], use_bias=False, dtype="float32")(labels)
    condition = build.dense(2 * widths[-1], activation="silu", dtype="float32")(ops.silu(condition))
    sizes = feature_sizes(image_shape, len(widths))
    x = build.conv(widths[0], strides=2, size=4)(x)  # (h / 2, w / 2, 64)
    skips = []
    for level, width in enumerate(widths):
        if level:
            x = build.conv(width, strides=2, size=2, use_bias=False)(x)  # (h / 4, w / 4, 128)
        for _ in range(num_blocks):
            x = block(x, condition, width, build)
        skips.append(x)
    for level in reversed(range(len(widths) - 1)):
        x = build.conv_transpose(widths[level], 2, use_bias=False)(x)
        x = layers.Concatenate(dtype=build.dtype)([crop(x, sizes[level + 1], build), skips[level]])
        x = build.conv(widths[level], strides=1, size=1, use_bias=False)(x)  # (h / 2, w / 2, 64)
        for _ in range(num_blocks):
            x = block(x, condition, widths[level], build)
    x = layers.ReLU(dtype=build.dtype)(normalized(x, condition, build))
    x = build.conv_transpose(image_shape[2], 4, kernel_initializer="zeros", dtype="float32")(x)
    return keras.Model(inputs, crop(x, sizes[0], build), name="network")


def sines(t: Any) -> Any:
    """Times (n, 1) -> sines and cosines of them, from slow to fast, (n, 64)."""
    angles = t * FREQUENCIES
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)


def block(x: Any, condition: Any, width: int, build: Builder) -> Any:
    """What two convolutions find, added to their input: at first nothing."""
    found = build.conv(width, strides=1)(normalized(x, condition, build))
    found = layers.ReLU(dtype=build.dtype)(found)
    found = build.conv(width, strides=1, kernel_initializer="zeros")(found)
    return layers.Add(dtype=build.dtype)([x, found])


def normalized(x: Any, condition: Any, build: Builder) -> Any:
    """Features with a root mean square of 1 over the channels, scaled and shifted by the condition."""
    width = x.shape[-1]
    x = layers.RMSNormalization(dtype=build.dtype)(x)
    both = build.dense(2 * width, kernel_initializer="zeros")(condition)
    scale, shift = ops.split(ops.reshape(both, (-1, 1, 1, 2 * width)), 2, axis=-1)
    return x * (1.0 + scale) + shift
