"""`load_dataset`: a name, a folder or a file -> an `ImageDataset`."""

import contextlib
import inspect
import os
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
import PIL.ImageColor
from annotated_types import Interval, Predicate, doc

from keras_gen.datasets.images import formats
from keras_gen.datasets.images.celeba import load_celeba
from keras_gen.datasets.images.image_dataset import (
    TEST_FRACTION,
    ImageDataset,
    array_loader,
    build_dataset,
    is_given,
    num_held_out,
    refuse_test_fraction,
)
from keras_gen.datasets.images.image_folder import load_image_folder
from keras_gen.datasets.names import CLASS_NAMES, DATASETS, TEXTS, USED_BY, keras_home, options_used_by
from keras_gen.utils.arguments import Count, Seed, checked, received
from keras_gen.utils.files import printable
from keras_gen.utils.suggestions import did_you_mean

ASSETS = Path(__file__).parent / "assets"
CACHED = {  # in Keras' folder of data sets
    "fashion_mnist": "fashion-mnist",
    "mnist": "mnist.npz",
    "cifar10": "cifar-10-batches-py-target",
}
IMAGES, LABELS = ("x_train", "images", "x"), ("y_train", "labels", "y")  # in an archive
SECONDS = 20  # to wait for a server
MOST_CLASSES = 1000  # of few images; of more, as many as there are images
IDX_PARTS = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")

# x_train, y_train, x_test, y_test
Arrays = tuple[np.ndarray, np.ndarray | None, np.ndarray, np.ndarray | None]

ImageSize = Annotated[tuple[Count, Count], doc("(height, width), two integers, each 1 or more")]
Channels = Annotated[int, Predicate((1, 3).__contains__), doc("1 (grey) or 3 (colour)")]
HeldOut = Annotated[float, Interval(gt=0, lt=1), doc("a number between 0 and 1")]


@checked
def load_dataset(
    name_or_path: str | os.PathLike = "fashion_mnist_12k",
    *,
    batch_size: Count = 128,
    seed: Seed = 0,
    data_dir: str | os.PathLike | None = None,
    image_size: ImageSize | None = None,
    channels: Channels | None = None,
    label: str | None = None,
    test_fraction: HeldOut = TEST_FRACTION,
    skip_broken: bool = False,
    background: str = "white",
) -> ImageDataset:
    """Loads images to train on and to test with.

    Args:
        name_or_path: A name, one of `"fashion_mnist_12k"` (embedded, needs no network),
            `"fashion_mnist"`, `"mnist"`, `"cifar10"`, `"celeba"`; or the path of an `.npz` with the arrays
            `x_train` and optionally `y_train`, `x_test`, `y_test`, `class_names`, or else `images` and
            `labels`; or the path of a folder of images whose sub-folders are the classes. If a folder
            has sub-folders `train` and `test`, they are the two splits.
        batch_size: Images in a batch, 1 or more. Training skips the last, smaller batch of an epoch.
        seed: From 0 to 2**31 - 1. With the number of the epoch, it determines the order of the training
            images.
        data_dir: A folder with the original files of a named data set, so that nothing is downloaded: IDX
            files (gzipped or not) or an `.npz` for the MNISTs, the batch files for CIFAR-10, the images
            and `list_attr_celeba.csv` for CelebA (otherwise downloaded from Kaggle with its package).
        image_size: (height, width) to resize and crop images to, for a folder or CelebA. By default,
            images keep their size, which must be the same for all.
        channels: 1 (grey) or 3 (colour), for a folder of images; by default, that of the majority, with a
            warning if others differ.
        label: The CelebA attribute that defines the two classes, such as `"Blond_Hair"`; no labels by
            default.
        test_fraction: Fraction of the images to hold out for testing, between 0 and 1, for sources without
            test images.
        skip_broken: Skip image files that cannot be decoded, and count them in `num_broken`, instead of
            raising an error. If a file breaks later, another image takes its place, with a warning.
        background: Colour behind the transparent pixels of image files: its name or `"#rrggbb"`.

    Returns:
        An `ImageDataset`.

    Raises:
        ValueError: An argument is out of range, or is one that the source does not use; the name is
            unknown; a file or folder is missing, empty, broken or of another format; images are of
            several sizes, or do not fit into memory; labels do not match; there are fewer images than a
            batch. The message names the file and the remedy.
        ConnectionError: A named data set could not be downloaded.

    Example:

    >>> import keras_gen as kg
    >>> data = kg.load_dataset("fashion_mnist_12k", batch_size=100)
    >>> data.image_shape, data.num_train, data.num_test, data.num_classes
    ((28, 28, 1), 10000, 2000, 10)
    >>> images, labels = next(iter(data.train))
    >>> images.shape, images.dtype.name
    (TensorShape([100, 28, 28, 1]), 'uint8')
    """
    name = os.fspath(name_or_path)
    if not name:
        raise ValueError("name_or_path must be a data set's name or a path. Received: ''")
    if data_dir is not None and not os.path.isdir(os.fspath(data_dir)):
        raise ValueError(f"data_dir must be an existing folder. Received: {received(data_dir)}")
    check_colour(background)
    path = Path(name)
    is_folder = name not in DATASETS and os.path.isdir(name)
    is_archive = path.suffix.lower() == ".npz" and os.path.lexists(path)
    if name not in DATASETS and not is_folder and not is_archive:
        raise unknown_source(name)
    options = {
        "data_dir": data_dir,
        "image_size": image_size,
        "channels": channels,
        "label": label,
        "test_fraction": test_fraction,
        "skip_broken": skip_broken,
        "background": background,
    }
    refuse_unused(name, options)
    of_files: dict[str, Any] = {"batch_size": batch_size, "seed": seed, **options}
    if is_folder:
        del of_files["data_dir"], of_files["label"]
        return load_image_folder(path, **of_files)
    if name == "celeba":
        return load_celeba(**of_files)
    if name in DATASETS:
        arrays, class_names = load_named(name, data_dir), CLASS_NAMES.get(name)
    else:
        arrays, class_names = load_npz(path, test_fraction)
    return from_arrays(printable(name), arrays, class_names, batch_size, seed)


