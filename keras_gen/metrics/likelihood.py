"""Likelihoods of test images, and reconstruction error.

References:
    1. Burda et al. 2015, Importance Weighted Autoencoders, arXiv 1509.00519.
    2. Theis et al. 2015, A note on the evaluation of generative models, arXiv 1511.01844.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from keras_gen.utils.arguments import Count, checked
from keras_gen.utils.arrays import as_array, numbers, pixels


@checked
def bits_per_dim(log_prob: ArrayLike, num_dims: Count, levels: Count = 1) -> float:
    """Bits per pixel and channel of an ideal code based on the model.

    Args:
        log_prob: log p(x) in nats, (n,) or their mean: probabilities of pixels, or densities over [0, 1].
        num_dims: Pixels times channels.
        levels: Number of pixel values, 256 for uint8, if `log_prob` is a density: over [0, 1], it is this
            many times the probability of one value [2]. 1 for probabilities.

    Returns:
        Lower is better; 8 is what uint8 pixels take uncompressed.

    Raises:
        ValueError: `log_prob` is not finite, or `num_dims` or `levels` is less than 1.

    Example:

    >>> bits_per_dim([0.0], num_dims=784, levels=256)  # a uniform density
    8.0
    """
    array = as_array(log_prob)
    is_mean = array is not None and array.ndim == 0
    log_prob = numbers("log_prob", np.atleast_1d(array) if is_mean else log_prob, "n")
    return float(-np.mean(log_prob) / (num_dims * math.log(2.0)) + math.log2(levels))


def dequantized(images: np.ndarray, seed: int = 0) -> np.ndarray:
    """8-bit images with uniform noise added, where a density becomes a probability [2].

    The mean log-density at such points, and so `bits_per_dim`, is a lower bound of the log-probability of
    the 8-bit pixels. At the levels themselves, a density can be arbitrarily high.

    Args:
        images: uint8, or floating point in [0, 1], which is rounded to 8 bits; any shape.
        seed: Integer that determines the noise.

    Returns:
        float32 in [0, 1], same shape.

    Example:

    >>> noisy = dequantized(np.full(1000, 255, "uint8"))
    >>> bool((noisy > 0.996).all() and (noisy < 1.0).all())
    True
    """
    levels = images if images.dtype == np.uint8 else np.round(images * 255.0)
    noise = np.random.default_rng(seed).random(images.shape, np.float32)
    # float32 rounds the greatest of them to 1, which is still in range.
    return np.minimum((levels + noise) / np.float32(256.0), np.float32(1.0)).astype(np.float32)


@checked
def reconstruction_error(images: ArrayLike, reconstructions: ArrayLike) -> float:
    """Mean squared difference of pixels in [0, 1].

    Args:
        images: uint8, or floating point in [0, 1]; any shape.
        reconstructions: The same.

    Returns:
        From 0 to 1; lower is better.

    Raises:
        ValueError: The shapes differ, or pixels are out of range.

    Example:

    >>> reconstruction_error(np.full((2, 4), 255, "uint8"), np.full((2, 4), 0.5))
    0.25
    """
    images = _unit_range("images", images)
    reconstructions = _unit_range("reconstructions", reconstructions)
    if images.shape != reconstructions.shape:
        raise ValueError(
            f"images and reconstructions must have one shape. Received: {images.shape} and "
            f"{reconstructions.shape}"
        )
    return float(np.mean(np.square(images - reconstructions), dtype=np.float64))


def _unit_range(name: str, images: ArrayLike) -> np.ndarray:
    array = pixels(name, images)
    return array / np.float32(255.0) if array.dtype == np.uint8 else array
