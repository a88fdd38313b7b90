"""Precision and recall of a generator: how realistic its samples are, and how much of the data they cover.

The manifold of a set is the union of the balls around its samples that reach to the k-th nearest other
sample. Precision is the fraction of generated samples in the real manifold, recall the fraction of real
samples in the generated manifold [1]. Density counts the real balls that contain a generated sample, and
coverage is the fraction of real balls with a generated sample inside; both are more robust to outliers [2].

References:
    1. Kynkaanniemi et al. 2019, Improved Precision and Recall Metric for Assessing Generative
       Models, arXiv 1904.06991.
    2. Naeem et al. 2020, Reliable Fidelity and Diversity Metrics for Generative Models,
       arXiv 2002.09797.
"""

import numpy as np
from numpy.typing import ArrayLike

from keras_gen.metrics.distances import check_features, distance_blocks, need_samples, neighbour_radii
from keras_gen.utils.arguments import Count, checked


@checked
def precision_recall(
    real_features: ArrayLike, generated_features: ArrayLike, k: Count = 3
) -> tuple[float, float]:
    """Improved precision and recall.

    Args:
        real_features: (n, d).
        generated_features: (m, d).
        k: The neighbour that a ball reaches to, 1 or more.

    Returns:
        Precision and recall, each from 0 to 1; higher is better.

    Raises:
        ValueError: The sets do not fit, or have no more than k samples.

    Example:

    >>> real = np.random.default_rng(0).uniform(size=(1000, 1))
    >>> precision, recall = precision_recall(real, real / 2.0)  # good, but half of the variety
    >>> precision > 0.95, abs(recall - 0.5) < 0.05
    (True, True)
    """
    real, generated = _checked(real_features, generated_features, k)
    in_real, _ = _ball_counts(real, generated, k)
    in_generated, _ = _ball_counts(generated, real, k)
    return float(np.mean(in_real > 0)), float(np.mean(in_generated > 0))


@checked
def density_coverage(
    real_features: ArrayLike, generated_features: ArrayLike, k: Count = 5
) -> tuple[float, float]:
    """Density and coverage.

    Args:
        real_features: (n, d).
        generated_features: (m, d).
        k: The neighbour that a ball reaches to, 1 or more.

    Returns:
        Density, 0 or more and about 1 for real samples, and coverage, from 0 to 1; higher is better.

    Raises:
        ValueError: The sets do not fit, or have no more than k samples.

    Example:

    >>> real = np.random.default_rng(0).uniform(size=(1000, 1))
    >>> density, coverage = density_coverage(real[:500], real[500:])
    >>> abs(density - 1.0) < 0.1, coverage > 0.9
    (True, True)
    """
    real, generated = _checked(real_features, generated_features, k)
    counts, covered = _ball_counts(real, generated, k)
    return float(counts.mean() / k), float(np.mean(covered))


def _checked(real_features: ArrayLike, generated_features: ArrayLike, k: int) -> list[np.ndarray]:
    sets = check_features(real_features=real_features, generated_features=generated_features)
    for name, features in zip(("real samples", "generated samples"), sets, strict=True):
        need_samples(f"A manifold of {k} neighbours", name, len(features), k + 1)
    return sets


def _ball_counts(centres: np.ndarray, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Number of balls that contain each point, (m,), and whether each ball contains a point, (n,)."""
    radii = neighbour_radii(centres, k)
    counts = np.zeros(len(points), np.int64)
    covered = np.zeros(len(centres), bool)
    for rows, distances in distance_blocks(centres, points):
        inside = distances <= radii[rows, np.newaxis]
        counts += np.count_nonzero(inside, axis=0)
        covered[rows] = inside.any(axis=1)
    return counts, covered
