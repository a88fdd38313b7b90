"""Readers of the files that image data sets come in: IDX, `.npz` and CIFAR-10's batches.

Nothing that a file claims is believed before it is compared with the file and with the memory that is left.
"""

import codecs
import gzip
import io
import math
import pickle
import struct
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from keras_gen.utils.arguments import received
from keras_gen.utils.files import open_file, printable
from keras_gen.utils.memory import refuse_beyond_memory

IDX_TYPES = {
    0x08: "u1",
    0x09: "i1",
    0x0B: ">i2",
    0x0C: ">i4",
    0x0D: ">f4",
    0x0E: ">f8",
}
MOST_AXES = 8  # of an IDX file or an array; images have 4
COPIES = 3  # of an array in memory at a time: as it was read, split, and as a tensor
CIFAR_PIXELS = 3 * 32 * 32
MOST_CIFAR_BYTES = 2**30  # 30 times a batch of CIFAR-10
REMEDY = "Delete it and download it again."


def open_data(path: Path, expected: str, most: int | None = None) -> IO[bytes]:
    """Opens a data file for reading bytes.

    Raises:
        ValueError: It cannot be opened, or is a web page that a download saved in place of a data file.
    """
    try:
        file = open_file(path, most)
    except OSError as error:
        raise ValueError(
            f"{printable(path)} must be a file that can be read. Received: {error.strerror}"
        ) from None
    start = file.read(512).lstrip().lower()
    file.seek(0)
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        file.close()
        raise ValueError(
            f"{printable(path)} holds a web page where {expected} was expected: a download was answered by "
            "an error or a log-in page. Delete the file and download it again, or put a good copy there."
        )
    return file


def check_fits(path: Path, num_bytes: int) -> None:
    """Raises a ValueError if the arrays in a file would not fit into memory."""
    refuse_beyond_memory(
        COPIES * num_bytes, printable(path), "Use fewer images, or a folder of image files."
    )


def read_idx(path: str | Path) -> np.ndarray:
    """Reads an IDX file (the format of MNIST), gzipped or not.

    Args:
        path: The file, such as `train-images-idx3-ubyte.gz`.

    Returns:
        An array of the shape and type that the file's header states.

    Raises:
        ValueError: The file is a web page, is not an IDX file, or is shorter or longer than it says.
    """
    path = Path(path)
    with open_data(path, "an IDX file") as file:
        is_gzipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not is_gzipped:
            return read_idx_array(path, file)
        try:
            with gzip.GzipFile(fileobj=file) as unzipped:
                return read_idx_array(path, unzipped)  # type: ignore[arg-type]
        except (EOFError, OSError, gzip.zlib.error) as error:  # type: ignore[attr-defined]
            raise ValueError(
                f"{printable(path)} is a broken or truncated gzip file ({error}). {REMEDY}"
            ) from None


