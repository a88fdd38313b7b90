"""Metrics by a classifier: is each generated image recognizable, and are all classes there?

References:
    1. Salimans et al. 2016, Improved Techniques for Training GANs, arXiv 1606.03498 (whose
       Inception Score is exp(class entropy - prediction entropy)).
"""

import numpy as np
from numpy.typing import ArrayLike

from keras_gen.utils import arrays
from keras_gen.utils.arguments import checked


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


def _entropies(probabilities: np.ndarray) -> np.ndarray:
    logs = np.log(np.maximum(probabilities, 1e-30))
    return -np.sum(probabilities * logs, axis=-1)


def _checked(probabilities: ArrayLike) -> np.ndarray:
    p = np.asarray(arrays.numbers("probabilities", probabilities, "n", "num_classes"), np.float64)
    sums = p.sum(axis=1)
    if p.min() < 0 or not np.allclose(sums, 1.0, atol=1e-3):
        raise ValueError(
            "probabilities must be 0 or more, and each row sum to 1. "
            f"Received: from {p.min():g} to {p.max():g}, and sums from {sums.min():g} to {sums.max():g}"
        )
    return p
