"""How busy the machine is while it trains, as TensorBoard scalars."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import keras
import psutil
import tensorflow as tf

from keras_gen.hardware import GIB, gpu_info


class HardwareMonitor(keras.callbacks.Callback):
    """Logs CPU and RAM use, each GPU's load and memory, and images, or tokens, per second.

    A thread of its own looks every `seconds`, so that training does not wait for it. The scalars'
    steps are training steps; they are TensorBoard's run `hardware`.

    Args:
        log_dir: TensorBoard's directory.
        units_per_step: Images, or tokens, in a training step, for `images_per_second`; left out where None.
        unit: `"images"` or `"tokens"`.
        seconds: Time between two looks, more than 0.

    Raises:
        ValueError: `seconds` is not positive.

    Example:

    >>> import tempfile
    >>> monitor = HardwareMonitor(tempfile.mkdtemp(), units_per_step=128)
    """

    def __init__(
        self,
        log_dir: str | os.PathLike,
        units_per_step: int | None = None,
        unit: str = "images",
        seconds: float = 5.0,
    ):
        super().__init__()
        if seconds <= 0:
            raise ValueError(f"seconds must be more than 0. Received: {seconds}")
        self.log_dir = Path(log_dir)
        self.units_per_step = units_per_step
        self.unit = unit
        self.seconds = seconds
        self._step = 0
        self._has_gpu = True
        self._thread: threading.Thread | None = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._epoch_start = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        optimizer = getattr(self.model, "optimizer", None)
        self._epoch_start = self._step if optimizer is None else int(optimizer.iterations.numpy())

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._step = self._epoch_start + batch + 1

    def on_train_end(self, logs: dict | None = None) -> None:
        if self._thread is not None:
            self._done.set()
            self._thread.join()
            self._thread = None

    def _watch(self) -> None:
        writer = tf.summary.create_file_writer(str(self.log_dir / "hardware"))
        psutil.cpu_percent()  # the first call only starts the measurement
        before, steps_before = time.monotonic(), self._step
        finished = False
        while not finished:
            finished = self._done.wait(self.seconds)
            now, step = time.monotonic(), self._step
            if finished and now - before < self.seconds / 2:
                break  # a load over so short a time says nothing
            values = self._look()
            if self.units_per_step and step > steps_before:
                rate = (step - steps_before) * self.units_per_step / (now - before)
                values[f"{self.unit}_per_second"] = rate
            with writer.as_default():
                for name, value in values.items():
                    tf.summary.scalar(name, value, step=step)
            before, steps_before = now, step
        writer.close()

    def _look(self) -> dict[str, float]:
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
