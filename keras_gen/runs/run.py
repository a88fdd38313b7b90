"""A run directory, and training in it.

config.json       everything needed to repeat the run: see `config.py`
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
import inspect
import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_gen import callbacks, datasets, models
from keras_gen.datasets import loader_options
from keras_gen.recipes import find_recipe
from keras_gen.runs import building, fitting, monitoring, planning, tracking
from keras_gen.runs.building import Data
from keras_gen.runs.checkpoints import CheckpointWriter, Stop, newest_checkpoint, read_note, save
from keras_gen.runs.config import (
    as_json,
    check_names,
    checked_data_options,
    hyperparameter_names,
    loader_of,
    model_class,
    not_hyperparameters,
    recipe_options,
    refuse_own_networks,
)
from keras_gen.runs.failures import ANEW, blame, explain_failures
from keras_gen.runs.locks import check_is_new, locked
from keras_gen.runs.strategy import check_batch_size, explain_lost_workers, is_chief, make_strategy
from keras_gen.serving.presets.loading import load_keras_file, read_config
from keras_gen.utils import tensorboard
from keras_gen.utils.arguments import check, received
from keras_gen.utils.files import atomic_write, printable
from keras_gen.utils.hardware import hardware_info
from keras_gen.utils.records import CheckpointNote, RunConfig, read_record
from keras_gen.utils.version import __version__

# What a caller shows progress with: it gets the data, the training steps of the whole run, and the epoch
# and the step in it (both from 0) that the run starts from.
Progress = Callable[[Data, int, int, int], keras.callbacks.Callback]


class StoppedEarly(Exception):  # noqa: N818 (not an error)
    """The run stopped before its end, and can be resumed.

    Args:
        directory: The run.
        why: The reason.
        signal: Number of the signal that stopped it; None if time was up.
    """

    def __init__(self, directory: Path, why: str, signal: int | None = None):
        super().__init__(why)
        self.directory = directory
        self.why = why
        self.signal = signal


FOLDERS = (
    "checkpoints",
    "samples",
    "logs",
    *(f"logs/{name}" for name in (tensorboard.TRAIN, tensorboard.VALIDATION, "projector")),
)


def check_folders(directory: Path) -> None:
    """Raises a ValueError if a folder of a run is something else."""
    for path in (directory / name for name in FOLDERS):
        if os.path.lexists(path) and not path.is_dir():
            raise ValueError(f"{printable(path)} must be a directory. Received: a file. Move it away.")


class Run:
    """A run directory and its configuration.

    Args:
        directory: The run directory.
        recipe: A name from the recipes table.
        options: Options of training: see `train`.
        data_options: Further arguments of the data's loader.
        hyperparameters: Constructor arguments of the model.
        own_networks: Names of the user's own networks, which `config.json` does not hold.
        identity: Identifies the run in its checkpoints; None for a run of an older version.
        num_train: Number of training examples at the beginning, if known.
    """

    def __init__(
        self,
        directory: Path,
        recipe: str,
        options: dict[str, Any],
        data_options: dict[str, Any],
        hyperparameters: dict[str, Any],
        own_networks: Sequence[str] = (),
        identity: str | None = None,
        num_train: int | None = None,
    ):
        self.directory = directory
        self.recipe = recipe
        self.options = options
        self.data_options = data_options
        self.hyperparameters = hyperparameters
        self.own_networks = own_networks
        self.identity = identity
        self.num_train = num_train
        self.budget: dict[str, Any] | None = None  # what the number of steps follows from

    @classmethod
    def read(cls, directory: Path, parameters: dict[str, inspect.Parameter]) -> "Run":
        """Reads `config.json`.

        Args:
            directory: The run directory.
            parameters: The options of training by name, with their types and defaults.

        Raises:
            ValueError: There is none, or something in it is not as `train` writes it.
        """
        path = directory / "config.json"
        if not os.path.lexists(path):
            raise ValueError(
                f"{printable(directory)} is not a run directory: expected one with the config.json that "
                "keras-gen train writes."
            )
        config = read_record(path, RunConfig, "Correct it, or repeat the run with keras-gen train.")
        facts, values = config.run, config.options
        version = f" (written by keras_gen {facts.keras_gen}; this is {__version__})"
        with blame(path, version if facts.keras_gen not in (None, __version__) else ""):
            defaults = loader_options(loader_of(facts.recipe))
            options = {
                name: check(name, values.pop(name, parameter.default), parameter.annotation)
                for name, parameter in parameters.items()
            }
            options.update(
                (name, value)
                for name, value in recipe_options(facts.recipe).items()
                if options[name] is None
            )
            data_options = checked_data_options(
                loader_of(facts.recipe),
                {name: values.pop(name, default) for name, default in defaults.items()},
            )
            check_names("hyperparameters", values, hyperparameter_names(facts.recipe))
        return cls(
            directory,
            facts.recipe,
            options,
            data_options,
            values,
            facts.own_networks,
            facts.id,
            facts.num_train,
        )

    def describe(self, model: models.BaseModel) -> None:
        """Records all of a model's constructor arguments, including defaults."""
        described, left_out = model.get_config(), not_hyperparameters(self.recipe)
        self.hyperparameters = {name: described[name] for name in described if name not in left_out}
        self.own_networks = [name for name in model.own_networks if described.get(name) is not None]

    def write(self, model: models.BaseModel, data: Data) -> None:
        """Writes `config.json`, which `keras-gen train --config` accepts."""
        self.identity, self.num_train = uuid.uuid4().hex, data.num_train
        train = {name: value for name, value in self.options.items() if name != "data"}
        config = {
            "train": train,
            "data": {"data": self.options["data"], **self.data_options},
            "model": self.hyperparameters,
            "run": {
                "recipe": self.recipe,
                "model": type(model).__name__,
                "own_networks": self.own_networks,
                "budget": self.budget,
                "parameters": model.count_params(),
                "num_train": self.num_train,
                "dtype": model.dtype_policy.name,  # what these two came to on this machine: with others,
                "jit_compile": model.jit_compile,  # results are not bit-identical
                "id": self.identity,
                "created": datetime.datetime.now(datetime.timezone.utc).isoformat("T", "seconds"),
                "keras_gen": __version__,
                "numpy": np.__version__,
                "hardware": hardware_info(),
            },
        }
        with atomic_write(self.directory / "config.json") as path:
            path.write_text(json.dumps(config, indent=2) + "\n")

    def is_finished(self) -> bool:
        """Whether there is an undamaged trained model."""
        path = self.directory / "model.keras"
        if not os.path.lexists(path):
            return False
        try:
            read_config(path)
        except ValueError as error:
            raise ValueError(f"{str(error).rstrip('.')}. {ANEW.format(path)}") from None
        return True

    def train(
        self,
        max_minutes: float | None = None,
        progress: Progress | None = None,
        minutes: float | None = None,
        started: float = 0.0,
        is_new: bool = False,
    ) -> Path:
        """Trains from the newest checkpoint, or from the beginning, to the end.

        Args:
            max_minutes: See `resume`.
            progress: See `resume`.
            minutes: Time to fill, where no number of steps or epochs is chosen.
            started: When `minutes` began.
            is_new: Whether the directory must have nothing in it.
        """
        mlflow = self.options["mlflow"]
        mlflow_run = None if mlflow is None else tracking.MLflowRun(self.directory, mlflow)
        strategy = make_strategy(self.options["strategy"])
        check_batch_size(strategy, self.options["batch_size"])
        with contextlib.ExitStack() as stack:
            if is_chief(strategy):
                stack.enter_context(locked(self.directory))
                if is_new:
                    check_is_new(self.directory, is_locked=True)
                elif self.is_finished():
                    return self.directory
                check_folders(self.directory)
            stack.enter_context(explain_failures(self.directory))
            self.train_locked(strategy, mlflow_run, max_minutes, progress, minutes, started, is_new)
        return self.directory

    def train_locked(
        self,
        strategy: tf.distribute.Strategy,
        mlflow_run: tracking.MLflowRun | None,
        max_minutes: float | None,
        progress: Progress | None,
        minutes: float | None,
        started: float,
        is_new: bool,
    ) -> None:
        """`train`, once the directory is locked."""
        options, chief = self.options, is_chief(strategy)
        keras.utils.set_random_seed(options["seed"])
        with self.blamed(is_new):
            data = self.load_data()
            self.check_data(data)
        if minutes is None:
            self.choose_epochs(data)
        else:
            self.choose_steps(data, strategy, minutes, started)
            keras.utils.set_random_seed(options["seed"])  # the run does not depend on the measurement
        checkpoint = newest_checkpoint(self.directory / "checkpoints")
        _, epoch, step = checkpoint or (None, 0, 0)
        steps = options["steps"] or options["epochs"] * data.steps_per_epoch
        with strategy.scope():
            if checkpoint is None:
                with self.blamed(is_new):
                    model = self.build(data)
                self.describe(model)
                note = None
            else:
                model, note = self.load(checkpoint, data, steps)
        # The other workers must save with the chief, since reading metrics is collective.
        place = self.directory if chief else Path(tempfile.mkdtemp(prefix="keras-gen-worker-"))
        columns = [] if note is None else note.columns
        writer = CheckpointWriter(place, epoch, step, max_minutes, strategy, columns)
        shown = progress(data, steps, epoch, step) if chief and progress is not None else None
        if progress is not None and chief and not isinstance(shown, keras.callbacks.Callback):
            raise ValueError(f"progress must make a keras.callbacks.Callback. Received: {received(shown)}")
        if chief and not (self.directory / "config.json").exists():
            self.write(model, data)
        writer.identity = self.identity
        epochs = -(-steps // data.steps_per_epoch)
        run_callbacks = monitoring.run_callbacks(self.directory, model, data, epochs) if chief else []
        run_callbacks += [] if shown is None else [shown]
        values = {"model": self.recipe, **options, **self.data_options, **self.hyperparameters}
        with contextlib.ExitStack() as stack:
            if chief and mlflow_run is not None:
                run_callbacks += stack.enter_context(mlflow_run.started(values))
            if chief:
                tensorboard.drop_events_after(self.directory / "logs" / tensorboard.TRAIN, epoch)
                tensorboard.drop_events_after(self.directory / "logs" / tensorboard.VALIDATION, epoch)
                stack.enter_context(tracking.hparams_session(self.directory, values))
            else:
                stack.callback(shutil.rmtree, place)
            stack.enter_context(writer.stopping_at_signals())
            stack.enter_context(explain_lost_workers(self.directory))
            try:
                all_callbacks = [*run_callbacks, callbacks.FiniteGuard(), writer]
                fitting.fit(model, data, steps, all_callbacks, epoch, step)
            except Stop:
                raise StoppedEarly(self.directory, writer.why, writer.signal) from None
            if chief:
                last = monitoring.samples(self.directory, model, data)
                last.set_model(model)
                last.write_file("final")
            save(model, place / "model.keras")  # last, for it says that the run is finished

    def blamed(self, is_new: bool) -> Any:
        """Blames `config.json` for errors, unless the run is new and `train`'s arguments are to blame."""
        return contextlib.nullcontext() if is_new else blame(self.directory / "config.json")

    def check_data(self, data: Data) -> None:
        """Raises a ValueError if the number of training examples has changed since the run began."""
        if self.num_train not in (None, data.num_train):
            raise ValueError(
                f"the run began with {self.num_train:,} training examples of {data.name}. Received: "
                f"{data.num_train:,}"
            )

    def load(
        self, checkpoint: tuple[Path, int, int], data: Data, steps: int
    ) -> tuple[models.BaseModel, CheckpointNote | None]:
        """Loads a checkpoint and its note.

        Raises:
            ValueError: The checkpoint is damaged, or of another run or another model than this one.
        """
        path, epoch, step = checkpoint
        try:
            model, note = load_keras_file(path), read_note(path)
        except ValueError as error:
            raise ValueError(f"{str(error).rstrip('.')}. {ANEW.format(path)}") from error
        expected = self.expected(data)
        described = as_json(model.get_config()) if isinstance(model, models.BaseModel) else {}
        wanted, found = find_recipe(self.recipe).model, type(model).__name__
        done = epoch * data.steps_per_epoch + step
        problems = [
            f"expected the model {wanted}. Received: {found}" if found != wanted else "",
            "it is of another run"
            if self.identity is not None and (note is None or note.run != self.identity)
            else "",
            f"it was renamed: it is of epoch {note.epoch}, step {note.step}"
            if note and (note.epoch, note.step) != (epoch, step)
            else "",
            f"expected one of the run's {steps:,} steps. Received: one after {done:,}"
            if done > steps or step >= data.steps_per_epoch
            else "",
            *(
                f"expected {name}={received(value)}, as in config.json and the data. Received: "
                f"{name}={received(described.get(name))}"
                for name, value in expected.items()
                if described.get(name) != value
            ),
        ]
        problem = next(filter(None, problems), None)
        if problem is not None:
            raise ValueError(
                f"{printable(path)} is not a checkpoint of this run: {problem}. {ANEW.format(path)}"
            )
        return model, note

    def expected(self, data: Data) -> dict[str, Any]:
        """The constructor arguments that follow from `config.json` and the data, as in JSON."""
        chosen = find_recipe(self.recipe)
        uses_labels = chosen.uses_labels or self.hyperparameters.get("num_classes") is not None
        from_data = model_class(self.recipe).arguments_from(data, uses_labels, **self.hyperparameters)
        arguments = {**self.hyperparameters, **from_data}
        return as_json({name: value for name, value in arguments.items() if value is not None})

    def load_data(self) -> Data:
        """Loads the data with the options of the run."""
        options = self.options
        loader = getattr(datasets, loader_of(self.recipe))
        sizes = {"batch_size": options["batch_size"], "seed": options["seed"]}
        return loader(options["data"], **sizes, **self.data_options)

    def choose_epochs(self, data: Data) -> None:
        """Sets the number of epochs, if it follows from the size of the data."""
        if self.options["epochs"] is None and self.options["steps"] is None:
            images = find_recipe(self.recipe).images or 0
            self.options["epochs"] = max(1, round(images / data.num_train))

    def choose_steps(
        self, data: Data, strategy: tf.distribute.Strategy, minutes: float, started: float
    ) -> None:
        """Sets the number of steps that fits into the minutes."""

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
        """Builds and compiles the model with the options of the run."""
        refuse_own_networks(self.own_networks)
        return building.build(self.recipe, data, self.options, self.hyperparameters)
