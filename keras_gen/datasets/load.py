"""`load_dataset`: a name, a folder or a file -> an `ImageDataset`."""

import os
from pathlib import Path

import keras
import numpy as np
import PIL.ImageColor

from keras_gen.datasets import formats
from keras_gen.datasets.celeba import load_celeba
from keras_gen.datasets.image_dataset import ImageDataset, array_loader, build_dataset
from keras_gen.datasets.image_folder import load_image_folder
from keras_gen.datasets.names import CLASS_NAMES, DATASETS

ASSETS = Path(__file__).parent / "assets"
IDX_PARTS = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")

# x_train, y_train, x_test, y_test
Arrays = tuple[np.ndarray, np.ndarray | None, np.ndarray, np.ndarray | None]


def load_dataset(
    name_or_path: str | os.PathLike = "fashion_mnist_12k",
    *,
    batch_size: int = 128,
    seed: int = 0,
    data_dir: str | os.PathLike | None = None,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    label: str | None = None,
    test_fraction: float = 0.1,
    skip_broken: bool = False,
    background: str = "white",
) -> ImageDataset:
    """Loads images to train on and to test with.

    Args:
        name_or_path: A name, one of `"fashion_mnist_12k"` (embedded, needs no network),
            `"fashion_mnist"`, `"mnist"`, `"cifar10"`, `"celeba"`; or the path of an `.npz` (arrays
            `x_train` and, as there are, `y_train`, `x_test`, `y_test`, `class_names`; or `images` and
            `labels`); or the path of a folder of images, whose sub-folders are the classes.
            Where a folder has `train` and `test`, they are the two parts.
        batch_size: Images in a batch. Training leaves out the last, smaller batch of an epoch.
        seed: Determines, with the epoch's number, the order of the training images.
        data_dir: A folder with the named data set's own files, for where there is no network: IDX
            files (gzipped or not) or an `.npz` for the MNISTs, the batch files for CIFAR-10, the images
            and `list_attr_celeba.csv` for CelebA (which else comes from Kaggle, by its package).
        image_size: (height, width) that a folder's or CelebA's images are resized and cropped to. They
            keep their own size by default, and must then be of one size.
        channels: 1 (grey) or 3 (colour), for a folder of images; by default what most of them have, with a
            warning where others do not.
        label: The attribute of CelebA's that makes its two classes, such as `"Blond_Hair"`; none by
            default.
        test_fraction: The part of the images held out, where the source has no test images.
        skip_broken: Leave out image files that do not decode, and count them in `num_broken`,
            instead of raising.
        background: What shows through the transparent pixels of a folder's images: the name of a colour
            or `"#rrggbb"`.

    Returns:
        An `ImageDataset`.

    Raises:
        ValueError: The name is unknown; a file or folder is missing, empty, broken or of another
            format; images are of several sizes; labels do not match; there are fewer images than a
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
    check_options(batch_size, test_fraction, image_size, channels, background)
    name = os.fspath(name_or_path)
    path = Path(name)
    if name not in DATASETS and path.is_dir() and label is None:
        return load_image_folder(
            path,
            batch_size=batch_size,
            seed=seed,
            image_size=image_size,
            channels=channels,
            test_fraction=test_fraction,
            skip_broken=skip_broken,
            background=background,
        )
    if background != "white":
        raise ValueError(f"background is for folders of images. Received: {name!r}")
    if label is not None and name != "celeba":
        raise ValueError(f"label is for celeba. Received: {name!r}")
    if name == "celeba":
        return load_celeba(
            data_dir,
            label=label,
            batch_size=batch_size,
            seed=seed,
            image_size=image_size,
            channels=channels,
            test_fraction=test_fraction,
            skip_broken=skip_broken,
        )
    for option, value in (("image_size", image_size), ("channels", channels)):
        if value is not None:
            raise ValueError(f"{option} is for folders of images and celeba. Received: {name!r}")
    if name in DATASETS:
        arrays, class_names = load_named(name, data_dir), CLASS_NAMES.get(name)
    elif path.suffix == ".npz":
        arrays, class_names = load_npz(path, test_fraction)
    else:
        missing = " does not exist, nor is it" if not path.exists() else " is neither a folder nor"
        raise ValueError(
            f"{name!r}{missing} a data set's name: expected {', '.join(DATASETS)}, a folder of "
            "images, or an .npz file."
        )
    return from_arrays(name, arrays, class_names, batch_size, seed)


def check_options(
    batch_size: int,
    test_fraction: float,
    image_size: tuple[int, int] | None,
    channels: int | None,
    background: str,
) -> None:
    """Raises a ValueError for numbers that no data set can be made with."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1. Received: {batch_size}")
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction must be between 0 and 1. Received: {test_fraction}")
    if image_size is not None and (len(image_size) != 2 or min(image_size) < 1):
        raise ValueError(f"image_size must be (height, width). Received: {image_size}")
    if channels not in (None, 1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (colour). Received: {channels}")
    try:
        is_colour = len(PIL.ImageColor.getrgb(background)) == 3
    except (ValueError, AttributeError):
        is_colour = False
    if not is_colour:
        raise ValueError(
            f"background must be a colour, such as 'white' or '#808080'. Received: {background!r}"
        )


def load_named(name: str, data_dir: str | os.PathLike | None) -> Arrays:
    """The arrays of a data set that has a name: embedded, from local files, or downloaded."""
    if name == "fashion_mnist_12k":
        if data_dir is not None:
            raise ValueError(f"{name} is embedded: leave out data_dir. Received: {data_dir}")
        return split_arrays(ASSETS / f"{name}.npz", formats.read_npz(ASSETS / f"{name}.npz"), 0.1)
    if data_dir is None:
        return download(name)
    folder = Path(data_dir)
    if not folder.is_dir():
        raise ValueError(f"data_dir must be an existing folder. Received: {folder}")
    for place in (folder, folder / name):
        if (place / f"{name}.npz").exists():
            path = place / f"{name}.npz"
            return split_arrays(path, formats.read_npz(path), 0.1)
        arrays = cifar10_files(place) if name == "cifar10" else idx_files(place)
        if arrays is not None:
            return arrays
    expected = (
        "data_batch_1 to data_batch_5 and test_batch (or the same with .bin)"
        if name == "cifar10"
        else " ".join(f"{part}-ubyte[.gz]" for part in IDX_PARTS)
    )
    raise ValueError(f"{folder} does not hold {name}: expected {expected}, or {name}.npz.")


def download(name: str) -> Arrays:
    """Keras' own download, with an error that says what to do where it fails."""
    try:
        (x_train, y_train), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    except Exception as error:
        raise ConnectionError(
            f"{name} could not be downloaded, or what came is not {name} "
            f"({type(error).__name__}: {error}). Delete its files in ~/.keras/datasets (or "
            "$KERAS_HOME/datasets) and try again; or "
            'put its files in a folder and pass data_dir=. "fashion_mnist_12k" needs no network.'
        ) from error
    return x_train, y_train.reshape(-1), x_test, y_test.reshape(-1)


def idx_files(folder: Path) -> Arrays | None:
    """The four files of an MNIST, or None where the folder does not have them."""
    paths = [
        next(
            (
                path
                for name in (
                    f"{part}-ubyte",
                    f"{part}-ubyte.gz",
                    f"{part.replace('-idx', '.idx')}-ubyte",
                )
                if (path := folder / name).exists()
            ),
            None,
        )
        for part in IDX_PARTS
    ]
    if None in paths:
        return None
    x_train, y_train, x_test, y_test = (formats.read_idx(path) for path in paths)  # type: ignore[arg-type]
    return x_train, y_train, x_test, y_test


def cifar10_files(folder: Path) -> Arrays | None:
    """CIFAR-10's six batches, or None where the folder does not have them."""
    for place in (folder, folder / "cifar-10-batches-py", folder / "cifar-10-batches-bin"):
        for suffix in (".bin", ""):
            paths = [place / f"data_batch_{n}{suffix}" for n in range(1, 6)]
            paths.append(place / f"test_batch{suffix}")
            if all(path.exists() for path in paths):
                *train, test = [formats.read_cifar10_batch(path) for path in paths]
                images, labels = zip(*train, strict=True)
                return np.concatenate(images), np.concatenate(labels), *test
    return None


def load_npz(path: Path, test_fraction: float) -> tuple[Arrays, tuple[str, ...] | None]:
    """A user's own archive and the class names in it."""
    if not path.exists():
        raise ValueError(f"{path} does not exist: expected an .npz file.")
    found = formats.read_npz(path)
    names = found.get("class_names")
    class_names = None if names is None else tuple(str(name) for name in names)
    return split_arrays(path, found, test_fraction), class_names


def split_arrays(path: Path, found: dict[str, np.ndarray], test_fraction: float) -> Arrays:
    """Picks the four arrays by their names, and holds out test images where there are none."""
    x = next((found[key] for key in ("x_train", "images", "x") if key in found), None)
    y = next((found[key] for key in ("y_train", "labels", "y") if key in found), None)
    if x is None:
        raise ValueError(
            f"{path} has no array of images: expected one named x_train, images or x. "
            f"Received: {', '.join(found) or 'no arrays'}"
        )
    if "x_test" in found:
        return x, y, found["x_test"], found.get("y_test")
    if len(x) < 2:
        raise ValueError(f"{path}: expected at least 2 images. Received: {len(x)}")
    num_test = max(1, round(len(x) * test_fraction))
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
    """Checks arrays that came from a file and makes the pipelines over them."""
    x_train, y_train, x_test, y_test = arrays
    x_train, x_test = checked_images(name, x_train), checked_images(name, x_test)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(
            f"{name}: training and test images must have one shape. "
            f"Received: {x_train.shape[1:]} and {x_test.shape[1:]}"
        )
    if (y_train is None) != (y_test is None):
        raise ValueError(f"{name}: labels don't match: only one of train and test has them.")
    if y_train is not None and y_test is not None:
        num_classes = len(class_names) if class_names else int(max(y_train.max(), y_test.max())) + 1
        class_names = class_names or tuple(str(label) for label in range(num_classes))
        y_train = checked_labels(name, y_train, x_train, num_classes)
        y_test = checked_labels(name, y_test, x_test, num_classes)
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
    """Images as uint8 or float32 (n, height, width, channels), or a ValueError."""
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
        raise ValueError(
            f"{name}: images must be (n, height, width), or (n, height, width, channels) with 1 "
            f"or 3 channels, and at least one. Received: shape {images.shape}"
        )
    if images.dtype == np.uint8:
        return images
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(
            f"{name}: images must be uint8 in [0, 255] or floating point in [0, 1]. "
            f"Received: {images.dtype}"
        )
    if not (np.isfinite(images).all() and images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"{name}: floating-point images must be in [0, 1]. "
            f"Received: from {images.min()} to {images.max()}. Divide by 255, or save uint8."
        )
    return images.astype(np.float32)


def checked_labels(name: str, labels: np.ndarray, images: np.ndarray, num_classes: int) -> np.ndarray:
    """Labels as int32 (n,), or a ValueError."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (len(images),):
        raise ValueError(
            f"{name}: labels don't match the images: expected shape ({len(images)},). "
            f"Received: {labels.shape}"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{name}: labels must be integers. Received: {labels.dtype}")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"{name}: labels must be from 0 to {num_classes - 1}. "
            f"Received: from {labels.min()} to {labels.max()}"
        )
    return labels.astype(np.int32)
