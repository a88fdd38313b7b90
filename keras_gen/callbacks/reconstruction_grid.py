"""Images beside their reconstructions after every epoch."""

import os
from typing import Any

import numpy as np

from keras_gen import images
from keras_gen.callbacks.picture_callback import PictureCallback


class ReconstructionGrid(PictureCallback):
    """Shows test images and, under each, what the model makes of it.

    Args:
        log_dir: TensorBoard's directory; the pictures are its run `reconstructions`.
        x: The images, (n, height, width, channels), uint8 or floating point in [0, 1].
        labels: Their labels, for a conditional model.
        columns: Images in a row.
        **kwargs: `image_dir`, `every`: see `PictureCallback`.

    Example:

    >>> import tempfile
    >>> grid = ReconstructionGrid(tempfile.mkdtemp(), np.zeros((20, 28, 28, 1), "uint8"))
    """

    def __init__(
        self,
        log_dir: str | os.PathLike,
        x: np.ndarray,
        labels: np.ndarray | None = None,
        columns: int = 10,
        **kwargs: Any,
    ):
        super().__init__(log_dir, "reconstructions", **kwargs)
        self.x = np.asarray(x)
        self.labels = labels
        self.columns = min(columns, len(self.x))

    def picture(self) -> np.ndarray:
        real = images.to_uint8(self.x)
        labels = self.labels if self.model.conditional else None
        reconstructed = images.to_uint8(self.model.reconstruct(self.x, labels))
        full = len(real) // self.columns * self.columns
        shape = (-1, self.columns, *real.shape[1:])
        rows = np.stack([real[:full].reshape(shape), reconstructed[:full].reshape(shape)], axis=1)
        names = ["real", "model"] * len(rows)
        return images.grid(rows.reshape(-1, *real.shape[1:]), self.columns, names)
