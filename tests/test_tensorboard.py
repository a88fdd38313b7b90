"""TensorBoard itself, started on a real run and asked over HTTP."""

import json
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import numpy as np
import pytest

from keras_gen.training import train


@pytest.fixture(scope="module")
def address(tmp_path_factory, garments):
    folder = tmp_path_factory.mktemp("tensorboard")
    images, labels = garments
    np.savez(folder / "small.npz", x_train=images, y_train=labels, x_test=images[:64], y_test=labels[:64])
    run = train(
        "vae",
        data=str(folder / "small.npz"),
        epochs=2,
        batch_size=64,
        out=str(folder / "run"),
        hyperparameters={"latent_dim": 3, "widths": (4,), "hidden_units": 8},
    )
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", run / "logs"]
    command += ["--host", "127.0.0.1", "--port", "0", "--load_fast", "false"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for line in process.stdout:
            if "http://" in line:
                found = next(word for word in line.split() if word.startswith("http://"))
                break
        yield found.rstrip("/")
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def ask(address: str, path: str, **query):
    url = f"{address}/data/{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        body = answer.read()
        return json.loads(body) if "json" in answer.headers["Content-Type"] else body


@pytest.mark.slow
def test_tensorboard_lists_scalars_images_and_the_projector(address):
    for _ in range(60):  # it reads the files in the background
        scalars = ask(address, "plugin/scalars/tags")
        if {"train", "validation", "hardware"} <= set(scalars):
            break
        time.sleep(0.5)
    assert {"epoch_loss", "epoch_kl_loss", "epoch_active_units"} <= set(scalars["train"])
    assert "epoch_loss" in scalars["validation"]
    assert {"cpu_percent", "images_per_second"} <= set(scalars["hardware"])
    points = ask(address, "plugin/scalars/scalars", run="train", tag="epoch_loss")
    assert [step for _, step, _ in points] == [0, 1]

    shown = ask(address, "plugin/images/tags")
    assert "samples" in shown["samples"] and "reconstructions" in shown["reconstructions"]
    found = ask(address, "plugin/images/images", run="samples", tag="samples", sample=0)
    assert [image["step"] for image in found] == [0, 1]
    png = (
        ask(address, "plugin/images/individualImage", blob_key=found[-1]["blob_key"])
        if ("blob_key" in found[-1])
        else urllib.request.urlopen(
            f"{address}/data/plugin/images/individualImage?{found[-1]['query']}", timeout=30
        ).read()
    )
    assert png.startswith(b"\x89PNG")

    runs = ask(address, "plugin/projector/runs")
    assert "projector" in runs
    info = ask(address, "plugin/projector/info", run="projector")
    (embedding,) = info["embeddings"]
    name = embedding["tensorName"]
    tensor = ask(address, "plugin/projector/tensor", run="projector", name=name)
    assert len(tensor) == 64 * 3 * 4  # float32
    metadata = ask(address, "plugin/projector/metadata", run="projector", name=name)
    assert len(metadata.splitlines()) == 64
    sprite = ask(address, "plugin/projector/sprite_image", run="projector", name=name)
    assert sprite.startswith(b"\x89PNG")
