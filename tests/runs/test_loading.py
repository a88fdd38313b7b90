"""What `load_model` says of files that are no models."""

import io
import json
import os
import zipfile

import keras
import pytest
from keras.src.saving import serialization_lib

from keras_gen.models import VAE
from keras_gen.runs.loading import load_model


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "vae.keras"
    VAE((8, 8, 1), latent_dim=3, widths=(4,), hidden_units=8, seed=0).save(path)
    return path.read_bytes()


def changed(saved: bytes, changes: dict[str, bytes | None]) -> bytes:
    """A `.keras` file with other parts; None leaves one out."""
    with zipfile.ZipFile(io.BytesIO(saved)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()} | changes
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            if content is not None:
                archive.writestr(name, content)
    return file.getvalue()


def with_config(saved: bytes, changes: dict, arguments: dict | None = None) -> bytes:
    """A `.keras` file whose model, or whose constructor's arguments, are others."""
    with zipfile.ZipFile(io.BytesIO(saved)) as archive:
        config = json.loads(archive.read("config.json"))
    config["config"].update(arguments or {})
    return changed(saved, {"config.json": json.dumps({**config, **changes}).encode()})


LAMBDA = {"class_name": "__lambda__", "config": {"value": "print(1)"}}
CASES = {
    "empty": (lambda saved: b"", r"is damaged or incomplete \(0 bytes, and not the zip archive"),
    "half": (lambda saved: saved[: len(saved) // 2], "is damaged or incomplete"),
    "flipped": (
        lambda saved: saved[:20_000] + bytes([saved[20_000] ^ 1]) + saved[20_001:],
        "is damaged .*model.weights.h5 is not what was written",
    ),
    "other": (
        lambda saved: changed(saved, {"config.json": None}),
        "is not a .keras file: expected a zip archive with config.json and model.weights.h5. Received: one",
    ),
    "no_json": (lambda saved: changed(saved, {"config.json": b"{"}), "config.json in it is not valid"),
    "deep": (
        lambda saved: changed(saved, {"config.json": b"[" * 100_000}),
        "config.json in it is not valid",
    ),
    "no_model": (
        lambda saved: changed(saved, {"config.json": b"[]"}),
        "config.json in it does not describe a Keras model",
    ),
    "bomb": (
        lambda saved: changed(saved, {"model.weights.h5": bytes(2**28 + 1)}),
        "model.weights.h5 in it has 268,435,457 bytes, more than a model's",
    ),
    "unregistered": (
        lambda saved: with_config(saved, {"module": "my", "registered_name": "my>Mine"}),
        "it holds a my>Mine of my, which is not registered. Import what registers it first",
    ),
    "lambda": (
        lambda saved: with_config(saved, {}, {"encoder": LAMBDA}),
        "it holds Python code .__lambda__., which keras_gen never runs",
    ),
    "arguments": (
        lambda saved: with_config(saved, {}, {"latent_dim": 0}),
        "the model that its config.json describes cannot be built .ValueError: latent_dim must be",
    ),
    "weights": (
        lambda saved: with_config(saved, {}, {"latent_dim": 5}),
        "its weights are damaged or do not fit .ValueError: A total of",
    ),
    "half_weights": (
        lambda saved: changed(saved, {"model.weights.h5": b"x" * 3000}),
        "its weights are damaged or do not fit .OSError",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_file_that_is_no_model_says_why_in_one_line(saved, tmp_path, name):
    make, message = CASES[name]
    path = tmp_path / f"{name}.keras"
    path.write_bytes(make(saved))
    with pytest.raises(ValueError, match=f"{name}.keras .*{message}") as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


def test_other_models_of_keras_and_unsafe_ones(tmp_path, monkeypatch):
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    plain.save(tmp_path / "plain.keras")
    with pytest.raises(
        ValueError, match="holds a Sequential, which is not a keras_gen model: load it with"
    ):
        load_model(tmp_path / "plain.keras")
    unsafe = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x)])
    unsafe.save(tmp_path / "unsafe.keras")
    monkeypatch.setattr(serialization_lib, "in_safe_mode", lambda: False)
    with pytest.raises(ValueError, match="it holds Python code .Lambda., which keras_gen never runs"):
        load_model(tmp_path / "unsafe.keras")


def test_what_is_no_file(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("")
    os.mkfifo(tmp_path / "pipe.keras")
    for source, message in (
        (tmp_path / "none.keras", "does not exist: expected a run directory, a .keras file or a preset"),
        ("x" * 5000, "does not exist: expected a run directory, a .keras file or a preset"),
        (tmp_path / "empty", "neither model.keras nor a checkpoint"),
        (tmp_path / "a.txt", "Expected a run directory, a .keras file or a preset"),
        (tmp_path / "pipe.keras", "pipe.keras must be a file. Received: a named pipe"),
    ):
        with pytest.raises(ValueError, match=message):
            load_model(source)