def read_idx_array(path: Path, file: IO[bytes]) -> np.ndarray:
    """What an open IDX file holds. No more is read than its header says, and one byte."""
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in IDX_TYPES:
        raise ValueError(
            f"{printable(path)} is not an IDX file: expected it to start with two zero bytes and a type "
            f"code. Received: {start.hex(' ') or 'an empty file'}"
        )
    num_axes = start[3]
    if not 1 <= num_axes <= MOST_AXES:
        raise ValueError(
            f"{printable(path)} is not an IDX file of images or labels: expected from 1 to {MOST_AXES} "
            f"axes. Received: {num_axes}"
        )
    sizes = file.read(4 * num_axes)
    if len(sizes) < 4 * num_axes:
        raise ValueError(f"{printable(path)} ends inside its header. {REMEDY}")
    shape = struct.unpack(f">{num_axes}I", sizes)
    dtype = np.dtype(IDX_TYPES[start[2]])
    expected = math.prod(shape) * dtype.itemsize
    check_fits(path, expected)
    raw = file.read(expected)
    has_more = bool(file.read(1))
    if len(raw) != expected or has_more:
        raise ValueError(
            f"{printable(path)} is truncated or damaged: expected {expected:,} bytes for shape {shape} "
            f"after the header. Received: {'more' if has_more else f'{len(raw):,} bytes'}. {REMEDY}"
        )
    return np.frombuffer(raw, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """Reads every array of an `.npz`, and refuses pickled ones, since those run code on loading.

    Args:
        path: The file.

    Returns:
        The arrays by name.

    Raises:
        ValueError: The file is a web page, is broken, holds pickled (object) arrays, or arrays that do
            not fit into memory.
    """
    path = Path(path)
    with open_data(path, "an .npz archive") as file:
        if file.read(6) == b"\x93NUMPY":
            raise ValueError(
                f"{printable(path)} is a single array (.npy), not an .npz archive. Write it with "
                "numpy.savez_compressed(path, x_train=..., y_train=..., x_test=..., y_test=...)."
            )
        file.seek(0)
        try:
            with zipfile.ZipFile(file) as archive:
                return read_members(path, archive)
        except NotPlainArraysError as error:
            raise ValueError(f"{printable(path)} {error}") from None
        except Exception as error:  # what zipfile and zlib raise of a damaged archive is not declared
            if printable(path) in str(error):
                raise
            raise ValueError(
                f"{printable(path)} is not an .npz archive, or is broken or truncated "
                f"({in_one_line(error)})."
            ) from None


class NotPlainArraysError(ValueError):
    """Why an archive's arrays are not read."""


def read_members(path: Path, archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """The arrays in an open archive, after a look at the headers of all of them."""
    members = archive.infolist()
    names = [member.filename.removesuffix(".npy") for member in members]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise NotPlainArraysError(f"has two arrays of one name. Received: {received(twice)}")
    total = 0
    for name, member in zip(names, members, strict=True):
        with archive.open(member) as file:
            claimed, left = bytes_claimed(name, file), member.file_size - file.tell()
        if claimed != left:
            raise NotPlainArraysError(
                f"is damaged: the array {received(name)} should have {claimed:,} bytes. "
                f"Received: {left:,} bytes"
            )
        total += claimed
    check_fits(path, total)
    arrays = {}
    for name, member in zip(names, members, strict=True):
        with archive.open(member) as file:
            arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
    return arrays


def bytes_claimed(name: str, file: IO[bytes]) -> int:
    """Reads the header of an array in an archive, to the bytes of which it says that so many follow."""
    try:
        old = np.lib.format.read_magic(file) == (1, 0)
        read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    except Exception as error:  # SyntaxError and RecursionError included, if a header is not a literal
        raise NotPlainArraysError(
            f"has no array under {received(name)} ({in_one_line(error)}). Write it with "
            "numpy.savez_compressed."
        ) from None
    if dtype.hasobject:
        raise NotPlainArraysError(
            f"holds the array {name!r} as pickled objects, which can run code when they are loaded, so "
            "they are refused. Save it as numbers: images as uint8, labels as integers, class names as "
            "strings (dtype '<U...')."
        )
    if len(shape) > MOST_AXES or min(shape, default=0) < 0:
        raise NotPlainArraysError(
            f"has no array under {received(name)}. Received: {dtype} of shape {shape}"
        )
    return math.prod(shape) * dtype.itemsize


class _ArraysOnly(pickle.Unpickler):
    """CIFAR-10's Python batches are pickles; this reads the arrays in them and can call nothing else."""

    ALLOWED = ("_reconstruct", "ndarray", "dtype")

    def find_class(self, module: str, name: str):  # type: ignore[no-untyped-def]
        if module == "_codecs" and name == "encode":
            return encode_latin1
        if module.split(".")[0] == "numpy" and name in self.ALLOWED:
            if name == "_reconstruct":
                return np.ndarray.__reduce__(np.empty(0))[0]  # type: ignore[index]
            return getattr(np, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def encode_latin1(text: str, encoding: str) -> bytes:
    """How pickles of Python 2's time hold bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the codec {received(encoding)}")
    return codecs.encode(text, encoding)


def read_cifar10_batch(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads one of CIFAR-10's batch files, binary (`.bin`) or Python's.

    Args:
        path: `data_batch_1.bin`, `data_batch_1`, `test_batch` and so on.

    Returns:
        Images, uint8 (n, 32, 32, 3), and labels, int32 (n,).

    Raises:
        ValueError: The file is a web page, is damaged, or is a pickle of anything but arrays.
    """
    path = Path(path)
    with open_data(path, "a CIFAR-10 batch", MOST_CIFAR_BYTES) as file:
        raw = file.read()
    pixels, labels = (cifar10_records if path.suffix == ".bin" else cifar10_pickle)(path, raw)
    check_cifar10(path, pixels, labels)
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels.astype(np.int32)


def cifar10_records(path: Path, raw: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels of a binary batch: for each image a byte, then its pixels."""
    record = 1 + CIFAR_PIXELS
    if not raw or len(raw) % record:
        raise ValueError(
            f"{printable(path)} is truncated: expected a multiple of {record} bytes. "
            f"Received: {len(raw):,} bytes. {REMEDY}"
        )
    rows = np.frombuffer(raw, np.uint8).reshape(-1, record)
    return rows[:, 1:], rows[:, 0]


def cifar10_pickle(path: Path, raw: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels of a batch that Python wrote."""
    try:
        batch = _ArraysOnly(io.BytesIO(raw), encoding="bytes").load()
        return np.asarray(batch[b"data"]), np.asarray(batch[b"labels"])
    except Exception as error:
        raise ValueError(
            f"{printable(path)} is not a CIFAR-10 batch, or is damaged ({in_one_line(error)}). {REMEDY} Or "
            "use the binary version (data_batch_1.bin to data_batch_5.bin, test_batch.bin)."
        ) from None


def check_cifar10(path: Path, pixels: np.ndarray, labels: np.ndarray) -> None:
    """Raises a ValueError if a batch has other sizes, types or labels than CIFAR-10."""
    numbers = labels.dtype.kind in "iu" and labels.size
    if not (
        pixels.dtype == np.uint8
        and len(pixels.shape) == 2
        and pixels.shape[1] == CIFAR_PIXELS
        and labels.shape == pixels.shape[:1]
        and numbers
        and 0 <= labels.min() <= labels.max() <= 9
    ):
        values = f", from {labels.min()} to {labels.max()}" if numbers else ""
        raise ValueError(
            f"{printable(path)} is not a CIFAR-10 batch: expected pixels, uint8 (n, {CIFAR_PIXELS}), and n "
            f"labels, integers from 0 to 9. Received: {received(pixels)}, and {received(labels)}{values}"
        )


def in_one_line(error: BaseException) -> str:
    """What another library's error says, or else what it is."""
    return " ".join(str(error).split())[:200] or type(error).__name__
