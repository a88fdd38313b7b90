"""Distances between two sets of vectors, in blocks, so that memory stays bounded."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_gen.utils.arrays import numbers

BLOCK = 1000  # rows of the distance matrix that are in memory at a time


def check_features(**sets: Any) -> list[np.ndarray]:
    """The sets as float arrays (n, d) with the same d.

    Raises:
        ValueError: A set has another shape, is empty or not finite, or the sets' d differ.
    """
    checked = {name: numbers(name, features, "n", "d") for name, features in sets.items()}
    if len({features.shape[1] for features in checked.values()}) > 1:
        shapes = ", ".join(f"{name} {features.shape}" for name, features in checked.items())
        raise ValueError(f"The sets must have as many features as each other. Received: {shapes}")
    return list(checked.values())


def finite(what: str, value: Any, *sets: np.ndarray) -> float:
    """Raises a ValueError if features are too large for a finite result."""
    if not np.isfinite(value):
        largest = max(float(np.abs(features).max()) for features in sets)
        raise ValueError(f"{what} overflows: scale the features. Received: features of up to {largest:.2g}")
    return float(value)


def need_samples(what: str, name: str, count: int, needed: int) -> None:
    """Raises a ValueError if there are fewer samples than needed."""
    if count < needed:
        raise ValueError(f"{what} needs {needed:,} or more {name}. Received: {count:,}")


def distance_blocks(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Euclidean distances of BLOCK rows of `x` to all rows of `y`: yields (rows, (BLOCK, len(y)))."""
    # Around 0, the squares lose the fewest digits to cancellation.
    centre = y.mean(axis=0, dtype=np.float64)
    x, y = (np.asarray(side - centre, np.float32) for side in (x, y))
    x_squares, y_squares = (np.einsum("nd,nd->n", side, side) for side in (x, y))
    for start in range(0, len(x), BLOCK):
        rows = slice(start, start + BLOCK)
        squares = x[rows] @ y.T
        squares *= -2.0
        squares += x_squares[rows, np.newaxis]
        squares += y_squares
        yield rows, np.sqrt(np.maximum(squares, 0.0, out=squares), out=squares)


def neighbour_radii(x: np.ndarray, k: int) -> np.ndarray:
    """Distance of each row of `x` to its k-th nearest other row, (n,)."""
    radii = np.empty(len(x), np.float32)
    for rows, distances in distance_blocks(x, x):
        # Each row's nearest is itself.
        radii[rows] = np.partition(distances, k, axis=1)[:, k]
    return radii
