"""Losses and metrics in TensorBoard, in few charts."""

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_gen.utils import tensorboard
from keras_gen.utils.arguments import checked
from keras_gen.utils.files import make_folder, writable_folder


class TrainingCurves(keras.callbacks.Callback):
    """Logs what every epoch logs, and the learning rate, to TensorBoard.

    Training and validation are two curves in one chart. Charts come in the groups `loss`, `metrics` and
    `training`, and epochs count from 1. `keras.callbacks.TensorBoard` works, too: it logs weights and
    profiles, and has a group for each value.

    Args:
        log_dir: TensorBoard's directory; the curves are its runs `train` and `validation`.

    Place it after callbacks that add to the logs, such as `Evaluation`.

    Raises:
        ValueError: `log_dir` is a file or may not be written to.

    Example:

    >>> import tempfile
    >>> curves = TrainingCurves(tempfile.mkdtemp())
    """

    @checked
    def __init__(self, log_dir: str | os.PathLike):
        super().__init__()
        self.log_dir = writable_folder("log_dir", log_dir)
        self._writers: dict[str, Any] = {}

    @classmethod
    def for_run(cls, model: Any, data: Any, logs: Path, every: int) -> "TrainingCurves":
        """The callback of a run directory."""
        return cls(logs)

    def on_train_begin(self, logs: dict | None = None) -> None:
        make_folder("log_dir", self.log_dir / tensorboard.TRAIN)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        values = {name: float(np.mean(value)) for name, value in (logs or {}).items()}
        if not any(name.endswith("learning_rate") for name in values):
            rate = self.model.optimizer.learning_rate
            values["learning_rate"] = float(keras.ops.convert_to_numpy(rate))
        tags = tensorboard.scalar_tags(name.removeprefix("val_") for name in values)
        scalars_by_run: dict[str, dict[str, float]] = {}
        for name, value in values.items():
            run = tensorboard.VALIDATION if name.startswith("val_") else tensorboard.TRAIN
            scalars_by_run.setdefault(run, {})[tags[name.removeprefix("val_")]] = value
        for run, scalars in scalars_by_run.items():
            if run not in self._writers:
                self._writers[run] = tensorboard.summary_writer(self.log_dir, run)
            tensorboard.write_scalars(self._writers[run], scalars, epoch + 1)

    def on_train_end(self, logs: dict | None = None) -> None:
        self._writers = {}
