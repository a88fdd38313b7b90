"""Presets: made, loaded by name, path and URL, and refused where they are not what their card says."""

import concurrent.futures
import contextlib
import functools
import hashlib
import http.server
import json
import os
import threading
import time

import numpy as np
import pytest

import keras_gen as kg
from keras_gen.datasets.text.text_sources import python_docs
from keras_gen.metrics import label_accuracy
from keras_gen.models import GAN, VAE, CNNClassifier
from keras_gen.runs.evaluating import evaluate_source
from keras_gen.serving.presets import downloads, find_preset, list_presets, read_card
from keras_gen.serving.presets.folders import ASSETS

every_preset = pytest.mark.parametrize("name", list_presets())
SLOW = {f"{name}_fashion_mnist" for name in ("diffusion", "cdiffusion", "adversarial_mean_flow")}
of_garments = [name for name, card in list_presets().items() if card["data"] == "fashion_mnist"]


@pytest.fixture(scope="module")
def model() -> VAE:
    return VAE(latent_dim=3, widths=(4,), hidden_units=8, seed=0)


@pytest.fixture
def preset(model, tmp_path):
    return model.save_preset(tmp_path / "mine", {"data": "fashion_mnist_12k", "licence": "MIT"})


# === Those in the package ===


@every_preset
def test_packaged_preset_is_what_its_card_says(name):
    card = list_presets()[name]
    assert card["data"] in ("fashion_mnist", "python_docs") and card["licence"].startswith("MIT")
    assert {"recipe", "seed", "versions", "hardware", "minutes", "metrics", "made_by"} <= card.keys()
    assert (ASSETS / name / "model.keras").stat().st_size < 4e6
    loaded = kg.from_preset(name)
    assert type(loaded).__name__ == card["model"] and loaded.count_params() == card["parameters"]
    assert not loaded.compiled
    for file, known in card["files"].items():
        assert hashlib.sha256((ASSETS / name / file).read_bytes()).hexdigest() == known["sha256"]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in of_garments]
)
def test_packaged_numbers_hold_on_the_embedded_fifth_of_the_test_set(name):
    """Card's numbers are of 10,000 test images; 2,000 of them must come near."""
    card, model = list_presets()[name], kg.from_preset(name)
    x, y = kg.load_dataset("fashion_mnist_12k").test_images()
    metrics = card["metrics"]
    if hasattr(model, "reconstruct"):
        error = kg.metrics.reconstruction_error(x[:500], model.reconstruct(x[:500]))
        assert error == pytest.approx(metrics["reconstruction_error"], rel=0.1)
    if hasattr(model, "generate"):
        names = ("precision", "label_accuracy") if model.conditional else ("precision",)
        labels = np.arange(1000) % 10 if model.conditional else None
        generated = model.generate(1000, seed=0, labels=labels)
        measured = kg.metrics.SetMetrics("fashion_mnist", x, names).measure(generated, labels=labels)
        for metric, bound in zip(names, (0.15, 0.03), strict=False):
            assert measured[metric][0] == pytest.approx(metrics[metric], abs=bound)
    if hasattr(model, "elbo"):
        assert -model.elbo(x).mean() == pytest.approx(metrics["cross_entropy_elbo"], rel=0.02)
    if hasattr(model, "classify"):
        assert label_accuracy(model.classify(x), y) == pytest.approx(metrics["accuracy"], abs=0.025)


def test_the_packaged_writer_writes_and_foretells():
    """Python's reference differs a little between its versions, and so do the numbers."""
    name = "lstm_python_docs"
    report = evaluate_source(name)
    assert report["bits_per_character"] == pytest.approx(
        read_card(ASSETS / name)["metrics"]["bits_per_character"], rel=0.03
    )
    assert report["perplexity"] < 0.7 * report.results["perplexity"].baselines["trigram"]
    text = kg.from_preset(name).generate("The class statement", max_tokens=400, temperature=0.5, seed=0)
    known = {bare(word) for topic in python_docs() for word in topic.split()}
    assert np.mean([bare(word) in known for word in text.split()]) > 0.8


def bare(word: str) -> str:
    return word.strip(".,()\"'`*:").lower()


def test_there_is_one_of_each_kind():
    kinds = ["vae", "autoencoder", "cnn_classifier", "gan", "wgan_gp", "cgan", "diffusion", "cdiffusion"]
    kinds += ["adversarial_mean_flow"]
    assert {f"{kind}_fashion_mnist" for kind in kinds} <= set(list_presets())


# === Making and loading ===


