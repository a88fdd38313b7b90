"""A grid of generated images after every epoch, always from the same noise."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_gen import images
from keras_gen.callbacks.picture_callback import PictureCallback


class SampleGrid(PictureCallback):
    """Shows what the model generates, from the same noise every epoch, so that progress shows.

    A conditional model gets a row for each class.

    Args:
        log_dir: TensorBoard's directory; the pictures are in its run `train`.
        num_samples: Images in the grid of an unconditional model.
        samples_per_class: Columns of the grid of a conditional model.
        class_names: What to write beside the rows; the model's own names by default.
        seed: Integer that determines the noise.
        **kwargs: `image_dir`, `every`: see `PictureCallback`.

    Example:

    >>> import tempfile
    >>> grid = SampleGrid(tempfile.mkdtemp(), num_samples=16)
    """

    def __init__(
        self,
        log_dir: str | os.PathLike,
        num_samples: int = 64,
        samples_per_class: int = 10,
        class_names: Sequence[str] | None = None,
        seed: int = 0,
        **kwargs: Any,
    ):
        super().__init__(log_dir, "samples", **kwargs)
        self.num_samples = num_samples
        self.samples_per_class = samples_per_class
        self.class_names = class_names
        self.seed = seed

    def picture(self) -> np.ndarray:
        return images.sample_picture(
            self.model, self.num_samples, self.samples_per_class, self.class_names, self.seed
        )
