"""Data sets: names, files, pixel formats and text -> `tf.data`. What is public is imported at first use."""

import importlib
import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_gen.datasets.images.image_dataset import ImageDataset
    from keras_gen.datasets.load import load_dataset
    from keras_gen.datasets.text.text_dataset import TextDataset, load_text

__all__ = ["ImageDataset", "TextDataset", "load_dataset", "load_text"]

_HOMES = {
    "ImageDataset": "images.image_dataset",
    "TextDataset": "text.text_dataset",
    "load_dataset": "load",
    "load_text": "text.text_dataset",
}


def loader_options(loader: str) -> dict[str, Any]:
    """The options of a loader, other than the source, the batch size and the seed, with their defaults.

    Args:
        loader: `"load_dataset"` or `"load_text"`.
    """
    parameters = inspect.signature(__getattr__(loader)).parameters.values()
    return {
        parameter.name: parameter.default
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in ("batch_size", "seed")
    }


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'keras_gen.datasets' has no attribute {name!r}")
    return getattr(importlib.import_module(f"keras_gen.datasets.{_HOMES[name]}"), name)
