"""Errors of a run, as one line that names the file or directory and the remedy."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_gen.utils.files import printable

# What to do with a damaged file.
ANEW = "Move {} away: keras-gen resume then continues from what else is there, or starts again."


@contextlib.contextmanager
def blame(path: Path, note: str = "") -> Iterator[None]:
    """Names the file that asked for what could not be done.

    Raises:
        ValueError: In place of errors that a user can mend.
    """
    try:
        yield
    except ConnectionError:  # not the file's fault
        raise
    except (ValueError, TypeError, OSError) as error:
        raise ValueError(
            f"{printable(path)}{note}: {str(error).rstrip('.')}. Correct what it asks for, or repeat the "
            "run with keras-gen train."
        ) from error


@contextlib.contextmanager
def explain_failures(directory: Path) -> Iterator[None]:
    """Turns errors of TensorFlow and the system, as of a full disk, into one line with the run's name.

    Raises:
        OSError: A file could not be written.
        MemoryError: The memory is too small.
    """
    try:
        yield
    except MemoryError as error:
        raise too_large(directory, error) from error
    except (OSError, tf.errors.OpError) as error:
        if getattr(error, "filename", None) is not None:
            raise
        if re.search("OOM|out of memory", str(error), re.IGNORECASE):
            raise too_large(directory, error) from error
        if str(directory) in str(error) or any(words in str(error) for words in FILE_ERRORS):
            raise unwritable(directory, getattr(error, "strerror", None) or error) from error
        raise


# The system's errors for a place that cannot be written to, which TensorFlow and NumPy pass on.
UNWRITABLE = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.ENOTDIR,
    errno.EIO,
)
FILE_ERRORS = [
    *map(os.strerror, UNWRITABLE),
    *(f"errno = {number}," for number in UNWRITABLE),  # as HDF5 says it
    "requested and",  # bytes, as NumPy says it, "and 0 written"
]


def too_large(directory: Path, reason: Any) -> MemoryError:
    return MemoryError(
        f"{printable(directory)}: there is not enough memory for this model and batch_size. Choose smaller "
        f"ones. Received: {in_one_line(reason)}"
    )


def unwritable(directory: Path, reason: Any) -> OSError:
    return OSError(
        f"{printable(directory)} could not be written: {in_one_line(reason)}. Free some space, or make it "
        f"writable, and continue with: keras-gen resume {printable(directory)}"
    )


def in_one_line(reason: Any) -> str:
    """The first line of an error, without TensorFlow's names of operations."""
    first, *_ = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", str(reason)).strip().splitlines() or [""]
    return first.strip().rstrip(".")
