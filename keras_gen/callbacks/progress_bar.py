"""Progress of a run: one line per epoch, and in a terminal a bar with rate and remaining time."""

import sys
import time
from collections.abc import Callable

import keras
import numpy as np
import tqdm

from keras_gen.utils.arguments import Count, Natural, checked


class ProgressBar(keras.callbacks.Callback):
    """Prints the losses after each epoch, and draws a bar for the whole run.

    Args:
        steps: Training steps of the whole run. The last epoch is shorter if they do not fill it.
        steps_per_epoch: Training steps in an epoch.
        units_per_step: Images or tokens per step.
        epoch: The epoch that the run starts in, from 0.
        step: Number of completed steps of that epoch.
        unit: `"images"` or `"tokens"`.
        say: Called with each line; `print` by default.

    Raises:
        ValueError: A number is out of range.

    Example:

    >>> bar = ProgressBar(steps=20, steps_per_epoch=10, units_per_step=128)
    """

    @checked
    def __init__(
        self,
        steps: Count,
        steps_per_epoch: Count,
        units_per_step: Count,
        epoch: Natural = 0,
        step: Natural = 0,
        unit: str = "images",
        say: Callable[[str], None] = print,
    ):
        super().__init__()
        self.steps = steps
        self.epochs = -(-steps // steps_per_epoch)
        self.steps_per_epoch = steps_per_epoch
        self.units_per_step = units_per_step
        self.unit = unit
        self.say = say
        self._skipped = step  # of the epoch it starts in
        self._done = epoch * steps_per_epoch + step
        self._bar: tqdm.tqdm | None = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        if self._bar is None:
            self._name_replicas()
            self._bar = tqdm.tqdm(
                total=self.steps * self.units_per_step,
                initial=self._done * self.units_per_step,
                bar_format="{desc} {bar} {percentage:3.0f} % {rate_fmt}, {remaining} left",
                unit=f" {self.unit}",
                unit_scale=True,
                leave=False,
                disable=not sys.stderr.isatty(),
            )

    def _name_replicas(self) -> None:
        """Names the number of devices and machines that share a step, if there are several."""
        strategy = getattr(self.model, "distribute_strategy", None)
        if strategy is not None and strategy.num_replicas_in_sync > 1:
            replicas = strategy.num_replicas_in_sync
            cluster = strategy.cluster_resolver and strategy.cluster_resolver.cluster_spec().as_dict()
            workers = sum(map(len, cluster.values())) if cluster else 1
            plural = "" if workers == 1 else "s"
            share = self.units_per_step // replicas
            self.say(f"{workers} worker{plural}, {replicas} replicas, {share} {self.unit} each in a step")

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch_done = epoch * self.steps_per_epoch + self._skipped
        self._skipped = 0
        self._epoch_start = time.monotonic()
        if self._bar is not None:
            self._bar.set_description_str(f"epoch {epoch + 1}/{self.epochs}")

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        # The last call of an epoch may count steps that the epoch does not have.
        done = min(self._epoch_done + batch + 1, self._end_of_epoch())
        if self._bar is not None:
            self._bar.update((done - self._done) * self.units_per_step)
        self._done = done
        self._seconds = time.monotonic() - self._epoch_start

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        rate = (self._done - self._epoch_done) * self.units_per_step / max(self._seconds, 1e-9)
        values = {name: float(np.mean(value)) for name, value in (logs or {}).items()}
        shown = "  ".join(f"{n} {v:.4g}" for n, v in values.items() if is_main(n))
        line = f"epoch {epoch + 1:>{len(str(self.epochs))}}/{self.epochs}  {shown}  "
        with tqdm.tqdm.external_write_mode():  # without the bar, which is drawn again below the line
            self.say(f"{line}{rate:,.0f} {self.unit}/s")

    def on_train_end(self, logs: dict | None = None) -> None:
        if self._bar is not None:
            self._bar.close()

    def _end_of_epoch(self) -> int:
        return min(self.steps, (self._epoch_done // self.steps_per_epoch + 1) * self.steps_per_epoch)


def is_main(name: str) -> bool:
    """Whether a value is in the line of an epoch; TensorBoard has all of them."""
    if name.startswith("val_"):
        return name in ("val_loss", "val_accuracy", "val_fd", "val_perplexity", "val_bits_per_character")
    return not name.endswith(("gradient_norm", "_learning_rate"))
