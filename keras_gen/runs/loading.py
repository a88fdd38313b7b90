"""Loads the SOURCE of a command: a run directory, a `.keras` file or a preset."""

import os
from pathlib import Path
from typing import Any

from keras_gen import models
from keras_gen.datasets import loader_options
from keras_gen.runs.checkpoints import newest_checkpoint
from keras_gen.serving.presets import find_preset
from keras_gen.serving.presets.loading import load_keras_file
from keras_gen.utils.arguments import checked
from keras_gen.utils.files import is_file, printable
from keras_gen.utils.records import Card, RunConfig, read_record


@checked
def load_model(source: str | os.PathLike) -> models.BaseModel:
    """Loads a trained model.

    Args:
        source: A run directory (`model.keras`, or the newest checkpoint of an unfinished run), a `.keras`
            file, or a preset (see `from_preset`).

    Returns:
        The model, compiled as it was.

    Raises:
        ValueError: There is no model there, or the file is damaged.

    Example:

    >>> load_model("nowhere")
    Traceback (most recent call last):
    ...
    ValueError: nowhere does not exist: expected a run directory, a .keras file or a preset.
    """
    path = find_preset(source) or Path(source)
    if not os.path.exists(path):
        raise ValueError(
            f"{printable(path)} does not exist: expected a run directory, a .keras file or a preset."
        )
    if path.is_dir():
        path = newest_model(path)
    elif path.suffix != ".keras":
        raise ValueError(
            f"Expected a run directory, a .keras file or a preset. Received: {printable(path)}"
        )
    model = load_keras_file(path)
    if not isinstance(model, models.BaseModel):
        raise ValueError(
            f"{printable(path)} holds a {type(model).__name__}, which is not a keras_gen model: load it "
            "with keras.saving.load_model."
        )
    return model


def newest_model(run: Path) -> Path:
    """The trained model of a run, or its newest checkpoint."""
    found = run / "model.keras"
    if found.exists():
        return found
    checkpoint = newest_checkpoint(run / "checkpoints")
    if checkpoint is None:
        raise ValueError(f"{printable(run)} holds neither model.keras nor a checkpoint.")
    return checkpoint[0]


@checked
def from_preset(source: str | os.PathLike) -> models.BaseModel:
    """Loads a trained model from a preset.

    Args:
        source: The name of a preset in the package (`keras-gen list presets`); the path of a preset's
            folder; or its URL, which is downloaded once, as `https://host/folder` or, to verify the
            content, `https://host/folder#sha256=<SHA-256 of its card.json>`. A file may have up to 4 GiB,
            and take up to 60 seconds plus one for each 20 kB.

    Returns:
        The model, ready for its verbs; `compile` and `fit` train it further.

    Raises:
        ValueError: There is no such preset, or a file's checksum is not that of its card.
        ConnectionError: The URL could not be read.

    Example:

    >>> from_preset("vae_fashion_mnist").generate(2, seed=0).shape
    (2, 28, 28, 1)
    """
    return models.BaseModel.from_preset(source)


def data_of(source: str | os.PathLike, loader: str) -> dict[str, Any]:
    """What a SOURCE was trained on: `data` and options of the loader; empty if unknown."""
    folder = find_preset(source)
    path = Path(source) / "config.json" if folder is None else folder / "card.json"
    if not is_file(path):
        return {}
    remedy = "Correct it, or move it away and choose the data with --data."
    if folder is None:
        known = read_record(path, RunConfig, remedy).options
    else:
        known = read_record(path, Card, remedy).model_dump()
    return {name: known[name] for name in ("data", *loader_options(loader)) if name in known}
