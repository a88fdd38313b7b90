"""How many training steps fit into a time budget, measured in a short trial.

The trial trains a throwaway model for some seconds, validates it on some batches, and calls each callback
at the end of an epoch, twice, since the first time compiles. Only the number of steps passes from the trial
to the run.
"""

import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_gen import callbacks, models
from keras_gen.runs import fitting, monitoring
from keras_gen.runs.building import Data
from keras_gen.runs.checkpoints import CHECKPOINT_SECONDS, CHECKPOINT_SHARE, save
from keras_gen.utils.arguments import LARGEST

MEASURED = 0.05  # the part of the time that steps are measured for,
LEAST_MEASURED, MOST_MEASURED = 3.0, 20.0  # but at least and at most so many seconds
SPARE = 0.03  # the fraction of the time kept in reserve, so that a run ends early rather than late
VALIDATION_BATCHES = 64  # that are timed


@dataclasses.dataclass(frozen=True)
class Costs:
    """The duration of the parts of a run, in seconds.

    Args:
        step: A training step.
        epoch: The end of an epoch: validation and callbacks.
        shown: The pictures or texts that are shown after some of the epochs.
        checkpoint: Writing a checkpoint.
        once: Building and compiling the model, and everything after the last step.
    """

    step: float
    epoch: float
    shown: float
    checkpoint: float
    once: float

    def of_run(self, steps: int, steps_per_epoch: int) -> float:
        """Seconds that a run of so many steps takes."""
        epochs = -(-steps // steps_per_epoch)
        shows = -(-epochs // monitoring.epochs_between_samples(epochs))
        training = steps * self.step + epochs * self.epoch + shows * self.shown
        checkpoints = self.checkpoint / max(CHECKPOINT_SECONDS, self.checkpoint / CHECKPOINT_SHARE)
        return (self.once + training * (1.0 + checkpoints)) * (1.0 + SPARE)

    def steps_within(self, seconds: float, steps_per_epoch: int) -> int:
        """The maximum number of steps of a run that takes no longer; 0 if there is no time for one."""
        fewest, too_many = 0, 1
        while fewest < LARGEST and self.of_run(too_many, steps_per_epoch) <= seconds:
            fewest, too_many = too_many, 2 * too_many
        while too_many - fewest > 1:
            middle = (fewest + too_many) // 2
            if self.of_run(middle, steps_per_epoch) <= seconds:
                fewest = middle
            else:
                too_many = middle
        return min(fewest, LARGEST)


def seconds_to_measure(seconds: float) -> float:
    """How long to measure steps for a given time budget, in seconds."""
    return min(MOST_MEASURED, max(LEAST_MEASURED, MEASURED * seconds))


def measure(
    build: Callable[[], models.BaseModel], data: Data, strategy: tf.distribute.Strategy, seconds: float
) -> Costs:
    """Rehearses the start of a run.

    Args:
        build: Makes a compiled model, which is discarded.
        data: The data to train on; its order is not affected.
        strategy: The strategy of the run.
        seconds: How long to time training steps.
    """
    with tempfile.TemporaryDirectory(prefix="keras-gen-rehearsal-") as folder:
        begin = time.monotonic()
        with strategy.scope():
            model = build()
        run_callbacks = monitoring.run_callbacks(Path(folder), model, data, epochs=1)
        # What it has to say of a GAN's first steps belongs to the run.
        run_callbacks = [each for each in run_callbacks if not isinstance(each, callbacks.GANHealth)]
        clock = Clock(seconds)
        all_callbacks = TimedCallbacks([*run_callbacks, callbacks.FiniteGuard(), clock], model, epochs=1)
        with all_callbacks.training():
            model.fit(data.train_from(0).repeat(1_000_000), callbacks=all_callbacks, verbose=0)
            assert clock.first is not None
            step = clock.seconds_per_step()
            once = clock.first - begin - (clock.first_batch + 1) * step + all_callbacks.seconds()
            compiling, validation = time_validation(model, data, all_callbacks)
            logs = {name: float(np.mean(value)) for name, value in model.get_metrics_result().items()}
            all_callbacks.on_epoch_end(1, logs)
            shown, each_epoch = all_callbacks.seconds(shown=True), all_callbacks.seconds(shown=False)
            checkpoint = seconds_of(lambda: save(model, Path(folder) / "model.keras"))
            finishing = time.monotonic()
        once += compiling + time.monotonic() - finishing + shown + checkpoint
    return Costs(step, each_epoch + validation, shown, checkpoint, once)


def time_validation(model: models.BaseModel, data: Data, all_callbacks: Any) -> tuple[float, float]:
    """Seconds that the first validation takes in addition, and seconds per validation."""
    num_batches = int(data.test.cardinality())
    timed = min(num_batches, VALIDATION_BATCHES)

    def validate(count: int) -> float:
        batches = data.test.take(count)
        return seconds_of(lambda: model.evaluate(batches, callbacks=all_callbacks, verbose=0))

    first = validate(min(timed, 16))
    one = validate(timed) / timed
    return max(0.0, first - min(timed, 16) * one), num_batches * one


def seconds_of(function: Callable[[], Any]) -> float:
    """Duration of a call in seconds."""
    start = time.monotonic()
    function()
    return time.monotonic() - start


class Clock(keras.callbacks.Callback):
    """Times training steps for some seconds, after the first call, which compiles."""

    def __init__(self, seconds: float):
        super().__init__()
        self.seconds = seconds
        self.first: float | None = None

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        now = time.monotonic()
        if self.first is None:
            self.first, self.first_batch = now, batch
        elif now - self.first >= self.seconds:
            self.elapsed, self.steps = now - self.first, batch - self.first_batch
            self.model.stop_training = True

    def seconds_per_step(self) -> float:
        return self.elapsed / self.steps


class TimedCallbacks(fitting.Callbacks):
    """Callbacks that are timed at the end of each epoch."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._spent = []
        for each in self.callbacks:
            start = time.monotonic()
            each.on_epoch_end(epoch, logs)
            self._spent.append((each, time.monotonic() - start))

    def seconds(self, shown: bool | None = None) -> float:
        """Duration of the last end of an epoch: all of it, or only what is shown after some epochs, or the
        rest.
        """
        return sum(spent for each, spent in self._spent if shown in (None, hasattr(each, "every")))
