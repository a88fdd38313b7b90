import gzip
import pickle
import struct

import numpy as np
import pytest

from keras_gen.datasets.formats import read_cifar10_batch, read_idx, read_npz


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


class Malicious:
    def __reduce__(self):
        return print, ("this must not run",)


def test_cifar10_pickle_cannot_run_code(tmp_path, capsys):
    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps({b"data": Malicious(), b"labels": []}))
    with pytest.raises(ValueError, match="asks for builtins.print"):
        read_cifar10_batch(path)
    assert capsys.readouterr().out == ""
