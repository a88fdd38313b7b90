"""What the callbacks that show after an epoch what the model does have in common."""

import os
from pathlib import Path
from typing import Any

import keras

from keras_gen import tensorboard


class SampleCallback(keras.callbacks.Callback):
    """Shows something at the end of epochs, as a file and in TensorBoard.

    A subclass says what is shown, how it is written, and how TensorBoard gets it.

    Args:
        log_dir: TensorBoard's directory; what is shown goes into its run `train`, group `samples`.
        name: What is shown, in TensorBoard.
        folder: Of the files, `log_dir/name` by default: `epoch-0001` and so on.
        every: Show after every so many epochs, 1 or more, and after the last one.

    Raises:
        ValueError: `every` is less than 1.
    """

    suffix = ""  # of the files

    def __init__(
        self,
        log_dir: str | os.PathLike,
        name: str,
        folder: str | os.PathLike | None = None,
        every: int = 1,
    ):
        super().__init__()
        if every < 1:
            raise ValueError(f"every must be 1 or more. Received: {every}")
        self.name = name
        self.log_dir = Path(log_dir)
        self.folder = Path(folder) if folder else self.log_dir / name
        self.every = every
        self._writer: Any = None
        self._last_shown: int | None = None
        self._epoch: int | None = None

    @property
    def tag(self) -> str:
        """Its name in TensorBoard."""
        return self.name if self.name == tensorboard.SAMPLES else f"{tensorboard.SAMPLES}/{self.name}"

    def shown(self) -> Any:
        """What there is to show of the model as it is now."""
        raise NotImplementedError

    def write(self, path: Path, shown: Any) -> None:
        """Writes it to a file."""
        raise NotImplementedError

    def summarize(self, shown: Any, step: int) -> None:
        """Hands it to TensorBoard, whose writer is the default one; `step` is the epoch, from 1."""
        raise NotImplementedError

    def write_file(self, name: str) -> Path:
        """Writes the file `name` (without its suffix) into the folder; gives its path."""
        path = self.folder / f"{name}{self.suffix}"
        self.write(path, self.shown())
        return path

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


def is_trained(callback: keras.callbacks.Callback, epoch: int | None) -> bool:
    """Whether training ends after this epoch, the last one that was completed.

    It does not where it was interrupted in a later one, and goes on where it is resumed.
    """
    if epoch is None:
        return False
    epochs = (callback.params or {}).get("epochs", epoch + 1)
    return epoch + 1 == epochs or bool(getattr(callback.model, "stop_training", False))
