"""What `model.export` writes: a SavedModel with named signatures, or one network in other formats."""

import contextlib
import importlib.util
import io
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_gen.files import written_whole

# The package that writes each other format, beside what TensorFlow itself brings.
PACKAGES = {"onnx": "tf2onnx", "openvino": "openvino", "litert": "tensorflow"}
SUFFIXES = {"onnx": ".onnx", "litert": ".tflite"}
FORMATS = ("tf_saved_model", *PACKAGES)


def export(model: Any, filepath: str | os.PathLike, format: str, verbose: bool = False) -> None:
    """Writes `model` at `filepath`, whole or not at all: see `BaseModel.export`."""
    path = Path(filepath)
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}. Received: {format!r}")
    if path.exists():
        raise ValueError(f"{path} exists already, and exports overwrite nothing. Choose another path.")
    if format == "tf_saved_model":
        with written_whole(path) as draft:
            write_saved_model(model, draft, verbose)
    else:
        write_network(model, path, format, verbose)


def export_next_version(model: Any, directory: str | os.PathLike, format: str) -> Path:
    """Adds a version under `directory`, as TensorFlow Serving expects them: 1, 2, 3 and so on.

    Returns:
        The new version: a folder `N` for a SavedModel or OpenVINO, a file `N.onnx`, `N.tflite`.
    """
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"{directory} is a file: expected a directory for the versions.")
    versions = [int(path.stem) for path in directory.glob("*") if path.stem.isdecimal()]
    path = directory / f"{max(versions, default=0) + 1}{SUFFIXES.get(format, '')}"
    model.export(path, format)
    return path


def write_saved_model(model: Any, path: Path, verbose: bool) -> None:
    """A SavedModel with every one of the model's signatures."""
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name, (function, inputs) in model.signatures().items():
        archive.add_endpoint(name, tf.function(function, input_signature=list(inputs.values())))
    with contextlib.redirect_stdout(io.StringIO()) as said:
        archive.write_out(path, verbose=verbose)
    if verbose:
        sys.stdout.write(said.getvalue())


def write_network(model: Any, path: Path, format: str, verbose: bool) -> None:
    """The model's portable network in another runtime's format, written by Keras' own exporters.

    A model that decodes: `z` (n, latent_dim), and if conditional `labels`, one-hot (n, num_classes)
    -> images, float32 in [0, 1]. A classifier: images, float32 in [0, 1] -> probabilities. A text
    generator: a token and the state before it -> logits of the next, and the state after.
    OpenVINO's two files go into the folder `path`.
    """
    network = model.portable_network()
    if importlib.util.find_spec(PACKAGES[format]) is None:
        raise ImportError(
            f"Exporting to {format} needs the package {PACKAGES[format]}, which is not installed. "
            'Install it with: pip install "keras_gen[onnx]"'
        )
    suffix = SUFFIXES.get(format, "")
    if path.suffix != suffix and suffix:
        raise ValueError(f"A file of format {format} must end in {suffix}. Received: {path}")
    network([tf.zeros((1, *i.shape[1:]), i.dtype) for i in network.inputs])  # else Keras refuses
    with written_whole(path) as draft:
        target = draft
        if format == "openvino":
            draft.mkdir()
            target = draft / "model.xml"
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the converters' own, about NumPy and about themselves
            network.export(str(target), format=format, verbose=verbose)