def unknown_source(name: str) -> ValueError:
    """The error for something that is neither a name nor a path that `load_dataset` accepts."""
    known = f"Expected one of {', '.join(DATASETS)}, a folder of images, or an .npz file"
    if name in TEXTS:
        return ValueError(f"{known}. Received: {received(name)}, which is text")
    what = "which is neither" if os.path.exists(name) else "which does not exist"
    return ValueError(f"{known}. Received: {received(name)}, {what}{did_you_mean(name.strip(), DATASETS)}")


def check_colour(background: str) -> None:
    """Raises a ValueError unless the argument is the name of an opaque colour."""
    try:
        is_colour = len(PIL.ImageColor.getrgb(background)) == 3
    except ValueError:
        is_colour = False
    if not is_colour:
        raise ValueError(
            f"background must be a colour, such as 'white' or '#808080'. Received: {received(background)}"
        )


def refuse_unused(name: str, options: dict[str, Any]) -> None:
    """Raises a ValueError for an option that the source does not use."""
    used, parameters = options_used_by(name), inspect.signature(load_dataset).parameters
    for option, value in options.items():
        if option not in used and is_given(value, parameters[option].default):
            users = [source for source, names in USED_BY.items() if option in names]
            raise ValueError(
                f"{option} is for {', '.join(users)}: leave it out. "
                f"Received: {received(value)} with {received(name)}"
            )


def load_named(name: str, data_dir: str | os.PathLike | None) -> Arrays:
    """The arrays of a named data set: embedded, from local files, or downloaded."""
    if name == "fashion_mnist_12k":
        return read_arrays(ASSETS / f"{name}.npz")
    if data_dir is None:
        return download(name)
    folder = Path(data_dir)
    for place in (folder, folder / name):
        if os.path.exists(place / f"{name}.npz"):
            return read_arrays(place / f"{name}.npz")
        arrays = cifar10_files(place) if name == "cifar10" else idx_files(place)
        if arrays is not None:
            return arrays
    expected = (
        "data_batch_1 to data_batch_5 and test_batch (or the same with .bin)"
        if name == "cifar10"
        else " ".join(f"{part}-ubyte[.gz]" for part in IDX_PARTS)
    )
    raise ValueError(f"{printable(folder)} does not hold {name}: expected {expected}, or {name}.npz.")


