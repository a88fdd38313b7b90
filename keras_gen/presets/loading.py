"""From a file or a preset to a model, with errors that say what is wrong with it."""

import os
import zipfile
from pathlib import Path
from typing import Any

import keras

from keras_gen.presets.folders import find_preset, list_presets


def find_preset_file(source: str | os.PathLike) -> Path:
    """The `model.keras` of a preset.

    Args:
        source: Its name, its folder or its URL: see `keras_gen.from_preset`.

    Raises:
        ValueError: There is no such preset, or a file's checksum is not that of its card.
        ConnectionError: The URL could not be read.
    """
    folder = find_preset(source)
    if folder is None:
        names = ", ".join(list_presets())
        raise ValueError(
            f"Unknown preset: expected one of {names}, a preset's folder or its URL. "
            f"Received: {os.fspath(source)!r}"
        )
    return folder / "model.keras"


def load_keras_file(path: Path) -> Any:
    """The model in a `.keras` file, compiled as it was.

    Raises:
        ValueError: The file is damaged, or of a class that is not imported.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path} could not be loaded: it is damaged or incomplete "
            f"({path.stat().st_size:,} bytes, and not the zip archive that a .keras file is)."
        )
    try:
        return keras.saving.load_model(path)
    except Exception as error:
        raise ValueError(
            f"{path} could not be loaded: it is damaged, or is not a keras_gen model "
            f"({type(error).__name__}: {error})"
        ) from error
