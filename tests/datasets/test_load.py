import functools
import gzip
import http.server
import os
import socket
import struct
import threading

import keras
import numpy as np
import pytest

from keras_gen.datasets import load, load_dataset
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


PIXELS = np.zeros((300, 8, 8), np.uint8)
LABELS = np.arange(300) % 3
NAMES = np.array(["a", "b", "c"])
WITH_NAN = PIXELS / np.float32(255)
WITH_NAN[290, 3, 3] = np.nan


@pytest.mark.parametrize(
    ("arrays", "message"),
    (
        ({"y": np.arange(1000) % 3}, r"expected shape \(300,\). Received: \(1000,\)"),
        ({"y": LABELS[:0]}, r"expected shape \(300,\). Received: \(0,\)"),
        ({"y": np.int64(3)}, r"expected shape \(300,\). Received: \(\)"),
        (
            {"y": np.eye(3, dtype=int)[LABELS]},
            r"Received: \(300, 3\). Of one-hot labels, save labels.argmax",
        ),
        ({"y": LABELS.astype(str)}, "labels must be integers. Received: <U21"),
        ({"y": LABELS + 0.7}, "labels must be integers. Received: float64"),
        ({"y": np.full(300, np.nan)}, "labels must be integers. Received: float64"),
        ({"y": LABELS > 1}, "labels must be integers. Received: bool"),
        ({"y": LABELS.astype("m8[s]")}, "labels must be integers. Received: timedelta64"),
        (
            {"y": LABELS - 1},
            "from 0 to 999, of at most 1,000 classes or one for each image. .* from -1 to 1",
        ),
        ({"y": np.r_[LABELS[1:], 2**40]}, "Received: from 0 to 1099511627776"),
        ({"y": np.r_[LABELS[1:].astype("u8"), np.uint64(2**64 - 1)]}, "from 0 to 18446744073709551615"),
        ({"y": LABELS, "class_names": NAMES[[0, 0, 1]]}, "not be empty, and each only once. Received: 'a'"),
        ({"y": LABELS, "class_names": np.array(["a", "", "b"])}, "not be empty.* Received: ''"),
        ({"y": LABELS, "class_names": NAMES[None]}, r"strings of shape \(num_classes,\). .*\(1, 3\)"),
        ({"y": LABELS, "class_names": NAMES[:0]}, r"strings of shape \(num_classes,\). .*\(0,\)"),
        ({"y": LABELS, "class_names": np.ones(3)}, "strings of shape .* Received: float64"),
        ({"class_names": NAMES}, "has class_names but no labels"),
        ({"y_test": LABELS}, "has y_test but no x_test"),
        ({"x": PIXELS > 0}, "Received: bool"),
        ({"x": PIXELS.astype(complex)}, "Received: complex128"),
        ({"x": WITH_NAN}, r"must be in \[0, 1\]. Received: from nan to nan"),
        ({"x": PIXELS[:, :0]}, r"at least one. Received: shape \(300, 0, 8, 1\)"),
        ({"x": np.uint8(3)}, r"Received: shape \(\)"),
        ({"x_test": PIXELS / np.float32(255)}, "one shape and one type. Received: uint8 .* and float32"),
        ({"x_test": PIXELS[:0]}, r"at least one. Received: shape \(0, 8, 8, 1\)"),
    ),
)
def test_labels_names_and_pixels_that_do_not_fit(tmp_path, arrays, message):
    np.savez(tmp_path / "bad.npz", **{"x": PIXELS, **arrays})
    with pytest.raises(ValueError, match=message) as caught:
        load_dataset(tmp_path / "bad.npz", batch_size=8)
    assert "bad.npz" in str(caught.value) and "\n" not in str(caught.value)


def test_types_of_numbers_and_names_that_mean_the_same(tmp_path):
    path = tmp_path / "good.npz"
    for labels in (LABELS.astype(np.uint64), LABELS[:, None], LABELS.astype(">i2")):
        for names in (NAMES, NAMES.astype("S1")):
            np.savez(path, x=PIXELS.astype(">f4"), y=labels, class_names=names)
            data = load_dataset(path, batch_size=30)
            assert (data.class_names, data.num_train, data.num_test) == (("a", "b", "c"), 270, 30)
            images, counted = zip(*data.train, strict=True)
            assert images[0].dtype == "float32" and np.bincount(np.concatenate(counted)).max() <= 100


def test_arrays_that_are_not_used_are_named(tmp_path):
    np.savez(tmp_path / "typed.npz", x_train=PIXELS, Y_train=LABELS)
    with pytest.warns(UserWarning, match="typed.npz: arrays of other names are not used: Y_train"):
        assert load_dataset(tmp_path / "typed.npz", batch_size=8).num_classes is None


def test_one_image_of_each_part_is_left_whatever_the_fraction(tmp_path):
    np.savez(tmp_path / "few.npz", x=PIXELS[:4])
    for fraction, counts in ((1e-300, (3, 1)), (0.9999, (1, 3))):
        data = load_dataset(tmp_path / "few.npz", batch_size=1, test_fraction=fraction)
        assert (data.num_train, data.num_test) == counts


