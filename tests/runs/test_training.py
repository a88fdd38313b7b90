"""A run directory, and what is left of a run that was killed."""

import csv
import dataclasses
import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gen.commands import main
from keras_gen.models import VAE
from keras_gen.recipes import RECIPES
from keras_gen.runs import planning
from keras_gen.runs.checkpoints import newest_checkpoint
from keras_gen.runs.config import Config
from keras_gen.runs.failures import explain_failures
from keras_gen.runs.loading import load_model
from keras_gen.runs.locks import locked
from keras_gen.runs.run import Run
from keras_gen.runs.training import StoppedEarly, resume, train
from keras_gen.tokenizers import CharacterTokenizer
from keras_gen.utils.hardware import computes_in_bfloat16

SMALL = {"latent_dim": 3, "widths": (4, 8), "hidden_units": 12}


@pytest.fixture
def small_data(tmp_path, garments) -> str:
    """2 x 128 images as an .npz: 4 steps of 32 an epoch."""
    images, labels = garments
    path = tmp_path / "small.npz"
    np.savez(
        path,
        x_train=images[:128],
        y_train=labels[:128],
        x_test=images[128:256],
        y_test=labels[128:256],
    )
    return str(path)


def contents(run: Path) -> dict[str, bytes]:
    """What two equal runs have in common to the last bit: all state, metrics and pictures."""
    found = {}
    with zipfile.ZipFile(run / "model.keras") as archive:
        weights = archive.read("model.weights.h5")

    def add(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()].tobytes()

    with h5py.File(io.BytesIO(weights)) as file:
        file.visititems(add)
    found["metrics.csv"] = (run / "metrics.csv").read_bytes()
    for picture in sorted((run / "samples").iterdir()):
        found[picture.name] = picture.read_bytes()
    return found


def assert_equal_runs(first: Path, second: Path) -> None:
    one, other = contents(first), contents(second)
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []


def options(small_data: str, out: Path, **more) -> dict:
    return {
        "data": small_data,
        "epochs": 3,
        "batch_size": 32,
        "out": str(out),
        "hyperparameters": SMALL,
        **more,
    }


def test_run_directory(small_data, tmp_path):
    run = train("cvae", **options(small_data, tmp_path / "run", seed=5))
    config = json.loads((run / "config.json").read_text())
    assert config["train"]["epochs"] == 3 and config["train"]["seed"] == 5
    assert config["data"]["data"] == small_data and config["model"]["widths"] == [4, 8]
    assert set(config) == {"train", "data", "model", "run"}
    assert config["run"]["recipe"] == "cvae" and config["run"]["parameters"] > 0
    assert {"tensorflow", "keras", "cpu", "ram"} <= config["run"]["hardware"].keys()
    rows = (run / "metrics.csv").read_text().splitlines()
    assert rows[0].startswith("epoch,active_units,kl_loss,loss") and len(rows) == 4
    assert rows[3].endswith(",0.0")  # the learning rate has decayed
    assert (run / "samples" / "final.png").exists()
    assert (run / "samples" / "epoch-0003.png").exists()
    for name in ("train", "validation", "projector"):
        assert list((run / "logs" / name).glob("events.*")), name
    assert not list(run.rglob(".*")), "drafts are left"
    model = load_model(run)
    assert model.class_names == tuple("0123456789") and model.seed == 5
    assert resume(run) == run  # finished: nothing to do


def test_config_has_what_nobody_gave_and_repeats_the_run(small_data, tmp_path):
    """From Python, where one option of each kind is given; by the command, and by reading it back."""
    given = {"hyperparameters": {**SMALL, "beta": np.float32(0.5)}, "data_options": {"test_fraction": 0.2}}
    with np.load(small_data) as arrays:  # without a test part
        np.savez(tmp_path / "all.npz", x_train=arrays["x_train"], y_train=arrays["y_train"])
    first = train("vae", **options(str(tmp_path / "all.npz"), tmp_path / "first", epochs=1, **given))
    config = json.loads((first / "config.json").read_text())
    of_model, of_data = config["model"], config["data"]
    assert of_model["beta"] == 0.5 and of_model["free_bits"] == 0.0 and of_model["num_classes"] is None
    assert of_model["likelihood"] == "bernoulli"
    assert of_data["test_fraction"] == 0.2 and of_data["skip_broken"] is False
    assert config["train"]["learning_rate"] == VAE.default_learning_rate
    assert config["run"]["jit_compile"] is False and config["run"]["dtype"] == "float32"
    again = str(tmp_path / "again")
    assert main.main(["train", "vae", "--config", str(first / "config.json"), "--out", again]) == 0
    assert_equal_runs(first, Path(again))
    read = Run(tmp_path / "read", Config.read(first, train))
    assert_equal_runs(first, read.train())


