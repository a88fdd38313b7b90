"""Fréchet distance between two sets of features, each modelled as a normal distribution.

    FD = |m_r - m_g|^2 + tr(C_r + C_g - 2 (C_r C_g)^(1/2))

with means m and covariances C [1]. FID is this distance of the features of one network, the Inception of
[1], which Keras' InceptionV3 is not. It depends on the extractor and on the number of samples: compare only
distances that were computed in the same way [2].

References:
    1. Heusel et al. 2017, GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
       Equilibrium, arXiv 1706.08500.
    2. Chong & Forsyth 2019, Effectively Unbiased FID and Inception Score, arXiv 1911.07023.
"""

import numpy as np
from numpy.typing import ArrayLike

from keras_gen.metrics.distances import check_features, finite, need_samples
from keras_gen.utils.arguments import checked
from keras_gen.utils.arrays import numbers


@checked
def frechet_distance(real_features: ArrayLike, generated_features: ArrayLike) -> float:
    """Fréchet distance of two sets of features.

    Args:
        real_features: (n, d).
        generated_features: (m, d).

    Returns:
        0 or more; lower is better.

    Raises:
        ValueError: The sets do not fit, or one has no more than d samples, so that its covariance
            would be singular.

    Example:

    >>> features = np.random.default_rng(0).normal(size=(1000, 8))
    >>> frechet_distance(features, features + 2.0)  # 8 * 2^2
    32.0
    """
    real, generated = check_features(real_features=real_features, generated_features=generated_features)
    for name, features in (("real samples", real), ("generated samples", generated)):
        needed = features.shape[1] + 1
        what = f"The Fréchet distance of {features.shape[1]} features"
        need_samples(what, name, len(features), needed)
    return finite("The Fréchet distance", distance(*moments(real), *moments(generated)), real, generated)


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and unbiased covariance (d, d), float64."""
    features = np.asarray(features, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        return features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False))


@checked
def gaussian_frechet_distance(
    mean: ArrayLike, covariance: ArrayLike, other_mean: ArrayLike, other_covariance: ArrayLike
) -> float:
    """Fréchet distance of two normal distributions.

    Args:
        mean: (d,).
        covariance: (d, d), symmetric.
        other_mean: (d,).
        other_covariance: (d, d), symmetric.

    Raises:
        ValueError: The shapes do not fit, or a covariance is not symmetric or has negative eigenvalues.

    Example:

    >>> gaussian_frechet_distance(np.zeros(2), np.eye(2), np.ones(2), 4.0 * np.eye(2))
    4.0
    """
    means = [numbers("mean", mean, "d")]
    d = len(means[0])
    means.append(numbers("other_mean", other_mean, d))
    covariances = []
    for name, value in (("covariance", covariance), ("other_covariance", other_covariance)):
        matrix = np.asarray(numbers(name, value, d, d), np.float64)
        if not np.allclose(matrix, matrix.T):
            raise ValueError(f"{name} must be symmetric. Received: another matrix")
        least = np.linalg.eigvalsh(matrix)[0]
        if least < -1e-6 * np.abs(matrix).max():
            raise ValueError(f"{name} must have eigenvalues of 0 or more. Received: one of {least:.3g}")
        covariances.append(matrix)
    found = distance(means[0], covariances[0], means[1], covariances[1])
    return finite("The Fréchet distance", found, *means, *covariances)


def distance(
    mean: np.ndarray, covariance: np.ndarray, other_mean: np.ndarray, other_covariance: np.ndarray
) -> float:
    """`gaussian_frechet_distance` without checks; not finite if arrays are too large."""
    if not (np.isfinite(covariance).all() and np.isfinite(other_covariance).all()):
        return np.inf
    # tr((A B)^(1/2)) is the sum of the roots of the eigenvalues of A^(1/2) B A^(1/2).
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    with np.errstate(over="ignore", invalid="ignore"):
        between = root @ other_covariance @ root
    if not np.isfinite(between).all():
        return np.inf
    product = np.linalg.eigvalsh(between)
    trace = np.trace(covariance) + np.trace(other_covariance)
    trace -= 2.0 * np.sqrt(np.maximum(product, 0.0)).sum()
    return float(max(np.sum(np.square(mean - other_mean)) + trace, 0.0))