def download(name: str) -> Arrays:
    """Keras' download, with an error that names the remedy."""
    cached = keras_home() / "datasets" / CACHED[name]
    # Of this one, Keras does not check what it downloaded before.
    if name == "fashion_mnist" and (arrays := idx_files(cached)) is not None:
        return arrays
    try:
        with server_timeout(SECONDS):
            (x_train, y_train), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    except Exception as error:
        raise ConnectionError(
            f"{name} could not be downloaded, or what came is not {name} "
            f"({type(error).__name__}: {formats.in_one_line(error)}). Delete {printable(cached)}, if it is "
            "there, and try again; or "
            'put its files in a folder and pass data_dir=. "fashion_mnist_12k" needs no network.'
        ) from error
    return x_train, y_train.reshape(-1), x_test, y_test.reshape(-1)


@contextlib.contextmanager
def server_timeout(seconds: float) -> Iterator[None]:
    """Sets a timeout for servers that do not answer; the default is to wait forever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def idx_files(folder: Path) -> Arrays | None:
    """The four files of an MNIST, or None if the folder does not have them."""
    paths = [
        next(
            (
                path
                for name in (
                    f"{part}-ubyte",
                    f"{part}-ubyte.gz",
                    f"{part.replace('-idx', '.idx')}-ubyte",
                )
                if os.path.exists(path := folder / name)
            ),
            None,
        )
        for part in IDX_PARTS
    ]
    if None in paths:
        return None
    return (*read_idx_pair(*paths[:2]), *read_idx_pair(*paths[2:]))  # type: ignore[arg-type]


def read_idx_pair(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of the files of an MNIST."""
    x = checked_images(printable(images), formats.read_idx(images))
    y = checked_labels(printable(labels), formats.read_idx(labels), len(x))
    checked_class_names(printable(labels), CLASS_NAMES["mnist"], y)
    return x, y


def cifar10_files(folder: Path) -> Arrays | None:
    """CIFAR-10's six batches, or None if the folder does not have them."""
    for place in (folder, folder / "cifar-10-batches-py", folder / "cifar-10-batches-bin"):
        for suffix in (".bin", ""):
            paths = [place / f"data_batch_{n}{suffix}" for n in range(1, 6)]
            paths.append(place / f"test_batch{suffix}")
            if all(map(os.path.exists, paths)):
                *train, test = [formats.read_cifar10_batch(path) for path in paths]
                images, labels = zip(*train, strict=True)
                return np.concatenate(images), np.concatenate(labels), *test
    return None


def load_npz(path: Path, test_fraction: float) -> tuple[Arrays, tuple[str, ...] | None]:
    """A user's archive, with its class names."""
    found = formats.read_npz(path)
    arrays = split_arrays(path, found, test_fraction)
    if "class_names" not in found:
        return arrays, None
    if arrays[1] is None:
        raise ValueError(f"{printable(path)} has class_names but no labels: expected y_train, labels or y.")
    return arrays, read_class_names(path, found["class_names"])


def read_class_names(path: Path, names: np.ndarray) -> tuple[str, ...]:
    """The class names in an archive."""
    if names.ndim != 1 or not names.size or names.dtype.kind not in "USiu":
        raise ValueError(
            f"{printable(path)}: class_names must be strings of shape (num_classes,). "
            f"Received: {received(names)}"
        )
    texts = [
        printable(name.decode(errors="backslashreplace") if isinstance(name, bytes) else str(name))
        for name in names.tolist()
    ]
    wrong = next((text for text in texts if not text.strip() or texts.count(text) > 1), None)
    if wrong is not None:
        raise ValueError(
            f"{printable(path)}: class_names must not be empty, and each only once. "
            f"Received: {received(wrong)}"
        )
    return tuple(texts)


def read_arrays(path: Path) -> Arrays:
    """The arrays of an archive of a named data set."""
    return split_arrays(path, formats.read_npz(path), TEST_FRACTION)


