"""TensorBoard itself, started on a real run and asked over HTTP."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gen.runs import monitoring
from keras_gen.runs.checkpoints import newest_checkpoint
from keras_gen.runs.run import Run
from keras_gen.runs.training import StoppedEarly, resume, train
from keras_gen.utils import tensorboard

SIZES = {"latent_dim": 3, "widths": (4,), "hidden_units": 8}


def stop_after(steps: int):
    """A progress callback that interrupts a run after so many steps, as Ctrl-C does."""

    def progress(data, epochs, epoch, step):
        left = iter(range(steps - 1, -1, -1))
        return keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: next(left) or os.kill(os.getpid(), signal.SIGTERM)
        )

    return progress


def steps_by_tag(run, logs="logs") -> dict[str, list[int]]:
    """The steps of each tag in a run's event files, in the order in which they were written.

    Without hyperparameters, and what a clock decides on.
    """
    steps: dict[str, list[int]] = {}
    for path in sorted((run / logs).rglob("events.*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                if value.tag.startswith(("_hparams_", "utilization")):
                    continue
                steps.setdefault(f"{path.parent.name}:{value.tag}", []).append(event.step)
    return steps


@pytest.mark.slow
def test_an_interrupted_run_shows_what_a_straight_one_shows(tmp_path, garments, monkeypatch):
    """Every other epoch is shown, and the last; this run stops in the midst of the third."""
    monkeypatch.setattr(monitoring, "NUM_SHOWN", 2)
    build = Run.build

    def build_in_single_steps(run, data):
        model = build(run, data)
        model.compile(model.optimizer, steps_per_execution=1)
        return model

    monkeypatch.setattr(Run, "build", build_in_single_steps)
    images = garments[0][:64, 2:26:3, 2:26:3]  # 8 x 8
    np.savez(tmp_path / "tiny.npz", x_train=images, x_test=images)
    options = {"data": str(tmp_path / "tiny.npz"), "epochs": 5, "batch_size": 16}
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    train("vae", **options, out=str(straight), hyperparameters=SIZES)
    with pytest.raises(StoppedEarly):
        train("vae", **options, out=str(stopped), hyperparameters=SIZES, progress=stop_after(2 * 4 + 2))
    _, epoch, step = newest_checkpoint(stopped / "checkpoints")
    assert (epoch, step) == (2, 2)
    assert not list((stopped / "logs").rglob("*.tsv"))  # no latent space before the end
    resume(stopped)
    shown = {path.name: path.read_bytes() for path in (straight / "samples").iterdir()}
    assert {path.name: path.read_bytes() for path in (stopped / "samples").iterdir()} == shown
    assert sorted(shown) == ["epoch-0002.png", "epoch-0004.png", "epoch-0005.png", "final.png"]
    found = steps_by_tag(stopped)
    assert found == steps_by_tag(straight) and found["train:samples"] == [2, 4, 5]
    assert found["train:loss"] == found["validation:loss"] == [1, 2, 3, 4, 5]


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
        if {"train", "validation"} <= set(scalars):
            break
        time.sleep(0.5)
    validated = {"loss", "metrics/kl_loss", "metrics/reconstruction_loss", "metrics/active_units"}
    assert set(scalars["validation"]) == validated
    of_training = {"training/learning_rate", "training/images_per_second"}
    assert validated | of_training <= set(scalars["train"])
    points = ask(address, "plugin/scalars/scalars", run="train", tag="loss")
    assert [step for _, step, _ in points] == [1, 2]

    shown = ask(address, "plugin/images/tags")
    assert set(shown["train"]) == {"samples", "samples/reconstructions"}
    found = ask(address, "plugin/images/images", run="train", tag="samples", sample=0)
    assert [image["step"] for image in found] == [1, 2]
    png = (
        ask(address, "plugin/images/individualImage", blob_key=found[-1]["blob_key"])
        if ("blob_key" in found[-1])
        else urllib.request.urlopen(
            f"{address}/data/plugin/images/individualImage?{found[-1]['query']}", timeout=30
        ).read()
    )
    assert png.startswith(b"\x89PNG")

    assert set(ask(address, "runs")) == {"train", "validation", "projector"}
    assert ask(address, "plugin/projector/runs") == ["projector"]
    info = ask(address, "plugin/projector/info", run="projector")
    (embedding,) = info["embeddings"]
    name = embedding["tensorName"]
    tensor = ask(address, "plugin/projector/tensor", run="projector", name=name)
    assert len(tensor) == 64 * 3 * 4  # float32
    metadata = ask(address, "plugin/projector/metadata", run="projector", name=name)
    assert len(metadata.splitlines()) == 64
    sprite = ask(address, "plugin/projector/sprite_image", run="projector", name=name)
    assert sprite.startswith(b"\x89PNG")


def test_the_order_of_charts():
    """TensorBoard's own, by name; its HParams tab opens with the first five."""
    vae = tensorboard.scalar_tags(["active_units", "fd", "kl_loss", "loss", "reconstruction_loss"])
    gan = tensorboard.scalar_tags(["discriminator_loss", "fd", "generator_loss", "generator_learning_rate"])
    first = ["loss", "loss/discriminator_loss", "loss/generator_loss", "metrics/FD", "metrics/active_units"]
    assert sorted({*vae.values(), *gan.values()})[:5] == first
    groups = [
        "loss",
        tensorboard.METRICS,
        tensorboard.SAMPLES,
        tensorboard.TRAINING,
        tensorboard.UTILIZATION,
    ]
    assert groups == sorted(groups)


def test_what_a_killed_run_computes_again_is_taken_back(tmp_path):
    """Events of later epochs go, half a record at the end goes, the rest stays."""
    writer = tensorboard.summary_writer(tmp_path, "train")
    assert writer is tensorboard.summary_writer(tmp_path, "train")  # TensorBoard follows one file
    tensorboard.write_scalars(writer, {"loss": 3.0}, 1)
    (path,) = (tmp_path / "train").iterdir()
    kept = path.read_bytes()
    for epoch in (2, 3):
        tensorboard.write_scalars(writer, {"loss": 3.0}, epoch)
    path.write_bytes(path.read_bytes()[:-5])
    tensorboard.drop_events_after(tmp_path / "train", 1)
    assert path.read_bytes() == kept
    assert steps_by_tag(tmp_path, "train") == {"train:loss": [1]}
