import functools
import gzip
import http.server
import struct
import threading

import keras
import numpy as np
import pytest

from keras_gen.datasets import load_dataset
from keras_gen.datasets.load import ASSETS, IDX_PARTS


def write_idx_files(folder, n_train=40, n_test=20):
    generator = np.random.default_rng(0)
    arrays = {}
    for part in IDX_PARTS:
        n = n_train if part.startswith("train") else n_test
        shape = (n, 28, 28) if "images" in part else (n,)
        array = generator.integers(0, 256 if "images" in part else 10, shape, dtype=np.uint8)
        header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        (folder / f"{part}-ubyte.gz").write_bytes(gzip.compress(header + array.tobytes()))
        arrays[part] = array
    return arrays


def test_embedded_data_is_balanced_small_and_has_its_notice():
    data = load_dataset()
    assert (data.num_train, data.num_test, data.image_shape) == (10_000, 2_000, (28, 28, 1))
    labels = np.concatenate([y for _, y in data.test])
    assert np.bincount(labels).tolist() == [200] * 10
    assert (ASSETS / "fashion_mnist_12k.npz").stat().st_size < 6e6
    assert "Zalando" in (ASSETS / "NOTICE").read_text()


@pytest.mark.parametrize("sub_folder", ("", "fashion_mnist"))
def test_idx_files_in_data_dir(tmp_path, sub_folder):
    folder = tmp_path / sub_folder
    folder.mkdir(exist_ok=True)
    arrays = write_idx_files(folder)
    data = load_dataset("fashion_mnist", data_dir=tmp_path, batch_size=10)
    assert (data.num_train, data.num_test, data.class_names[7]) == (40, 20, "sneaker")
    test = np.concatenate([x for x, _ in data.test])[..., 0]
    np.testing.assert_array_equal(test, arrays["t10k-images-idx3"])


def test_cifar10_binary_batches_in_data_dir(tmp_path):
    generator = np.random.default_rng(0)
    for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"):
        rows = generator.integers(0, 256, (10, 3073), dtype=np.uint8)
        rows[:, 0] = np.arange(10)
        (tmp_path / f"{name}.bin").write_bytes(rows.tobytes())
    data = load_dataset("cifar10", data_dir=tmp_path, batch_size=10)
    assert (data.num_train, data.num_test, data.image_shape) == (50, 10, (32, 32, 3))
    assert data.class_names[8] == "ship"


def test_npz_with_and_without_test_part(tmp_path, garments):
    images, labels = garments
    np.savez(
        tmp_path / "a.npz",
        x_train=images[:90],
        y_train=labels[:90],
        x_test=images[90:99],
        y_test=labels[90:99],
        class_names=np.array(list("abcdefghij")),
    )
    data = load_dataset(tmp_path / "a.npz", batch_size=9)
    assert (data.num_train, data.num_test, data.class_names[1]) == (90, 9, "b")
    np.savez(tmp_path / "b.npz", images=images[:90] / np.float32(255))
    data = load_dataset(tmp_path / "b.npz", batch_size=9, test_fraction=0.2)
    assert (data.num_train, data.num_test, data.num_classes) == (72, 18, None)
    assert next(iter(data.train)).dtype.name == "float32"


def test_bad_arrays_are_refused(tmp_path, garments):
    images, labels = garments
    path = tmp_path / "bad.npz"
    for arrays, message in (
        ({"pictures": images}, "no array of images.*Received: pictures"),
        ({"x": images[:1]}, "at least 2 images"),
        ({"x": images.astype("int32")}, "Received: int32"),
        ({"x": images.astype("float32")}, r"must be in \[0, 1\]. Received: from 0.0 to 255.0"),
        ({"x": images.reshape(-1, 784)}, "Received: shape"),
        (
            {"x_train": images, "y_train": labels[:9], "x_test": images, "y_test": labels},
            "don't match",
        ),
        ({"x_train": images, "y_train": labels, "x_test": images}, "only one of train and test"),
        ({"x_train": images, "x_test": images[:, :20]}, "one shape"),
        (
            {
                "x_train": images,
                "y_train": labels,
                "x_test": images,
                "y_test": labels,
                "class_names": np.array(["a", "b"]),
            },
            "from 0 to 1. Received: from 0 to 9",
        ),
        ({"x": images[:20]}, "fewer training images"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(ValueError, match=message) as caught:
            load_dataset(path)
        assert "bad.npz" in str(caught.value)


def test_refusals_name_what_is_expected(tmp_path):
    for call, message in (
        (
            lambda: load_dataset("fashion"),
            "'fashion' does not exist: expected one of fashion_mnist_12k, .*mean 'fashion_mnist'",
        ),
        (lambda: load_dataset(tmp_path / "no.npz"), "does not exist"),
        (
            lambda: load_dataset("mnist", data_dir=tmp_path),
            "does not hold mnist: expected train-images",
        ),
        (lambda: load_dataset("mnist", data_dir=tmp_path / "no"), "must be an existing folder"),
        (lambda: load_dataset(batch_size=0), "batch_size must be an integer from 1 to"),
        (
            lambda: load_dataset(image_size=(8, 8)),
            "image_size is for celeba, a folder of images: leave it out",
        ),
        (
            lambda: load_dataset(data_dir=tmp_path),
            "data_dir is for fashion_mnist, mnist, cifar10, celeba: leave it out",
        ),
        (lambda: load_dataset(tmp_path, channels=2), "channels must be 1"),
        (lambda: load_dataset(tmp_path, test_fraction=1.0), "between 0 and 1"),
        (lambda: load_dataset(tmp_path, background="#12345678"), "background must be a colour"),
        (
            lambda: load_dataset(background="black"),
            "background is for celeba, a folder of images: leave it out. Received: 'black' with",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()


# === Downloads: Keras' real code, against a server on this machine ===


@pytest.fixture
def server(tmp_path):
    """Serves a folder on loopback; gives the folder and its address."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{httpd.server_port}/"
        httpd.shutdown()
        thread.join()


@pytest.fixture
def fetching_from(server, tmp_path, monkeypatch):
    """Keras' download code with its address replaced, and an empty cache."""
    folder, address = server
    module = __import__("keras.src.datasets.fashion_mnist", fromlist=["get_file"])
    real = module.get_file
    (tmp_path / "cache").mkdir()

    def get_file(name, origin, **kwargs):
        kwargs["cache_dir"] = str(tmp_path / "cache")
        return real(name, origin=address + origin.rsplit("/", 1)[1], **kwargs)

    monkeypatch.setattr(module, "get_file", get_file)
    return folder


def test_download(fetching_from):
    arrays = write_idx_files(fetching_from, n_train=60_000, n_test=10_000)
    data = load_dataset("fashion_mnist")
    assert (data.num_train, data.num_test) == (60_000, 10_000)
    first = next(iter(data.test))[0].numpy()[0, ..., 0]
    np.testing.assert_array_equal(first, arrays["t10k-images-idx3"][0])


@pytest.mark.parametrize("answer", ("a web page", "nothing"))
def test_failed_download_says_what_to_do(fetching_from, answer):
    if answer == "a web page":
        for part in IDX_PARTS:
            (fetching_from / f"{part}-ubyte.gz").write_text("<html>Log in</html>")
    with pytest.raises(ConnectionError, match="fashion_mnist could not be downloaded.*data_dir="):
        load_dataset("fashion_mnist")


def test_every_named_download_is_keras_own():
    for name in ("fashion_mnist", "mnist", "cifar10"):
        assert callable(getattr(keras.datasets, name).load_data)