def split_arrays(path: Path, found: dict[str, np.ndarray], test_fraction: float) -> Arrays:
    """Selects the four arrays by name, and holds out test images if there are none."""
    name = printable(path)
    x = next((found[key] for key in IMAGES if key in found), None)
    y = next((found[key] for key in LABELS if key in found), None)
    if x is None:
        raise ValueError(
            f"{name} has no array of images: expected one named x_train, images or x. "
            f"Received: {printable(', '.join(found)[:200]) or 'no arrays'}"
        )
    unknown = sorted(found.keys() - {*IMAGES, *LABELS, "x_test", "y_test", "class_names"})
    if unknown:
        warnings.warn(
            f"{name}: arrays of other names are not used: {printable(', '.join(unknown)[:200])}.",
            stacklevel=2,
        )
    if "x_test" in found:
        refuse_test_fraction(name, test_fraction)
        return x, y, found["x_test"], found.get("y_test")
    if "y_test" in found:
        raise ValueError(f"{name} has y_test but no x_test: expected both, or neither.")
    x = checked_images(name, x)
    y = None if y is None else checked_labels(name, y, len(x))
    if len(x) < 2:
        raise ValueError(f"{name}: expected at least 2 images. Received: {len(x)}")
    num_test = num_held_out(len(x), test_fraction)
    order = np.random.default_rng(0).permutation(len(x))
    test, train = order[:num_test], order[num_test:]
    return x[train], None if y is None else y[train], x[test], None if y is None else y[test]


def from_arrays(
    name: str,
    arrays: Arrays,
    class_names: tuple[str, ...] | None,
    batch_size: int,
    seed: int,
) -> ImageDataset:
    """Checks arrays from a file, and makes the pipelines."""
    x_train, y_train, x_test, y_test = arrays
    x_train, x_test = checked_images(name, x_train), checked_images(name, x_test)
    if x_train.shape[1:] != x_test.shape[1:] or x_train.dtype != x_test.dtype:
        raise ValueError(
            f"{name}: training and test images must have one shape and one type. "
            f"Received: {received(x_train)} and {received(x_test)}"
        )
    if (y_train is None) != (y_test is None):
        raise ValueError(f"{name}: labels don't match: only one of train and test has them.")
    if y_train is not None and y_test is not None:
        y_train = checked_labels(name, y_train, len(x_train))
        y_test = checked_labels(name, y_test, len(x_test))
        class_names = checked_class_names(name, class_names, y_train, y_test)
        y_train, y_test = y_train.astype(np.int32), y_test.astype(np.int32)
    return build_dataset(
        name,
        array_loader(x_train, y_train, batch_size),
        array_loader(x_test, y_test, batch_size),
        num_train=len(x_train),
        num_test=len(x_test),
        batch_size=batch_size,
        seed=seed,
        image_shape=x_train.shape[1:],
        class_names=None if y_train is None else class_names,
    )


def checked_images(name: str, images: np.ndarray) -> np.ndarray:
    """Images as uint8 or float32 (n, height, width, channels)."""
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not images.size:
        raise ValueError(
            f"{name}: images must be (n, height, width), or (n, height, width, channels) with 1 "
            f"or 3 channels, and at least one. Received: shape {images.shape}"
        )
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise ValueError(
            f"{name}: images must be uint8 in [0, 255] or floating point in [0, 1]. "
            f"Received: {images.dtype}"
        )
    least, most = images.min(), images.max()  # NaN where one of them is
    if not (least >= 0 and most <= 1):
        raise ValueError(
            f"{name}: floating-point images must be in [0, 1]. Received: from {least} to {most}"
        )
    return images.astype(np.float32, copy=False)


def checked_labels(name: str, labels: np.ndarray, num_images: int) -> np.ndarray:
    """Labels as integers (n,)."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (num_images,):
        remedy = ". Of one-hot labels, save labels.argmax(axis=1)" if labels.ndim == 2 else ""
        raise ValueError(
            f"{name}: labels don't match the images: expected shape ({num_images},). "
            f"Received: {labels.shape}{remedy}"
        )
    if labels.dtype.kind not in "iu":
        raise ValueError(f"{name}: labels must be integers. Received: {labels.dtype}")
    return labels


def checked_class_names(
    name: str, class_names: tuple[str, ...] | None, *labels: np.ndarray
) -> tuple[str, ...]:
    """The names of all classes; their numbers by default."""
    most = len(class_names) if class_names else max(MOST_CLASSES, sum(map(len, labels)))
    least, largest = min(int(part.min()) for part in labels), max(int(part.max()) for part in labels)
    if least < 0 or largest >= most:
        why = "" if class_names else f", of at most {MOST_CLASSES:,} classes or one for each image"
        raise ValueError(
            f"{name}: labels must be from 0 to {most - 1}{why}. Received: from {least} to {largest}"
        )
    return class_names or tuple(str(label) for label in range(largest + 1))