def test_round_trip_in_float16(model, preset, garments):
    card = read_card(preset)
    assert card["model"] == "VAE" and card["parameters"] == model.count_params() and card["seed"] == 0
    assert card["licence"] == "MIT" and card["data"] == "fashion_mnist_12k"
    assert sorted(path.name for path in preset.iterdir()) == ["card.json", "model.keras", "samples.png"]
    again = kg.from_preset(preset)
    assert all(weight.dtype == "float32" for weight in again.weights)
    for one, other in (
        (again.generate(20, seed=3), model.generate(20, seed=3)),
        (again.reconstruct(garments[0][:20]), model.reconstruct(garments[0][:20])),
    ):
        assert 0 < np.abs(one - other).max() < 1e-2
    full = model.save_preset(preset.parent / "full", weights="float32")
    np.testing.assert_array_equal(kg.from_preset(full).generate(9, seed=3), model.generate(9, seed=3))
    assert (preset / "model.keras").stat().st_size < (full / "model.keras").stat().st_size


def test_leaves_out_the_optimizer_and_trains_on(garments, tmp_path):
    model = CNNClassifier(widths=(4,), hidden_units=8, seed=0)
    model.compile()
    model.fit(*garments, verbose=0)
    folder = model.save_preset(tmp_path / "preset")
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "model.keras"]  # no samples
    again = kg.from_preset(folder)
    np.testing.assert_allclose(again.classify(garments[0]), model.classify(garments[0]), atol=1e-2)
    again.compile()
    again.fit(*garments, verbose=0)


def test_weights_that_float16_would_break_stay_in_float32(tmp_path, garments):
    model = CNNClassifier(widths=(4,), hidden_units=8, seed=0)
    kernel = max(model.network.weights, key=lambda weight: weight.shape.num_elements())
    kernel.assign(kernel * 1e6)  # beyond float16's largest number
    with pytest.raises(ValueError, match="With float16 weights the model's outputs differ"):
        model.save_preset(tmp_path / "half", weights="float16")
    assert not (tmp_path / "half").exists()
    again = kg.from_preset(model.save_preset(tmp_path / "auto"))
    np.testing.assert_array_equal(again.classify(garments[0]), model.classify(garments[0]))


def test_small_arrays_stay_in_float32(tmp_path):
    """A sharp choice among clusters moves visibly where its logits are rounded."""
    model = GAN(generator_widths=(64, 4), discriminator_widths=(4, 8), seed=0)
    again = kg.from_preset(model.save_preset(tmp_path / "half", weights="float16"))
    cluster = again.generator.get_layer("cluster").kernel.numpy()
    np.testing.assert_array_equal(cluster, model.generator.get_layer("cluster").kernel.numpy())
    largest = [max(m.generator.get_weights(), key=np.size) for m in (model, again)]
    assert 0 < np.abs(largest[0] - largest[1]).max() < 1e-3


def test_nothing_is_overwritten_and_nothing_half_is_left(model, preset, tmp_path):
    with pytest.raises(ValueError, match="exists already, and existing paths are never overwritten"):
        model.save_preset(preset)
    other = tmp_path / "other"
    for arguments, message in (
        ({"directory": ""}, "directory must be the path of a folder to make. Received: ''"),
        ({"directory": None}, "directory must be a string, or a PathLike. Received: None"),
        ({"directory": preset / "card.json" / "x"}, "directory must be where a folder can be made"),
        ({"weights": "int8"}, "weights must be one of 'auto', 'float16', 'float32'. Received: 'int8'"),
        ({"card": {"a": object()}}, "card must be what JSON can hold. Received: {'a': <object"),
        ({"card": {"fd": float("nan")}}, "card must be what JSON can hold. Received: {'fd': nan}"),
        ({"card": {"files": {}}}, "card must leave files to save_preset. Received: {}"),
        ({"picture": np.zeros((3, 3))}, r"picture must be uint8 \(height, width, 3\). Received: float64"),
    ):
        with pytest.raises(ValueError, match=message):
            model.save_preset(**{"directory": other, **arguments})
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_changed_file_is_refused(preset):
    content = bytearray((preset / "model.keras").read_bytes())
    content[100] ^= 1
    (preset / "model.keras").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"model.keras is damaged or was changed: expected [0-9,]+ bytes of SHA-256"
    ):
        kg.from_preset(preset)
    (preset / "model.keras").unlink()
    with pytest.raises(ValueError, match=r"is not complete: model.keras is missing"):
        kg.from_preset(preset)
    (preset / "card.json").write_text("{}")
    with pytest.raises(ValueError, match="card.json: model is missing. A preset is a folder with"):
        kg.from_preset(preset)


