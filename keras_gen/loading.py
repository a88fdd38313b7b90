"""What a SOURCE is to every command: a run directory, a `.keras` file or a preset."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import keras

from keras_gen import models
from keras_gen.checkpoints import newest_checkpoint
from keras_gen.presets import find_preset, list_presets, read_card


def load_model(source: str | os.PathLike) -> models.ImageModel:
    """Loads a trained model.

    Args:
        source: A run directory (its `model.keras`, or its newest checkpoint while it is not
            finished), a `.keras` file, or a preset (see `from_preset`).

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
    if not path.exists():
        raise ValueError(f"{path} does not exist: expected a run directory, a .keras file or a preset.")
    if path.is_dir():
        found = path / "model.keras"
        checkpoint = newest_checkpoint(path / "checkpoints")
        if not found.exists():
            if checkpoint is None:
                raise ValueError(f"{path} holds neither model.keras nor a checkpoint.")
            found = checkpoint[0]
        path = found
    elif path.suffix != ".keras":
        raise ValueError(f"Expected a run directory, a .keras file or a preset. Received: {path}")
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path} could not be loaded: it is damaged or incomplete "
            f"({path.stat().st_size:,} bytes, and not the zip archive that a .keras file is)."
        )
    try:
        model = keras.saving.load_model(path)
    except Exception as error:
        raise ValueError(
            f"{path} could not be loaded: it is damaged, or is no keras_gen model "
            f"({type(error).__name__}: {error})"
        ) from error
    if not isinstance(model, models.ImageModel):
        raise ValueError(f"{path} holds a {type(model).__name__}, which is no keras_gen model.")
    return model


def from_preset(source: str | os.PathLike) -> models.ImageModel:
    """Loads a trained model from a preset.

    Args:
        source: The name of one in the package (`keras-gen list presets` shows them); the path of a
            preset's folder; or the URL of one, which is downloaded once, as `https://host/folder` or, to
            be sure of what comes, `https://host/folder#sha256=<SHA-256 of its card.json>`.

    Returns:
        The model, ready for its verbs; `compile` and `fit` train it further.

    Raises:
        ValueError: There is no such preset, or a file's checksum is not that of its card.
        ConnectionError: The URL could not be read.

    Example:

    >>> from_preset("vae_fashion_mnist").generate(2, seed=0).shape
    (2, 28, 28, 1)
    """
    if find_preset(source) is None:
        names = ", ".join(list_presets())
        raise ValueError(
            f"Unknown preset: expected one of {names}, a preset's folder or its URL. "
            f"Received: {os.fspath(source)!r}"
        )
    return load_model(source)


def data_of(source: str | os.PathLike) -> dict[str, Any]:
    """What a SOURCE was trained on, as options of `load_dataset`; nothing where that is unknown."""
    folder = find_preset(source)
    if folder is not None:
        card = read_card(folder)
        return {"name_or_path": card["data"]} if "data" in card else {}
    try:
        config = json.loads((Path(source) / "config.json").read_text())
        names = ("data_dir", "image_size", "channels", "label", "skip_broken")
        return {"name_or_path": config["data"], **{name: config.get(name) for name in names}}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
