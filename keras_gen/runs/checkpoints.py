"""The state of a run on disk (checkpoints, `metrics.csv`, `time.json`), and how a run stops early."""

import contextlib
import csv
import io
import json
import os
import re
import signal
import time
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_gen import callbacks
from keras_gen.utils.arguments import received
from keras_gen.utils.files import atomic_write, open_file, printable, read_text
from keras_gen.utils.records import CheckpointNote, TrainingTime, parse_record, read_record

CHECKPOINT_SECONDS = 15.0  # at least, between two checkpoints
MOST_CSV_BYTES = 2**28
CHECKPOINT_SHARE = 0.01  # at most, of the time
STEPS_BETWEEN_VOTES = 50  # of several workers, which save and stop all together


def newest_checkpoint(folder: Path) -> tuple[Path, int, int] | None:
    """The newest checkpoint: its file, its epoch, and the number of completed steps of that epoch.

    Raises:
        ValueError: The folder is a file, or holds a model by another name.
    """
    if not os.path.lexists(folder):
        return None
    if not folder.is_dir():
        raise ValueError(f"{printable(folder)} must be a directory of checkpoints. Move it away.")
    found = []
    for name in os.listdir(folder):
        numbers = re.fullmatch(r"epoch-(\d{5,9})-step-(\d{7,12})\.keras", name, re.ASCII)
        if numbers:
            found.append((int(numbers[1]), int(numbers[2]), folder / name))
        elif name.endswith(".keras") and not name.startswith("."):
            raise ValueError(
                f"{printable(folder / name)} is not a checkpoint of a run: expected a name like "
                "epoch-00001-step-0000000.keras. Rename it back, or move it away."
            )
    if not found:
        return None
    epoch, step, path = max(found)
    return path, epoch, step


def save(model: keras.Model, path: Path, note: CheckpointNote | None = None) -> None:
    """`model.save`, atomically, with a note as the archive's comment."""
    with atomic_write(path) as draft:
        keras.saving.save_model(model, draft)
        if note is not None:
            with zipfile.ZipFile(draft, "a") as archive:
                archive.comment = note.model_dump_json().encode()


def read_note(path: Path) -> CheckpointNote | None:
    """The note in a checkpoint; None if an older version wrote it."""
    with open_file(path) as file, zipfile.ZipFile(file) as archive:
        comment = archive.comment
    return parse_record(comment, CheckpointNote, printable(path), "") if comment else None


def read_rows(path: Path, epoch: int, columns: list[str]) -> list[dict[str, Any]]:
    """The rows of `metrics.csv` up to the end of an epoch.

    Args:
        path: The file.
        epoch: The last row's epoch, from 1; 0 for no row.
        columns: The expected columns; None to accept any.

    Raises:
        ValueError: Rows are missing, or it is no longer what a run writes.
    """
    name = printable(path)
    if not os.path.lexists(path):
        if epoch:
            warnings.warn(f"{name} is missing: it will begin with epoch {epoch + 1}.", stacklevel=2)
        return []
    try:
        text = read_text(path, MOST_CSV_BYTES, "utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", restval="")
        header = list(reader.fieldnames or ())
        if "epoch" not in header or (columns and header != columns):
            expected = ",".join(columns or ["epoch", "...", "learning_rate"])
            raise ValueError(f"expected the columns {expected}. Received: {received(','.join(header))}")
        rows: list[dict[str, Any]] = [as_numbers(row, reader.line_num) for row in reader]
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{name}: {str(error).removeprefix(f'{name} ')}. {RESTORE}") from None
    rows = [row for row in rows if row["epoch"] <= epoch]
    epochs = [row["epoch"] for row in rows]
    if epochs != list(range(epoch - len(epochs) + 1, epoch + 1)) or (epoch and not epochs):
        raise ValueError(
            f"{name}: expected a row for each epoch up to {epoch}. Received: {received(epochs)}. {RESTORE}"
        )
    return rows


RESTORE = "Restore it, or delete it, and it will begin with the next epoch."


def as_numbers(row: dict[str, Any], line: int) -> dict[str, Any]:
    """A row with its epoch as an integer, if all values are numbers."""
    try:
        for text in row.values():
            # Empty in an epoch without that number; a list if there are more columns than names.
            float(text or 0)
        return {**row, "epoch": int(row["epoch"])}
    except (ValueError, TypeError):
        text = received(",".join(map(str, row.values())))
        raise ValueError(f"expected a number for each column in line {line}. Received: {text}") from None


class Stop(Exception):  # noqa: N818 (not an error)
    """Ends `fit` between two steps, without the end of the epoch that Keras would run."""


