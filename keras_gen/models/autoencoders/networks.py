"""The default networks of the autoencoders."""

import math
from collections.abc import Sequence

import keras
from keras import layers

from keras_gen.models.networks import Builder, crop, feature_sizes, latent_inputs, upsampled


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
