"""A run directory: what `keras-gen train` writes, how it is resumed, and what is loaded from it.

config.json       everything needed to repeat the run, versions and hardware included
metrics.csv       a row for each epoch
time.json         the seconds that training has taken
logs/             TensorBoard
checkpoints/      the newest complete state
samples/          a picture, or texts, after some of the epochs, and `final.png`, or `final.md`
model.keras       the trained model
"""

import contextlib
import dataclasses
import datetime
import gc
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from keras_gen import (
    __version__,
    building,
    callbacks,
    datasets,
    devices,
    fitting,
    models,
    planning,
    tensorboard,
    tracking,
    watching,
)
from keras_gen.building import Data
from keras_gen.checkpoints import Keeper, Stop, newest_checkpoint, save
from keras_gen.datasets import loader_options
from keras_gen.datasets.names import DATASETS, TEXTS
from keras_gen.distribution import check_batch_size, is_chief, lost_workers_named, make_strategy
from keras_gen.files import written_whole
from keras_gen.hardware import hardware_info
from keras_gen.loading import load_model
from keras_gen.recipes import find_recipe

# What a caller shows progress with: it gets the data, the training steps of the whole run, and the epoch
# and the step in it (both from 0) that the run starts from.
Progress = Callable[[Data, int, int, int], keras.callbacks.Callback]


class StoppedEarly(Exception):  # noqa: N818 (not an error)
    """The run stopped before its end, and can be resumed.

    Args:
        directory: The run.
        why: What stopped it.
        signal: The number of the signal that did; None where the time was up.
    """

    def __init__(self, directory: Path, why: str, signal: int | None = None):
        super().__init__(why)
        self.directory = directory
        self.why = why
        self.signal = signal


# === Starting and resuming ===