def test_config_of_old_is_read(tmp_path):
    """One that holds only what was given, from before there were steps."""
    old = {"data": "fashion_mnist_12k", "epochs": 3, "beta": 2.0, "run": {"recipe": "vae"}}
    (tmp_path / "config.json").write_text(json.dumps(old))
    config = Config.read(tmp_path, train)
    assert config.hyperparameters == {"beta": 2.0} and config.data_options["test_fraction"] == 0.1
    assert (config.options["epochs"], config.options["steps"], config.options["seed"]) == (3, None, 0)


def test_a_data_option_without_effect_in_an_old_config_is_dropped(tmp_path):
    """It was recorded, and `load_dataset` refuses it today."""
    old = {"data": "fashion_mnist_12k", "background": "black", "epochs": 3, "run": {"recipe": "vae"}}
    (tmp_path / "config.json").write_text(json.dumps(old))
    assert Config.read(tmp_path, train).data_options["background"] == "white"


@pytest.mark.slow
def test_a_run_with_networks_of_its_own_is_not_repeated_without_them(small_data, tmp_path, capsys):
    own = {"decoder": VAE((28, 28, 1), 3, widths=(4,), hidden_units=8).decoder, "latent_dim": 3}
    with pytest.raises(StoppedEarly):
        train("vae", **options(small_data, tmp_path / "run", hyperparameters=own), max_minutes=1e-6)
    config = tmp_path / "run" / "config.json"
    assert json.loads(config.read_text())["run"]["own_networks"] == ["decoder"]
    assert resume(tmp_path / "run") == tmp_path / "run"  # the checkpoint has them
    assert main.main(["train", "vae", "--config", str(config), "--out", str(tmp_path / "again")]) == 1
    assert "had networks of its own (decoder)" in capsys.readouterr().err


def test_run_directory_of_a_classifier(small_data, tmp_path):
    sizes = {"widths": (4,), "hidden_units": 8}
    run = train("cnn_classifier", **options(small_data, tmp_path / "run", hyperparameters=sizes))
    assert (run / "metrics.csv").read_text().startswith("epoch,accuracy,loss,val_accuracy,val_loss,")
    for name in ("train", "validation"):
        assert list((run / "logs" / name).glob("events.*")), name
    assert (run / "samples" / "final.png").exists()
    assert json.loads((run / "time.json").read_text())["training_seconds"] > 0
    assert load_model(run).class_names == tuple("0123456789")


@pytest.mark.slow
def test_run_directory_of_a_gan(small_data, tmp_path):
    """Two learning rates, of which both decay; numbers of the processor's choice; labels from the data."""
    sizes = RECIPES["cgan"].smoke
    rates = {"learning_rate": 1e-3, "discriminator_learning_rate": 4e-3}
    run = train("cgan", **options(small_data, tmp_path / "run", hyperparameters=sizes), **rates)
    config = json.loads((run / "config.json").read_text())
    assert config["train"]["dtype_policy"] == "auto" and load_model(run).get_config()["dtype"] == "auto"
    assert config["run"]["dtype"] == ("mixed_bfloat16" if computes_in_bfloat16() else "float32")
    assert config["train"]["discriminator_learning_rate"] == 4e-3
    with open(run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    first = rows[0]
    ratio = float(first["discriminator_learning_rate"]) / float(first["generator_learning_rate"])
    assert ratio == pytest.approx(4.0, rel=1e-5)
    assert float(rows[-1]["generator_learning_rate"]) < 0.2 * float(first["generator_learning_rate"])
    assert 0 <= float(first["real_accuracy"]) <= 1 and float(first["diversity"]) > 0
    model = load_model(run)
    assert model.num_classes == 10 and model.class_names == tuple("0123456789")
    assert model.generate(2, seed=0, labels=[1, 2]).shape == (2, 28, 28, 1)
    # A recipe that counts images makes as many epochs of them as the data's size asks for.
    shorter = dataclasses.replace(RECIPES["gan"], images=300)
    counted = {**options(small_data, tmp_path / "counted"), "epochs": None}
    counted["hyperparameters"] = RECIPES["gan"].smoke
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "gan", shorter)
        counted_run = train("gan", **counted)
    assert (
        json.loads((counted_run / "config.json").read_text())["train"]["epochs"] == 2
    )  # of 128 images each


