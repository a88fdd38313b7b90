"""A folder of images, streamed from disk and decoded in parallel; memory stays flat however large it is."""

import concurrent.futures
import os
from pathlib import Path

import numpy as np
import PIL.Image
import tensorflow as tf

from keras_gen.datasets.image_dataset import ImageDataset, Loader, build_dataset

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
CHANNELS = {"1": 1, "L": 1, "RGB": 3, "P": 3, "RGBA": 3, "LA": 1, "CMYK": 3, "YCbCr": 3}


def load_image_folder(
    folder: Path,
    *,
    batch_size: int,
    seed: int,
    image_size: tuple[int, int] | None,
    channels: int | None,
    test_fraction: float,
    skip_broken: bool,
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
        train_files,
        test_files,
        labels,
        class_names,
        batch_size=batch_size,
        seed=seed,
        image_size=image_size,
        channels=channels,
        skip_broken=skip_broken,
    )


def build_from_files(
    name: str,
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
) -> ImageDataset:
    """Looks at every file, and builds the data set of those that decode."""
    files = train_files + test_files
    usable, shapes = inspect(files, skip_broken)
    if not usable:
        raise ValueError(f"{name}: every one of its {len(files)} images is broken.")
    image_shape = common_shape(name, usable, shapes, image_size, channels)
    kept = set(usable)
    train_files, test_files = ([f for f in part if f in kept] for part in (train_files, test_files))
    if not train_files or not test_files:
        raise ValueError(f"{name}: every image for {'testing' if train_files else 'training'} is broken.")

    def loader(paths: list[Path]) -> Loader:
        numbers = None if labels is None else [labels[path] for path in paths]
        return file_loader(paths, numbers, image_shape, batch_size)

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


def inspect(files: list[Path], skip_broken: bool) -> tuple[list[Path], list[tuple[int, int, int]]]:
    """Decodes every file once, so that a broken one is named before training and not in its midst."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        shapes = list(pool.map(image_shape_of, files))
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


def image_shape_of(path: Path) -> tuple[int, int, int] | str:
    """(height, width, channels) of an image that decodes to its last byte, else what is wrong."""
    try:
        with PIL.Image.open(path) as image:
            size, mode = image.size, image.mode
            # A JPEG is read whole but decoded at an eighth of its size, for speed.
            image.draft(None, (max(1, size[0] // 8), max(1, size[1] // 8)))
            image.load()
    except Exception as error:
        # Pillow's message repeats the path; its first words say what is wrong.
        return str(error).split(" '")[0] or type(error).__name__
    return size[1], size[0], CHANNELS.get(mode, 1 if mode.startswith("I") else 3)


def common_shape(
    name: str,
    files: list[Path],
    shapes: list[tuple[int, int, int]],
    image_size: tuple[int, int] | None,
    channels: int | None,
) -> tuple[int, int, int]:
    """The shape that all images get, or an error that names two which differ."""
    first = shapes[0]
    for file, shape in zip(files, shapes, strict=True):
        if channels is None and shape[2] != first[2]:
            raise ValueError(
                f"{name} has mixed channels: {files[0].name} has {first[2]} and {file.name} has "
                f"{shape[2]}. Choose with channels=1 (grey) or channels=3 (colour)."
            )
        if image_size is None and shape[:2] != first[:2]:
            raise ValueError(
                f"{name} has images of several sizes: {files[0].name} is {first[:2]} and "
                f"{file.name} is {shape[:2]} (height, width). Choose one with "
                "image_size=(height, width); images are resized and cropped to it."
            )
    return (*(image_size or first[:2]), channels or first[2])


def hold_out(files: list[Path], test_fraction: float) -> tuple[list[Path], list[Path]]:
    """Every k-th image of the sorted list for testing, so that each class gives its share."""
    num_test = max(1, round(len(files) * test_fraction))
    chosen = set(np.linspace(0, len(files) - 1, num_test).round().astype(int).tolist())
    train = [file for number, file in enumerate(files) if number not in chosen]
    return train, [files[number] for number in sorted(chosen)]


def file_loader(
    paths: list[Path],
    labels: list[int] | None,
    image_shape: tuple[int, int, int],
    batch_size: int,
) -> Loader:
    """Batches decoded from files, many at a time, in the order asked for."""
    height, width, channels = image_shape
    with tf.device("CPU:0"):
        all_paths = tf.constant([str(path) for path in paths])
        all_labels = None if labels is None else tf.constant(labels, tf.int32)

    def read(number: tf.Tensor):  # type: ignore[no-untyped-def]
        data = tf.io.read_file(all_paths[number])
        image = tf.io.decode_image(data, channels=channels, expand_animations=False)
        image = tf.ensure_shape(fit_to_size(image, height, width), image_shape)
        return image if all_labels is None else (image, all_labels[number])

    def load(order: tf.Tensor) -> tf.data.Dataset:
        dataset = tf.data.Dataset.from_tensor_slices(order)
        dataset = dataset.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return dataset.batch(batch_size)

    return load


def fit_to_size(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Shrinks or enlarges with antialiasing until the size is covered, and crops the middle."""
    size = tf.shape(image)[:2]

    def resized() -> tf.Tensor:
        scale = tf.reduce_max(tf.cast([height, width], tf.float64) / tf.cast(size, tf.float64))
        covering = tf.cast(tf.math.round(tf.cast(size, tf.float64) * scale), tf.int32)
        covering = tf.maximum(covering, [height, width])
        pixels = tf.image.resize(image, covering, antialias=True)
        pixels = tf.image.resize_with_crop_or_pad(pixels, height, width)
        return tf.cast(tf.clip_by_value(tf.math.round(pixels), 0, 255), tf.uint8)

    return tf.cond(tf.reduce_all(size == [height, width]), lambda: image, resized)
