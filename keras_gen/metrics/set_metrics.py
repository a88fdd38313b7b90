"""Metrics that compare a set of generated images with a set of real ones."""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from annotated_types import MinLen

from keras_gen.metrics.classification import class_entropy, label_accuracy, prediction_entropy
from keras_gen.metrics.distances import need_samples
from keras_gen.metrics.extractors import FeatureExtractor, load_extractor
from keras_gen.metrics.frechet_distance import frechet_distance
from keras_gen.metrics.kernel_distance import kernel_distance
from keras_gen.metrics.precision_recall import density_coverage, precision_recall
from keras_gen.metrics.report import Better
from keras_gen.utils import arrays
from keras_gen.utils.arguments import checked, received

# Each metric, and in which direction it is better.
SET_METRICS: dict[str, Better] = {
    "fd": "lower",
    "kid": "lower",
    "precision": "higher",
    "recall": "higher",
    "density": "higher",
    "coverage": "higher",
    "prediction_entropy": "lower",
    "class_entropy": "higher",
    "label_accuracy": "higher",
}
PAIRS = {("precision", "recall"): precision_recall, ("density", "coverage"): density_coverage}
CLASS_METRICS = ("prediction_entropy", "class_entropy", "label_accuracy")


class SetMetrics:
    """Compares sets of images with one set of real images, whose features are computed once.

    Args:
        extractor: See `load_extractor`.
        real_images: (n, height, width, channels), uint8 or floating point in [0, 1].
        metrics: Names of metrics; by default all that the extractor supports.

    Raises:
        ValueError: A metric is unknown or needs a classifier as extractor, or there are too few images
            for the number of features; the message says how many are needed.
    """

    @checked
    def __init__(
        self,
        extractor: Any,
        real_images: Any,
        metrics: Annotated[Sequence[str], MinLen(1)] | None = None,
    ):
        check_metrics(metrics or ())
        real_images = arrays.images("real_images", real_images)
        self.extractor: FeatureExtractor = load_extractor(extractor)
        known = [name for name in SET_METRICS if self.extractor.num_classes or name not in CLASS_METRICS]
        self.metrics = tuple(known if metrics is None else metrics)
        for name in self.metrics:
            if name not in known:
                raise ValueError(
                    f"metrics must be among {', '.join(known)}, since the extractor has no classes. "
                    f"Received: {name!r}"
                )
        # A covariance of d features needs more than d samples, a ball of 5 neighbours 6.
        self.needed = self.extractor.num_features + 1 if "fd" in self.metrics else 6
        self.check_count(len(real_images))
        self.real_features, _ = self.extractor(real_images)

    def check_count(self, count: int) -> None:
        """Raises a ValueError if there are too few images for the number of features."""
        what = f"A comparison by {self.extractor.num_features} features ({self.extractor.name})"
        need_samples(what, "images of each kind (num)", count, self.needed)

    @checked
    def measure(self, images: Any, labels: Any = None) -> dict[str, tuple[float, float | None]]:
        """The value of each metric, and its spread or None.

        Args:
            images: (m, height, width, channels), uint8 or floating point in [0, 1].
            labels: The classes that a conditional model was asked for, integers (m,).
        """
        images = arrays.images("images", images)
        self.check_count(len(images))
        return self.measure_features(*self.extractor(images), labels)

    def measure_features(
        self, features: Any, probabilities: np.ndarray | None, labels: Any = None
    ) -> dict[str, tuple[float, float | None]]:
        """`measure` for features and probabilities that are already computed."""
        values: dict[str, tuple[float, float | None]] = {}
        if "fd" in self.metrics:
            values["fd"] = frechet_distance(self.real_features, features), None
        if "kid" in self.metrics:
            values["kid"] = kernel_distance(self.real_features, features)
        for names, function in PAIRS.items():
            if set(names) & set(self.metrics):
                pair = function(self.real_features, features)
                values.update({name: (value, None) for name, value in zip(names, pair, strict=True)})
        if probabilities is not None and set(CLASS_METRICS) & set(self.metrics):
            values["prediction_entropy"] = prediction_entropy(probabilities), None
            values["class_entropy"] = class_entropy(probabilities), None
            if labels is not None and self.extractor.num_classes == probabilities.shape[1]:
                values["label_accuracy"] = label_accuracy(probabilities, labels), None
        return {name: values[name] for name in self.metrics if name in values}


def check_metrics(names: Sequence[str]) -> None:
    """Raises a ValueError if a metric is unknown."""
    for name in names:
        if name not in SET_METRICS:
            raise ValueError(f"metrics must be among {', '.join(SET_METRICS)}. Received: {received(name)}")


def set_label(name: str, extractor: str) -> str:
    """The name of a metric in tables. FID is the distance with one network, which no extractor here is."""
    if name == "fd":
        return f"FD-{extractor}"
    return {"kid": "KID"}.get(name, name.replace("_", " "))