class CheckpointWriter(keras.callbacks.Callback):
    """Writes checkpoints, `metrics.csv` and `time.json`, and stops the run when time is up or on a signal.

    It must be the last callback, so that a checkpoint holds the state after all others.

    Args:
        directory: The run.
        epoch: The epoch that the run is resumed in, from 0.
        step: The steps of that epoch that are done.
        max_minutes: Minutes until it stops; None for no limit.
        strategy: The strategy of a distributed run. Several workers save and stop together: every 50 steps,
            they ask each other whether one of them needs to.
        columns: The columns of `metrics.csv`, if they are known.

    Raises:
        ValueError: `metrics.csv` or `time.json` is damaged.
    """

    identity: str | None = None  # of the run, for the notes of its checkpoints
    with_state: Sequence[Any] = ()  # callbacks whose state is in those notes

    def __init__(
        self,
        directory: Path,
        epoch: int,
        step: int,
        max_minutes: float | None,
        strategy: tf.distribute.Strategy,
        columns: list[str],
    ):
        super().__init__()
        self.directory = directory
        self.epoch, self.step = epoch, step
        self.max_minutes = max_minutes
        self.strategy = strategy
        self.together = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        self.budget = None if max_minutes is None else callbacks.TimeBudget(max_minutes)
        self.signal: int | None = None
        self._rows = read_rows(directory / "metrics.csv", epoch, columns)
        self._resumed_metrics: list[np.ndarray] | None = None
        self._next_save = 0.0
        self._seconds_before = self._read_seconds()  # of training, before the run was resumed
        self._start: float | None = None

    @property
    def why(self) -> str:
        """What stopped the run."""
        if self.signal is not None:
            return f"interrupted by {signal.Signals(self.signal).name}"
        return f"the time limit of {self.max_minutes:g} minutes was reached"

    def stopping_at_signals(self) -> Any:
        """Stops the run on Ctrl-C or SIGTERM (Slurm's notice), after the current step."""
        return _Signals(self)

    def on_train_begin(self, logs: dict | None = None) -> None:
        if self.budget is not None:
            self.budget.on_train_begin()
        self._start = self._start or time.monotonic()
        self._next_save = max(self._next_save, time.monotonic() + CHECKPOINT_SECONDS)
        self._first_step = self.step
        if self.step:
            self._resumed_metrics = [v.numpy() for v in self.model.metrics_variables]

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if self._resumed_metrics is not None:
            # The epoch's means go on from its first part.
            for variable, value in zip(self.model.metrics_variables, self._resumed_metrics, strict=True):
                variable.assign(value)
            self._resumed_metrics = None

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.step = self._first_step + batch + 1
        if batch + 1 >= self.params["steps"]:
            return  # the end of the epoch comes next
        if not self.together or self.step % STEPS_BETWEEN_VOTES == 0:
            self._save_or_stop()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.epoch, self.step, self._first_step = epoch + 1, 0, 0
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        values = {name: float(np.mean(value)) for name, value in (logs or {}).items()}
        self._rows.append({"epoch": epoch + 1, **values, "learning_rate": rate})
        self._write_rows()
        self._write_seconds()
        if self.epoch == self.params["epochs"]:
            return  # `model.keras` comes next
        self._save_or_stop()

    def _save_or_stop(self) -> None:
        stop = self.signal is not None or (self.budget is not None and self.budget.is_over)
        save = stop or time.monotonic() >= self._next_save
        if self.together:
            votes = self.strategy.run(lambda: tf.constant([stop, save], tf.float32))
            stop, save = (self.strategy.reduce("SUM", votes, axis=None).numpy() > 0).tolist()
        if save:
            self._save()
        if stop:
            raise Stop

    def _save(self) -> None:
        start = time.monotonic()
        folder = self.directory / "checkpoints"
        path = folder / f"epoch-{self.epoch:05d}-step-{self.step:07d}.keras"
        columns = list(dict.fromkeys(name for row in self._rows for name in row))
        states = {type(callback).__name__: callback.get_state() for callback in self.with_state}
        note = CheckpointNote(
            run=self.identity, epoch=self.epoch, step=self.step, columns=columns, callbacks=states
        )
        save(self.model, path, note)
        self._write_seconds()
        for older in folder.glob("epoch-*-step-*.keras"):
            if older != path and re.fullmatch(r"epoch-\d+-step-\d+", older.stem):
                older.unlink()
        now = time.monotonic()
        self._next_save = now + max(CHECKPOINT_SECONDS, (now - start) / CHECKPOINT_SHARE)

    def _read_seconds(self) -> float:
        path = self.directory / "time.json"
        if not os.path.lexists(path):
            return 0.0
        remedy = "Correct it, or delete it, and the time is counted from 0."
        return read_record(path, TrainingTime, remedy).training_seconds

    def _write_seconds(self) -> None:
        """Writes the training time so far, including validation and pictures."""
        assert self._start is not None
        seconds = self._seconds_before + time.monotonic() - self._start
        with atomic_write(self.directory / "time.json") as path:
            path.write_text(json.dumps({"training_seconds": round(seconds, 3)}) + "\n")

    def _write_rows(self) -> None:
        text = io.StringIO()
        columns = dict.fromkeys(name for row in self._rows for name in row)
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        with atomic_write(self.directory / "metrics.csv") as path:
            path.write_text(text.getvalue())


class _Signals:
    """Passes Ctrl-C and SIGTERM to a `CheckpointWriter`; a second one has its usual effect."""

    def __init__(self, writer: CheckpointWriter):
        self.writer = writer

    def __enter__(self) -> None:
        self.before = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # raised outside of the main thread
                self.before[number] = signal.signal(number, self._note)

    def _note(self, number: int, frame: Any) -> None:
        self.writer.signal = number
        self.__exit__()

    def __exit__(self, *_: Any) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
