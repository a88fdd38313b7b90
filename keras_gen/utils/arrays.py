"""Checks of arrays that users pass: numbers, pixels, images and labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_gen.utils.arguments import received

DIVIDE = "Divide by 255, or pass uint8."
AS_FLOAT = "Convert them with images.astype('float32')."
AS_UINT8 = "If they are in [0, 255], convert them with images.astype('uint8')."


def numbers(name: str, value: Any, *shape: int | str, finite: bool = True) -> np.ndarray:
    """`value` as an array of numbers.

    Args:
        name: The name of the array in errors.
        value: Anything.
        *shape: For each axis, its size, or a letter for any size of 1 or more.
        finite: Whether to refuse NaN and infinity.

    Raises:
        ValueError: It is not an array of finite real numbers of that shape.

    Example:

    >>> numbers("features", [[1.0, 2.0]], "n", 3)
    Traceback (most recent call last):
    ValueError: features must be numbers of shape (n, 3). Received: float64 of shape (1, 2)
    """
    array = as_array(value)
    fits = array is not None and array.ndim == len(shape) and array.dtype.kind in "iuf"
    if fits:
        fits = all(
            size == wanted if isinstance(wanted, int) else size > 0
            for size, wanted in zip(array.shape, shape, strict=True)
        )
    if not fits:
        axes = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        raise ValueError(f"{name} must be numbers of shape ({axes}). Received: {described(value, array)}")
    if finite and array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite. Received: NaN or infinity")
    return array


def pixels(name: str, value: Any) -> np.ndarray:
    """`value` as an array of pixels of any shape, uint8 or floating point in [0, 1].

    Raises:
        ValueError: It has another type, is empty, or is out of range.
    """
    array = as_array(value)
    if array is None or not array.size:
        raise ValueError(f"{name} must be images, one or more. Received: {described(value, array)}")
    check_pixel_type(name, array.dtype)
    if array.dtype.kind == "f":
        with np.errstate(invalid="ignore"):  # NaN is the minimum of any values that include it
            low, high = float(array.min()), float(array.max())
        if not np.isfinite([low, high]).all():
            raise ValueError(f"{name} must be finite. Received: NaN or infinity among the pixels")
        if low < 0 or high > 1:
            raise ValueError(
                f"{name} must be uint8, or floating point in [0, 1]. "
                f"Received: from {low + 0.0:g} to {high + 0.0:g}. "
                + ("Rescale them with (images + 1) / 2." if -1 <= low < 0 and high <= 1 else DIVIDE)
            )
    return array


def check_pixel_type(name: str, dtype: Any) -> None:
    """Raises a ValueError for a type other than uint8 and floating point, since its range is unknown."""
    dtype = np.dtype(dtype)
    if dtype != np.uint8 and dtype.kind != "f" and dtype.name != "bfloat16":
        raise ValueError(
            f"{name} must be uint8 in [0, 255] or floating point in [0, 1]. Received: {dtype.name}. "
            + (AS_FLOAT if dtype.kind == "b" else AS_UINT8)
        )


def images(name: str, value: Any, shape: Sequence[int] | None = None, grey: bool = False) -> np.ndarray:
    """`value` as images (n, height, width, channels), uint8 or floating point in [0, 1].

    Args:
        name: The name of the array in errors.
        value: Anything.
        shape: The expected (height, width, channels), if known. With one channel, (n, height, width) is
            accepted.
        grey: Whether to accept (n, height, width), for one channel, if `shape` is not given.

    Raises:
        ValueError: It is of another type or shape, empty, or out of range.
    """
    array = as_array(value)
    if shape is not None:
        grey = array is not None and shape[2] == 1 and array.shape[1:] == tuple(shape[:2])
    if array is not None and array.ndim == 3 and grey:
        array = array[..., np.newaxis]
    wanted = array is not None and array.ndim == 4 and shape in (None, array.shape[1:])
    if array is None or not wanted:
        axes = "height, width, channels" if shape is None else ", ".join(map(str, shape))
        raise ValueError(f"{name} must be images of shape (n, {axes}). Received: {described(value, array)}")
    return pixels(name, array)


def labels(name: str, value: Any, count: int, num_classes: int | None = None) -> np.ndarray:
    """`value` as `count` integers from 0 to `num_classes` - 1, int64.

    Raises:
        ValueError: It is of another type or length, or out of range.
    """
    array = as_array(value)
    below = "0 or more" if num_classes is None else f"from 0 to {num_classes - 1}"
    expected = f"{name} must be {count:,} integers {below}, one for each image"
    if array is None or array.shape != (count,) or array.dtype.kind not in "iuf":
        raise ValueError(f"{expected}. Received: {described(value, array)}")
    low, high = array.min(), array.max()
    inside = low >= 0 and high < (2**31 if num_classes is None else num_classes)
    if not (inside and (array == np.round(array)).all()):
        raise ValueError(f"{expected}. Received: from {low} to {high}")
    return array.astype(np.int64)


def array(name: str, value: Any) -> np.ndarray:
    """`value` as an array of numbers or strings.

    Raises:
        ValueError: It is none, as a list of lists of different lengths, or one of other things.
    """
    found = as_array(value)
    if found is None or found.dtype.kind not in "biufU":
        raise ValueError(
            f"{name} must be an array of numbers, such as a NumPy array. "
            f"Received: {described(value, found)}"
        )
    return found


def as_array(value: Any) -> Any:
    """`value` as a NumPy array in native byte order; None if NumPy cannot convert it.

    bfloat16, which NumPy does not have, becomes float32.
    """
    try:
        if np.ma.is_masked(value):  # NumPy would take what is behind the mask
            return None
        found = np.asarray(value)
        if found.dtype.name == "bfloat16":
            return found.astype(np.float32)
        if found.dtype.kind == "f" and found.dtype.itemsize > 8:  # which TensorFlow does not know
            return found.astype(np.float64)
        return found.astype(found.dtype.newbyteorder("="), copy=False)
    except Exception:  # as of lists of several lengths, or whatever the value's own methods raise
        return None


def described(value: Any, array: np.ndarray | None) -> str:
    """A description of what was received, as an array if it is one."""
    return received(value if array is None or array.dtype == object or not array.ndim else array)
