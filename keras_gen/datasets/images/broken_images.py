"""Images that break after they were inspected: the error that names one, out of TensorFlow's."""

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf


class BrokenImageError(ValueError):
    """An image that decoded before training does not in it."""


@contextlib.contextmanager
def broken_images_named() -> Iterator[None]:
    """Raises a `BrokenImageError` of `tf.data` as it is, not as a part of TensorFlow's own error."""
    try:
        yield
    except tf.errors.OpError as error:
        found = re.search(f"{BrokenImageError.__name__}: (.*)", str(error))
        if found is None:
            raise
        raise BrokenImageError(found[1]) from None
