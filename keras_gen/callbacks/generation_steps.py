"""The steps from noise to images after every epoch."""

import os
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Interval

from keras_gen.callbacks.picture_callback import PictureCallback
from keras_gen.utils import pictures
from keras_gen.utils.arguments import Count, Seed, checked


class GenerationSteps(PictureCallback):
    """Shows the steps of a diffusion model from noise to an image: a row for each image.

    Args:
        log_dir: TensorBoard's directory; the pictures are in its run `train`.
        num_samples: Images, 1 or more.
        num_steps: Steps, from 1 to 1,000; the model's own default if None.
        seed: Integer that determines the images: those of `generate(num_samples, seed=seed)`.
        **kwargs: `image_dir`, `every`: see `PictureCallback`.

    Raises:
        ValueError: As for `SampleCallback`.

    Example:

    >>> import tempfile
    >>> steps = GenerationSteps(tempfile.mkdtemp(), num_samples=3)
    """

    verbs = ("generation_steps", "image_shape")
    kind = "models that generate images in steps"

    @checked
    def __init__(
        self,
        log_dir: str | os.PathLike,
        num_samples: Count = 6,
        num_steps: Annotated[int, Interval(ge=1, le=1000)] | None = None,
        seed: Seed = 0,
        **kwargs: Any,
    ):
        super().__init__(log_dir, "steps", **kwargs)
        self.num_samples = num_samples
        self.num_steps = num_steps
        self.seed = seed

    @classmethod
    def for_run(cls, model: Any, data: Any, logs: Path, every: int) -> "GenerationSteps | None":
        """The callback of a run directory; None if the model does not generate in steps."""
        return cls(logs, every=every) if hasattr(model, "generation_steps") else None

    def picture(self) -> np.ndarray:
        options = {} if self.num_steps is None else {"num_steps": self.num_steps}
        steps = self.model.generation_steps(self.num_samples, seed=self.seed, **options)
        return pictures.grid(steps.reshape(-1, *steps.shape[2:]), columns=steps.shape[1])
