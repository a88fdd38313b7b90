"""What a classifier says of generated images: is each clearly something, are all classes there?

References:
    1. Salimans et al. 2016, Improved Techniques for Training GANs, arXiv 1606.03498 (whose
       Inception Score is exp(class entropy - prediction entropy)).
"""

from typing import Annotated, Any

import keras
import numpy as np
import tensorflow as tf
from annotated_types import Interval
from numpy.typing import ArrayLike

from keras_gen.utils import arrays
from keras_gen.utils.arguments import Name, checked

MOST_CLASSES = 10**6


@checked
def prediction_entropy(probabilities: ArrayLike) -> float:
    """Mean entropy of each image's class probabilities, in nats: low for recognizable images.

    Args:
        probabilities: (n, num_classes); rows sum to 1.

    Returns:
        From 0 to log(num_classes); lower is better.

    Raises:
        ValueError: The rows are not probabilities.

    Example:

    >>> prediction_entropy([[1.0, 0.0], [0.5, 0.5]])  # log(2) / 2
    0.347
    """
    return float(_entropies(_checked(probabilities)).mean())


@checked
def class_entropy(probabilities: ArrayLike) -> float:
    """Entropy of the classes over all images, in nats: high if no class is missing.

    Args:
        probabilities: (n, num_classes); rows sum to 1.

    Returns:
        From 0 to log(num_classes); higher is better.

    Raises:
        ValueError: The rows are not probabilities.

    Example:

    >>> class_entropy([[1.0, 0.0], [0.0, 1.0]])  # log(2)
    0.693
    """
    return float(_entropies(_checked(probabilities).mean(axis=0)))


@checked
def label_accuracy(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Fraction of the images that are classified as the requested class.

    Args:
        probabilities: (n, num_classes).
        labels: Integers (n,), from 0 to num_classes - 1.

    Returns:
        From 0 to 1; higher is better.

    Raises:
        ValueError: The rows are not probabilities, or labels are of another number or out of range.

    Example:

    >>> label_accuracy([[0.9, 0.1], [0.8, 0.2]], [0, 1])
    0.5
    """
    probabilities = _checked(probabilities)
    labels = arrays.labels("labels", labels, *probabilities.shape)
    return float(np.mean(probabilities.argmax(axis=1) == labels))


@keras.saving.register_keras_serializable("keras_gen")
class ClassifierEntropy(keras.metrics.Metric):
    """Prediction entropy and class entropy of probabilities in batches, in nats.

    Args:
        num_classes: Number of classes, from 1 to 1,000,000.
        name: Name of the metric.

    Example:

    >>> metric = ClassifierEntropy(num_classes=2)
    >>> metric.update_state([[1.0, 0.0]])
    >>> metric.update_state([[0.0, 1.0]])
    >>> {name: round(float(value), 3) for name, value in metric.result().items()}
    {'prediction_entropy': 0.0, 'class_entropy': 0.693}
    """

    @checked
    def __init__(
        self,
        num_classes: Annotated[int, Interval(ge=1, le=MOST_CLASSES)],
        name: Name = "classifier_entropy",
    ):
        super().__init__(name=name)
        self.num_classes = num_classes
        self.count = self.add_variable((), "zeros", name="count")
        self.entropies = self.add_variable((), "zeros", name="entropies")
        self.classes = self.add_variable((num_classes,), "zeros", name="classes")

    @checked
    def update_state(self, probabilities: Any) -> None:
        """Adds probabilities (n, num_classes)."""
        if not isinstance(probabilities, tf.Tensor) or tf.executing_eagerly():
            probabilities = _checked(probabilities, self.num_classes)
        p = tf.ensure_shape(tf.cast(probabilities, tf.float32), (None, self.num_classes))
        self.count.assign_add(keras.ops.cast(keras.ops.shape(p)[0], "float32"))
        self.entropies.assign_add(keras.ops.sum(-p * keras.ops.log(keras.ops.maximum(p, 1e-30))))
        self.classes.assign_add(keras.ops.sum(p, axis=0))

    def result(self) -> dict:
        count = keras.ops.maximum(self.count, 1.0)
        mean = self.classes / count
        return {
            "prediction_entropy": self.entropies / count,
            "class_entropy": keras.ops.sum(-mean * keras.ops.log(keras.ops.maximum(mean, 1e-30))),
        }

    def get_config(self) -> dict:
        return {"num_classes": self.num_classes, "name": self.name}


def _entropies(probabilities: np.ndarray) -> np.ndarray:
    logs = np.log(np.maximum(probabilities, 1e-30))
    return -np.sum(probabilities * logs, axis=-1)


def _checked(probabilities: ArrayLike, num_classes: int | str = "num_classes") -> np.ndarray:
    p = np.asarray(arrays.numbers("probabilities", probabilities, "n", num_classes), np.float64)
    sums = p.sum(axis=1)
    if p.min() < 0 or not np.allclose(sums, 1.0, atol=1e-3):
        raise ValueError(
            "probabilities must be 0 or more, and each row sum to 1. "
            f"Received: from {p.min():g} to {p.max():g}, and sums from {sums.min():g} to {sums.max():g}"
        )
    return p