@pytest.mark.slow
def test_the_time_of_a_resumed_run_is_that_of_its_parts(small_data, tmp_path):
    with pytest.raises(StoppedEarly):
        train("vae", **options(small_data, tmp_path / "run"), max_minutes=1e-6)
    kept = tmp_path / "run" / "time.json"
    kept.write_text('{"training_seconds": 1000.0}')
    resume(tmp_path / "run")
    assert 1000 < json.loads(kept.read_text())["training_seconds"] < 1100


def test_a_data_sets_name_wins_over_a_folder_of_that_name(tmp_path, monkeypatch):
    """As in `load_dataset`: what is asked for is the data set, wherever the command is typed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fashion_mnist_12k").mkdir()
    seen = []
    monkeypatch.setattr(Run, "train", lambda run, *_, **__: seen.append(run.config.options["data"]))
    train("vae", data="fashion_mnist_12k", out="run")
    assert seen == ["fashion_mnist_12k"]


def test_a_directory_that_is_not_empty_is_refused(small_data, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("keep me")
    with pytest.raises(ValueError, match="full is not empty.*keras-gen resume"):
        train("vae", **options(small_data, tmp_path / "full"))
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.txt"]


def test_a_run_that_another_process_trains_is_left_alone(small_data, tmp_path):
    """The lock is the system's, which frees it however the process ends; `out` may exist."""
    out = tmp_path / "run"
    out.mkdir()
    with locked(out):
        with pytest.raises(ValueError, match="run is in use: another process is training"):
            train("vae", **options(small_data, out))
        assert [path.name for path in out.iterdir()] == [".lock"]
    (out / ".lock").touch()  # as a killed process leaves it
    with pytest.raises(StoppedEarly):
        train("vae", **options(small_data, out), max_minutes=1e-6)
    before = snapshot(out)
    with locked(out), pytest.raises(ValueError, match="run is in use"):
        resume(out)
    assert snapshot(out) == before


@pytest.mark.slow
def test_of_two_processes_that_train_into_one_directory_one_does(small_data, tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-c", DYING, str(out), small_data, "99", "train"]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=300)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1]
    loser = said[both[0].returncode == 0]
    assert "run is in use: another process is training" in loser or "run is not empty" in loser
    assert_equal_runs(train("vae", **options(small_data, tmp_path / "straight")), out)


DISK = "runs/a could not be written: .* Free some space, or make it writable, .* keras-gen resume runs/a"
MEMORY = (
    "runs/a: there is not enough memory for this model and batch_size. Choose smaller ones. Received: OOM"
)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    (
        (OSError(errno.ENOSPC, "No space left on device"), OSError, DISK),
        (OSError("Can't write data (errno = 28, error message = 'No space left')"), OSError, DISK),
        (
            OSError(errno.EACCES, "Permission denied", "runs/a/x"),
            PermissionError,
            "Permission denied: 'runs/a/x'",
        ),
        (tf.errors.FailedPreconditionError(None, None, "{{node}} logs; Not a directory"), OSError, DISK),
        (tf.errors.OutOfRangeError(None, None, "runs/a/logs; File too large\nFailed"), OSError, DISK),
        (tf.errors.ResourceExhaustedError(None, None, "{{node}} OOM when allocating"), MemoryError, MEMORY),
        (
            tf.errors.ResourceExhaustedError(None, None, "Out of memory while trying to allocate 9 bytes"),
            MemoryError,
            "not enough memory .* Received: Out of memory",
        ),
        (tf.errors.NotFoundError(None, None, "No algorithm worked!"), tf.errors.NotFoundError, "worked"),
        (ConnectionError("the server has gone"), ConnectionError, "^the server has gone$"),
    ),
    ids=lambda value: type(value).__name__,
)
def test_a_full_disk_and_too_small_a_memory_are_one_line_with_the_run(error, kind, message):
    with pytest.raises(kind, match=message) as caught, explain_failures(Path("runs/a")):
        raise error
    assert "\n" not in str(caught.value)


