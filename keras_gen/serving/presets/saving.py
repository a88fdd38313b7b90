"""Writes presets of trained models."""

import datetime
import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any, Literal

import h5py
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_gen.utils import pictures
from keras_gen.utils.arguments import checked, received
from keras_gen.utils.files import atomic_write, printable
from keras_gen.utils.hardware import hardware_info
from keras_gen.utils.version import __version__

LARGEST_DIFFERENCE = 1e-2  # of outputs, for weights to be stored in float16
SAMPLE_TOKENS = 1000
SMALL = 4096  # numbers: arrays up to here stay in float32, which costs little and spares what is sensitive


@checked
def save_preset(
    model: Any,
    directory: str | os.PathLike,
    card: dict[str, Any] | None,
    picture: ArrayLike | None,
    weights: Literal["auto", "float16", "float32"],
) -> Path:
    """Writes the folder of a preset atomically: see `BaseModel.save_preset`."""
    check_card(card or {})
    if picture is not None:
        picture = checked_picture(picture)
    name = os.fspath(directory)
    if not name or "\0" in name:
        raise ValueError(f"directory must be the path of a folder to make. Received: {received(name)}")
    directory = Path(directory)
    if os.path.lexists(directory):
        raise ValueError(
            f"{printable(directory)} exists already, and existing paths are never overwritten. Choose "
            "another path."
        )
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            "directory must be where a folder can be made. Received: "
            f"{printable(directory)} ({error.strerror})"
        ) from None
    with atomic_write(directory) as draft:
        draft.mkdir()
        path = draft / "model.keras"
        fresh = model.preset_copy()
        fresh.save(path)
        difference = 0.0
        if weights != "float32":
            difference = store_in_float16(path, model)
        if not difference <= LARGEST_DIFFERENCE:
            if weights == "float16":
                raise ValueError(
                    f"With float16 weights the model's outputs differ by {difference:.2g}, more than "
                    f"{LARGEST_DIFFERENCE}. Pass weights='float32'."
                )
            fresh.save(path)
        if hasattr(model, "tokenizer"):
            text = model.generate(max_tokens=SAMPLE_TOKENS, temperature=0.7, seed=0)
            (draft / "samples.txt").write_text(text + "\n", encoding="utf-8")
        elif picture is None and hasattr(model, "generate"):
            picture = pictures.sample_picture(model)
        if picture is not None:
            pictures.write_png(draft / "samples.png", picture)
        text = json.dumps({**facts(model, draft), **(card or {})}, indent=2) + "\n"
        (draft / "card.json").write_text(text)
    return directory


def check_card(card: dict[str, Any]) -> None:
    """Raises a ValueError if a card has fields that come from the model, or values that JSON cannot
    represent.
    """
    taken = [name for name in ("model", "files") if name in card]
    if taken:
        raise ValueError(f"card must leave {taken[0]} to save_preset. Received: {received(card[taken[0]])}")
    try:
        json.dumps(card, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"card must be what JSON can hold. Received: {received(card)} ({error})") from None


def checked_picture(picture: Any) -> np.ndarray:
    """A picture as an array."""
    array = np.asarray(picture)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise ValueError(f"picture must be uint8 (height, width, 3). Received: {received(array)}")
    return array


def store_in_float16(path: Path, model: Any) -> float:
    """Rewrites a `.keras` file with float16 weights; returns the largest difference of its outputs."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    weights_path = path.with_suffix(".weights.h5")
    weights_path.write_bytes(parts["model.weights.h5"])
    with h5py.File(weights_path) as old, h5py.File(path.with_suffix(".h5"), "w") as new:
        copy_in_float16(old, new, {})
    parts["model.weights.h5"] = path.with_suffix(".h5").read_bytes()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    for extra in (weights_path, path.with_suffix(".h5")):
        extra.unlink()
    stored = keras.saving.load_model(path)
    expected = model.probe()
    try:
        found = stored.probe()
    except ValueError:  # of a model that computes NaN
        return np.inf
    return max(float(np.abs(a - b).max()) for a, b in zip(expected, found, strict=True))


def copy_in_float16(old: h5py.Group, new: h5py.Group, written: dict[tuple, h5py.Dataset]) -> None:
    """Copies a group, with large floating-point arrays as float16, and those that are equal only once.

    Args:
        old: The group.
        new: An empty one.
        written: The large arrays of the file so far, by shape and content.
    """
    new.attrs.update(old.attrs)
    for key, item in old.items():
        if isinstance(item, h5py.Group):
            copy_in_float16(item, new.create_group(key), written)
            continue
        array = item[()]
        if array.dtype != np.float32 or array.size <= SMALL:
            new.create_dataset(key, data=array).attrs.update(item.attrs)
            continue
        with np.errstate(over="ignore"):  # what is infinite now shows in the outputs
            array = array.astype(np.float16)
        content = array.shape, array.tobytes()
        if content in written:
            new[key] = written[content]  # a hard link
            continue
        # Exponents and mantissas apart, which compresses better.
        written[content] = new.create_dataset(key, data=array, compression="gzip", shuffle=True)
        written[content].attrs.update(item.attrs)


def facts(model: Any, folder: Path) -> dict[str, Any]:
    """The fields of a card that follow from the model."""
    files = {
        path.name: {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "bytes": path.stat().st_size,
        }
        for path in sorted(folder.iterdir())
    }
    info = hardware_info()
    gpus = [gpu["name"] for gpu in info["gpus"] or []]
    return {
        "model": type(model).__name__,
        "parameters": model.count_params(),
        **model.card_facts(),
        "seed": model.seed,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat("T", "seconds"),
        "versions": {
            "keras_gen": __version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
        },
        "hardware": {"cpu": info["cpu"]["name"], "cores": info["cpu"]["physical_cores"], "gpus": gpus},
        "files": files,
    }
