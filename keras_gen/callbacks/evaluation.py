"""Quality metrics of the generated images while the model trains."""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import keras
import numpy as np
from annotated_types import MinLen

from keras_gen.callbacks.sample_callback import require
from keras_gen.datasets import ImageDataset
from keras_gen.metrics import SetMetrics, default_extractor, load_extractor
from keras_gen.metrics.extractors import check_extractor
from keras_gen.metrics.measurement import check_fit
from keras_gen.metrics.set_metrics import SET_METRICS, check_metrics
from keras_gen.utils.arguments import Count, Seed, checked
from keras_gen.utils.memory import refuse_beyond_memory


class Evaluation(keras.callbacks.Callback):
    """Adds `val_fd`, `val_kid`, `val_precision`, `val_recall`, ... to the logs of epochs.

    The images always come from the same noise. With fewer images distances are larger: these numbers
    are for comparing epochs, those of `keras-gen evaluate` for comparing models.

    Other callbacks can act on them, if they come later in the list:

        ModelCheckpoint("best.keras", monitor="val_fd", save_best_only=True)

    Args:
        data: The data set whose test images the generated images are compared with.
        num: Number of generated and of test images.
        every: Measure after the first epoch, then every so many epochs, 1 or more. The logs of epochs in
            between repeat the last values, so that a monitor always finds them.
        metrics: Names out of `fd`, `kid`, `precision`, `recall`, `density`, `coverage`,
            `prediction_entropy`, `class_entropy`, `label_accuracy`.
        extractor: See `keras_gen.metrics.load_extractor`; by default the one for the data.
        seed: Integer that determines the noise.

    Raises:
        ValueError: A number is out of range, a metric is unknown, or there are too few images for the
            number of features; at the start of `fit`, the model generates no images, or others than the
            data has.
        FloatingPointError: The generated images are not finite.

    Example:

    >>> import keras_gen as kg
    >>> data = kg.load_dataset("fashion_mnist_12k")
    >>> callback = Evaluation(data, num=500, metrics=("fd", "recall"))
    >>> callback.log_names
    {'val_fd': 'min', 'val_recall': 'max'}
    """

    @checked
    def __init__(
        self,
        data: ImageDataset,
        num: Count = 2000,
        every: Count = 1,
        metrics: Annotated[Sequence[str], MinLen(1)] = ("fd", "kid", "precision", "recall"),
        extractor: Any = None,
        seed: Seed = 0,
    ):
        super().__init__()
        check_metrics(metrics)
        if extractor is not None:
            check_extractor(extractor)
        refuse_beyond_memory(4 * num * math.prod(data.image_shape), f"num={num:,}", "Measure fewer images.")
        x, self._labels = data.test_images(num)
        extractor = load_extractor(default_extractor(data.name) if extractor is None else extractor)
        self.measures = SetMetrics(extractor, x, metrics)
        self.measures.check_count(num)
        self.data = data
        self.num = num
        self.every = every
        self.seed = seed
        self._values: dict[str, float] = {}

    def get_state(self) -> dict[str, float]:
        """What a checkpoint keeps: the last values."""
        return self._values

    def set_state(self, state: dict[str, float]) -> None:
        """Continues from what `get_state` gave."""
        self._values = dict(state)

    @property
    def log_names(self) -> dict[str, str]:
        """The names of the logged values, and which ones are better: `min` or `max`."""
        modes = {"lower": "min", "higher": "max"}
        return {f"val_{name}": modes[SET_METRICS[name]] for name in self.measures.metrics}

    def on_train_begin(self, logs: dict | None = None) -> None:
        require(self, ("generate", "image_shape"), "models that generate images")
        check_fit(self.model, self.data)
        if "label_accuracy" in self.measures.metrics and not self.model.conditional:
            raise ValueError(
                "label_accuracy is for conditional models. "
                f"Received: a {type(self.model).__name__} without num_classes"
            )

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if not self._values or (epoch + 1) % self.every == 0:
            self._values = self._measure()
        if logs is not None:
            logs.update(self._values)

    def _measure(self) -> dict[str, float]:
        labels = None
        if self.model.conditional and self._labels is not None:
            labels = np.resize(self._labels, self.num)
        images = self.model.generate(self.num, seed=self.seed, labels=labels)
        values = self.measures.measure(images, labels)
        return {f"val_{name}": value for name, (value, _) in values.items()}
