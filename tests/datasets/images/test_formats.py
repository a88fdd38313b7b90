import gzip
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from keras_gen.datasets.images.formats import read_cifar10_batch, read_idx, read_npz
from keras_gen.utils import memory


def idx_bytes(array: np.ndarray, code: int) -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.tobytes()


@pytest.mark.parametrize(("dtype", "code"), (("u1", 8), (">i2", 11), (">i4", 12), (">f4", 13)))
@pytest.mark.parametrize("compress", (bytes, gzip.compress))
def test_idx_round_trip(tmp_path, dtype, code, compress):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    path = tmp_path / "file"
    path.write_bytes(compress(idx_bytes(array, code)))
    read = read_idx(path)
    np.testing.assert_array_equal(read, array)
    assert read.dtype.isnative


@pytest.mark.parametrize(
    ("content", "message"),
    (
        (b"<!DOCTYPE html><html>Sign in</html>", "web page"),
        (b"", "an empty file"),
        (b"PK\x03\x04", "not an IDX file"),
        (idx_bytes(np.zeros((2, 2), "u1"), 8)[:-1], "expected 4 bytes .* Received: 3 bytes"),
        (idx_bytes(np.zeros((2, 2), "u1"), 8)[:9], "inside its header"),
        (gzip.compress(idx_bytes(np.zeros((99, 99), "u1"), 8), mtime=0)[:40], "truncated gzip"),
        (idx_bytes(np.zeros((2, 2), "u1"), 8) + b"a", "expected 4 bytes .* Received: more"),
        (b"\0\0\x08\0", "from 1 to 8 axes. Received: 0"),
        (b"\0\0\x08\xff" + bytes([0, 0, 0, 1] * 255) + b"a", "from 1 to 8 axes. Received: 255"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "takes .* GB are left"),
        (gzip.compress(b"\0\0\x08\x03" + b"\xff" * 12, mtime=0), "takes .* GB are left"),
        (gzip.compress(gzip.compress(b"", mtime=0), mtime=0), "not an IDX file"),
    ),
)
def test_broken_idx_is_named(tmp_path, content, message):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_npz_refuses_pickles_web_pages_and_damage(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=np.zeros(3), labels=np.array([{"run": "code"}], dtype=object))
    with pytest.raises(ValueError, match="'labels' as pickled objects.*refused"):
        read_npz(path)
    whole = path.read_bytes()
    for content, message in (
        (whole[:100], "broken or truncated|not an .npz"),
        (b"<html></html>", "web page"),
        (b"garbage", "not an .npz archive"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message) as caught:
            read_npz(path)
        assert str(path) in str(caught.value)


def member(header: str, content: bytes = b"") -> bytes:
    """An array in an archive, whatever it claims to be."""
    padded = f"{header}\n".encode()
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(padded)) + padded + content


def claim(shape: str, kind: str = "|u1") -> str:
    return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}"


@pytest.mark.parametrize(
    ("content", "message"),
    (
        (member(claim("(10**12, 1000)")), "has no array under 'x'"),
        (member(claim(f"({10**12}, 1000)"), b"abc"), "have 1,000,000,000,000,000 bytes. Received: 3 bytes"),
        (member(claim("(2, 8)"), b"a" * 15), "should have 16 bytes. Received: 15"),
        (member(claim("(2, 8)"), b"a" * 17), "should have 16 bytes. Received: 17"),
        (member(claim("(-1, 8)"), b"a" * 8), r"no array under 'x'. Received: uint8 of shape \(-1, 8\)"),
        (member(claim(f"({'1, ' * 70})"), b"a"), "no array under 'x'"),
        (member(claim("(1,)", "|O"), pickle.dumps(print)), "'x' as pickled objects.*refused"),
        (member(claim("(2,)", "zz")), "no array under 'x'"),
        (member("__import__('os').abort()"), "no array under 'x'"),
        (member("(" * 5000), "no array under 'x'"),
        (b"hello", "no array under 'x'"),
    ),
)
def test_npz_claims_are_not_believed(tmp_path, content, message):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", content)
    with pytest.raises(ValueError, match=message) as caught:
        read_npz(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_npz_larger_than_memory_and_doubtful_archives(tmp_path, monkeypatch):
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=np.zeros((1000, 8, 8), np.uint8))
    monkeypatch.setattr(memory, "available_bytes", lambda: 100_000)
    with pytest.raises(ValueError, match="data.npz, which takes 0.0 GB, and 0.0 GB are left. Use fewer"):
        read_npz(path)
    with open(path, "wb") as file:
        np.save(file, np.zeros((3, 8, 8), np.uint8))
    with pytest.raises(ValueError, match=r"is a single array \(.npy\), not an .npz archive"):
        read_npz(path)
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("x", "x.npy"):
            archive.writestr(name, b"")
    with pytest.raises(ValueError, match="has two arrays of one name. Received: 'x'"):
        read_npz(path)


