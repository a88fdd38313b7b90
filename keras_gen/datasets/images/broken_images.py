"""Images that break after they were inspected: their error, extracted from TensorFlow's."""

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf


class BrokenImageError(ValueError):
    """An image could be decoded before training, but not during training."""


@contextlib.contextmanager
def explain_broken_images() -> Iterator[None]:
    """Raises a `BrokenImageError` of `tf.data` itself, not as part of TensorFlow's error."""
    try:
        yield
    except tf.errors.OpError as error:
        found = re.search(f"{BrokenImageError.__name__}: (.*)", str(error))
        if found is None:
            raise
        raise BrokenImageError(found[1]) from None