def test_a_card_names_the_files_of_a_preset_only(preset):
    """No file is opened that is none of a preset's, and none that has another size is read."""
    card = read_card(preset)
    file = {"sha256": "0" * 64, "bytes": 1}
    known = "'model.keras', 'samples.png' or 'samples.txt'"
    for change, message in (
        ({"files": {**card["files"], "/dev/zero": file}}, f"must be {known}. Received: '/dev/zero'"),
        ({"files": {**card["files"], "../file": file}}, f"must be {known}. Received: '../file'"),
        ({"files": {}}, "files must name model.keras. Received: {}"),
        ({"files": {"model.keras": {"bytes": 1}}}, "files.model.keras.sha256 is missing"),
        ({"files": {"model.keras": {"bytes": 1, "sha256": "x"}}}, r"must match pattern .* Received: 'x'"),
        ({"files": {"model.keras": {**file, "bytes": 2**50}}}, "may have at most 4,294,967,296 bytes"),
        ({"files": {"model.keras": file}}, "expected 1 bytes of SHA-256 0*, as card.json says. Received"),
    ):
        (preset / "card.json").write_text(json.dumps({**card, **change}))
        with pytest.raises(ValueError, match=message):
            kg.from_preset(preset)
    for content, message in (
        (b'{"a":' * 100_000, "card.json: expected JSON. Received: recursion limit exceeded"),
        (b" " * 2**21, "card.json must have at most 1,048,576 bytes. Received: 2,097,152 bytes"),
    ):
        (preset / "card.json").write_bytes(content)
        with pytest.raises(ValueError, match=message):
            kg.from_preset(preset)


def test_a_preset_is_made_of_regular_files(preset):
    (preset / "model.keras").unlink()
    os.mkfifo(preset / "model.keras")
    with pytest.raises(ValueError, match="model.keras must be a file. Received: a named pipe"):
        kg.from_preset(preset)
    (preset / "model.keras").unlink()
    (preset / "model.keras").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="model.keras must be a file. Received: a device"):
        kg.from_preset(preset)


def test_unknown_names_are_refused_with_those_there_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="Unknown preset: expected one of .*vae_fashion_mnist"):
        kg.from_preset("vae_imagenet")
    assert find_preset("vae_imagenet") is None


# === Over HTTP ===


