"""Convolutional network: small filters that look for the same thing all over an image.

Each stage is a convolution, batch normalization, ReLU and pooling, which halves the image; a dense
layer makes the features. Objective and training are in `classifier.py`.

References:
    1. LeCun et al. 1998, Gradient-Based Learning Applied to Document Recognition.
    2. Simonyan & Zisserman 2014, Very Deep Convolutional Networks for Large-Scale Image
       Recognition, arXiv 1409.1556.
"""

from typing import Any

import keras
from keras import layers

from keras_gen.models.base.classifier import Classifier
from keras_gen.models.base.image_model import NumClasses
from keras_gen.models.networks import Builder
from keras_gen.utils.arguments import Count, Fraction, ImageShape, Natural, Seed, Widths, checked


@keras.saving.register_keras_serializable("keras_gen")
class CNNClassifier(Classifier):
    """Classifier of convolutions with batch normalization and pooling.

    Args:
        image_shape: (height, width, channels); any size.
        num_classes: 2 or more.
        widths: Filters of the stages, each of which halves the image.
        hidden_units: Number of features: units of the dense layer after the stages.
        dropout: Fraction of the features that is dropped in training, from 0 to less than 1.
        flip: Mirror half of the training images, chosen at random. Not for digits and letters.
        shift: Maximum shift of training images in each direction, in pixels: from 0 to less than the
            image's height and width.
        label_smoothing: Probability that is spread evenly over all classes, from 0 to less than 1.
        backbone: Your own network in place of the default: images (height, width, channels) ->
            features (d,).
        seed: Integer that determines the initial weights and all noise; random by default.
        **kwargs: `class_names`, `name` and `dtype`.

    Raises:
        ValueError: A number is out of range, or the backbone's shapes do not fit.

    Example:

    >>> import numpy as np
    >>> model = CNNClassifier(image_shape=(28, 28, 1), widths=(8, 16), hidden_units=32, seed=0)
    >>> images = np.zeros((2, 28, 28), "uint8")
    >>> model.classify(images).shape, model.features(images).shape
    ((2, 10), (2, 32))
    """

    @checked
    def __init__(
        self,
        image_shape: ImageShape = (28, 28, 1),
        num_classes: NumClasses = 10,
        widths: Widths = (32, 64, 128),
        hidden_units: Count = 128,
        dropout: Fraction = 0.3,
        flip: bool = False,
        shift: Natural = 0,
        label_smoothing: Fraction = 0.0,
        backbone: keras.Model | None = None,
        seed: Seed | None = None,
        **kwargs: Any,
    ):
        self.widths = tuple(widths)
        self.hidden_units = hidden_units
        super().__init__(
            image_shape, num_classes, dropout, flip, shift, label_smoothing, backbone, seed, **kwargs
        )

    def build_backbone(self, build: Builder) -> keras.Model:
        images = keras.Input(self.image_shape, name="images")
        x = images
        for width in self.widths:
            x = build.activated(build.conv(width, strides=1, use_bias=False)(x))  # (h, w, width)
            x = layers.MaxPooling2D(padding="same", dtype=build.dtype)(x)  # (h / 2, w / 2, width)
        x = layers.Flatten(dtype=build.dtype)(x)
        x = build.activated(build.dense(self.hidden_units, use_bias=False)(x))  # (hidden_units,)
        return keras.Model(images, x, name="backbone")

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "widths": self.widths,
            "hidden_units": self.hidden_units,
        }
