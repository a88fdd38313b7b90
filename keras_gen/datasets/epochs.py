"""Tells data sets, whose order depends on the epoch, which epoch `fit` is in."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

SetEpoch = Callable[[int], Any]


def epoch_setters(data: Any) -> list[SetEpoch]:
    """`set_epoch` of each dataset of `load_dataset` or `load_text` that `data` is derived from.

    `.map`, `.take`, `.batch`, `zip` and so on make a new `tf.data.Dataset`, which keeps its inputs but not
    their attributes.

    Args:
        data: Anything that `fit` takes.
    """
    return list(_setters(data))


def _setters(data: Any) -> Iterator[SetEpoch]:
    if hasattr(data, "set_epoch"):
        yield data.set_epoch
    elif isinstance(data, tf.data.Dataset):
        # No public name leads from a dataset to its inputs.
        for part in data._inputs():
            found = _setters(part)
            yield from map(_always_first, found) if type(data).__name__ == "CacheDataset" else found


def _always_first(set_epoch: SetEpoch) -> SetEpoch:
    """For the source of a cache: it keeps one pass, the same one wherever a run is resumed."""
    return lambda epoch: set_epoch(0)


class EpochSetter(keras.callbacks.Callback):
    """Sets the epoch of training and validation data when `fit` starts it.

    Data that repeats forever is one pass over all epochs, so that only the first epoch of `fit` is set.

    Args:
        x: What `fit` trains on.
        validation_data: What it validates with.
    """

    def __init__(self, x: Any, validation_data: Any = None):
        super().__init__()
        self.training = epoch_setters(x)
        self.validation = epoch_setters(validation_data)
        self.endless = isinstance(x, tf.data.Dataset) and bool(
            x.cardinality() == tf.data.INFINITE_CARDINALITY
        )
        self.epoch = -1

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.epoch = -1

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if self.epoch < 0 or not self.endless:
            for set_epoch in self.training:
                set_epoch(epoch)
        self.epoch = epoch

    def on_test_begin(self, logs: dict | None = None) -> None:
        for set_epoch in self.validation:
            set_epoch(self.epoch)
