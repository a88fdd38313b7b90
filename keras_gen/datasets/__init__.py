"""Data sets: names, files and pixel formats -> `tf.data`. Imported at the first use of what is public."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_gen.datasets.image_dataset import ImageDataset
    from keras_gen.datasets.load import load_dataset

__all__ = ["ImageDataset", "load_dataset"]


def __getattr__(name: str) -> Any:
    home = {"ImageDataset": "image_dataset", "load_dataset": "load"}
    if name not in home:
        raise AttributeError(f"module 'keras_gen.datasets' has no attribute {name!r}")
    return getattr(importlib.import_module(f"keras_gen.datasets.{home[name]}"), name)
