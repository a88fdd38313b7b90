"""A folder of images, streamed from disk and decoded in parallel; memory stays flat however large it is."""

import warnings
from pathlib import Path

import numpy as np

from keras_gen.datasets.folder_index import inspect_images
from keras_gen.datasets.image_dataset import ImageDataset, Loader, build_dataset
from keras_gen.datasets.image_files import file_loader

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")


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
    if all((folder / split).is_dir() for split in ("train", "test")):
        train_files, class_names = list_images(folder / "train")
        test_files, test_names = list_images(folder / "test")
        if test_names != class_names:
            raise ValueError(
                f"{folder}: the classes of train and test don't match: expected the same "
                f"sub-folders in both. Received: {class_names} and {test_names}"
            )
    else:
        files, class_names = list_images(folder)
        train_files, test_files = hold_out(files, test_fraction)
    labels = None
    if class_names is not None:
        numbers = {name: number for number, name in enumerate(class_names)}
        labels = {path: numbers[path.parent.name] for path in train_files + test_files}
    return build_from_files(
        str(folder),
        folder,
        train_files,
        test_files,
        labels,
        class_names,
        batch_size=batch_size,
        seed=seed,
        image_size=image_size,
        channels=channels,
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
    skip_broken: bool,
    background: str = "white",
) -> ImageDataset:
    """Looks at every file, and builds the data set of those that decode."""
    files = train_files + test_files
    usable, shapes = usable_images(folder, files, skip_broken)
    if not usable:
        raise ValueError(f"{name}: every one of its {len(files)} images is broken.")
    image_shape = common_shape(name, usable, shapes, image_size, channels)
    kept = set(usable)
    train_files, test_files = ([f for f in part if f in kept] for part in (train_files, test_files))
    if not train_files or not test_files:
        raise ValueError(f"{name}: every image for {'testing' if train_files else 'training'} is broken.")

    def loader(paths: list[Path]) -> Loader:
        numbers = None if labels is None else [labels[path] for path in paths]
        return file_loader(paths, numbers, image_shape, background, batch_size)

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
    """The images that lie in a folder itself, in a fixed order."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.name[0] != ".")


def list_images(folder: Path) -> tuple[list[Path], tuple[str, ...] | None]:
    """The images of a folder in a fixed order, and its classes where sub-folders hold them."""
    direct = images_in(folder)
    classes = sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != "." and images_in(p))
    if direct and classes:
        raise ValueError(
            f"{folder} has images beside sub-folders of images ({classes[0].name}, ...): labels "
            "don't match. Expected every image in a sub-folder that is its class, or none."
        )
    files = direct or [file for place in classes for file in images_in(place)]
    if not files:
        raise ValueError(
            f"{folder} has no images: expected {', '.join(SUFFIXES)} files in it or in its "
            "sub-folders (which are then the classes)."
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
            f"{path} is a broken or truncated image ({why}).{more} Replace it, delete it, or leave "
            "out broken images with skip_broken=True."
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
                f"{name} has images of several sizes: {files[0].name} is {first[:2]} and "
                f"{file.name} is {shape[:2]} (height, width). Choose one with "
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
    num_test = max(1, round(len(files) * test_fraction))
    chosen = set(np.linspace(0, len(files) - 1, num_test).round().astype(int).tolist())
    train = [file for number, file in enumerate(files) if number not in chosen]
    return train, [files[number] for number in sorted(chosen)]
