"""Readers of the files that image data sets come in: IDX, `.npz` and CIFAR-10's batches."""

import codecs
import gzip
import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np

IDX_TYPES = {
    0x08: "u1",
    0x09: "i1",
    0x0B: ">i2",
    0x0C: ">i4",
    0x0D: ">f4",
    0x0E: ">f8",
}


def refuse_web_page(path: Path, expected: str) -> None:
    """Raises a ValueError where a download saved a web page in place of a data file."""
    with open(path, "rb") as file:
        start = file.read(512).lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise ValueError(
            f"{path} holds a web page where {expected} was expected: a download was answered by an "
            "error or a log-in page. Delete the file and download it again, or put a good copy there."
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
    refuse_web_page(path, "an IDX file")
    raw = path.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (EOFError, OSError, gzip.zlib.error) as error:  # type: ignore[attr-defined]
            raise ValueError(
                f"{path} is a broken or truncated gzip file ({error}). Download it again."
            ) from None
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in IDX_TYPES:
        raise ValueError(
            f"{path} is not an IDX file: expected it to start with two zero bytes and a type code. "
            f"Received: {raw[:4].hex(' ') or 'an empty file'}"
        )
    num_axes = raw[3]
    header = 4 + 4 * num_axes
    if len(raw) < header:
        raise ValueError(f"{path} ends inside its header. Download it again.")
    shape = struct.unpack(f">{num_axes}I", raw[4:header])
    dtype = np.dtype(IDX_TYPES[raw[2]])
    expected = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if len(raw) - header != expected:
        raise ValueError(
            f"{path} is truncated or damaged: expected {expected:,} bytes for shape {shape} after "
            f"the header. Received: {len(raw) - header:,} bytes. Download it again."
        )
    array = np.frombuffer(raw, dtype, offset=header).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """Reads every array of an `.npz`, and refuses pickled ones, since those run code on loading.

    Args:
        path: The file.

    Returns:
        The arrays by name.

    Raises:
        ValueError: The file is a web page, is broken, or holds pickled (object) arrays.
    """
    path = Path(path)
    refuse_web_page(path, "an .npz archive")
    arrays = {}
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            for name in archive.files:
                try:
                    arrays[name] = archive[name]
                except ValueError as error:
                    if "pickle" not in str(error).lower():
                        raise
                    raise ValueError(
                        f"{path} holds the array {name!r} as pickled objects, which can run code "
                        "when they are loaded, so they are refused. Save it as numbers: images as "
                        "uint8, labels as integers, class names as strings (dtype '<U...')."
                    ) from None
    except (zipfile.BadZipFile, EOFError, OSError, zipfile.zlib.error) as error:  # type: ignore[attr-defined]
        raise ValueError(f"{path} is a broken or truncated .npz archive ({error}).") from None
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(
            f"{path} is not an .npz archive of plain arrays ({error}). Write it with "
            "numpy.savez_compressed(path, x_train=..., y_train=..., x_test=..., y_test=...)."
        ) from None
    return arrays


class _ArraysOnly(pickle.Unpickler):
    """CIFAR-10's Python batches are pickles; this reads the arrays in them and can call nothing else."""

    ALLOWED = ("_reconstruct", "ndarray", "dtype")

    def find_class(self, module: str, name: str):  # type: ignore[no-untyped-def]
        if module == "_codecs" and name == "encode":
            return codecs.encode
        if module.split(".")[0] == "numpy" and name in self.ALLOWED:
            if name == "_reconstruct":
                return np.ndarray.__reduce__(np.empty(0))[0]  # type: ignore[index]
            return getattr(np, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


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
    refuse_web_page(path, "a CIFAR-10 batch")
    raw = path.read_bytes()
    if path.suffix == ".bin":
        record = 1 + 3 * 32 * 32
        if not raw or len(raw) % record:
            raise ValueError(
                f"{path} is truncated: expected a multiple of {record} bytes. "
                f"Received: {len(raw):,} bytes. Download it again."
            )
        rows = np.frombuffer(raw, np.uint8).reshape(-1, record)
        labels, pixels = rows[:, 0], rows[:, 1:]
    else:
        try:
            batch = _ArraysOnly(io.BytesIO(raw), encoding="bytes").load()
            pixels, labels = np.asarray(batch[b"data"]), np.asarray(batch[b"labels"])
        except Exception as error:
            raise ValueError(
                f"{path} is not a CIFAR-10 batch, or is damaged ({error}). Download it again, or "
                "use the binary version (data_batch_1.bin to data_batch_5.bin, test_batch.bin)."
            ) from None
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images, np.uint8), labels.astype(np.int32)
