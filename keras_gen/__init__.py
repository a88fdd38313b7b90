"""keras_gen: the generative-model zoo for Keras 3 on TensorFlow.

Everything public is listed here and imported at its first use, so that `keras-gen --help` and a
look at the hardware do not wait for TensorFlow.
"""

import importlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_gen import callbacks, datasets, layers, losses, metrics, models, optimizers, tokenizers
    from keras_gen.datasets import ImageDataset, TextDataset, load_dataset, load_text
    from keras_gen.hardware import hardware_info, hardware_report
    from keras_gen.loading import from_preset, load_model
    from keras_gen.models import (
        CGAN,
        GAN,
        VAE,
        WGANGP,
        Autoencoder,
        CNNClassifier,
        GenerativeModel,
        ImageModel,
        LSTMTextGenerator,
        MLPClassifier,
        TextGenerator,
    )

__version__ = "0.1.0"

_PUBLIC = {
    "Autoencoder": "models",
    "CGAN": "models",
    "CNNClassifier": "models",
    "GAN": "models",
    "GenerativeModel": "models",
    "ImageDataset": "datasets",
    "ImageModel": "models",
    "LSTMTextGenerator": "models",
    "MLPClassifier": "models",
    "TextDataset": "datasets",
    "TextGenerator": "models",
    "VAE": "models",
    "WGANGP": "models",
    "callbacks": "",
    "datasets": "",
    "hardware_info": "hardware",
    "hardware_report": "hardware",
    "layers": "",
    "from_preset": "loading",
    "load_dataset": "datasets",
    "load_model": "loading",
    "load_text": "datasets",
    "losses": "",
    "metrics": "",
    "models": "",
    "optimizers": "",
    "tokenizers": "",
}

__all__ = [
    "CGAN",
    "GAN",
    "VAE",
    "WGANGP",
    "Autoencoder",
    "CNNClassifier",
    "GenerativeModel",
    "ImageDataset",
    "ImageModel",
    "LSTMTextGenerator",
    "MLPClassifier",
    "TextDataset",
    "TextGenerator",
    "callbacks",
    "datasets",
    "from_preset",
    "hardware_info",
    "hardware_report",
    "layers",
    "load_dataset",
    "load_model",
    "load_text",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "tokenizers",
]


def _refuse_other_backends() -> None:
    """One clear line where Keras is set to JAX or PyTorch, before anything fails in its midst."""
    backend = os.environ.get("KERAS_BACKEND", "")
    where = f"KERAS_BACKEND={backend}"
    if "keras" in sys.modules:
        backend = sys.modules["keras"].config.backend()
        where = f"Keras was imported with the backend {backend!r}"
    elif not backend:
        home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
        try:
            backend = json.loads((home / "keras.json").read_text()).get("backend", "")
        except (OSError, ValueError, AttributeError):
            backend = ""
        where = f"{home / 'keras.json'} says {backend!r}"
    if backend not in ("", "tensorflow"):
        raise ImportError(
            f"keras_gen runs on Keras' TensorFlow backend, but {where}: set "
            "KERAS_BACKEND=tensorflow before Keras is imported."
        )


_refuse_other_backends()

# Read where TensorFlow is imported, which leaves oneDNN's kernels out on processors without AVX-512 VNNI,
# though convolutions train up to twice as fast with them there, too.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'keras_gen' has no attribute {name!r}")
    if not _PUBLIC[name]:
        return importlib.import_module(f"keras_gen.{name}")
    return getattr(importlib.import_module(f"keras_gen.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
