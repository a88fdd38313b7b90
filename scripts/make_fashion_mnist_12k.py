"""Chooses the embedded Fashion-MNIST subset: 1,000 training and 200 test images of each class.

    python scripts/make_fashion_mnist_12k.py FOLDER_OF_IDX_FILES

The choice is random with a fixed seed and the images stay in the order of the full set, so that
anyone who runs this gets the same arrays.
"""

import argparse
from pathlib import Path

from keras_gen.datasets.images.formats import read_idx
from keras_gen.utils.files import atomic_write

import numpy as np

TARGET = Path(__file__).parents[1] / "keras_gen/datasets/assets/fashion_mnist_12k.npz"


def choose(labels: np.ndarray, per_class: int) -> np.ndarray:
    """Indices of `per_class` random examples of each class, in order."""
    generator = np.random.default_rng(0)
    chosen = [
        generator.choice(np.flatnonzero(labels == label), per_class, replace=False) for label in range(10)
    ]
    return np.sort(np.concatenate(chosen))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where Fashion-MNIST's four .gz files are")
    folder = parser.parse_args().folder
    arrays = {}
    for split, prefix, per_class in (("train", "train", 1000), ("test", "t10k", 200)):
        images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
        labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
        chosen = choose(labels, per_class)
        arrays[f"x_{split}"], arrays[f"y_{split}"] = images[chosen], labels[chosen]
    with atomic_write(TARGET) as path:
        np.savez_compressed(path, **arrays)
    print(f"{TARGET.name}: {TARGET.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
