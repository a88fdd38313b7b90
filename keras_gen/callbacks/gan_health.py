"""Reports which side of a GAN has overpowered the other, since when, and what to change."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tqdm

from keras_gen.utils import tensorboard
from keras_gen.utils.arguments import Count, checked
from keras_gen.utils.files import make_folder, writable_folder

NEARLY_ALWAYS = 0.98  # the fraction of images that an overpowering discriminator gets right
# The loss of a discriminator that guesses; a fifteenth of it is as good as zero. A healthy one is right
# nearly always, too, at the end of a run whose learning rates have fallen.
GUESSING = {"non_saturating": 1.386, "minimax": 1.386, "least_squares": 0.25, "hinge": 2.0}
HARDLY_EVER = 0.05  # the fraction of generated images that a fooled one recognizes
ALIKE = 0.5  # diversity, below which the generator has settled for a part of the data
SIGNALS = {"diversity", "real_accuracy", "generated_accuracy", "discriminator_loss"}
# A critic's score is right nearly always in a good run, too, and has no loss that goes to zero.
WITHOUT_DIAGNOSIS = ("wasserstein",)

# What a checkpoint keeps: of the run so far, and of an epoch that was interrupted.
STATE = (
    "ahead",
    "_seen",
    "_windows",
    "_since",
    "_window_start",
    "_window_steps",
    "_window_epoch",
    "_window_sums",
)
EPOCH_STATE = ("_epoch", "_done", "_sums")


class GANHealth(keras.callbacks.Callback):
    """Reads the signs that practitioners read in a GAN's logs, and says what they mean.

    - The discriminator has overpowered the generator: it is nearly always right, on real and on generated
      images, and its loss goes to zero. The generator gets hardly any gradient; its samples are diverse but
      of low quality.
    - The generator has overpowered the discriminator: its samples are alike (`diversity` below 0.5: mode
      collapse), or the discriminator classifies nearly all of them as real.

    Each is reported once, when it has lasted, in the terminal and in TensorBoard's text tab, with the step
    at which it began and the model's options that help; and so is its end. Nothing is reported of a healthy
    run.

    Args:
        log_dir: TensorBoard's directory; the texts are in its run `train`. None to report in the terminal
            only.
        window: Number of training steps to average over, 1 or more.
        patience: Number of consecutive windows that a sign must last, 1 or more.
        say: Called with each text; by default, it is printed in the terminal.

    Raises:
        ValueError: A number is less than 1, or `log_dir` is a file or may not be written to; at the start
            of `fit`, the model is not a GAN.

    Example:

    >>> health = GANHealth(None, window=50)
    """

    @checked
    def __init__(
        self,
        log_dir: str | os.PathLike | None,
        window: Count = 100,
        patience: Count = 3,
        say: Callable[[str], Any] = tqdm.tqdm.write,
    ):
        super().__init__()
        self.log_dir = None if log_dir is None else writable_folder("log_dir", log_dir)
        self.window = window
        self.patience = patience
        self.say = say
        self.ahead: str | None = None  # the side that has overpowered the other
        self._seen: str | None = None  # the side that the last windows spoke of
        self._windows = 0  # how many in a row
        self._since = (0, 0)  # the step and epoch in which they began
        self._told: list[str] = []  # in this epoch
        self._restored: dict[str, Any] = {}  # the state of an interrupted run
        self._writer: Any = None

    @classmethod
    def for_run(cls, model: Any, data: Any, logs: Path, every: int) -> "GANHealth | None":
        """The callback of a run directory; None if the model does not log the signals."""
        return cls(logs) if {metric.name for metric in model.metrics} >= SIGNALS else None

    # === Windows of steps, from the epoch's means so far ===

    def on_train_begin(self, logs: dict | None = None) -> None:
        logged = {metric.name for metric in self.model.metrics}
        if not logged >= SIGNALS:
            missing = ", ".join(sorted(SIGNALS - logged))
            raise ValueError(
                "GANHealth is for GANs. "
                f"Received: a {type(self.model).__name__}, which does not log {missing}"
            )
        if self.log_dir is not None:
            make_folder("log_dir", self.log_dir)
        self._epoch = 0
        self._soft_labels = any(getattr(self.model, name, 0) for name in LABEL_OPTIONS)
        self._start_window(int(self.model.optimizer.iterations.numpy()))
        for name in STATE:
            setattr(self, name, self._restored.get(name, getattr(self, name)))

    def get_state(self) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON can hold it."""
        return {name: getattr(self, name) for name in (*STATE, *EPOCH_STATE)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues from what `get_state` gave, at the next `fit`."""
        self._restored = dict(state)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch, self._told = epoch, []
        if not self._window_steps:
            self._window_epoch = epoch
        resumed = self._restored if self._restored.get("_epoch") == epoch else {}
        self._skipped = self._done = resumed.get("_done", 0)  # steps of this epoch
        self._sums: dict[str, float] = resumed.get("_sums", {})  # of the values of those steps
        self._restored = {}

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        # The last call of an epoch may count steps that the epoch does not have.
        done = self._skipped + min(batch + 1, (self.params or {}).get("steps") or batch + 1)
        for name, mean in (logs or {}).items():
            total = float(np.mean(mean)) * done
            self._window_sums[name] = self._window_sums.get(name, 0.0) + total - self._sums.get(name, 0.0)
            self._sums[name] = total
        self._window_steps += done - self._done
        self._done = done
        if self._window_steps >= self.window:
            means = {name: total / self._window_steps for name, total in self._window_sums.items()}
            self._look(means, self._window_start)
            self._start_window(self._window_start + self._window_steps)

    def _start_window(self, step: int) -> None:
        self._window_start, self._window_steps, self._window_epoch = step, 0, self._epoch
        self._window_sums: dict[str, float] = {}

    def on_train_end(self, logs: dict | None = None) -> None:
        self._writer = None

    def _look(self, means: dict[str, float], step: int) -> None:
        side = diagnose(means, getattr(self.model, "loss_name", ""), self._soft_labels)
        if side != self._seen:
            self._seen, self._windows, self._since = side, 0, (step, self._window_epoch)
        self._windows += 1
        if self._windows < self.patience or side == self.ahead:
            return
        before, self.ahead = self.ahead, side
        if side is None:
            self._tell(f"The {before} is no longer ahead, since {self._when()}.")
        else:
            signs, remedies = SIGNS[side](means), REMEDIES[side](self.model, means)
            self._tell(
                f"The {side} has overpowered the {OTHER[side]}, since {self._when()}: {signs}. "
                f"Try, one at a time: {'; '.join(remedies)}."
            )

    def _when(self) -> str:
        step, epoch = self._since
        return f"step {step:,} (epoch {epoch + 1})"

    def _tell(self, text: str) -> None:
        self.say(f"GANHealth: {text}")
        if self.log_dir is None:
            return
        self._told.append(text)
        self._writer = self._writer or tensorboard.summary_writer(self.log_dir, tensorboard.TRAIN)
        with self._writer.as_default():  # TensorBoard keeps one text for each epoch
            tf.summary.text("health", "\n\n".join(self._told), step=self._epoch + 1)
        self._writer.flush()


# === What the signs mean ===

OTHER = {"discriminator": "generator", "generator": "discriminator"}


def diagnose(means: dict[str, float], loss_name: str, soft_labels: bool = False) -> str | None:
    """The side that has overpowered the other, by the logged means of some steps; None for a healthy GAN.

    Args:
        means: `diversity`, `real_accuracy`, `generated_accuracy` and `discriminator_loss`, as the GANs log
            them.
        loss_name: Name of the adversarial loss; the value of an unknown loss is ignored.
        soft_labels: Whether labels are smoothed, noisy or flipped, so that the loss cannot reach zero.

    Example:

    >>> sure = {"real_accuracy": 1.0, "generated_accuracy": 0.99, "discriminator_loss": 0.01}
    >>> diagnose({"diversity": 1.0, **sure}, "hinge")
    'discriminator'
    """
    if means["diversity"] < ALIKE:
        return "generator"
    if loss_name in WITHOUT_DIAGNOSIS:
        return None
    if means["generated_accuracy"] < HARDLY_EVER:
        return "generator"
    right = min(means["real_accuracy"], means["generated_accuracy"])
    loss_at_zero = soft_labels or means["discriminator_loss"] < GUESSING.get(loss_name, np.inf) / 15
    return "discriminator" if right > NEARLY_ALWAYS and loss_at_zero else None


def discriminator_signs(means: dict[str, float]) -> str:
    return (
        f"it classifies {means['real_accuracy']:.0%} of the real and {means['generated_accuracy']:.0%} of "
        f"the generated images correctly (50% is chance), its loss is {means['discriminator_loss']:.2g}, "
        f"and samples are diverse ({means['diversity']:.2f} of the data's diversity) but of low quality"
    )


def generator_signs(means: dict[str, float]) -> str:
    alike = "alike, " if means["diversity"] < ALIKE else ""
    return (
        f"its samples are {alike}{means['diversity']:.2f} times as far from each other as real images are, "
        f"and the discriminator recognizes {means['generated_accuracy']:.0%} of them"
    )


def weaken_discriminator(model: Any, means: dict[str, float]) -> list[str]:
    """Options that hold the discriminator back, with current and suggested values."""
    config = model.get_config()
    rate = means["discriminator_learning_rate"]
    penalty = config.get("r1_weight", 0)
    remedies = [
        f"r1_weight={4 * penalty or 0.1:g} (now {penalty:g})",
        f"dropout={min(0.5, config['dropout'] + 0.25):g} (now {config['dropout']:g})",
        f"a discriminator learning rate of {rate / 4:.2g} (now {rate:.2g})",
        f"half of the discriminator's filters (now {list(config['discriminator_widths'])})",
        f"real_label_noise=0.2 (now {config.get('real_label_noise', 0):g})",
        f"real_label_flips=0.05 and generated_label_flips=0.05 (now {config.get('real_label_flips', 0):g})",
    ]
    if config["discriminator_steps"] > 1:
        remedies.insert(0, f"discriminator_steps=1 (now {config['discriminator_steps']})")
    return remedies


def strengthen_discriminator(model: Any, means: dict[str, float]) -> list[str]:
    """Options that help the discriminator or hold the generator back."""
    config = model.get_config()
    rate = means["generator_learning_rate"]
    remedies = [
        f"a generator learning rate of {rate / 4:.2g} (now {rate:.2g})",
        f"a discriminator learning rate above {means['discriminator_learning_rate']:.2g}",
        f"twice the discriminator's filters (now {list(config['discriminator_widths'])})",
        f"discriminator_steps={config['discriminator_steps'] + 1} (now {config['discriminator_steps']})",
    ]
    for name in ("dropout", *LABEL_OPTIONS, "instance_noise", "r1_weight"):
        if config.get(name):
            remedies.insert(0, f"{name}=0 (now {config[name]:g})")
    return remedies


LABEL_OPTIONS = (
    "label_smoothing",
    "real_label_noise",
    "generated_label_noise",
    "real_label_flips",
    "generated_label_flips",
)
SIGNS = {"discriminator": discriminator_signs, "generator": generator_signs}
REMEDIES = {"discriminator": weaken_discriminator, "generator": strengthen_discriminator}