@pytest.mark.parametrize("read", (read_idx, read_npz, read_cifar10_batch))
def test_what_is_no_file_is_refused_at_once(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name, kind in (("pipe", "a named pipe"), ("zero", "a device"), ("", "a directory")):
        with pytest.raises(ValueError, match=f"must be a file. Received: {kind}"):
            read(tmp_path / name)
    path = tmp_path / os.fsdecode(b"\xff")
    with pytest.raises(ValueError, match=r"/\\xff must be a file that can be read. Received: No such file"):
        read(path)


def cifar10_arrays() -> tuple[np.ndarray, list[int]]:
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (3, 3072), dtype=np.uint8), [1, 9, 0]


@pytest.mark.parametrize("kind", ("binary", "python"))
def test_cifar10_batch(tmp_path, kind):
    pixels, labels = cifar10_arrays()
    if kind == "binary":
        path = tmp_path / "data_batch_1.bin"
        path.write_bytes(
            b"".join(bytes([y]) + row.tobytes() for y, row in zip(labels, pixels, strict=True))
        )
    else:
        path = tmp_path / "data_batch_1"
        path.write_bytes(pickle.dumps({b"data": pixels, b"labels": labels}, protocol=2))
    images, read = read_cifar10_batch(path)
    assert images.shape == (3, 32, 32, 3) and read.tolist() == labels
    assert images[1, 5, 6].tolist() == pixels[1, [5 * 32 + 6 + 1024 * c for c in range(3)]].tolist()


PICTURES = np.zeros((2, 3072), np.uint8)


@pytest.mark.parametrize(
    ("pixels", "labels", "message"),
    (
        (PICTURES, [0, 1.7], "uint8 of shape .2, 3072., and float64 of shape .2,."),
        (PICTURES, [0, 10], "int64 of shape .2,., from 0 to 10"),
        (PICTURES, [-1, 0], "from -1 to 0"),
        (PICTURES, [0], "int64 of shape .1,."),
        (PICTURES[:, :3000], [0, 1], "uint8 of shape .2, 3000."),
        (PICTURES.astype(float), [0, 1], "float64 of shape .2, 3072."),
        (PICTURES.ravel(), [0, 1], "uint8 of shape .6144,."),
        (
            "pixels",
            "labels",
            "expected pixels, uint8 .n, 3072., and n labels, integers from 0 to 9. Received",
        ),
    ),
)
def test_cifar10_batch_of_other_sizes_or_labels(tmp_path, pixels, labels, message):
    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps({b"data": pixels, b"labels": labels}, protocol=2))
    with pytest.raises(ValueError, match=message) as caught:
        read_cifar10_batch(path)
    assert str(path) in str(caught.value)


def test_cifar10_binary_batch_with_other_labels(tmp_path):
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(bytes([77]) + bytes(3072))
    with pytest.raises(ValueError, match="is not a CIFAR-10 batch.*from 77 to 77"):
        read_cifar10_batch(path)


class Malicious:
    def __reduce__(self):
        return print, ("this must not run",)


def test_cifar10_pickle_cannot_run_code(tmp_path, capsys):
    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps({b"data": Malicious(), b"labels": []}))
    with pytest.raises(ValueError, match="asks for builtins.print"):
        read_cifar10_batch(path)
    assert capsys.readouterr().out == ""
