"""What `model.export` writes: a SavedModel with named signatures, or one network in other formats."""

import contextlib
import functools
import importlib.util
import io
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_gen.utils.arguments import check, received
from keras_gen.utils.files import atomic_write, printable

# The package that writes each other format, beside what TensorFlow itself brings.
PACKAGES = {"onnx": "tf2onnx", "openvino": "openvino", "litert": "tensorflow"}
SUFFIXES = {"onnx": ".onnx", "litert": ".tflite"}
FORMATS = ("tf_saved_model", *PACKAGES)
LARGEST_VERSION = 2**63 - 1  # TensorFlow Serving's versions are int64


def export(model: Any, filepath: str | os.PathLike, format: str, verbose: bool = False) -> None:
    """Writes `model` at `filepath`, atomically: see `BaseModel.export`."""
    path = named_path("filepath", filepath)
    check("verbose", verbose, bool)
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}. Received: {received(format)}")
    write = write_saved_model if format == "tf_saved_model" else functools.partial(write_network, format)
    refuse_existing(path)
    suffix = SUFFIXES.get(format)
    if suffix is not None and path.suffix != suffix:
        raise ValueError(f"A file of format {format} must end in {suffix}. Received: {printable(path)}")
    with atomic_write(path) as draft:
        write(model, draft, verbose)
        refuse_existing(path)  # as another export may have made it meanwhile


def named_path(name: str, path: Any) -> Path:
    """Refuses a value that is not a path, or is empty."""
    if not isinstance(path, (str, os.PathLike)) or os.fspath(path) in ("", b""):
        raise ValueError(f"{name} must be a path, and not empty. Received: {received(path)}")
    return Path(os.fsdecode(path))


def refuse_existing(path: Path) -> None:
    """Raises a ValueError if the path exists, even as a broken link."""
    if os.path.lexists(path):
        raise ValueError(
            f"{printable(path)} exists already, and existing paths are never overwritten: choose another "
            f"path. Received: {received(os.fspath(path))}"
        )


def export_next_version(model: Any, directory: str | os.PathLike, format: str) -> Path:
    """Adds the next version to a directory, numbered as TensorFlow Serving expects: 1, 2, 3 and so on.

    Returns:
        The new version: a folder `N` for a SavedModel or OpenVINO, a file `N.onnx`, `N.tflite`.
    """
    directory = named_path("directory", directory)
    if directory.exists() and not directory.is_dir():
        raise ValueError(
            f"{printable(directory)} is a file: expected a directory for the versions. "
            f"Received: {received(os.fspath(directory))}"
        )
    newest = max(map(version_of, directory.iterdir()), default=0) if directory.exists() else 0
    if newest >= LARGEST_VERSION:
        raise ValueError(
            f"{printable(directory)} has version {newest}, after which TensorFlow Serving knows none: "
            "choose another directory, or rename that version."
        )
    path = directory / f"{newest + 1}{SUFFIXES.get(format, '')}"
    model.export(path, format)
    return path


def version_of(path: Path) -> int:
    """The version of a folder or file, as TensorFlow Serving reads its name; 0 for other names."""
    name = path.stem if path.suffix in SUFFIXES.values() else path.name
    is_version = name.isascii() and name.isdecimal() and int(name) <= LARGEST_VERSION
    return int(name) if is_version else 0


def write_saved_model(model: Any, path: Path, verbose: bool) -> None:
    """Writes a SavedModel with all signatures of the model."""
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name, (function, inputs) in model.signatures().items():
        archive.add_endpoint(name, tf.function(function, input_signature=list(inputs.values())))
    with contextlib.redirect_stdout(io.StringIO()) as said:
        archive.write_out(path, verbose=verbose)
    if verbose:
        sys.stdout.write(said.getvalue())


def write_network(format: str, model: Any, draft: Path, verbose: bool) -> None:
    """The model's portable network in another runtime's format, written by Keras' own exporters.

    A model that decodes: `z` (n, latent_dim), and if conditional `labels`, one-hot (n, num_classes)
    -> images, float32 in [0, 1]. A classifier: images, float32 in [0, 1] -> probabilities. A text
    generator: a token and the state before it -> logits of the next, and the state after.
    OpenVINO's two files go into the folder `draft`.
    """
    network = model.portable_network()
    if importlib.util.find_spec(PACKAGES[format]) is None:
        raise ImportError(
            f"Exporting to {format} needs the package {PACKAGES[format]}, which is not installed. "
            'Install it with: pip install "keras_gen[onnx]"'
        )
    network([tf.zeros((1, *i.shape[1:]), i.dtype) for i in network.inputs])  # else Keras refuses
    target = draft
    if format == "openvino":
        draft.mkdir()
        target = draft / "model.xml"
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converters' own, about NumPy and about themselves
        network.export(str(target), format=format, verbose=verbose)
