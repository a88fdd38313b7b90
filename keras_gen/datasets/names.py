"""The named data sets. Nothing slow is imported here, so that listing them is fast."""

import os
from pathlib import Path

DATASETS = {
    "fashion_mnist_12k": "12,000 garments, 28 x 28, grey, 10 classes; embedded, needs no network",
    "fashion_mnist": "70,000 garments, 28 x 28, grey, 10 classes",
    "mnist": "70,000 handwritten digits, 28 x 28, grey, 10 classes",
    "cifar10": "60,000 photographs, 32 x 32, colour, 10 classes",
    "celeba": "202,599 faces, 218 x 178, colour; two classes by one of 40 attributes, the label",
}

# Options of `load_dataset`, by what uses them.
FILE_OPTIONS = ("image_size", "channels", "test_fraction", "skip_broken", "background")
USED_BY = {
    "fashion_mnist_12k": (),
    "fashion_mnist": ("data_dir",),
    "mnist": ("data_dir",),
    "cifar10": ("data_dir",),
    "celeba": ("data_dir", "label", *FILE_OPTIONS),
    "a folder of images": FILE_OPTIONS,
    "an .npz file": ("test_fraction",),
}

TEXTS = {
    "python_docs": "Python's language reference, half a million characters; always there, needs no network",
}

_GARMENTS = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)

CLASS_NAMES = {
    "fashion_mnist_12k": _GARMENTS,
    "fashion_mnist": _GARMENTS,
    "mnist": tuple("0123456789"),
    "cifar10": (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ),
}


def options_used_by(source: str) -> tuple[str, ...]:
    """The options of `load_dataset` that a source uses.

    Args:
        source: A name or a path.
    """
    folder_or_file = "a folder of images" if os.path.isdir(source) else "an .npz file"
    return USED_BY[source if source in DATASETS else folder_or_file]


def keras_home() -> Path:
    """The folder of Keras' downloads."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
