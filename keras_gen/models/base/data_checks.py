"""Checks of the data that `fit`, `evaluate` and `predict` get.

Arrays are checked as a whole. Data sets and generators are checked batch by batch: a graph tests whether a
batch is valid, in a fraction of a millisecond (0.17 ms for 128 images of 28 x 28 pixels), and Python says
what is wrong with one that is not.
"""

import contextlib
import re
import types
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_gen.datasets.images.broken_images import explain_broken_images
from keras_gen.utils import arrays
from keras_gen.utils.arguments import received


class BatchChecker:
    """Passes valid batches on, and keeps the error of the first invalid one.

    Args:
        check: Called with x, y and sample_weight of a batch as arrays; raises a ValueError if they are
            invalid.
        is_valid: Called with the same as tensors; returns a bool tensor.
    """

    def __init__(self, check: Callable, is_valid: Callable):
        self.check = check
        self.is_valid = is_valid
        self.error: Exception | None = None

    def __call__(self, data: Any) -> Any:
        """Adds a check of each batch to a data set or generator; returns other data unchanged."""
        if isinstance(data, tf.data.Dataset):
            return data.map(self._of_tensors)
        if isinstance(data, types.GeneratorType):
            return self._of_generator(data)
        if isinstance(data, keras.utils.PyDataset) and not data.use_multiprocessing:
            return CheckedPyDataset(data, self)
        return data

    @contextlib.contextmanager
    def raising(self) -> Iterator[None]:
        """Raises the error of the data instead of TensorFlow's, which hides it."""
        try:
            with explain_data_errors():
                yield
        except Exception:
            if self.error is None:
                raise
            raise self.error from None

    @contextlib.contextmanager
    def keeping(self) -> Iterator[None]:
        """Stores the first error of the block."""
        try:
            yield
        except Exception as error:
            self.error = self.error or error
            raise

    def _of_generator(self, batches: Iterator[Any]) -> Iterator[Any]:
        with self.keeping():
            for batch in batches:
                self.check(*keras.utils.unpack_x_y_sample_weight(batch))
                yield batch if isinstance(batch, (tuple, list, dict)) else (batch,)

    def _of_tensors(self, *parts: Any) -> Any:
        batch = parts if len(parts) > 1 else parts[0]
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        if not isinstance(x, tf.Tensor):
            return batch  # of a kind that was checked in the first batch
        y = y if isinstance(y, tf.Tensor) else None  # anything else belongs to a model that ignores it
        present = [part for part in (x, y, sample_weight) if part is not None]

        def checked(*arrays: Any) -> bool:
            remaining = iter(arrays)
            given = [None if part is None else next(remaining).numpy() for part in (x, y, sample_weight)]
            with contextlib.suppress(Exception), self.keeping():
                self.check(*given)
            return self.error is None

        right = tf.cond(
            self.is_valid(x, y, sample_weight),
            lambda: tf.constant(True),
            lambda: tf.py_function(checked, present, tf.bool),
        )
        with tf.control_dependencies([tf.debugging.Assert(right, ["an invalid batch"])]):
            return tf.nest.map_structure(tf.identity, batch)


class CheckedPyDataset(keras.utils.PyDataset):
    """A PyDataset with a check of each batch."""

    def __init__(self, data: keras.utils.PyDataset, checker: BatchChecker):
        super().__init__(workers=data.workers, max_queue_size=data.max_queue_size)
        self.data = data
        self.checker = checker

    @property
    def num_batches(self) -> int | None:
        return self.data.num_batches

    def __getitem__(self, number: int) -> Any:
        with self.checker.keeping():
            batch = self.data[number]
            self.checker.check(*keras.utils.unpack_x_y_sample_weight(batch))
            return batch

    def on_epoch_begin(self) -> None:
        self.data.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.data.on_epoch_end()


@contextlib.contextmanager
def explain_data_errors() -> Iterator[None]:
    """Raises a Python error in a `tf.data` pipeline as one line, without its traceback."""
    try:
        with explain_broken_images():
            yield
    except tf.errors.OpError as error:
        cause = python_error(error)
        if cause is None:
            raise
        raise ValueError(f"The data could not be read to its end. Received: {cause}") from error


def python_error(error: tf.errors.OpError) -> str | None:
    """The last line of the Python traceback in a TensorFlow error; None if there is none."""
    text = str(error)
    if "Traceback (most recent call last)" not in text:
        return None
    lines = re.findall(r"^([\w.]+: .*|[\w.]*(?:Error|Exception))$", text, re.MULTILINE)
    return lines[-1] if lines else None


# === Kinds of data ===


def first_batch(x: tf.data.Dataset | keras.utils.PyDataset) -> Any:
    """The first batch of some data."""
    with explain_data_errors():
        if isinstance(x, tf.data.Dataset):
            batch = next(iter(x.take(1)), None)
        else:
            batch = x[0] if x.num_batches != 0 else None
    if batch is None:
        raise ValueError(f"Expected at least one batch. Received: {received(x)}")
    return batch


def is_data(x: Any) -> bool:
    """Whether something is an array, or a source of batches that Keras knows."""
    known = (
        tf.data.Dataset,
        tf.distribute.DistributedDataset,
        keras.utils.PyDataset,
        types.GeneratorType,
    )
    loaders = ("torch.", "grain.")  # data loaders of packages that may not be installed
    is_loader = any(cls.__module__.startswith(loaders) for cls in type(x).__mro__)
    return is_array(x) or isinstance(x, known) or is_loader


def as_arrays(x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    """x, y and sample_weight; beside an array, lists become arrays of types that TensorFlow knows."""
    if not is_array(x):
        return x, y, sample_weight

    def as_array(value: Any) -> Any:
        found = arrays.as_array(value) if isinstance(value, (list, tuple, np.ndarray)) else None
        return value if found is None else found

    return as_array(x), as_array(y), as_array(sample_weight)


def is_array(x: Any) -> bool:
    """Whether something is an array of NumPy, TensorFlow or pandas."""
    return hasattr(x, "shape") and not isinstance(x, type)


def refuse_endless(x: Any, name: str, steps: int | None) -> None:
    """Raises a ValueError if an epoch would never end."""
    endless = isinstance(x, tf.data.Dataset) and bool(x.cardinality() == tf.data.INFINITE_CARDINALITY)
    endless |= isinstance(x, keras.utils.PyDataset) and x.num_batches is None
    if steps is None and endless:
        raise ValueError(f"An infinite data set needs {name}. Received: {name}=None")


def with_targets(x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    """x, y and sample_weight, with zeros for y if only y is missing, since Keras would drop the weights."""
    if y is None and sample_weight is not None and hasattr(x, "shape"):
        y = np.zeros(len(x), np.int32)
    return x, y, sample_weight
