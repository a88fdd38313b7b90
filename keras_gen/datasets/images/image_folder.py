"""A folder of images, streamed from disk and decoded in parallel; memory stays flat however large it is."""

import math
import os
import warnings
from pathlib import Path

import numpy as np

from keras_gen.datasets.images.folder_index import inspect_images
from keras_gen.datasets.images.image_dataset import (
    ImageDataset,
    Loader,
    build_dataset,
    num_held_out,
    refuse_test_fraction,
)
from keras_gen.datasets.images.image_files import file_loader
from keras_gen.utils.files import printable
from keras_gen.utils.memory import refuse_beyond_memory

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
BATCHES = 4  # that are in memory at a time, those that are prefetched included


def load_image_folder(
    folder: Path,
    *,
    batch_size: int,
    seed: int,
    image_size: tuple[int, int] | None,
    channels: int | None,
    test_fraction: float,
    skip_broken: bool,
    background: str,
) -> ImageDataset:
    """Builds the data set of a folder: see `load_dataset`."""
    name = printable(folder)
    has_test_part = all(os.path.isdir(folder / split) for split in ("train", "test"))
    if has_test_part:
        refuse_test_fraction(name, test_fraction)
        train_files, classes = list_images(folder / "train")
        test_files, test_classes = list_images(folder / "test")
        if test_classes != classes:
            raise ValueError(
                f"{name}: the classes of train and test don't match: expected the same "
                f"sub-folders in both. Received: {classes} and {test_classes}"
            )
    else:
        files, classes = list_images(folder)
        train_files, test_files = hold_out(files, test_fraction)
    labels = None
    if classes is not None:
        numbers = {place: number for number, place in enumerate(classes)}
        labels = {path: numbers[path.parent.name] for path in train_files + test_files}
    return build_from_files(
        name,
        folder,
        train_files,
        test_files,
        labels,
        None if classes is None else tuple(map(printable, classes)),
        batch_size=batch_size,
        seed=seed,
        image_size=image_size,
        channels=channels,
        test_fraction=None if has_test_part else test_fraction,
        skip_broken=skip_broken,
        background=background,
    )


def build_from_files(
    name: str,
    folder: Path,
    train_files: list[Path],
    test_files: list[Path],
    labels: dict[Path, int] | None,
    class_names: tuple[str, ...] | None,
    *,
    batch_size: int,
    seed: int,
    image_size: tuple[int, int] | None,
    channels: int | None,
    test_fraction: float | None,
    skip_broken: bool,
    background: str,
) -> ImageDataset:
    """Looks at every file, and builds the data set of those that decode.

    Args:
        test_fraction: What to hold out again where no file of one of the parts decodes; None if the
            parts are the folder's own.
    """
    files = train_files + test_files
    usable, shapes = usable_images(folder, files, skip_broken)
    if len(usable) < 2:
        raise ValueError(
            f"{name} has too few images: expected at least 2 that decode, one to train on and one to test "
            f"with. Received: {len(usable)} that decode{'s' if len(usable) == 1 else ''}, of {len(files)}"
        )
    image_shape = common_shape(name, usable, shapes, image_size, channels)
    kept = set(usable)
    train_files, test_files = ([f for f in part if f in kept] for part in (train_files, test_files))
    if (not train_files or not test_files) and test_fraction is not None:
        train_files, test_files = hold_out(usable, test_fraction)
    if not train_files or not test_files:
        raise ValueError(f"{name}: every image for {'testing' if train_files else 'training'} is broken.")
    height, width, depth = image_shape
    refuse_beyond_memory(
        BATCHES * batch_size * math.prod(image_shape),
        f"batches of {batch_size} images of {height} x {width} x {depth}",
        "Choose a smaller image_size or batch_size.",
    )

    def loader(paths: list[Path]) -> Loader:
        numbers = None if labels is None else [labels[path] for path in paths]
        return file_loader(paths, numbers, image_shape, background, batch_size, skip_broken)

    return build_dataset(
        name,
        loader(train_files),
        loader(test_files),
        num_train=len(train_files),
        num_test=len(test_files),
        batch_size=batch_size,
        seed=seed,
        image_shape=image_shape,
        class_names=class_names,
        num_broken=len(files) - len(usable),
    )


def images_in(folder: Path) -> list[Path]:
    """What is named like an image in a folder itself, in a fixed order."""
    return sorted(
        folder / entry.name
        for entry in visible_entries(folder)
        if entry.name.lower().endswith(SUFFIXES) and not is_folder(entry)
    )


