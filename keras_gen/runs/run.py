"""A run, from its first or its next step to the end."""

import contextlib
import dataclasses
import gc
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_gen import callbacks, datasets, models
from keras_gen.recipes import find_recipe
from keras_gen.runs import building, fitting, monitoring, planning, tracking
from keras_gen.runs.building import Data
from keras_gen.runs.checkpoints import CheckpointWriter, Stop, newest_checkpoint, save
from keras_gen.runs.config import Config, loader_of, refuse_own_networks
from keras_gen.runs.directory import check_folders, is_finished, load_checkpoint
from keras_gen.runs.failures import blame, explain_failures
from keras_gen.runs.locks import check_is_new, locked
from keras_gen.runs.strategy import check_batch_size, explain_lost_workers, is_chief, make_strategy
from keras_gen.utils import tensorboard
from keras_gen.utils.arguments import received

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


class Run:
    """A run directory and its configuration.

    Args:
        directory: The run directory.
        config: What the run is configured by.
    """

    def __init__(self, directory: Path, config: Config):
        self.directory = directory
        self.config = config

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
        mlflow = self.config.options["mlflow"]
        mlflow_run = None if mlflow is None else tracking.MLflowRun(self.directory, mlflow)
        strategy = make_strategy(self.config.options["strategy"])
        check_batch_size(strategy, self.config.options["batch_size"])
        with contextlib.ExitStack() as stack:
            if is_chief(strategy):
                stack.enter_context(locked(self.directory))
                if is_new:
                    check_is_new(self.directory, is_locked=True)
                elif is_finished(self.directory):
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
        options, chief = self.config.options, is_chief(strategy)
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
                self.config.describe(model)
                note = None
            else:
                model, note = load_checkpoint(checkpoint, self.config, data, steps)
        # The other workers must save with the chief, since reading metrics is collective.
        place = self.directory if chief else Path(tempfile.mkdtemp(prefix="keras-gen-worker-"))
        columns = [] if note is None else note.columns
        writer = CheckpointWriter(place, epoch, step, max_minutes, strategy, columns)
        shown = progress(data, steps, epoch, step) if chief and progress is not None else None
        if progress is not None and chief and not isinstance(shown, keras.callbacks.Callback):
            raise ValueError(f"progress must make a keras.callbacks.Callback. Received: {received(shown)}")
        if chief and not (self.directory / "config.json").exists():
            self.config.write(self.directory, model, data)
        writer.identity = self.config.identity
        epochs = -(-steps // data.steps_per_epoch)
        run_callbacks = monitoring.run_callbacks(self.directory, model, data, epochs) if chief else []
        writer.with_state = [each for each in run_callbacks if hasattr(each, "get_state")]
        for callback in writer.with_state:
            callback.set_state({} if note is None else note.callbacks.get(type(callback).__name__, {}))
        run_callbacks += [] if shown is None else [shown]
        with contextlib.ExitStack() as stack:
            if chief and mlflow_run is not None:
                run_callbacks += stack.enter_context(mlflow_run.started(self.config.to_dict()))
            if chief:
                tensorboard.drop_events_after(self.directory / "logs" / tensorboard.TRAIN, epoch)
                tensorboard.drop_events_after(self.directory / "logs" / tensorboard.VALIDATION, epoch)
                stack.enter_context(tracking.hparams_session(self.directory, self.config.to_dict()))
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
        if self.config.num_train not in (None, data.num_train):
            raise ValueError(
                f"the run began with {self.config.num_train:,} training examples of {data.name}. Received: "
                f"{data.num_train:,}"
            )

    def load_data(self) -> Data:
        """Loads the data with the options of the run."""
        options = self.config.options
        loader = getattr(datasets, loader_of(self.config.recipe))
        sizes = {"batch_size": options["batch_size"], "seed": options["seed"]}
        return loader(options["data"], **sizes, **self.config.data_options)

    def choose_epochs(self, data: Data) -> None:
        """Sets the number of epochs, if it follows from the size of the data."""
        if self.config.options["epochs"] is None and self.config.options["steps"] is None:
            images = find_recipe(self.config.recipe).images or 0
            self.config.options["epochs"] = max(1, round(images / data.num_train))

    def choose_steps(
        self, data: Data, strategy: tf.distribute.Strategy, minutes: float, started: float
    ) -> None:
        """Sets the number of steps that fits into the minutes."""

        def build() -> models.BaseModel:
            options = {**self.config.options, "steps": 1_000_000}
            copies = {
                name: keras.models.clone_model(value) if isinstance(value, keras.Model) else value
                for name, value in self.config.hyperparameters.items()
            }
            return building.build(self.config.recipe, data, options, copies)

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
        self.config.options["steps"] = steps
        self.config.budget = {"minutes": minutes, "measured": dataclasses.asdict(costs)}

    def build(self, data: Data) -> models.BaseModel:
        """Builds and compiles the model with the options of the run."""
        refuse_own_networks(self.config.own_networks)
        return building.build(self.config.recipe, data, self.config.options, self.config.hyperparameters)
