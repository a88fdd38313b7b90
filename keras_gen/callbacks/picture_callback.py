"""What the callbacks that show a picture after an epoch have in common."""

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_gen import images


class PictureCallback(keras.callbacks.Callback):
    """Draws a picture at the end of epochs, as a PNG file and as a TensorBoard image.

    Args:
        log_dir: TensorBoard's directory; pictures go into its run `name`.
        name: Of the run, the image and the folder of PNG files.
        image_dir: Folder of the PNG files, `log_dir/name` by default; `epoch-0001.png` and so on.
        every: Draw after every so many epochs, 1 or more, and after the last one.

    Raises:
        ValueError: `every` is less than 1.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike,
        name: str,
        image_dir: str | os.PathLike | None = None,
        every: int = 1,
    ):
        super().__init__()
        if every < 1:
            raise ValueError(f"every must be 1 or more. Received: {every}")
        self.name = name
        self.log_dir = Path(log_dir)
        self.image_dir = Path(image_dir) if image_dir else self.log_dir / name
        self.every = every
        self._writer: Any = None
        self._last_drawn: int | None = None
        self._epoch: int | None = None

    def picture(self) -> np.ndarray:
        """The picture of the model as it is now, uint8 (height, width, 3)."""
        raise NotImplementedError

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch = epoch
        if (epoch + 1) % self.every == 0:
            self._draw(epoch)

    def on_train_end(self, logs: dict | None = None) -> None:
        if self._epoch is not None and self._last_drawn != self._epoch:
            self._draw(self._epoch)
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _draw(self, epoch: int) -> None:
        picture = self.picture()
        images.write_png(self.image_dir / f"epoch-{epoch + 1:04d}.png", picture)
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self.log_dir / self.name))
        with self._writer.as_default():
            tf.summary.image(self.name, picture[np.newaxis], step=epoch)
        self._last_drawn = epoch