def snapshot(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def stopped_run(tmp_path_factory, garments) -> Path:
    """A run that was stopped at the end of its second epoch of three, and the checkpoint of another."""
    folder = tmp_path_factory.mktemp("stopped")
    images, labels = (array[:64] for array in garments)
    images = images[:, ::4, ::4]
    np.savez(folder / "small.npz", x_train=images, y_train=labels, x_test=images[:32], y_test=labels[:32])
    for name in ("run", "other"):
        sizes = {"latent_dim": 3, "widths": (4,), "hidden_units": 8}
        chosen = options(str(folder / "small.npz"), folder / name, hyperparameters=sizes)
        with pytest.raises(StoppedEarly):
            train("vae", **chosen, progress=StopAfterEpochs(2))
    return folder / "run"


class StopAfterEpochs:
    """A progress callback that asks the run to stop after so many epochs."""

    def __init__(self, epochs: int):
        self.epochs = epochs

    def __call__(self, *_):
        def on_epoch_end(epoch, logs):
            if epoch + 1 == self.epochs:
                os.kill(os.getpid(), signal.SIGTERM)

        return keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)


def edited(group: str, **changes):
    """Another config.json: `changes` in one of its groups."""

    def edit(run: Path) -> None:
        config = json.loads((run / "config.json").read_text())
        config[group] = {**config[group], **changes}
        (run / "config.json").write_text(json.dumps(config))

    return edit


def replaced(name: str, change):
    """Another content of a file, from what is in it; or another thing in its place."""

    def replace(run: Path) -> None:
        (path,) = run.glob(name)
        content = path.read_bytes() if path.is_file() else b""
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        made = change(content) if not isinstance(change, bytes) else change
        path.write_bytes(made)

    return replace


def moved(name: str):
    """The checkpoint by another name."""

    def move(run: Path) -> None:
        (path,) = run.glob(CHECKPOINT)
        path.rename(path.with_name(name))

    return move


def of_another(run: Path) -> None:
    (path,) = run.glob(CHECKPOINT)
    shutil.copy(OTHERS[0] / "checkpoints" / path.name, path)


