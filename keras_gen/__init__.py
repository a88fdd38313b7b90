"""keras_gen: the generative-model zoo for Keras 3 on TensorFlow.

Importing it registers all models with Keras, so that `keras.saving.load_model` knows them. The command
alone, `keras-gen`, imports them when it needs them: `keras-gen --help` does not wait for TensorFlow.
"""

import importlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_gen.utils.version import __version__ as __version__

if TYPE_CHECKING:
    from keras_gen import callbacks, datasets, layers, losses, metrics, models, optimizers, tokenizers
    from keras_gen.datasets import ImageDataset, TextDataset, load_dataset, load_text
    from keras_gen.models import *
    from keras_gen.runs.loading import from_preset, load_model
    from keras_gen.utils.hardware import hardware_info, hardware_report

# What is public beside the models, which `keras_gen/models/__init__.py` lists, and where it is.
_PUBLIC = {
    "ImageDataset": "datasets",
    "TextDataset": "datasets",
    "callbacks": "",
    "datasets": "",
    "from_preset": "runs.loading",
    "hardware_info": "utils.hardware",
    "hardware_report": "utils.hardware",
    "layers": "",
    "load_dataset": "datasets",
    "load_model": "runs.loading",
    "load_text": "datasets",
    "losses": "",
    "metrics": "",
    "models": "",
    "optimizers": "",
    "tokenizers": "",
}

__all__ = [*_PUBLIC]  # the models join them below


def refuse_other_backends() -> None:
    """One clear line where Keras is set to JAX or PyTorch, before anything fails halfway."""
    backend = os.environ.get("KERAS_BACKEND", "")
    where = f"KERAS_BACKEND={backend}"
    if "keras" in sys.modules:
        backend = sys.modules["keras"].config.backend()
        where = f"Keras was imported with the backend {backend!r}"
    elif not backend:
        home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
        settings = home / "keras.json"
        if settings.exists() and not settings.is_file():  # of a pipe, Keras would read forever
            raise ImportError(f"{settings} must be a file of Keras' settings. Received: something else")
        try:
            backend = json.loads(settings.read_text()).get("backend", "")
        except (OSError, ValueError, AttributeError):
            backend = ""
        where = f"{settings} says {backend!r}"
    if backend not in ("", "tensorflow"):
        raise ImportError(
            f"keras_gen runs on Keras' TensorFlow backend, but {where}: set "
            "KERAS_BACKEND=tensorflow before Keras is imported."
        )


# Both are read where TensorFlow starts. It leaves oneDNN's kernels out on processors without AVX-512 VNNI,
# though convolutions train up to twice as fast with them there, too; and takes all memory of a GPU at once.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        module = importlib.import_module(f"keras_gen.{_PUBLIC[name] or name}")
        return getattr(module, name) if _PUBLIC[name] else module
    if name[:1].isupper():
        found = getattr(importlib.import_module("keras_gen.models"), name, None)
        if found is not None:
            return found
    raise AttributeError(f"module 'keras_gen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


def _is_command() -> bool:
    """Whether this is `keras-gen`, or `python -m keras_gen`."""
    started_as_module = sys.orig_argv[1:3] == ["-m", "keras_gen"]
    return started_as_module or Path(sys.argv[0]).stem == "keras-gen"


if not _is_command():
    refuse_other_backends()
    _models = importlib.import_module("keras_gen.models")
    __all__ += [name for name, value in vars(_models).items() if isinstance(value, type)]
