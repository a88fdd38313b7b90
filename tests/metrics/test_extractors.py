"""The embedded extractor is what its card says, and other networks fit in."""

import functools
import hashlib
import http.server
import json
import os
import threading
import zipfile

import keras
import numpy as np
import pytest

from keras_gen.datasets.images.formats import read_npz
from keras_gen.datasets.load import ASSETS as DATA
from keras_gen.metrics import FeatureExtractor, load_extractor
from keras_gen.metrics.extractors import ASSETS, inception_v3
from keras_gen.models import CNNClassifier


@pytest.fixture(scope="module")
def embedded() -> FeatureExtractor:
    return load_extractor("fashion_mnist")


def test_embedded_extractor_is_what_its_card_says(embedded):
    path = ASSETS / "fashion_mnist.keras"
    card = json.loads((ASSETS / "fashion_mnist.json").read_text())
    assert hashlib.sha256(path.read_bytes()).hexdigest() == card["sha256_of_file"]
    assert embedded.sha256 == card["sha256_of_weights"]
    assert path.stat().st_size < 2e6
    assert card["test_accuracy"] >= 0.925
    arrays = read_npz(DATA / "fashion_mnist_12k.npz")
    _, probabilities = embedded(arrays["x_test"][..., np.newaxis])
    # A random fifth of the test set: within four standard errors.
    right = np.mean(probabilities.argmax(axis=1) == arrays["y_test"])
    assert right == pytest.approx(card["test_accuracy"], abs=4 * np.sqrt(0.07 * 0.93 / 2000))


def test_the_oldest_keras_that_is_allowed_reads_it():
    """Keras 3.12, the newest there is for Python 3.10, refuses options that came later."""
    with zipfile.ZipFile(ASSETS / "fashion_mnist.keras") as archive:
        config = archive.read("config.json").decode()
    for option in ("renorm", "quantization_config", "input_axes", "keras_gen"):
        assert option not in config, option


def test_features_do_not_depend_on_the_batches(embedded, garments, monkeypatch):
    x = garments[0][:80, ..., np.newaxis]
    whole = embedded(x)
    monkeypatch.setattr("keras_gen.metrics.extractors.BATCH", 7)
    for one, other in zip(embedded(x), whole, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    np.testing.assert_allclose(embedded(x / np.float32(255))[0], whole[0], atol=1e-4)


def test_resizes_with_antialiasing():
    """One white column in four: a resizer that only picks columns gives stripes, or nothing."""
    flat = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
    x = np.zeros((1, 32, 32, 3), "float32")
    x[:, :, ::4] = 1
    features, _ = FeatureExtractor(flat)(x)
    np.testing.assert_allclose(features.reshape(8, 8)[2:6, 2:6], 0.25, atol=0.02)


def test_grey_images_are_repeated_for_three_channels():
    mean = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.GlobalAveragePooling2D()])
    features, _ = FeatureExtractor(mean, pixel_range=(-1, 1))(np.full((2, 4, 4, 1), 255, "uint8"))
    np.testing.assert_array_equal(features, np.ones((2, 3)))


def test_maps_are_averaged_and_any_keras_file_will_do(tmp_path):
    network = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Conv2D(5, 3)])
    network.save(tmp_path / "mine.keras")
    extractor = load_extractor(tmp_path / "mine.keras")
    x = np.random.default_rng(0).random((3, 6, 6, 1), "float32")
    np.testing.assert_allclose(extractor(x)[0], network(x).numpy().mean(axis=(1, 2)), atol=1e-6)
    assert extractor.name == "mine" and extractor.num_classes is None
    assert load_extractor(network).sha256 == extractor.sha256


def test_a_classifier_of_ones_own_gives_features_and_probabilities(garments):
    model = CNNClassifier(widths=(4,), hidden_units=8, seed=0)
    features, probabilities = load_extractor(model)(garments[0][:5, ..., np.newaxis])
    np.testing.assert_allclose(features, model.features(garments[0][:5]), atol=1e-5)
    np.testing.assert_allclose(probabilities, model.classify(garments[0][:5]), atol=1e-5)


def test_the_hash_is_of_the_weights():
    first, second = (CNNClassifier(widths=(4,), hidden_units=8, seed=seed) for seed in (0, 1))
    assert load_extractor(first).sha256 != load_extractor(second).sha256
    second.set_weights(first.get_weights())
    assert load_extractor(first).sha256 == load_extractor(second).sha256


