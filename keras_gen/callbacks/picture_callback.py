"""Base of the callbacks that show a picture after an epoch."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_gen.callbacks.sample_callback import SampleCallback
from keras_gen.utils import pictures
from keras_gen.utils.arguments import Count, checked


class PictureCallback(SampleCallback):
    """Draws a picture at the end of epochs, as a PNG file and as a TensorBoard image.

    Args:
        log_dir: TensorBoard's directory; pictures go into its run `train`, group `samples`.
        name: Name of the image in TensorBoard, and of the folder of PNG files.
        image_dir: Folder of the PNG files, `log_dir/name` by default; `epoch-0001.png` and so on.
        every: Draw every so many epochs, 1 or more, and after the last one.

    Raises:
        ValueError: As for `SampleCallback`.
    """

    suffix = ".png"

    @checked
    def __init__(
        self,
        log_dir: str | os.PathLike,
        name: str,
        image_dir: str | os.PathLike | None = None,
        every: Count = 1,
    ):
        super().__init__(log_dir, name, image_dir, every)

    def picture(self) -> np.ndarray:
        """A picture of the current model, uint8 (height, width, 3)."""
        raise NotImplementedError

    def shown(self) -> np.ndarray:
        return self.picture()

    def write(self, path: Path, shown: Any) -> None:
        pictures.write_png(path, shown)

    def summarize(self, shown: Any, step: int) -> None:
        tf.summary.image(self.tag, shown[np.newaxis], step=step)
