"""Kernel distance (KID): the squared maximum mean discrepancy between two sets of features.

    MMD^2 = mean k(r, r') + mean k(g, g') - 2 mean k(r, g),  k(x, y) = (x . y / d + 1)^3

over pairs of different samples, which makes the estimate unbiased: for two sets from the same distribution
its mean is 0, whatever their sizes, and it can be negative [1].

References:
    1. Binkowski et al. 2018, Demystifying MMD GANs, arXiv 1801.01401.
"""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Interval
from numpy.typing import ArrayLike

from keras_gen.metrics.distances import check_features, finite, need_samples
from keras_gen.utils.arguments import Seed, checked

LARGEST_SUBSET = 1000


@checked
def kernel_distance(
    real_features: ArrayLike,
    generated_features: ArrayLike,
    num_subsets: Annotated[int, Interval(ge=1, le=10_000)] = 100,
    subset_size: Annotated[int, Ge(2)] | None = None,
    seed: Seed = 0,
) -> tuple[float, float]:
    """Mean and spread of the kernel distance over random subsets, as the paper reports it.

    Args:
        real_features: (n, d).
        generated_features: (m, d).
        num_subsets: Number of pairs of subsets, from 1 to 10,000.
        subset_size: Samples per subset, from 2 to the size of the smaller set; by default 1,000, but at
            most half of the smaller set, since subsets of nearly all samples hardly differ.
        seed: Integer that determines the subsets.

    Returns:
        The mean, and the standard deviation over the subsets; lower is better.

    Raises:
        ValueError: The sets do not fit, or one has fewer than 4 samples or than `subset_size`.

    Example:

    >>> features = np.random.default_rng(0).normal(size=(4000, 8))
    >>> mean, spread = kernel_distance(features[:2000], features[2000:])
    >>> abs(mean) < 3.0 * spread
    True
    """
    real, generated = check_features(real_features=real_features, generated_features=generated_features)
    for name, features in (("real samples", real), ("generated samples", generated)):
        of = f" of subsets of {subset_size:,}" if subset_size else ""
        need_samples(f"The kernel distance{of}", name, len(features), subset_size or 4)
    real, generated = (np.asarray(features, np.float64) for features in (real, generated))
    size = subset_size or min(LARGEST_SUBSET, len(real) // 2, len(generated) // 2)
    random = np.random.default_rng(seed)
    with np.errstate(over="ignore", invalid="ignore"):
        values = [
            squared_discrepancy(
                real[random.choice(len(real), size, replace=False)],
                generated[random.choice(len(generated), size, replace=False)],
            )
            for _ in range(num_subsets)
        ]
        mean, spread = np.mean(values), np.std(values)
    what = "The kernel distance"
    return finite(what, mean, real, generated), finite(what, spread, real, generated)


def squared_discrepancy(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate of MMD^2 for two samples, (n, d) and (m, d)."""
    own = [
        (np.sum(kernel(side, side)) - np.sum(kernel_of_itself(side))) / (len(side) * (len(side) - 1))
        for side in (x, y)
    ]
    return own[0] + own[1] - 2.0 * np.mean(kernel(x, y))


def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(x . y / d + 1)^3 of all pairs, (n, m)."""
    inner = x @ y.T / x.shape[1] + 1.0
    return inner * inner * inner


def kernel_of_itself(x: np.ndarray) -> np.ndarray:
    """The diagonal of `kernel(x, x)`, (n,)."""
    return (np.einsum("nd,nd->n", x, x) / x.shape[1] + 1.0) ** 3
