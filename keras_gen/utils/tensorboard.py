"""How a run is organized in TensorBoard: runs, groups of charts, and their order.

TensorBoard sorts charts by name, and groups them by what comes before the first slash: losses come first,
then quality, samples, and at the end optimization and hardware. Steps are epochs, from 1.
"""

import os
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_gen.utils.arguments import Natural, checked
from keras_gen.utils.files import MOST_SHOWN, atomic_write, printable

# TensorBoard's runs, sub-directories of the logs: a training and a validation curve share a chart.
TRAIN = "train"
VALIDATION = "validation"
EVALUATION = "validation/evaluation"  # inside, so that the HParams tab shows both in one row

# Groups of charts, in their order; before them comes `loss`.
METRICS, SAMPLES, TRAINING, UTILIZATION = "metrics", "samples", "training", "utilization"
BY_TIME = "loss by time"  # of a diffusion model
# Capitals come first in TensorBoard's order, and so do these in the HParams tab.
CAPITALS = {"fd": "FD", "kid": "KID"}


def scalar_tags(names: Iterable[str]) -> dict[str, str]:
    """The chart of each logged value, whose name comes without `val_`.

    Without a total `loss`, as in GANs, each network's loss is in the group of losses. The terms of a total
    loss are metrics, as in Keras, so that FD is among the five columns of the HParams tab for every model.

    Example:

    >>> scalar_tags(["loss", "kl_loss", "learning_rate"])
    {'loss': 'loss', 'kl_loss': 'metrics/kl_loss', 'learning_rate': 'training/learning_rate'}
    >>> scalar_tags(["generator_loss", "fd"])
    {'generator_loss': 'loss/generator_loss', 'fd': 'metrics/FD'}
    """
    names = list(names)
    return {name: _scalar_tag(name, "loss" in names) for name in names}


def _scalar_tag(name: str, has_total_loss: bool) -> str:
    if name == "loss":
        return name
    if name.endswith("_loss") and not has_total_loss:
        return f"loss/{name}"
    if name.endswith(("gradient_norm", "learning_rate")):
        return f"{TRAINING}/{name}"
    return f"{METRICS}/{CAPITALS.get(name, name)}"


# === Event files ===

_open_writers: Any = weakref.WeakValueDictionary()


@checked
def summary_writer(log_dir: str | os.PathLike, run: str) -> Any:
    """The writer of a run, shared by all that use it at the same time.

    TensorBoard's Python reader follows only one growing file per directory. The writer is closed when it is
    no longer referenced.

    Raises:
        ValueError: The directory is a file or below one, or may not be written to.
    """
    folder = os.path.abspath(os.path.join(log_dir, run))
    writer = _open_writers.get(folder)
    if writer is None:
        try:
            writer = _open_writers[folder] = tf.summary.create_file_writer(folder)
        except (tf.errors.OpError, ValueError):  # the latter of a name that is not UTF-8
            raise ValueError(
                "log_dir must be a directory that can be written to. "
                f"Received: {printable(folder)[:MOST_SHOWN]!r}"
            ) from None
    return writer


@checked
def write_scalars(writer: tf.summary.SummaryWriter, values: dict[str, Any], epoch: Natural) -> None:
    """Writes values by their tags; `epoch` counts from 1."""
    with writer.as_default():
        for tag, value in values.items():
            tf.summary.scalar(tag, value, step=epoch)
    writer.flush()


@checked
def drop_events_after(folder: str | os.PathLike, epoch: Natural) -> None:
    """Removes the events after an epoch from a directory's event files: they will be computed again."""
    for path in Path(folder).glob("events.*"):
        records = _whole_records(path)
        kept = [record for record in records if tf.compat.v1.Event.FromString(record).step <= epoch]
        if len(kept) < len(records):
            with atomic_write(path) as draft, tf.io.TFRecordWriter(str(draft)) as writer:
                for record in kept:
                    writer.write(record)


def _whole_records(path: Path) -> list[bytes]:
    """The complete records of an event file, whose last one may be incomplete after a kill."""
    records = []
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            records.append(record)
    except tf.errors.DataLossError:
        pass
    return records
