"""Multilayer perceptron: dense layers over an image's pixels, the simplest network that classifies.

Objective and training are in `classifier.py`.

References:
    1. Rumelhart, Hinton & Williams 1986, Learning representations by back-propagating errors.
"""

from typing import Any

import keras
from keras import layers

from keras_gen.models.base.classifier import Classifier
from keras_gen.models.base.image_model import NumClasses
from keras_gen.models.networks import Builder
from keras_gen.utils.arguments import Fraction, ImageShape, Natural, Seed, Widths, checked


@keras.saving.register_keras_serializable("keras_gen")
class MLPClassifier(Classifier):
    """Classifier of dense layers with batch normalization.

    Args:
        image_shape: (height, width, channels); any size.
        num_classes: 2 or more.
        widths: Units of the dense layers; the last one's are the features.
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
    >>> model = MLPClassifier(image_shape=(28, 28, 1), num_classes=10, seed=0)
    >>> model.compile()
    >>> history = model.fit(np.zeros((256, 28, 28), "uint8"), np.zeros(256), epochs=1, verbose=0)
    >>> sorted(history.history)
    ['accuracy', 'loss']
    >>> model.classify(np.zeros((2, 28, 28), "uint8")).shape
    (2, 10)
    """

    @checked
    def __init__(
        self,
        image_shape: ImageShape = (28, 28, 1),
        num_classes: NumClasses = 10,
        widths: Widths = (512, 256),
        dropout: Fraction = 0.3,
        flip: bool = False,
        shift: Natural = 0,
        label_smoothing: Fraction = 0.0,
        backbone: keras.Model | None = None,
        seed: Seed | None = None,
        **kwargs: Any,
    ):
        self.widths = tuple(widths)
        super().__init__(
            image_shape, num_classes, dropout, flip, shift, label_smoothing, backbone, seed, **kwargs
        )

    def build_backbone(self, build: Builder) -> keras.Model:
        images = keras.Input(self.image_shape, name="images")
        x = layers.Flatten(dtype=build.dtype)(images)
        for width in self.widths:
            x = build.activated(build.dense(width, use_bias=False)(x))  # (width,)
        return keras.Model(images, x, name="backbone")

    def get_config(self) -> dict:
        return {**super().get_config(), "widths": self.widths}