@pytest.fixture
def host(tmp_path, monkeypatch):
    """Serves `tmp_path` on loopback, and counts the requests; the cache is in `tmp_path`, too."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    handler = functools.partial(Handler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def cached(tmp_path) -> list:
    return list((tmp_path / "home").rglob("*.*"))


def test_a_url_is_downloaded_once(model, preset, host):
    address, asked = host
    for _ in range(2):
        loaded = kg.from_preset(f"{address}/mine")
        np.testing.assert_allclose(loaded.generate(4, seed=0), model.generate(4, seed=0), atol=1e-2)
    assert asked == ["/mine/card.json", "/mine/model.keras", "/mine/samples.png"]


def test_a_url_with_a_checksum(preset, host, tmp_path):
    address, _ = host
    right = hashlib.sha256((preset / "card.json").read_bytes()).hexdigest()
    assert kg.load_model(f"{address}/mine/#sha256={right}").latent_dim == 3
    with pytest.raises(ValueError, match="is not the preset that was asked for: expected a card.json"):
        kg.from_preset(f"{address}/mine#sha256={'0' * 64}")
    with pytest.raises(ValueError, match="Expected #sha256= and 64 digits"):
        kg.from_preset(f"{address}/mine#md5=1")


def test_what_comes_damaged_or_not_at_all_leaves_nothing(preset, host, tmp_path):
    address, _ = host
    card = json.loads((preset / "card.json").read_text())
    card["files"]["model.keras"]["sha256"] = "0" * 64
    (preset / "card.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match=r"/mine/model.keras is damaged or was changed"):
        kg.from_preset(f"{address}/mine")
    with pytest.raises(ConnectionError, match="card.json could not be downloaded .*404"):
        kg.from_preset(f"{address}/nothing")
    (preset / "card.json").write_text("<html>Sign in</html>")
    with pytest.raises(ValueError, match="/mine/card.json: expected JSON. Received: expected value"):
        kg.from_preset(f"{address}/mine")
    assert cached(tmp_path) == []


def test_a_transfer_that_breaks_off_leaves_nothing(preset, host, tmp_path, monkeypatch):
    address, _ = host
    real = http.server.SimpleHTTPRequestHandler.copyfile

    def copyfile(self, source, outputfile):
        if self.path.endswith("model.keras"):
            outputfile.write(source.read(500))  # of the length that the header promised
            self.close_connection = True
        else:
            real(self, source, outputfile)

    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "copyfile", copyfile)
    with pytest.raises(ConnectionError, match="model.keras could not be downloaded .*IncompleteRead"):
        kg.from_preset(f"{address}/mine")
    assert cached(tmp_path) == []


@pytest.mark.parametrize(
    ("url", "message"),
    (
        ("ftp://host/mine", "A preset's URL must be like https://host/folder. Received: 'ftp://host/mine'"),
        ("http:///mine", "A preset's URL must be like https://host/folder"),
        ("http://host:99999/mine", "URL of a preset is not valid .Port out of range"),
        ("http://[::1/mine", "URL of a preset is not valid .Invalid IPv6 URL"),
        ("http://a host/mine", "A URL must not have spaces, .* write them as %20"),
        ("", "Expected the name, path or URL of a model. Received: ''"),
        ("a\0b", "Expected the name, path or URL of a model"),
        (None, "source must be a string, or a PathLike. Received: None"),
    ),
)
def test_urls_that_are_none(url, message):
    for load in (kg.from_preset, kg.load_model):
        with pytest.raises(ValueError, match=message):
            load(url)


class Unkind(http.server.BaseHTTPRequestHandler):
    """Answers as the name of the folder says."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        kind = self.path.split("/")[1]
        locations = {"ftp": "ftp://127.0.0.1/x", "file": "file:///etc/passwd", "loop": self.path}
        self.send_response(302 if kind in locations else 200)
        if kind in locations:
            self.send_header("Location", locations[kind])
        if kind == "gzip":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        with contextlib.suppress(OSError):
            while kind == "drip":
                self.wfile.write(b"x")
                time.sleep(0.05)
            self.wfile.write(b"x" * (2**21 if kind == "large" else 10))


@pytest.mark.parametrize(
    ("kind", "message"),
    (
        ("ftp", "a redirection to ftp://127.0.0.1/x is not followed"),
        ("file", "Redirection to url 'file:///etc/passwd' is not allowed"),
        ("loop", "infinite loop"),
        ("gzip", "expected the file as it is. Received: one compressed by gzip"),
        ("large", "expected at most 1,048,576 bytes. Received: more"),
        ("drip", "TimeoutError: it was not there after 1 seconds"),
    ),
)
def test_servers_that_are_unkind(tmp_path, monkeypatch, kind, message):
    """Time and size have limits, and nothing but HTTP is spoken; one line says so."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(downloads, "SECONDS", 0.6)
    monkeypatch.setattr(downloads, "BYTES_PER_SECOND", 1e9)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Unkind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(ConnectionError, match=message) as caught:
            kg.from_preset(f"http://127.0.0.1:{server.server_port}/{kind}")
        server.shutdown()
    assert "\n" not in str(caught.value) and cached(tmp_path) == []


def test_a_damaged_download_is_renewed_where_it_can_be(preset, host, tmp_path):
    address, _ = host
    url = f"{address}/mine"
    folder = find_preset(url)
    for name in ("model.keras", "card.json"):
        (folder / name).write_bytes(b"damaged")
        assert kg.from_preset(url).latent_dim == 3
    (folder / "model.keras").write_bytes(b"damaged")
    (preset / "card.json").unlink()
    with pytest.raises(ConnectionError, match="could not be downloaded .*404"):
        kg.from_preset(url)


def test_two_downloads_at_once_make_one_folder(preset, host):
    address, _ = host
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(find_preset, [f"{address}/mine"] * 4))
    assert len(set(folders)) == 1 and [path.name for path in folders[0].parent.iterdir()] == [
        folders[0].name
    ]


def test_a_password_in_a_url_is_refused_and_not_shown():
    with pytest.raises(ValueError, match="must not hold a name or a password") as refusal:
        kg.from_preset("https://user:secret@host/preset")
    assert "secret" not in str(refusal.value)


def test_a_home_that_is_no_directory(preset, host, monkeypatch):
    address, _ = host
    monkeypatch.setenv("KERAS_HOME", str(preset / "card.json"))
    with pytest.raises(ValueError, match="KERAS_HOME must be a directory .* Received: .*Not a directory"):
        kg.from_preset(f"{address}/mine")
