"""Whether generated images are new, or copies of training images.

The distance of each generated image to its nearest training image is compared with that of test images,
which are certainly new. Images of a generator that memorizes are closer [1, 2].

References:
    1. Meehan et al. 2020, A Non-Parametric Test to Detect Data-Copying in Generative Models,
       arXiv 2004.05675.
    2. Mann & Whitney 1947, On a Test of Whether one of Two Random Variables is Stochastically
       Larger than the Other.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_gen.metrics.distances import check_features, distance_blocks
from keras_gen.metrics.report import Result
from keras_gen.utils import arrays, pictures
from keras_gen.utils.arguments import Count, checked, received


class NearestNeighbour:
    """Finds the nearest reference of each query; references come in batches.

    Args:
        queries: (n, d): pixels or features.

    Raises:
        ValueError: They have another shape, or are not finite.

    Example:

    >>> nearest = NearestNeighbour([[0.0, 0.0], [5.0, 5.0]])
    >>> _ = nearest.update([[3.0, 4.0]])
    >>> _ = nearest.update([[9.0, 9.0], [5.0, 4.0]])
    >>> nearest.distances.tolist(), nearest.indices.tolist()
    ([5.0, 1.0], [0, 2])
    """

    @checked
    def __init__(self, queries: ArrayLike):
        self.queries = vectors("queries", queries)
        self.distances = np.full(len(self.queries), np.inf, np.float32)
        self.indices = np.full(len(self.queries), -1)
        self._seen = 0

    @checked
    def update(self, references: ArrayLike) -> np.ndarray:
        """Adds references (m, d); returns for which queries the nearest is now among them, bool (n,).

        Raises:
            ValueError: They have another shape than the queries, or are not finite.
        """
        queries, references = check_features(
            queries=self.queries, references=vectors("references", references)
        )
        nearer = np.zeros(len(queries), bool)
        for rows, blocked in distance_blocks(queries, references):
            found = blocked.argmin(axis=1)
            # Computed anew, since a block's small distances are rounded.
            distances = np.linalg.norm(queries[rows] - references[found], axis=1)
            nearer[rows] = distances < self.distances[rows]
            self.distances[rows] = np.minimum(distances, self.distances[rows])
            self.indices[rows] = np.where(nearer[rows], found + self._seen, self.indices[rows])
        self._seen += len(references)
        return nearer


@checked
def copying(generated_distances: ArrayLike, test_distances: ArrayLike) -> float:
    """Probability that a generated image is nearer to a training image than a test image is.

    Args:
        generated_distances: Distances to the nearest training image, (n,).
        test_distances: Those of test images, (m,).

    Returns:
        From 0 to 1: about 1/2 for images as new as the test images, near 1 for copies, and below 1/2 for
        generated images that are farther from all real ones.

    Raises:
        ValueError: A set is empty or not finite.

    Example:

    >>> copying([0.0, 0.0, 3.0], [1.0, 2.0])  # 4 of 6 pairs
    0.667
    """
    generated = arrays.numbers("generated_distances", generated_distances, "n")
    test = np.sort(arrays.numbers("test_distances", test_distances, "m"))
    # Mann and Whitney's U over the number of pairs; ties count half.
    greater = len(test) - np.searchsorted(test, generated, side="right")
    ties = np.searchsorted(test, generated, side="right") - np.searchsorted(test, generated, side="left")
    return float(np.mean(greater + 0.5 * ties) / len(test))


class Originality:
    """Nearest training images, by pixels and by features, of generated images and of test images.

    Args:
        generated: (n, height, width, channels), uint8 or floating point in [0, 1].
        generated_features: (n, d).
        test: Test images, (m, height, width, channels).
        test_features: (m, d).

    Raises:
        ValueError: Images or features have other shapes, are out of range or not finite.
    """

    @checked
    def __init__(
        self,
        generated: ArrayLike,
        generated_features: ArrayLike,
        test: ArrayLike,
        test_features: ArrayLike,
    ):
        generated = arrays.images("generated", generated)
        test = arrays.images("test", test, generated.shape[1:])
        generated_features, test_features = check_features(
            generated_features=generated_features, test_features=test_features
        )
        same_number("generated", generated, generated_features)
        same_number("test", test, test_features)
        self.images = pictures.to_uint8(generated)
        self.generated = {
            "pixels": NearestNeighbour(flat_pixels(generated)),
            "features": NearestNeighbour(generated_features),
        }
        self.test = {
            "pixels": NearestNeighbour(flat_pixels(test)),
            "features": NearestNeighbour(test_features),
        }
        self.nearest = {space: np.zeros_like(self.images) for space in self.generated}
        self._seen = 0

    @checked
    def update(self, train: ArrayLike, train_features: ArrayLike) -> None:
        """Adds training images (k, height, width, channels) and their features (k, d).

        Raises:
            ValueError: They have other shapes than the generated ones, are out of range or not finite.
        """
        train = arrays.images("train", train, self.images.shape[1:])
        num_features = self.generated["features"].queries.shape[1]
        train_features = arrays.numbers("train_features", train_features, "k", num_features)
        same_number("train", train, train_features)
        references = {"pixels": flat_pixels(train), "features": train_features}
        for space, vectors in references.items():
            self.test[space].update(vectors)
            nearer = self.generated[space].update(vectors)
            found = self.generated[space].indices[nearer] - self._seen
            self.nearest[space][nearer] = pictures.to_uint8(train[found])
        self._seen += len(train)

    @checked
    def results(self, facts: dict[str, Any]) -> list[Result]:
        """For pixels and features: the mean distance, and how often it is smaller than that of a test
        image.

        Args:
            facts: `extractor` and `extractor_sha256` of the results by features.

        Raises:
            ValueError: There were no training images yet.
        """
        if unknown := facts.keys() - {"extractor", "extractor_sha256"}:
            raise ValueError(f"facts must be extractor and extractor_sha256. Received: {received(unknown)}")
        if not self._seen:
            raise ValueError("Originality needs training images: call update before. Received: none")
        found = []
        for space in self.generated:
            distances = [side[space].distances for side in (self.generated, self.test)]
            own = facts if space == "features" else {}  # pixels need no extractor
            counts: dict[str, Any] = {
                "split": "test",
                "num_real": len(distances[1]),
                "num_generated": len(distances[0]),
            }
            mean, real_mean = (float(side.mean()) for side in distances)
            found += [
                Result(
                    f"nearest_{space}",
                    f"nearest training image ({space})",
                    mean,
                    "",
                    floor=real_mean,
                    **counts,
                    **own,
                ),
                Result(
                    f"copying_{space}",
                    f"nearer than test images ({space})",
                    copying(*distances),
                    "",
                    floor=0.5,
                    **counts,
                    **own,
                ),
            ]
        return found

    @checked
    def picture(self, columns: Count = 10) -> np.ndarray:
        """Generated images over their nearest training images, uint8 (height, width, 3)."""
        rows = [self.images, self.nearest["pixels"], self.nearest["features"]]
        stacked = np.concatenate([row[:columns] for row in rows])
        names = ["generated", "by pixels", "by features"]
        return pictures.grid(stacked, min(columns, len(self.images)), names)


def vectors(name: str, value: Any) -> np.ndarray:
    """Vectors (n, d) as float32, which is enough for distances."""
    array = arrays.numbers(name, value, "n", "d")
    with np.errstate(over="ignore"):
        return arrays.numbers(f"{name} as float32", np.asarray(array, np.float32), "n", "d")


def same_number(name: str, pictures: np.ndarray, features: np.ndarray) -> None:
    """Raises a ValueError if the number of features is not the number of images."""
    if len(pictures) != len(features):
        raise ValueError(
            f"{name} images must have a row of features each. "
            f"Received: {len(pictures):,} images and {len(features):,} rows"
        )


def flat_pixels(x: Any) -> np.ndarray:
    """Images of any accepted type -> float32 pixels in [0, 1], (n, pixels * channels)."""
    x = np.asarray(x)
    flat = np.asarray(x.reshape(len(x), -1), np.float32)
    return flat / np.float32(255) if x.dtype == np.uint8 else flat
