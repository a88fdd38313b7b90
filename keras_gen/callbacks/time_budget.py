"""Stops training when its time is up."""

import time

import keras

from keras_gen.utils.arguments import Positive, checked


class TimeBudget(keras.callbacks.Callback):
    """Stops `fit` cleanly, between two steps, after so many minutes.

    Args:
        minutes: More than 0; counted from the beginning of training.

    Raises:
        ValueError: `minutes` is not positive.

    Example:

    >>> budget = TimeBudget(minutes=10)
    """

    @checked
    def __init__(self, minutes: Positive):
        super().__init__()
        self.minutes = minutes
        self._end: float | None = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        if self._end is None:
            self._end = time.monotonic() + 60 * self.minutes

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return self._end is not None and time.monotonic() >= self._end

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if self.is_over:
            self.model.stop_training = True