def test_refusals_name_what_is_expected(tmp_path):
    for call, message in (
        (
            lambda: load_dataset("fashion"),
            "Expected one of .* 'fashion', which does not exist. Did you mean fashion_mnist",
        ),
        (lambda: load_dataset(tmp_path / "no.npz"), "which does not exist"),
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


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"name_or_path": ""}, "name_or_path must be a data set's name or a path. Received: ''"),
        ({"name_or_path": None}, "name_or_path must be a string, or a PathLike. Received: None"),
        ({"name_or_path": b"mnist"}, "name_or_path must be a string, or a PathLike. Received: b'mnist'"),
        ({"name_or_path": "MNIST"}, "Received: 'MNIST', which does not exist. Did you mean mnist"),
        ({"name_or_path": "x" * 5000}, "Received: 'xxx.*', which does not exist"),
        ({"name_or_path": "a\0b"}, r"'a\\x00b', which does not exist"),
        ({"name_or_path": "python_docs"}, "Received: 'python_docs', which is text"),
        ({"name_or_path": "/dev/zero"}, "Expected one of .* Received: '/dev/zero', which is neither"),
        ({"image_size": (8.5, 8)}, r"image_size must be \(height, width\), two integers, each 1 or more"),
        ({"image_size": "88"}, r"image_size must be \(height, width\)"),
        ({"image_size": (0, 8)}, r"image_size must be \(height, width\)"),
        ({"channels": True}, r"channels must be 1 \(grey\) or 3 \(colour\), or None. Received: True"),
        ({"test_fraction": float("nan")}, "test_fraction must be a number between 0 and 1. Received: nan"),
        ({"test_fraction": 0}, "test_fraction must be a number between 0 and 1. Received: 0"),
        ({"seed": 1.5}, r"seed must be an integer from 0 to 2\*\*31 - 1. Received: 1.5"),
        ({"seed": 2**31}, "seed must be an integer"),
        ({"batch_size": 2**200}, "batch_size must be an integer"),
        ({"batch_size": 10**9}, "fewer training images than one batch.* Received: 10000"),
        ({"background": "transparent"}, "background must be a colour.* Received: 'transparent'"),
        ({"background": 3}, "background must be a string. Received: 3"),
        ({"skip_broken": "False"}, "skip_broken must be True or False. Received: 'False'"),
        ({"name_or_path": "mnist", "data_dir": ""}, "data_dir must be an existing folder. Received: ''"),
        (
            {"name_or_path": "mnist", "channels": 1},
            "channels is for celeba, a folder of images: leave it out",
        ),
        ({"test_fraction": 0.5}, "test_fraction is for celeba, a folder of images, an .npz file: leave it"),
        ({"skip_broken": True}, "skip_broken is for celeba, a folder of images: leave it out"),
    ),
)
def test_arguments_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_dataset(**options)
    assert "\n" not in str(caught.value) and "Received: " in str(caught.value)


@pytest.mark.parametrize("source", ("folder", "npz"))
def test_a_fraction_is_not_held_out_beside_a_test_part(tmp_path, image_folder, source):
    if source == "folder":
        for part in ("train", "test"):
            (tmp_path / part).symlink_to(image_folder)
    path = tmp_path if source == "folder" else tmp_path / "parts.npz"
    np.savez(tmp_path / "parts.npz", x_train=PIXELS, x_test=PIXELS)
    with pytest.raises(ValueError, match="test_fraction is for images without a test part.* Received: 0.5"):
        load_dataset(path, batch_size=2, test_fraction=0.5)


@pytest.mark.parametrize(
    ("part", "array", "message"),
    (
        (
            0,
            np.zeros((0, 28, 28), "u1"),
            r"train-images\S*: images must be .*Received: shape \(0, 28, 28, 1\)",
        ),
        (0, np.zeros(40, "u1"), r"train-images\S*: images must be .*Received: shape \(40,\)"),
        (1, np.zeros(39, "u1"), r"train-labels\S*: labels don't match .*Received: \(39,\)"),
        (
            1,
            np.full(40, 200, "u1"),
            r"train-labels\S*: labels must be from 0 to 9. .* from 0 to 200|200 to 200",
        ),
        (3, np.zeros((20, 28, 28), "u1"), r"t10k-labels\S*: labels don't match .*Received: \(20, 28, 28\)"),
    ),
)
def test_idx_files_that_do_not_fit_are_named(tmp_path, part, array, message):
    write_idx_files(tmp_path)
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    (tmp_path / f"{IDX_PARTS[part]}-ubyte.gz").write_bytes(gzip.compress(header + array.tobytes()))
    with pytest.raises(ValueError, match=message):
        load_dataset("mnist", data_dir=tmp_path, batch_size=10)


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
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "cache"))

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


@pytest.mark.parametrize("damage", ("cut", "a pipe"))
def test_a_damaged_cache_is_named(tmp_path, monkeypatch, damage):
    cache = tmp_path / "datasets" / "fashion-mnist"
    cache.mkdir(parents=True)
    write_idx_files(cache)
    victim = cache / "t10k-labels-idx1-ubyte.gz"
    content = victim.read_bytes()
    victim.unlink()
    if damage == "cut":
        victim.write_bytes(content[:-10])
    else:
        os.mkfifo(victim)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    what = (
        "is a broken or truncated gzip file .* Delete it and download it again"
        if damage == "cut"
        else "pipe"
    )
    with pytest.raises(ValueError, match=f"{victim} .*{what}"):
        load_dataset("fashion_mnist")


def test_a_server_that_does_not_answer_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(load, "SECONDS", 0.2)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    module = __import__("keras.src.datasets.mnist", fromlist=["get_file"])
    real = module.get_file
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        monkeypatch.setattr(
            module,
            "get_file",
            lambda fname, origin, **_: real(fname, origin=address, cache_dir=str(tmp_path)),
        )
        with pytest.raises(
            ConnectionError, match="^mnist could not be downloaded.*timed out.*mnist.npz, if it"
        ):
            load_dataset("mnist")
    assert socket.getdefaulttimeout() is None


def test_every_named_download_is_keras_own():
    for name in ("fashion_mnist", "mnist", "cifar10"):
        assert callable(getattr(keras.datasets, name).load_data)
