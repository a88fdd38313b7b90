"""The confusion matrix of a classifier after every epoch."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.backends.backend_agg
import matplotlib.figure
import numpy as np
from numpy.typing import ArrayLike

from keras_gen.callbacks.picture_callback import PictureCallback
from keras_gen.callbacks.sample_callback import check_names
from keras_gen.utils import arrays
from keras_gen.utils.arguments import checked
from keras_gen.utils.pictures import in_one_line

FONT = 14  # points: it can be read where TensorBoard shows the picture at half its size
CELL = 0.45  # inches
UNNAMED = 10  # inches, of all cells together
MOST_NAMED = 100  # classes whose names and numbers are written


class ConfusionMatrix(PictureCallback):
    """Plots the confusion matrix on test images: one row per true class, in percent.

    Args:
        log_dir: TensorBoard's directory; the pictures are in its run `train`.
        x: The images, (n, height, width, channels), uint8 or floating point in [0, 1].
        labels: Their classes, integers (n,).
        class_names: Names of up to 100 classes; those of the model by default.
        **kwargs: `image_dir`, `every`: see `PictureCallback`.

    Raises:
        ValueError: Images or labels are of another type or out of range; or as for `SampleCallback`.

    Example:

    >>> import tempfile
    >>> x, labels = np.zeros((20, 28, 28, 1), "uint8"), np.zeros(20, int)
    >>> matrix = ConfusionMatrix(tempfile.mkdtemp(), x, labels)
    """

    verbs = ("classify", "image_shape")
    kind = "classifiers"

    @checked
    def __init__(
        self,
        log_dir: str | os.PathLike,
        x: ArrayLike,
        labels: Any,
        class_names: Sequence[str] | None = None,
        **kwargs: Any,
    ):
        super().__init__(log_dir, "confusion", **kwargs)
        self.x = arrays.images("x", x, grey=True)
        self.labels = arrays.labels("labels", labels, len(self.x))
        self.class_names = class_names

    @classmethod
    def for_run(
        cls, model: Any, data: Any, logs: Path, every: int, folder: Path
    ) -> "ConfusionMatrix | None":
        """The callback of a run directory; None if the model is not a classifier."""
        if not hasattr(model, "classify"):
            return None
        return cls(logs, *data.test_images(), image_dir=folder, every=every)

    def check_model(self) -> None:
        super().check_model()
        arrays.images("ConfusionMatrix's x", self.x, self.model.image_shape)
        arrays.labels("ConfusionMatrix's labels", self.labels, len(self.x), self.model.num_classes)
        check_names(self.class_names, self.model.num_classes)

    def counts(self) -> np.ndarray:
        """(num_classes, num_classes): row i, column j is the number of images of class i that are
        classified as j.
        """
        predicted = self.model.classify(self.x).argmax(axis=1)
        counts = np.zeros((self.model.num_classes,) * 2, int)
        np.add.at(counts, (self.labels, predicted), 1)
        return counts

    def picture(self) -> np.ndarray:
        counts = self.counts()
        matrix = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        accuracy = np.trace(counts) / len(self.x)
        names = self.class_names or self.model.class_names or range(len(matrix))
        is_named = len(matrix) <= MOST_NAMED
        side = 2.5 + (CELL * len(matrix) if is_named else UNNAMED)
        figure = matplotlib.figure.Figure((side, side), dpi=100, layout="constrained")
        canvas = matplotlib.backends.backend_agg.FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1)
        if is_named:
            labels = [in_one_line(str(name)) for name in names]
            style: Any = {"fontsize": FONT, "parse_math": False}
            axes.set_xticks(range(len(matrix)), labels, rotation=45, ha="right", **style)
            axes.set_yticks(range(len(matrix)), labels, **style)
        axes.set_xlabel("predicted class", fontsize=FONT)
        axes.set_ylabel("true class", fontsize=FONT)
        axes.set_title(f"accuracy {accuracy:.1%} on {len(self.x):,} test images", fontsize=FONT)
        for row, column in np.argwhere((matrix >= 0.005) & is_named):
            value = matrix[row, column]
            colour = "white" if value > 0.5 else "black"
            axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", color=colour, size=FONT)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3]