def sub_folders(folder: Path) -> list[Path]:
    """The folders in a folder, in a fixed order."""
    return sorted(folder / entry.name for entry in visible_entries(folder) if is_folder(entry))


def visible_entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise ValueError(
            f"{printable(folder)} must be a folder that can be listed. Received: {error.strerror}"
        ) from None


def is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # as of a link to itself
        return False


def list_images(folder: Path) -> tuple[list[Path], tuple[str, ...] | None]:
    """The images of a folder in a fixed order, and its classes where sub-folders hold them."""
    direct = images_in(folder)
    by_class = {place: images_in(place) for place in sub_folders(folder)}
    classes = [place for place, files in by_class.items() if files]
    if direct and classes:
        raise ValueError(
            f"{printable(folder)} has images beside sub-folders of images ({printable(classes[0].name)}, "
            "...): labels don't match. Expected every image in a sub-folder that is its class, or none."
        )
    files = direct or [file for place in classes for file in by_class[place]]
    if not files:
        raise ValueError(
            f"{printable(folder)} has no images: expected {', '.join(SUFFIXES)} files in it or in its "
            "sub-folders (which are then the classes). "
            f"Received: {len(visible_entries(folder))} of other kinds"
        )
    empty = [printable(place.name) for place in by_class if place not in classes]
    if classes and empty:
        warnings.warn(
            f"{printable(folder)}: sub-folders without images are not classes: {', '.join(empty[:5])}"
            f"{', ...' if len(empty) > 5 else ''}.",
            stacklevel=2,
        )
    return files, tuple(place.name for place in classes) or None


def usable_images(
    folder: Path, files: list[Path], skip_broken: bool
) -> tuple[list[Path], list[tuple[int, int, int]]]:
    """The images that decode, and their shapes; a broken one is named before training, not during it."""
    shapes = inspect_images(folder, files)
    broken = [(f, shape) for f, shape in zip(files, shapes, strict=True) if isinstance(shape, str)]
    if broken and not skip_broken:
        path, why = broken[0]
        more = f" So are {len(broken) - 1} more files." if len(broken) > 1 else ""
        raise ValueError(
            f"{printable(path)} is a broken or truncated image ({why}).{more} Replace it, delete it, or "
            "leave out broken images with skip_broken=True."
        )
    usable = [(f, shape) for f, shape in zip(files, shapes, strict=True) if not isinstance(shape, str)]
    return [file for file, _ in usable], [shape for _, shape in usable]


def common_shape(
    name: str,
    files: list[Path],
    shapes: list[tuple[int, int, int]],
    image_size: tuple[int, int] | None,
    channels: int | None,
) -> tuple[int, int, int]:
    """The shape that all images get, or an error that names two of different sizes."""
    first = shapes[0]
    for file, shape in zip(files, shapes, strict=True):
        if image_size is None and shape[:2] != first[:2]:
            raise ValueError(
                f"{name} has images of several sizes: {printable(files[0].name)} is {first[:2]} and "
                f"{printable(file.name)} is {shape[:2]} (height, width). Choose one with "
                "image_size=(height, width); images are resized and cropped to it."
            )
    return (*(image_size or first[:2]), channels or commonest_channels(name, shapes))


def commonest_channels(name: str, shapes: list[tuple[int, int, int]]) -> int:
    """1 or 3, as most images have it, and a warning where others do not."""
    num_grey = sum(shape[2] == 1 for shape in shapes)
    num_colour = len(shapes) - num_grey
    channels = 1 if num_grey > num_colour else 3
    if num_grey and num_colour:
        few, others = ("grey", "in colour") if channels == 3 else ("in colour", "grey")
        warnings.warn(
            f"{name}: {min(num_grey, num_colour):,} of {len(shapes):,} images are {few} and the others "
            f"{others}, so all are read as {'colour' if channels == 3 else 'grey'}. Choose with channels=1 "
            "(grey) or channels=3 (colour).",
            stacklevel=2,
        )
    return channels


def hold_out(files: list[Path], test_fraction: float) -> tuple[list[Path], list[Path]]:
    """Every k-th image of the sorted list for testing, so that each class gives its share."""
    num_test = num_held_out(len(files), test_fraction)
    chosen = set(np.linspace(0, len(files) - 1, num_test).round().astype(int).tolist())
    train = [file for number, file in enumerate(files) if number not in chosen]
    return train, [files[number] for number in sorted(chosen)]