OTHERS: list[Path] = []
CHECKPOINT = "checkpoints/*.keras"
DAMAGES = {
    "half a checkpoint": (
        replaced(CHECKPOINT, lambda old: old[:1000]),
        "damaged .*0.keras away",
    ),
    "a checkpoint by another name": (
        moved("epoch-x-step-y.keras"),
        "is not a checkpoint of a run",
    ),
    "a checkpoint renamed": (
        moved("epoch-00001-step-0000000.keras"),
        "renamed: it was saved in epoch 2, step 0",
    ),
    "another run's checkpoint": (
        of_another,
        "is not a checkpoint of this run: it belongs to another run. Move",
    ),
    "another model": (
        edited("model", latent_dim=5),
        "expected latent_dim=5, .* Received: latent_dim=3",
    ),
    "no folder": (
        replaced("checkpoints", b""),
        "checkpoints must be a directory. Received: a file",
    ),
    "logs": (replaced("logs", b""), "logs must be a directory. Received: a file. Move it away"),
    "semicolons": (
        replaced("metrics.csv", lambda old: old.replace(b",", b";")),
        "metrics.csv: expected the columns epoch,active_units.* Received: 'epoch;.* Restore it",
    ),
    "a blank": (replaced("metrics.csv", b""), "metrics.csv: expected the columns epoch,.* Received: ''"),
    "binary": (
        replaced("metrics.csv", b"\xff\x00"),
        "must be utf-8-sig text. Received: 0xff at",
    ),
    "a row less": (
        replaced("metrics.csv", lambda old: b"\n".join(old.split(b"\n")[:2])),
        r"expected a row for each epoch up to 2. Received: \[1\]",
    ),
    "words": (
        replaced("metrics.csv", lambda old: old.replace(b"\n2,", b"\n2,a")),
        "expected a number for each column in line 3. Received: '2,a",
    ),
    "a time": (
        replaced("time.json", b'{"training_seconds": "long"}'),
        "time.json: training_seconds must be a valid number. Received: 'long'. Correct it, or delete it",
    ),
    "no JSON": (
        replaced("config.json", b"{"),
        "config.json: expected JSON. Received: EOF",
    ),
    "epochs": (
        edited("train", epochs=1e300),
        r"config.json: epochs must be .* Received: 1e\+300",
    ),
    "recipe": (edited("run", recipe="gun"), "config.json: Unknown model: .* Received: 'gun'"),
    "newer": (
        lambda run: (edited("run", keras_gen="99.0")(run), edited("model", new=1)(run)),
        r"config.json \(written by keras_gen 99.0; this is .*hyperparameters must be .* Received: 'new'",
    ),
    "data": (
        edited("data", data="gone.npz"),
        "config.json: .*gone.npz', which does not exist.* Correct",
    ),
    "less data": (
        edited("run", num_train=9),
        "9 training examples .* Received: 64",
    ),
    "a finished run": (replaced("time.json", b"{}"), "time.json: training_seconds is missing"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_run_says_which_file_and_stays_as_it_is(stopped_run, tmp_path, name):
    damage, message = DAMAGES[name]
    OTHERS[:] = [stopped_run.parent / "other"]
    run = shutil.copytree(stopped_run, tmp_path / "run")
    damage(run)
    before = snapshot(run)
    with pytest.raises(ValueError, match=message) as caught:
        resume(run)
    assert snapshot(run) == before and "\n" not in str(caught.value)


def test_what_spreadsheets_add_and_what_is_deleted_does_no_harm(stopped_run, tmp_path):
    run = shutil.copytree(stopped_run, tmp_path / "run")
    rows = (run / "metrics.csv").read_text()
    (run / "metrics.csv").write_bytes(b"\xef\xbb\xbf" + rows.replace("\n", "\r\n").encode())
    (run / "time.json").unlink()
    resume(run)
    assert (run / "metrics.csv").read_text().startswith(rows)
    again = shutil.copytree(stopped_run, tmp_path / "again")
    (again / "metrics.csv").unlink()
    with pytest.warns(UserWarning, match="metrics.csv is missing: it will begin with epoch 3"):
        resume(again)
    assert [row[:2] for row in (again / "metrics.csv").read_text().splitlines()] == ["ep", "3,"]
    (again / "model.keras").write_bytes(b"half")
    with pytest.raises(ValueError, match="model.keras could not be loaded: .* Move .*model.keras away"):
        resume(again)


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        ({"recipe": "gun"}, "expected one of autoencoder, vae, cvae, .*Received: 'gun'"),
        ({"epochs": 0}, "epochs must be an integer from 1 to .*Received: 0"),
        ({"seed": 2**31}, r"seed must be an integer from 0 to 2\*\*31 - 1. Received: 2147483648"),
        ({"learning_rate": float("nan")}, "learning_rate must be a finite number, .* Received: nan"),
        ({"out": ""}, "out must be a path, or be left out. Received: ''"),
        ({"out": "a\0b"}, "out must be a path, or be left out"),
        ({"out": __file__ + "/run"}, "directory that can be made .* Received: .*Not a directory"),
        ({"data": ""}, "data must be a path, or be left out. Received: ''"),
        ({"strategy": "two"}, "strategy must be one of 'none', 'mirrored', .* Received: 'two'"),
        ({"hyperparameters": {"latentdim": 3}}, "Received: 'latentdim'. Did you mean latent_dim?"),
        ({"hyperparameters": {"image_shape": (8, 8, 1)}}, "hyperparameters must be among: latent_dim, .*"),
        ({"data_options": {"size": 3}}, "data_options must be among: data_dir, .* Received: 'size'"),
        ({"data_options": {"data_dir": 3}}, "data_dir must be .* Received: 3"),
        ({"progress": 3}, "progress must be a function, or None. Received: 3"),
        ({"progress": lambda *_: None}, "progress must make a keras.callbacks.Callback. Received: None"),
        ({"steps": 5}, "each say how long to train: choose one, .*Received: epochs=3, steps=5"),
        ({"minutes": 2}, "each say how long to train: choose one, .*Received: epochs=3, minutes=2"),
        ({"epochs": None, "minutes": 2, "strategy": "multi_worker"}, "minutes is for one machine"),
        pytest.param(
            {"epochs": None, "minutes": 1e-6},
            "minutes must leave time to train: starting and finishing take",
            marks=pytest.mark.slow,
        ),
        ({"max_minutes": -1}, "max_minutes must be a finite number, more than 0, or None. Received: -1"),
        ({"data": "nowhere"}, "'nowhere', which does not exist"),
        ({"hyperparameters": {"latent_dim": 0}}, "latent_dim must be"),
        ({"hyperparameters": {"num_classes": 3}}, "num_classes must be 10"),
        ({"strategy": "multi_worker"}, "TF_CONFIG"),
        ({"discriminator_learning_rate": 1e-3}, "VAE has no discriminator_optimizer"),
        ({"data_options": {"label": "Blond_Hair"}}, "label is for celeba"),
        ({"data_options": {"label": object()}}, "label must be a string, or None. Received: <object"),
        (
            {
                "recipe": "lstm",
                "hyperparameters": {},
                "data_options": {"tokenizer": CharacterTokenizer(["a", "b", "c"])},
            },
            "data_options must be what JSON can hold",
        ),
        ({"recipe": "lstm", "hyperparameters": {}}, r"small.npz must be utf-8 text. Received: "),
    ),
)
def test_bad_options_leave_nothing_behind(small_data, tmp_path, arguments, message):
    out = tmp_path / "run"
    arguments = {"recipe": "vae", **options(small_data, out), **arguments}
    with pytest.raises(ValueError, match=message):
        train(arguments.pop("recipe"), **arguments)
    assert not out.exists()


