"""Images beside their reconstructions after every epoch."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_gen.callbacks.picture_callback import PictureCallback
from keras_gen.utils import arrays, pictures
from keras_gen.utils.arguments import Count, checked, received

NUM_SHOWN = 18  # test images of a run: as many rows as columns, beside their reconstructions


class ReconstructionGrid(PictureCallback):
    """Shows test images and, below each, its reconstruction.

    Args:
        log_dir: TensorBoard's directory; the pictures are in its run `train`.
        x: The images, (n, height, width, channels), uint8 or floating point in [0, 1].
        labels: Their labels, (n,) or one-hot (n, num_classes), for a conditional model.
        columns: Images per row, 1 or more.
        **kwargs: `image_dir`, `every`: see `PictureCallback`.

    Raises:
        ValueError: The images are of another type or out of range; or as for `SampleCallback`.

    Example:

    >>> import tempfile
    >>> grid = ReconstructionGrid(tempfile.mkdtemp(), np.zeros((20, 28, 28, 1), "uint8"))
    """

    verbs = ("reconstruct", "image_shape")
    kind = "models that reconstruct images"

    @checked
    def __init__(
        self,
        log_dir: str | os.PathLike,
        x: ArrayLike,
        labels: ArrayLike | None = None,
        columns: Count = 6,
        **kwargs: Any,
    ):
        super().__init__(log_dir, "reconstructions", **kwargs)
        self.x = arrays.images("x", x, grey=True)
        array: Any = arrays.as_array(labels)
        if labels is not None and (array is None or len(np.atleast_1d(array)) != len(self.x)):
            raise ValueError(
                f"labels must be {len(self.x)}, one for each image. Received: {received(labels)}"
            )
        self.labels = None if labels is None else array
        self.columns = min(columns, len(self.x))

    @classmethod
    def for_run(cls, model: Any, data: Any, logs: Path, every: int) -> "ReconstructionGrid | None":
        """The callback of a run directory; None if the model does not reconstruct images."""
        if not hasattr(model, "reconstruct"):
            return None
        return cls(logs, *data.test_images(NUM_SHOWN), every=every)

    def check_model(self) -> None:
        super().check_model()
        arrays.images("ReconstructionGrid's x", self.x, self.model.image_shape)
        if self.model.conditional:
            self.model.checked_labels(self.labels, len(self.x))

    def picture(self) -> np.ndarray:
        labels = self.labels if self.model.conditional else None
        pairs = (pictures.to_uint8(self.x), pictures.to_uint8(self.model.reconstruct(self.x, labels)))
        rows = np.stack([self._rows(pictures) for pictures in pairs], axis=1)
        names = ["real", "model"] * len(rows)
        return pictures.grid(rows.reshape(-1, *rows.shape[3:]), self.columns, names)

    def _rows(self, pictures: np.ndarray) -> np.ndarray:
        """(rows, columns, height, width, channels), padded with white images."""
        missing = -len(pictures) % self.columns
        padded = np.pad(pictures, ((0, missing), (0, 0), (0, 0), (0, 0)), constant_values=255)
        return padded.reshape(-1, self.columns, *pictures.shape[1:])
