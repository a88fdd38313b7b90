"""Load of the machine during training, as TensorBoard scalars."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import psutil

from keras_gen.utils import tensorboard
from keras_gen.utils.arguments import Count, Positive, checked
from keras_gen.utils.files import make_folder, writable_folder
from keras_gen.utils.hardware import GIB, gpu_info

SHORTEST = 0.01  # seconds between two readings, which would take all of a processor


class HardwareMonitor(keras.callbacks.Callback):
    """Logs CPU and RAM use, load and memory of each GPU, and images or tokens per second.

    A thread reads them every `seconds`, so that training does not wait. TensorBoard's run `train` gets the
    means of each epoch, in the group `utilization`. An epoch that is shorter than `seconds` may have none.
    The rate, in the group `training`, excludes validation.

    Args:
        log_dir: TensorBoard's directory.
        units_per_step: Images or tokens per training step, for `images_per_second`; None to omit the rate.
        unit: `"images"` or `"tokens"`.
        seconds: Time between two readings, more than 0.

    Raises:
        ValueError: A number is out of range, or `log_dir` is a file or may not be written to.

    Example:

    >>> import tempfile
    >>> monitor = HardwareMonitor(tempfile.mkdtemp(), units_per_step=128)
    """

    @checked
    def __init__(
        self,
        log_dir: str | os.PathLike,
        units_per_step: Count | None = None,
        unit: str = "images",
        seconds: Positive = 5.0,
    ):
        super().__init__()
        self.log_dir = writable_folder("log_dir", log_dir)
        self.units_per_step = units_per_step
        self.unit = unit
        self.seconds = seconds
        self._readings: list[dict[str, float]] = []  # since the last epoch
        self._has_gpu = True
        self._thread: threading.Thread | None = None
        self._writer: Any = None

    @classmethod
    def for_run(cls, model: Any, data: Any, logs: Path, every: int) -> "HardwareMonitor":
        """The callback of a run directory."""
        return cls(logs, data.units_per_step, data.unit)

    def on_train_begin(self, logs: dict | None = None) -> None:
        make_folder("log_dir", self.log_dir / tensorboard.TRAIN)
        self._readings = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch_start = time.monotonic()
        self._steps, self._training_seconds = 0, 0.0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._steps = batch + 1
        self._training_seconds = time.monotonic() - self._epoch_start

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        readings, self._readings = self._readings, []
        values = {
            f"{tensorboard.UTILIZATION}/{name}": float(np.mean([reading[name] for reading in readings]))
            for name in (readings[0] if readings else ())
        }
        if self.units_per_step and self._steps:
            # The last call of an epoch may count steps that the epoch does not have.
            steps = min(self._steps, (self.params or {}).get("steps") or self._steps)
            rate = steps * self.units_per_step / self._training_seconds
            values[f"{tensorboard.TRAINING}/{self.unit}_per_second"] = rate
        if values:
            self._writer = self._writer or tensorboard.summary_writer(self.log_dir, tensorboard.TRAIN)
            tensorboard.write_scalars(self._writer, values, epoch + 1)

    def on_train_end(self, logs: dict | None = None) -> None:
        self._writer = None
        if self._thread is not None:
            self._done.set()
            self._thread.join()
            self._thread = None

    def _watch(self) -> None:
        psutil.cpu_percent()  # the first call only starts the measurement
        seconds = min(max(self.seconds, SHORTEST), threading.TIMEOUT_MAX)
        while not self._done.wait(seconds):
            self._readings.append(self._read())

    def _read(self) -> dict[str, float]:
        memory = psutil.virtual_memory()
        values: dict[str, Any] = {
            "cpu_percent": psutil.cpu_percent(),
            "ram_percent": memory.percent,
            "process_ram_gib": psutil.Process().memory_info().rss / GIB,
        }
        gpus = gpu_info() if self._has_gpu else []
        self._has_gpu = bool(gpus)  # asking runs a program, so a machine without is asked once
        for number, gpu in enumerate(gpus or []):
            values[f"gpu_{number}_load_percent"] = gpu["load_percent"]
            values[f"gpu_{number}_memory_mib"] = gpu["memory_used_mib"]
        return values