class StopAfter:
    """A progress callback that asks the run to stop, as Ctrl-C does, after so many steps."""

    def __init__(self, steps: int):
        self.steps = steps

    def __call__(self, data, epochs, epoch, step):
        def on_train_batch_end(batch, logs):
            self.steps -= 1
            if self.steps == 0:
                os.kill(os.getpid(), signal.SIGTERM)

        return keras.callbacks.LambdaCallback(on_train_batch_end=on_train_batch_end)


@pytest.fixture
def one_step_at_a_time(monkeypatch):
    """Callbacks see each step, so that a test can stop a run at any."""
    real = Run.build

    def build(self, data):
        model = real(self, data)
        model.compile(model.optimizer, steps_per_execution=1, jit_compile=False)
        return model

    monkeypatch.setattr(Run, "build", build)


@pytest.mark.parametrize(
    ("recipe", "steps"),
    (
        ("cvae", 4),
        *[
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (("cvae", 1), ("cvae", 6), ("gan", 1), ("cnn_classifier", 6))
        ],
    ),
)
def test_interrupted_run_resumes_bit_for_bit(small_data, tmp_path, one_step_at_a_time, recipe, steps):
    """Stopped in the midst of an epoch, at its end, and again: weights, means and pictures agree."""
    sizes = {"hyperparameters": RECIPES[recipe].smoke}  # a classifier's have dropout and augmentation
    straight = train(recipe, **options(small_data, tmp_path / "straight", **sizes))
    with pytest.raises(StoppedEarly, match="interrupted by SIGTERM"):
        train(recipe, **options(small_data, tmp_path / "stopped", **sizes), progress=StopAfter(steps))
    stopped = tmp_path / "stopped"
    _, epoch, step = newest_checkpoint(stopped / "checkpoints")
    assert 4 * epoch + step == steps
    assert load_model(stopped).built  # from the checkpoint
    if steps == 1:
        with pytest.raises(StoppedEarly):
            resume(stopped, progress=StopAfter(2))
    resume(stopped)
    assert_equal_runs(straight, stopped)


