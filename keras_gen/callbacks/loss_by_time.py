"""The loss of a diffusion model at each noise level."""

import os
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
import tensorflow as tf
from annotated_types import Interval
from numpy.typing import ArrayLike

from keras_gen.callbacks.sample_callback import is_trained, require
from keras_gen.utils import arrays, tensorboard
from keras_gen.utils.arguments import Count, checked
from keras_gen.utils.files import make_folder, writable_folder

NUM_IMAGES = 200  # test images of a run


class LossByTime(keras.callbacks.Callback):
    """Shows a diffusion model's relative loss at times between 0, the image, and 1, noise.

    A chart for each time is in TensorBoard's group `loss by time`: 1 means that nothing is learned there.

    Args:
        log_dir: TensorBoard's directory; the values are in its run `validation`.
        x: Images, (n, height, width, channels), uint8 or floating point in [0, 1].
        labels: Their labels, (n,) or one-hot (n, num_classes), for a conditional model.
        num_times: Number of times, from 1 to 50.
        every: Measure every so many epochs, 1 or more, and after the last one.

    Raises:
        ValueError: The images are of another type or out of range, or `log_dir` is a file or may not be
            written to; at the start of `fit`, the model is not a diffusion model, or images or labels do
            not fit it.

    Example:

    >>> import tempfile
    >>> losses = LossByTime(tempfile.mkdtemp(), np.zeros((20, 28, 28, 1), "uint8"))
    """

    @checked
    def __init__(
        self,
        log_dir: str | os.PathLike,
        x: ArrayLike,
        labels: ArrayLike | None = None,
        num_times: Annotated[int, Interval(ge=1, le=50)] = 10,
        every: Count = 1,
    ):
        super().__init__()
        self.log_dir = writable_folder("log_dir", log_dir)
        self.x = arrays.images("x", x, grey=True)
        self.labels = None if labels is None else np.asarray(labels)
        self.num_times = num_times
        self.every = every
        self._writer: Any = None
        self._epoch: int | None = None

    @classmethod
    def for_run(cls, model: Any, data: Any, logs: Path, every: int) -> "LossByTime | None":
        """The callback of a run directory; None if the model has no times."""
        if not hasattr(model, "loss_by_time"):
            return None
        x, labels = data.test_images(NUM_IMAGES)
        return cls(logs, x, labels if model.conditional else None, every=every)

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._epoch = None
        require(self, ("loss_by_time",), "diffusion models")
        self.model.loss_by_time(self.x, self.labels, 1)  # raises the errors of data that does not fit
        make_folder("log_dir", self.log_dir / tensorboard.VALIDATION)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch = epoch
        if (epoch + 1) % self.every == 0:
            self._measure(epoch)

    def _measure(self, epoch: int) -> None:
        times, losses = self.model.loss_by_time(self.x, self.labels, self.num_times)
        self._writer = self._writer or tensorboard.summary_writer(self.log_dir, tensorboard.VALIDATION)
        with self._writer.as_default():
            for time, loss in zip(times, losses, strict=True):
                tf.summary.scalar(f"{tensorboard.BY_TIME}/{time:.2f}", loss, step=epoch + 1)
        self._writer.flush()

    def on_train_end(self, logs: dict | None = None) -> None:
        if self._epoch is not None and (self._epoch + 1) % self.every and is_trained(self, self._epoch):
            self._measure(self._epoch)
        self._writer = None
