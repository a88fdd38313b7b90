"""Distances between two sets of vectors, a block at a time, so that memory stays bounded."""

from collections.abc import Iterator

import numpy as np

BLOCK = 1000  # rows of the distance matrix that are in memory at a time


def check_features(**sets: np.ndarray) -> list[np.ndarray]:
    """The sets as float arrays (n, d) of one d.

    Raises:
        ValueError: A set has another shape, is empty or not finite, or the sets' d differ.
    """
    checked = []
    for name, features in sets.items():
        features = np.asarray(features)
        if features.ndim != 2 or not len(features) or not np.issubdtype(features.dtype, np.number):
            raise ValueError(
                f"{name} must be numbers (n, d), n 1 or more. "
                f"Received: shape {features.shape} of {features.dtype}"
            )
        if not np.isfinite(features).all():
            raise ValueError(f"{name} must be finite. Received: NaN or infinity")
        checked.append(features)
    if len({features.shape[1] for features in checked}) > 1:
        shapes = ", ".join(f"{name} {np.shape(features)}" for name, features in sets.items())
        raise ValueError(f"The sets must have as many features as each other. Received: {shapes}")
    return checked


def need_samples(what: str, name: str, count: int, needed: int) -> None:
    """Raises a ValueError that names the number of samples needed, where there are fewer."""
    if count < needed:
        raise ValueError(f"{what} needs {needed:,} or more {name}. Received: {count:,}")


def distance_blocks(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Euclidean distances of BLOCK rows of `x` to all of `y`: (rows, (BLOCK, len(y)))."""
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