def train(
    recipe: str = "vae",
    *,
    data: str | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    max_minutes: float | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    discriminator_learning_rate: float | None = None,
    learning_rate_decay: bool = True,
    seed: int = 0,
    out: str | None = None,
    strategy: Literal["none", "mirrored", "multi_worker"] = "none",
    dtype_policy: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] | None = None,
    mlflow: str | None = None,
    data_options: dict[str, Any] | None = None,
    hyperparameters: dict[str, Any] | None = None,
    progress: Progress | None = None,
    started: float | None = None,
) -> Path:
    """Trains a recipe's model and writes a run directory.

    Args:
        recipe: A name from the recipes table.
        data: Name of a data set, a folder of images, or an .npz file; for a text generator `python_docs`,
            a .txt or .json file, or a folder of .txt files; the recipe's by default.
        epochs: Passes over the training data; the recipe's by default. Some recipes set the number of
            training images instead, from which the number of epochs follows.
        steps: Training steps, instead of epochs. The last epoch is shorter if they do not fill it.
        minutes: Time budget of the whole run, instead of epochs. The speed is measured first, and the
            number of steps that fits is recorded in config.json, so that the run can be repeated exactly.
        max_minutes: Stop after this many minutes, finished or not; the run can be resumed.
        batch_size: Images, or rows of text, per training step, over all replicas; the recipe's by default.
        learning_rate: Adam's initial learning rate; the recipe's by default.
        discriminator_learning_rate: The discriminator's initial learning rate, for models that have one;
            by default the recipe's, or `learning_rate` if that is given.
        learning_rate_decay: Decay the learning rate to 0 along half a cosine.
        seed: Determines the initial weights, all noise and the order of the data.
        out: Run directory to create, runs/<model>-<time> by default; it must be empty or not exist.
        strategy: Train on all GPUs of this machine (mirrored), or on all machines that TF_CONFIG
            or Slurm names (multi_worker).
        dtype_policy: Number format of the networks; auto is mixed_bfloat16 where the hardware
            multiplies in bfloat16, otherwise float32. The recipe's by default.
        mlflow: URI of an MLflow store to log the run to as well; "" for MLflow's own default.
        data_options: Further arguments of `load_dataset`, or `load_text`, such as `data_dir`.
        hyperparameters: Constructor arguments of the model.
        progress: Makes the callback that shows progress.
        started: Value of `time.monotonic()` at which `minutes` began; now by default.

    Returns:
        The run directory.

    Raises:
        ValueError: An argument is out of range, the data does not fit, or `out` is not empty.
        ImportError: `mlflow` was asked for and is not installed.
        StoppedEarly: The time was up, or the run was interrupted.
    """
    chosen = find_recipe(recipe)
    started = time.monotonic() if started is None else started
    lengths = {"epochs": epochs, "steps": steps, "minutes": minutes}
    given = [f"{name}={value}" for name, value in lengths.items() if value is not None]
    if len(given) > 1:
        raise ValueError(
            "epochs, steps and minutes each say how long to train: choose one (null for one of a "
            f"config.json's). Received: {', '.join(given)}"
        )
    if minutes is not None and strategy == "multi_worker":
        raise ValueError("minutes is for one machine. With strategy multi_worker choose epochs or steps.")
    for name, value in (("epochs", epochs), ("steps", steps), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be 1 or more. Received: {value}")
    for name, number in (
        ("minutes", minutes),
        ("max_minutes", max_minutes),
        ("learning_rate", learning_rate),
        ("discriminator_learning_rate", discriminator_learning_rate),
    ):
        if number is not None and not number > 0:
            raise ValueError(f"{name} must be more than 0. Received: {number}")
    if discriminator_learning_rate is None and issubclass(getattr(models, chosen.model), models.GAN):
        discriminator_learning_rate = (
            learning_rate or chosen.discriminator_learning_rate or chosen.learning_rate
        )
    options: dict[str, Any] = {
        "data": data or chosen.dataset,
        "epochs": epochs if given else chosen.epochs,
        "steps": steps,
        "batch_size": batch_size or chosen.batch_size,
        "learning_rate": learning_rate or chosen.learning_rate,
        "discriminator_learning_rate": discriminator_learning_rate,
        "learning_rate_decay": learning_rate_decay,
        "seed": seed,
        "strategy": strategy,
        "dtype_policy": devices.resolve_dtype(dtype_policy or chosen.dtype_policy),
        "mlflow": mlflow,
    }
    if options["data"] not in {**DATASETS, **TEXTS} and Path(options["data"]).exists():
        options["data"] = str(Path(options["data"]).resolve())
    loading = {**loader_options(loader_of(recipe)), **chosen.data_options, **(data_options or {})}
    try:
        json.dumps(loading)
    except TypeError as error:
        raise ValueError(
            f"data_options must be what JSON can hold, since config.json repeats the run. Received: {error}"
        ) from None
    if loading.get("data_dir") is not None:
        loading["data_dir"] = str(Path(loading["data_dir"]).resolve())
    name = f"{recipe}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    directory = Path(out) if out else Path("runs") / name
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ValueError(
            f"{directory} is not empty: expected a new directory, so that no run is overwritten. "
            f"Choose another, delete it, or continue the run with: keras-gen resume {directory}"
        )
    hyperparameters = {**chosen.hyperparameters, **(hyperparameters or {})}
    for key, value in hyperparameters.items():
        if isinstance(value, np.generic):  # a number of NumPy's, which JSON does not know
            hyperparameters[key] = value.item()
    run = Run(directory, recipe, options, loading, hyperparameters)
    return run.train(max_minutes, progress, minutes, started)


def loader_of(recipe: str) -> str:
    """What in `keras_gen.datasets` loads the data of a recipe's model."""
    return getattr(models, find_recipe(recipe).model).loader


def resume(
    directory: str | os.PathLike, max_minutes: float | None = None, progress: Progress | None = None
) -> Path:
    """Continues a run where its newest checkpoint left it, as if it had never stopped.

    Args:
        directory: The run directory.
        max_minutes: Stop after so many minutes from now.
        progress: Makes the callback that shows progress.

    Returns:
        The run directory.

    Raises:
        ValueError: `directory` is not a run directory.
        StoppedEarly: The time was up, or the run was interrupted.
    """
    run = Run.read(Path(directory))
    if (run.directory / "model.keras").exists():
        return run.directory
    return run.train(max_minutes, progress)


# === A run ===

# Networks of a user's own, which JSON cannot hold.
NETWORKS = ("encoder", "decoder", "backbone", "generator", "discriminator")


def not_hyperparameters(recipe: str) -> set[str]:
    """The constructor arguments of a recipe's model that are not options of a run."""
    chosen = find_recipe(recipe)
    from_data = getattr(models, chosen.model).from_data
    names = {*from_data, *NETWORKS, "seed", "name", "dtype", "trainable"}
    return names | {"num_classes"} if chosen.uses_labels else names


# What `config.json` holds beside hyperparameters, with what it means where an older one lacks it.
NOT_RECORDED = ("data_options", "hyperparameters", "progress", "started")  # as options of `train`
OPTIONS: dict[str, Any] = {
    name: default
    for name, default in (train.__kwdefaults__ or {}).items()
    if name not in ("minutes", "max_minutes", "out", *NOT_RECORDED)
}


def refuse_own_networks(names: Sequence[str]) -> None:
    """Raises a ValueError where a config.json does not hold all of its model."""
    if names:
        raise ValueError(
            f"The model of this config.json had networks of its own ({', '.join(names)}), which are not in "
            "the file: repeat the run from Python, with the same hyperparameters."
        )


class Run:
    """One run directory and what is in it.

    Args:
        directory: The run directory.
        recipe: A name from the recipes table.
        options: How it is trained, see `train`.
        data_options: What else the data's loader takes.
        hyperparameters: Constructor arguments of the model.
        own_networks: Those of them that are networks of a user's own, and so not in `config.json`.
    """

    def __init__(
        self,
        directory: Path,
        recipe: str,
        options: dict[str, Any],
        data_options: dict[str, Any],
        hyperparameters: dict[str, Any],
        own_networks: Sequence[str] = (),
    ):
        self.directory = directory
        self.recipe = recipe
        self.options = options
        self.data_options = data_options
        self.hyperparameters = hyperparameters
        self.own_networks = own_networks
        self.budget: dict[str, Any] | None = None  # what the number of steps follows from

    @classmethod
    def read(cls, directory: Path) -> "Run":
        """Reads `config.json` back."""
        path = directory / "config.json"
        try:
            config = json.loads(path.read_text())
            about = config.pop("run")
            recipe = about["recipe"]
            defaults = loader_options(loader_of(recipe))
            options = {name: config.pop(name, default) for name, default in OPTIONS.items()}
            data_options = {name: config.pop(name, default) for name, default in defaults.items()}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{directory} is not a run directory: expected the config.json that keras-gen "
                f"train writes there ({type(error).__name__}: {error})."
            ) from None
        return cls(directory, recipe, options, data_options, config, about.get("own_networks", ()))

    def describe(self, model: models.BaseModel) -> None:
        """Takes over all of a model's constructor arguments, also those that nobody gave."""
        described, left_out = model.get_config(), not_hyperparameters(self.recipe)
        self.hyperparameters = {name: described[name] for name in described if name not in left_out}
        self.own_networks = [name for name in NETWORKS if described.get(name) is not None]

    def write(self, model: models.BaseModel) -> None:
        """Writes `config.json`, whose options `keras-gen train --config` takes as they are."""
        config = {
            **self.options,
            **self.data_options,
            **self.hyperparameters,
            "run": {
                "recipe": self.recipe,
                "model": type(model).__name__,
                "own_networks": self.own_networks,
                "budget": self.budget,
                "parameters": model.count_params(),
                "jit_compile": model.jit_compile,  # bits repeat with the same one alone
                "created": datetime.datetime.now(datetime.timezone.utc).isoformat("T", "seconds"),
                "keras_gen": __version__,
                "numpy": np.__version__,
                "hardware": hardware_info(),
            },
        }
        with written_whole(self.directory / "config.json") as path:
            path.write_text(json.dumps(config, indent=2) + "\n")

    def train(
        self,
        max_minutes: float | None = None,
        progress: Progress | None = None,
        minutes: float | None = None,
        started: float = 0.0,
    ) -> Path:
        """Trains from the newest checkpoint, or from the beginning, to the end."""
        options = self.options
        mlflow = options["mlflow"]
        mlflow_run = None if mlflow is None else tracking.MLflowRun(self.directory, mlflow)
        strategy = make_strategy(options["strategy"])
        check_batch_size(strategy, options["batch_size"])
        keras.utils.set_random_seed(options["seed"])
        data = self.load_data()
        if minutes is None:
            self.choose_epochs(data)
        else:
            self.choose_steps(data, strategy, minutes, started)
            keras.utils.set_random_seed(options["seed"])  # the run does not depend on the measurement
        checkpoint = newest_checkpoint(self.directory / "checkpoints")
        with strategy.scope():
            model = self.build(data) if checkpoint is None else load_model(checkpoint[0])
        if checkpoint is None:
            self.describe(model)
        chief = is_chief(strategy)
        # The other workers must save with the chief, since reading metrics is collective.
        place = self.directory if chief else Path(tempfile.mkdtemp(prefix="keras-gen-worker-"))
        if chief and not (self.directory / "config.json").exists():
            self.write(model)
        _, epoch, step = checkpoint or (None, 0, 0)
        steps = options["steps"] or options["epochs"] * data.steps_per_epoch
        epochs = -(-steps // data.steps_per_epoch)
        keeper = Keeper(place, epoch, step, max_minutes, strategy)
        watchers = watching.watchers(self.directory, model, data, epochs) if chief else []
        if chief and progress is not None:
            watchers.append(progress(data, steps, epoch, step))
        values = {"model": self.recipe, **options, **self.data_options, **self.hyperparameters}
        with contextlib.ExitStack() as stack:
            if chief:
                tensorboard.drop_events_after(self.directory / "logs" / tensorboard.TRAIN, epoch)
                tensorboard.drop_events_after(self.directory / "logs" / tensorboard.VALIDATION, epoch)
                stack.enter_context(tracking.hparams_session(self.directory, values))
            else:
                stack.callback(shutil.rmtree, place)
            if chief and mlflow_run is not None:
                watchers += stack.enter_context(mlflow_run.started(values))
            stack.enter_context(keeper.stopping_at_signals())
            stack.enter_context(lost_workers_named(self.directory))
            try:
                everyone = [*watchers, callbacks.FiniteGuard(), keeper]
                fitting.fit(model, data, steps, everyone, epoch, step)
            except Stop:
                raise StoppedEarly(self.directory, keeper.why, keeper.signal) from None
            if chief:
                last = watching.samples(self.directory, model, data)
                last.set_model(model)
                last.write_file("final")
            save(model, place / "model.keras")  # last, for it says that the run is finished
        return self.directory

    def load_data(self) -> Data:
        """The data as the options have it."""
        options = self.options
        loader = getattr(datasets, loader_of(self.recipe))
        sizes = {"batch_size": options["batch_size"], "seed": options["seed"]}
        return loader(options["data"], **sizes, **self.data_options)

    def choose_epochs(self, data: Data) -> None:
        """The number of epochs, where nobody said how long to train and it follows from the data's size."""
        if self.options["epochs"] is None and self.options["steps"] is None:
            images = find_recipe(self.recipe).images or 0
            self.options["epochs"] = max(1, round(images / data.num_train))

    def choose_steps(
        self, data: Data, strategy: tf.distribute.Strategy, minutes: float, started: float
    ) -> None:
        """The number of steps that fits into the minutes."""

        def build() -> models.BaseModel:
            options = {**self.options, "steps": 1_000_000}
            copies = {
                name: keras.models.clone_model(value) if isinstance(value, keras.Model) else value
                for name, value in self.hyperparameters.items()
            }
            return building.build(self.recipe, data, options, copies)

        seconds = 60.0 * minutes
        costs = planning.measure(build, data, strategy, planning.seconds_to_measure(seconds))
        gc.collect()  # the throwaway model
        left = seconds - (time.monotonic() - started)
        steps = costs.steps_within(left, data.steps_per_epoch)
        if not steps:
            least = (seconds - left + costs.of_run(1, data.steps_per_epoch)) / 60.0
            raise ValueError(
                f"minutes must leave time to train: starting and finishing take {least:.2g} minutes here. "
                f"Received: minutes={minutes:g}"
            )
        self.options["steps"] = steps
        self.budget = {"minutes": minutes, "measured": dataclasses.asdict(costs)}

    def build(self, data: Data) -> models.BaseModel:
        """The model as the options have it, compiled."""
        refuse_own_networks(self.own_networks)
        return building.build(self.recipe, data, self.options, self.hyperparameters)
