"""A grid of generated images after every epoch, always from the same noise."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Interval

from keras_gen.callbacks.picture_callback import PictureCallback
from keras_gen.callbacks.sample_callback import check_names
from keras_gen.utils import pictures
from keras_gen.utils.arguments import Seed, checked

MOST_SHOWN = 10_000
Shown = Annotated[int, Interval(ge=1, le=MOST_SHOWN)]


class SampleGrid(PictureCallback):
    """Shows generated images, from the same noise after every epoch, so that progress is visible.

    For a conditional model, the grid has one row per class.

    Args:
        log_dir: TensorBoard's directory; the pictures are in its run `train`.
        num_samples: Images in the grid of an unconditional model, from 1 to 10,000.
        samples_per_class: Columns of the grid of a conditional model, which has 10,000 images at most.
        class_names: Names of the rows; those of the model by default.
        seed: Integer that determines the noise.
        **kwargs: `image_dir`, `every`: see `PictureCallback`.

    Raises:
        ValueError: A number is out of range; or as for `SampleCallback`.

    Example:

    >>> import tempfile
    >>> grid = SampleGrid(tempfile.mkdtemp(), num_samples=16)
    """

    verbs = ("generate", "image_shape")
    kind = "models that generate images"

    @checked
    def __init__(
        self,
        log_dir: str | os.PathLike,
        num_samples: Shown = 64,
        samples_per_class: Shown = 10,
        class_names: Sequence[str] | None = None,
        seed: Seed = 0,
        **kwargs: Any,
    ):
        super().__init__(log_dir, "samples", **kwargs)
        self.num_samples = num_samples
        self.samples_per_class = samples_per_class
        self.class_names = class_names
        self.seed = seed

    @classmethod
    def for_run(cls, model: Any, data: Any, logs: Path, every: int, folder: Path) -> "SampleGrid | None":
        """The callback of a run directory; None if the model does not generate images."""
        if not (hasattr(model, "generate") and hasattr(model, "image_shape")):
            return None
        return cls(logs, image_dir=folder, every=every)

    def check_model(self) -> None:
        super().check_model()
        if self.model.conditional:
            check_names(self.class_names, self.model.num_classes)
            if self.samples_per_class * self.model.num_classes > MOST_SHOWN:
                raise ValueError(
                    f"SampleGrid must have at most {MOST_SHOWN:,} images. Received: "
                    f"samples_per_class={self.samples_per_class} of {self.model.num_classes:,} classes"
                )

    def picture(self) -> np.ndarray:
        return pictures.sample_picture(
            self.model, self.num_samples, self.samples_per_class, self.class_names, self.seed
        )
