"""Images beside their reconstructions after every epoch."""

import os
from typing import Any

import numpy as np

from keras_gen import images
from keras_gen.callbacks.picture_callback import PictureCallback


class ReconstructionGrid(PictureCallback):
    """Shows test images and, under each, what the model makes of it.

    Args:
        log_dir: TensorBoard's directory; the pictures are in its run `train`.
        x: The images, (n, height, width, channels), uint8 or floating point in [0, 1].
        labels: Their labels, for a conditional model.
        columns: Images in a row, 1 or more.
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
        columns: int = 6,
        **kwargs: Any,
    ):
        super().__init__(log_dir, "reconstructions", **kwargs)
        self.x = np.asarray(x)
        self.labels = labels
        self.columns = min(columns, len(self.x))

    def picture(self) -> np.ndarray:
        labels = self.labels if self.model.conditional else None
        pairs = (images.to_uint8(self.x), images.to_uint8(self.model.reconstruct(self.x, labels)))
        rows = np.stack([self._rows(pictures) for pictures in pairs], axis=1)
        names = ["real", "model"] * len(rows)
        return images.grid(rows.reshape(-1, *rows.shape[3:]), self.columns, names)

    def _rows(self, pictures: np.ndarray) -> np.ndarray:
        """(rows, columns, height, width, channels), with white where the last row has no pictures."""
        missing = -len(pictures) % self.columns
        padded = np.pad(pictures, ((0, missing), (0, 0), (0, 0), (0, 0)), constant_values=255)
        return padded.reshape(-1, self.columns, *pictures.shape[1:])
