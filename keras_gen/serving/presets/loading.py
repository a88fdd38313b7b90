"""Loads models from files and presets, with errors that say what is wrong."""

import json
import os
import traceback
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from keras_gen.serving.presets.folders import find_preset, list_presets
from keras_gen.utils.arguments import checked
from keras_gen.utils.files import open_file, printable

CONFIG, WEIGHTS = "config.json", ("model.weights.h5", "model.weights.npz")
MOST_CONFIG_BYTES = 2**28
MOST_EXPANSION = 100  # of a part, beyond which it would fill the memory rather than hold weights
REASON = 300  # characters of what Keras says
CODE = ("Lambda", "__lambda__")  # classes of Keras' with Python code in a file


@checked
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
    """The model in a `.keras` file, compiled as it was. No Python code in it is run.

    Raises:
        ValueError: The file is damaged; holds Python code, or a class that is not registered; or its
            weights do not fit its model.
    """
    refuse_unknown_classes(read_config(path), printable(path))
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = keras.saving.load_model(path)
    except Exception as error:
        places = {frame.name for frame in traceback.extract_tb(error.__traceback__)}
        model_error = f"the model that its {CONFIG} describes cannot be built"
        what = model_error if "_model_from_config" in places else "its weights are damaged or do not fit"
        reason = " ".join(str(error).split())[:REASON]
        raise ValueError(
            f"{printable(path)} could not be loaded: {what} ({type(error).__name__}: {reason})"
        ) from error
    for message in caught:
        warnings.warn_explicit(message.message, message.category, message.filename, message.lineno)
    return model


def read_config(path: Path) -> Any:
    """The configuration in a `.keras` file, if the file is undamaged."""
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            with zipfile.ZipFile(file) as archive:
                names = archive.namelist()
                if CONFIG not in names or not set(WEIGHTS) & set(names):
                    raise ValueError(
                        f"{printable(path)} is not a .keras file: expected a zip archive with {CONFIG} and "
                        f"{WEIGHTS[0]}. Received: one with {', '.join(names[:5]) or 'nothing in it'}"
                    )
                for part in archive.infolist():
                    most = max(MOST_CONFIG_BYTES, MOST_EXPANSION * part.compress_size)
                    if part.file_size > (MOST_CONFIG_BYTES if part.filename == CONFIG else most):
                        raise ValueError(
                            f"{printable(path)} could not be loaded: {part.filename} in it has "
                            f"{part.file_size:,} bytes, more than a model's."
                        )
                damaged = archive.testzip()
                if damaged is not None:
                    raise zipfile.BadZipFile(f"{damaged} is not what was written")
                return json.loads(archive.read(CONFIG))
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(
                f"{printable(path)} could not be loaded: {CONFIG} in it is not valid ({error})."
            ) from None
        except zipfile.BadZipFile as error:
            raise ValueError(
                f"{printable(path)} could not be loaded: it is damaged or incomplete ({size:,} bytes, and "
                f"not the zip archive that a .keras file is: {error})."
            ) from None
        except (OSError, EOFError, RuntimeError, NotImplementedError, zlib.error) as error:
            raise ValueError(f"{printable(path)} could not be loaded: it is damaged ({error}).") from None


def refuse_unknown_classes(config: Any, source: str) -> None:
    """Raises a ValueError if a model's config contains Python code or a class that is not registered."""
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        raise ValueError(f"{source} could not be loaded: {CONFIG} in it does not describe a Keras model.")
    for item in objects(config):
        name, module = item["class_name"], item.get("module")
        if name in CODE and (module is None or str(module).startswith(("keras", "builtins"))):
            raise ValueError(
                f"{source} could not be loaded: it holds Python code ({name}), which keras_gen never runs."
            )
        registered = item["config"] if name == "function" else item.get("registered_name") or name
        if not isinstance(module, str) or module.split(".")[0] in ("keras", "builtins"):
            continue
        if keras.saving.get_registered_object(str(registered)) is None:
            raise ValueError(
                f"{source} could not be loaded: it holds a {registered} of {module}, which is not "
                "registered. Import what registers it first."
            )


def objects(config: Any) -> Iterator[dict[str, Any]]:
    """The serialized objects in a config, outermost first."""
    remaining = [config]
    while remaining:
        item = remaining.pop()
        if isinstance(item, dict):
            if isinstance(item.get("class_name"), str) and "config" in item:
                yield item
            remaining.extend(item.values())
        elif isinstance(item, list):
            remaining.extend(item)
