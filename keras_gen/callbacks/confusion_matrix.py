"""The confusion matrix of a classifier after every epoch."""

import os
from collections.abc import Sequence
from typing import Any

import matplotlib.backends.backend_agg
import matplotlib.figure
import numpy as np

from keras_gen.callbacks.picture_callback import PictureCallback

FONT = 14  # points: it can be read where TensorBoard shows the picture at half its size


class ConfusionMatrix(PictureCallback):
    """Plots the confusion matrix on test images: a row for each true class, in percent.

    Args:
        log_dir: TensorBoard's directory; the pictures are in its run `train`.
        x: The images, (n, height, width, channels), uint8 or floating point in [0, 1].
        labels: Their classes, integers (n,).
        class_names: What to write beside the rows; the model's own names by default.
        **kwargs: `image_dir`, `every`: see `PictureCallback`.

    Example:

    >>> import tempfile
    >>> x, labels = np.zeros((20, 28, 28, 1), "uint8"), np.zeros(20, int)
    >>> matrix = ConfusionMatrix(tempfile.mkdtemp(), x, labels)
    """

    def __init__(
        self,
        log_dir: str | os.PathLike,
        x: np.ndarray,
        labels: Any,
        class_names: Sequence[str] | None = None,
        **kwargs: Any,
    ):
        super().__init__(log_dir, "confusion", **kwargs)
        self.x = np.asarray(x)
        self.labels = np.asarray(labels)
        self.class_names = class_names

    def counts(self) -> np.ndarray:
        """(num_classes, num_classes): row i, column j is how many of class i are predicted as j."""
        predicted = self.model.classify(self.x).argmax(axis=1)
        counts = np.zeros((self.model.num_classes,) * 2, int)
        np.add.at(counts, (self.labels, predicted), 1)
        return counts

    def picture(self) -> np.ndarray:
        counts = self.counts()
        matrix = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        accuracy = np.trace(counts) / len(self.x)
        names = self.class_names or self.model.class_names or range(len(matrix))
        side = 2.5 + 0.45 * len(matrix)
        figure = matplotlib.figure.Figure((side, side), dpi=100, layout="constrained")
        canvas = matplotlib.backends.backend_agg.FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1)
        labels = [str(name) for name in names]
        axes.set_xticks(range(len(matrix)), labels, fontsize=FONT, rotation=45, ha="right")
        axes.set_yticks(range(len(matrix)), labels, fontsize=FONT)
        axes.set_xlabel("predicted class", fontsize=FONT)
        axes.set_ylabel("true class", fontsize=FONT)
        axes.set_title(f"accuracy {accuracy:.1%} on {len(self.x):,} test images", fontsize=FONT)
        for row, column in zip(*np.nonzero(matrix >= 0.005), strict=True):
            value = matrix[row, column]
            colour = "white" if value > 0.5 else "black"
            axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", color=colour, size=FONT)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3]
