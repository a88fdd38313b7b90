"""A run directory: its files, and whether they are what a run can continue from.

config.json       everything needed to repeat the run, versions and hardware included
metrics.csv       one row per epoch
time.json         the seconds of training so far
logs/             TensorBoard
checkpoints/      the newest complete state
samples/          pictures or texts from some of the epochs, and `final.png` or `final.md`
model.keras       the trained model
"""

import os
from pathlib import Path

from keras_gen import models
from keras_gen.recipes import find_recipe
from keras_gen.runs.building import Data
from keras_gen.runs.checkpoints import read_note
from keras_gen.runs.config import Config, as_json
from keras_gen.runs.failures import ANEW
from keras_gen.serving.presets.loading import load_keras_file, read_config
from keras_gen.utils import tensorboard
from keras_gen.utils.arguments import received
from keras_gen.utils.files import printable
from keras_gen.utils.records import CheckpointNote

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


def is_finished(directory: Path) -> bool:
    """Whether a run directory has a trained model.

    Raises:
        ValueError: The file of the trained model is damaged.
    """
    path = directory / "model.keras"
    if not os.path.lexists(path):
        return False
    try:
        read_config(path)
    except ValueError as error:
        raise ValueError(f"{str(error).rstrip('.')}. {ANEW.format(path)}") from None
    return True


def load_checkpoint(
    checkpoint: tuple[Path, int, int], config: Config, data: Data, steps: int
) -> tuple[models.BaseModel, CheckpointNote | None]:
    """Loads a checkpoint and its note.

    Args:
        checkpoint: The file, and the epoch and step in its name.
        config: The configuration of the run.
        data: What the run is trained on.
        steps: Training steps of the whole run.

    Raises:
        ValueError: The checkpoint is damaged, or belongs to another run or another model.
    """
    path, epoch, step = checkpoint
    try:
        model, note = load_keras_file(path), read_note(path)
    except ValueError as error:
        raise ValueError(f"{str(error).rstrip('.')}. {ANEW.format(path)}") from error
    described = as_json(model.get_config()) if isinstance(model, models.BaseModel) else {}
    expected, found = find_recipe(config.recipe).model, type(model).__name__
    done = epoch * data.steps_per_epoch + step
    problems = [
        f"expected the model {expected}. Received: {found}" if found != expected else "",
        "it belongs to another run"
        if config.identity is not None and (note is None or note.run != config.identity)
        else "",
        f"it was renamed: it was saved in epoch {note.epoch}, step {note.step}"
        if note and (note.epoch, note.step) != (epoch, step)
        else "",
        f"expected one of the run's {steps:,} steps. Received: one after {done:,}"
        if done > steps or step >= data.steps_per_epoch
        else "",
        *(
            f"expected {name}={received(value)}, as in config.json and the data. Received: "
            f"{name}={received(described.get(name))}"
            for name, value in config.arguments(data).items()
            if described.get(name) != value
        ),
    ]
    problem = next(filter(None, problems), None)
    if problem is not None:
        raise ValueError(
            f"{printable(path)} is not a checkpoint of this run: {problem}. {ANEW.format(path)}"
        )
    return model, note