def test_refuses_what_is_no_extractor(tmp_path):
    vectors = keras.Sequential([keras.Input((10,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"one input \(height, width, channels\)"):
        load_extractor(vectors)
    with pytest.raises(ValueError, match=r"features \(n, d\) or \(n, h, w, d\)"):
        load_extractor(keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Reshape((4, 4))]))


@pytest.mark.parametrize(
    "source", ("", "nothing", "nothing.keras", None, 3, b"fashion_mnist", [], "a\0.keras")
)
def test_refuses_what_names_no_extractor(source):
    with pytest.raises(ValueError) as refusal:
        load_extractor(source)
    expected = "extractor must be fashion_mnist, inception_v3, an existing .keras file, or a keras.Model."
    assert str(refusal.value) == f"{expected} Received: {source!r}"


def test_refuses_files_that_are_not_models(tmp_path):
    (tmp_path / "empty.keras").touch()
    with pytest.raises(ValueError, match=r"a .keras file that Keras can load. Received: .*/empty.keras"):
        load_extractor(tmp_path / "empty.keras")
    os.mkfifo(tmp_path / "pipe.keras")
    (tmp_path / "folder.keras").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(ValueError, match=f"an existing .keras file.* Received: .*{name}.keras"):
            load_extractor(tmp_path / f"{name}.keras")


def test_an_embedded_network_that_was_changed_is_refused(tmp_path, monkeypatch):
    for name in ("fashion_mnist.keras", "fashion_mnist.json"):
        (tmp_path / name).write_bytes((ASSETS / name).read_bytes())
    with (tmp_path / "fashion_mnist.keras").open("ab") as file:
        file.write(b"more")
    monkeypatch.setattr("keras_gen.metrics.extractors.ASSETS", tmp_path)
    with pytest.raises(ValueError, match="must have the SHA-256 .*: install keras_gen again. Received: "):
        load_extractor("fashion_mnist")


def flat(*shape: int) -> keras.Model:
    return keras.Sequential([keras.Input(shape), keras.layers.Flatten()])


def test_refuses_images_that_an_extractor_cannot_read():
    extractor = FeatureExtractor(flat(4, 4, 3))
    for images, message in (
        (np.zeros((2, 4, 4)), r"images of shape \(n, height, width, channels\). Received: float64"),
        (np.zeros((0, 4, 4, 3)), "must be images, one or more. Received: float64 of shape"),
        (np.zeros((2, 4, 4, 3), int), r"must be uint8 in \[0, 255\] or floating point .* Received: int64"),
        (np.full((2, 4, 4, 3), 255.0), r"floating point in \[0, 1\]. Received: from 255 to 255"),
        (np.full((2, 4, 4, 3), np.nan), "must be finite. Received: NaN or infinity"),
        (np.zeros((2, 4, 4, 2)), r"have 1 or 3 channels.*. Received: \(2, 4, 4, 2\)"),
    ):
        with pytest.raises(ValueError, match=f"^images .*{message}"):
            extractor(images)


def test_a_network_that_computes_nan_is_said_to():
    network = keras.Sequential([flat(4, 4, 1), keras.layers.Dense(2)])
    network.layers[-1].bias.assign([np.nan, 0.0])
    with pytest.raises(ValueError, match="The extractor mine must give finite numbers.* Received: NaN"):
        FeatureExtractor(network, "mine")(np.zeros((1, 4, 4, 1)))
    with pytest.raises(ValueError, match=r"must be two different numbers. Received: \(1.0, 1.0\)"):
        FeatureExtractor(network, pixel_range=(1, 1))


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder on loopback in the place of Keras' own host, and an empty cache."""
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path / "home"))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield tmp_path, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_download_that_fails_says_what_to_do(served, monkeypatch):
    source = "keras.src.applications.inception_v3.WEIGHTS_PATH_NO_TOP"
    monkeypatch.setattr(source, f"{served[1]}/nothing.h5")
    with pytest.raises(ConnectionError, match="could not be downloaded.*Choose another extractor"):
        inception_v3()


@pytest.mark.slow
def test_inception_is_keras_own(served, monkeypatch, garments):
    """Random weights over loopback, through Keras' real download and its check of the hash."""
    folder, address = served
    plain = keras.applications.InceptionV3(include_top=False, weights=None, pooling="avg")
    plain.save_weights(folder / "inception.weights.h5")
    (folder / "inception.h5").write_bytes((folder / "inception.weights.h5").read_bytes())
    module = "keras.src.applications.inception_v3"
    monkeypatch.setattr(f"{module}.WEIGHTS_PATH_NO_TOP", f"{address}/inception.weights.h5")
    real = keras.utils.get_file

    def get_file(name, origin, cache_subdir, file_hash):
        digest = hashlib.sha256((folder / "inception.h5").read_bytes()).hexdigest()
        return real("inception.weights.h5", origin, cache_subdir=cache_subdir, file_hash=digest)

    monkeypatch.setattr(f"{module}.file_utils.get_file", get_file)
    extractor = load_extractor("inception")  # the alias
    assert extractor.name == "inception_v3"
    assert (extractor.image_shape, extractor.num_features) == ((299, 299, 3), 2048)
    features, probabilities = extractor(garments[0][:2, ..., np.newaxis])
    assert features.shape == (2, 2048) and probabilities is None
    big = keras.ops.image.resize(
        np.repeat(garments[0][:2, ..., None] / np.float32(255), 3, -1), (299, 299), antialias=True
    )
    np.testing.assert_allclose(features, plain(np.clip(big, 0, 1) * 2 - 1), rtol=1e-3, atol=1e-4)