@pytest.mark.slow
def test_the_last_epoch_of_a_number_of_steps_is_shorter(small_data, tmp_path, one_step_at_a_time):
    """6 steps of 4 an epoch: the learning rate ends with them; stopped in the last epoch, it resumes."""
    chosen = {"epochs": None, "steps": 6}
    straight = train("vae", **options(small_data, tmp_path / "straight", **chosen))
    config = json.loads((straight / "config.json").read_text())
    assert (config["train"]["epochs"], config["train"]["steps"]) == (None, 6)
    with open(straight / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"] and float(rows[1]["learning_rate"]) == 0
    assert int(load_model(straight).optimizer.iterations) == 6
    with pytest.raises(StoppedEarly) as stopped:
        train("vae", **options(small_data, tmp_path / "stopped", **chosen), progress=StopAfter(5))
    assert stopped.value.signal == signal.SIGTERM
    resume(tmp_path / "stopped")
    assert_equal_runs(straight, tmp_path / "stopped")


@pytest.mark.slow
def test_minutes_end_in_a_finished_run_that_repeats(small_data, tmp_path, monkeypatch):
    """The measurement decides on the number of steps, and on nothing else."""
    monkeypatch.setattr("keras_gen.runs.planning.LEAST_MEASURED", 0.1)
    monkeypatch.setattr("keras_gen.runs.planning.Costs.steps_within", lambda *_: 6)
    given = {"epochs": None, "minutes": 1.0}
    run = train("cvae", **options(small_data, tmp_path / "run", **given))
    config = json.loads((run / "config.json").read_text())
    assert (config["train"]["epochs"], config["train"]["steps"]) == (None, 6)
    budget = config["run"]["budget"]
    assert budget["minutes"] == 1 and all(seconds > 0 for seconds in budget["measured"].values())
    assert_equal_runs(run, train("cvae", **options(small_data, tmp_path / "same", epochs=None, steps=6)))


def test_steps_that_fit():
    costs = planning.Costs(step=0.5, epoch=3.0, shown=2.0, checkpoint=0.15, once=10.0)
    # 25 steps: 3 epochs, each with a picture; checkpoints take 1 % of training.
    expected = (10.0 + (25 * 0.5 + 3 * (3.0 + 2.0)) * 1.01) * (1 + planning.SPARE)
    assert costs.of_run(25, steps_per_epoch=10) == pytest.approx(expected)
    assert costs.steps_within(expected + 1e-6, 10) == 25
    assert costs.steps_within(expected - 1e-6, 10) == 24
    assert costs.steps_within(9.0, 10) == 0
    # 40 epochs, of which every fourth shows something.
    many = 10.0 + (400 * 0.5 + 40 * 3.0 + 10 * 2.0) * 1.01
    assert costs.of_run(400, 10) == pytest.approx(many * (1 + planning.SPARE))


def test_the_first_error_is_the_one_that_is_raised(small_data, tmp_path, monkeypatch):
    """Not that of a callback which is told of the end of training that never began."""

    def refuse(*_):
        raise ValueError("the first error")

    monkeypatch.setattr("keras_gen.models.ImageModel.check_examples", refuse)
    ended = []

    def progress(*_):
        return keras.callbacks.LambdaCallback(on_train_end=lambda logs: (ended.append(True), 1 / 0))

    with pytest.raises(ValueError, match="the first error"):
        train("vae", **options(small_data, tmp_path / "run"), progress=progress)
    assert ended


def test_a_run_of_a_text_generator_resumes_bit_for_bit(tmp_path, one_step_at_a_time):
    (tmp_path / "text.txt").write_text("The quick brown fox jumps over the lazy dog.\n" * 40)
    chosen = {
        "data": str(tmp_path / "text.txt"),
        "epochs": 2,
        "data_options": {"tokenizer": "word", "sequence_length": 8},
        "hyperparameters": {"embedding_dim": 6, "widths": (8,), "dropout": 0.2},
        "batch_size": 8,
    }
    straight = train("lstm", **chosen, out=str(tmp_path / "straight"))
    config = json.loads((straight / "config.json").read_text())
    assert config["data"]["tokenizer"] == "word" and config["data"]["sequence_length"] == 8
    assert config["model"]["dropout"] == 0.2
    assert "image_size" not in config and config["run"]["model"] == "LSTMTextGenerator"
    with open(straight / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["val_perplexity"]) > 1 and float(rows[-1]["learning_rate"]) == 0
    final = (straight / "samples" / "final.md").read_text()
    assert "## From the beginning" in final and "**Temperature 0.5**" in final
    assert "| next token | probability |" in final
    for name in ("train", "validation"):
        assert list((straight / "logs" / name).glob("events.*")), name
    with pytest.raises(StoppedEarly):
        train("lstm", **chosen, out=str(tmp_path / "stopped"), progress=StopAfter(5))
    resume(tmp_path / "stopped")
    assert_equal_runs(straight, tmp_path / "stopped")


@pytest.mark.slow
def test_time_budget_stops_cleanly_and_resumes(small_data, tmp_path):
    straight = train("vae", **options(small_data, tmp_path / "straight", epochs=4))
    with pytest.raises(StoppedEarly, match="time limit of .* minutes was reached"):
        train("vae", **options(small_data, tmp_path / "stopped", epochs=4), max_minutes=1e-6)
    assert not (tmp_path / "stopped" / "model.keras").exists()
    assert_equal_runs(straight, resume(tmp_path / "stopped"))


# A process that dies, without any of Python's clean-up, in the midst of its n-th file.
DYING = """
import os, sys
import keras
from keras_gen.runs import checkpoints
from keras_gen.runs import training

out, data, dies_at, resuming = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "resume"
checkpoints.CHECKPOINT_SECONDS = 0.0
checkpoints.CHECKPOINT_SHARE = 1e9
count = 0
real = keras.saving.save_model

def save(model, path):
    global count
    real(model, path)
    count += 1
    if count == dies_at:
        whole = open(path, "rb").read()
        open(path, "wb").write(whole[: len(whole) // 2])
        os.kill(os.getpid(), 9)

keras.saving.save_model = save
if resuming:
    training.resume(out)
else:
    training.train("vae", data=data, epochs=3, batch_size=32, out=out,
                   hyperparameters={"latent_dim": 3, "widths": (4, 8), "hidden_units": 12})
"""


def run_dying(out: Path, data: str, dies_at: int, how: str) -> int:
    command = [sys.executable, "-c", DYING, str(out), data, str(dies_at), how]
    return subprocess.run(command, capture_output=True, timeout=120).returncode


@pytest.mark.slow
def test_killed_in_the_midst_of_a_checkpoint_resumes_bit_for_bit(small_data, tmp_path):
    straight = train("vae", **options(small_data, tmp_path / "straight"))
    killed = tmp_path / "killed"
    assert run_dying(killed, small_data, 1, "train") == -signal.SIGKILL
    assert newest_checkpoint(killed / "checkpoints") is None  # the half file does not count
    assert run_dying(killed, small_data, 2, "resume") == -signal.SIGKILL
    assert newest_checkpoint(killed / "checkpoints") is not None
    assert run_dying(killed, small_data, 99, "resume") == 0
    assert_equal_runs(straight, killed)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", (0.0, 0.7, 2.0))
def test_killed_at_any_moment_resumes_bit_for_bit(small_data, tmp_path, seconds):
    """kill -9 so many seconds after `config.json` has appeared."""
    out = tmp_path / "killed"
    command = [sys.executable, "-c", DYING, str(out), small_data, "99", "train"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (out / "config.json").exists():
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(seconds)
    process.kill()
    process.wait()
    resume(out)
    assert_equal_runs(train("vae", **options(small_data, tmp_path / "straight")), out)


def test_resume_refuses_what_is_no_run(tmp_path):
    with pytest.raises(ValueError, match="not a run directory: expected one with the config.json"):
        resume(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="config.json: run is missing. Correct it, or repeat the run"):
        resume(tmp_path)
