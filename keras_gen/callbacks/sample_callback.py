"""Base of the callbacks that show the model's results after an epoch."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from keras_gen.utils import tensorboard
from keras_gen.utils.arguments import Count, checked, received
from keras_gen.utils.files import make_folder, writable_folder


class SampleCallback(keras.callbacks.Callback):
    """Shows results of the model at the end of epochs, as a file and in TensorBoard.

    A subclass computes them, writes the file, and writes the summary.

    Args:
        log_dir: TensorBoard's directory; the summaries are in its run `train`, group `samples`.
        name: Name in TensorBoard.
        folder: Folder of the files `epoch-0001` and so on; `log_dir/name` by default.
        every: Show results every so many epochs, 1 or more, and after the last one.

    Raises:
        ValueError: `every` is less than 1, or a directory is a file or may not be written to; at the start
            of `fit`, the model is of another kind, or has another shape than the callback's data.
    """

    suffix = ""  # of the files
    verbs: Sequence[str] = ()  # what the model must have
    kind = "models"  # what such models are called

    @checked
    def __init__(
        self,
        log_dir: str | os.PathLike,
        name: str,
        folder: str | os.PathLike | None = None,
        every: Count = 1,
    ):
        super().__init__()
        self.name = name
        self.log_dir = writable_folder("log_dir", log_dir)
        self.folder = writable_folder("the folder", self.log_dir / name if folder is None else folder)
        self.every = every
        self._writer: Any = None
        self._last_shown: int | None = None
        self._epoch: int | None = None

    @property
    def tag(self) -> str:
        """The name in TensorBoard."""
        return self.name if self.name == tensorboard.SAMPLES else f"{tensorboard.SAMPLES}/{self.name}"

    def shown(self) -> Any:
        """Computes what to show of the current model."""
        raise NotImplementedError

    def write(self, path: Path, shown: Any) -> None:
        """Writes it to a file."""
        raise NotImplementedError

    def summarize(self, shown: Any, step: int) -> None:
        """Writes it to TensorBoard's default writer; `step` is the epoch, from 1."""
        raise NotImplementedError

    def write_file(self, name: str) -> Path:
        """Writes the file `name` (without its suffix) into the folder; returns its path."""
        path = self.folder / f"{name}{self.suffix}"
        self.write(path, self.shown())
        return path

    def check_model(self) -> None:
        """Raises a ValueError if the model lacks a verb, or does not fit the callback's data."""
        require(self, self.verbs, self.kind)

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.check_model()
        make_folder("log_dir", self.log_dir / tensorboard.TRAIN)
        make_folder("the folder", self.folder)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch = epoch
        if (epoch + 1) % self.every == 0:
            self._show(epoch)

    def on_train_end(self, logs: dict | None = None) -> None:
        if self._last_shown != self._epoch and is_trained(self, self._epoch):
            assert self._epoch is not None
            self._show(self._epoch)
        self._writer = None

    def _show(self, epoch: int) -> None:
        shown = self.shown()
        self.write(self.folder / f"epoch-{epoch + 1:04d}{self.suffix}", shown)
        self._writer = self._writer or tensorboard.summary_writer(self.log_dir, tensorboard.TRAIN)
        with self._writer.as_default():
            self.summarize(shown, epoch + 1)
        self._writer.flush()
        self._last_shown = epoch


def require(callback: keras.callbacks.Callback, verbs: Sequence[str], kind: str) -> None:
    """Raises a ValueError if a callback's model lacks a verb that the callback calls."""
    missing = [verb for verb in verbs if not hasattr(callback.model, verb)]
    if missing:
        raise ValueError(
            f"{type(callback).__name__} is for {kind}. "
            f"Received: a {type(callback.model).__name__}, which has no {missing[0]}"
        )


def check_names(names: Sequence[str] | None, num_classes: int | None) -> None:
    """Raises a ValueError if the number of class names is not the number of classes."""
    if names is not None and num_classes is not None and len(names) != num_classes:
        raise ValueError(
            f"class_names must be {num_classes} names, one for each class of the model. "
            f"Received: {received(names)}"
        )


def is_trained(callback: keras.callbacks.Callback, epoch: int | None) -> bool:
    """Whether training ends after this epoch, the last completed one.

    It does not if it was interrupted in a later epoch, and will be resumed.
    """
    if epoch is None:
        return False
    epochs = (callback.params or {}).get("epochs", epoch + 1)
    return epoch + 1 == epochs or bool(getattr(callback.model, "stop_training", False))
