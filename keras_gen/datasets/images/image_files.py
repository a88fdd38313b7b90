"""Image files -> pixels. Pillow both checks them before training and decodes them in training."""

import atexit
import concurrent.futures
import contextlib
import logging
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
import tensorflow as tf

from keras_gen.datasets.images.broken_images import BrokenImageError
from keras_gen.datasets.images.image_dataset import Loader
from keras_gen.utils.files import open_file, printable

# Whatever a file is called. Others of Pillow's formats run programs (EPS) or are rarely used.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

# What it logs of a damaged file, an error says.
logging.getLogger("PIL").addHandler(logging.NullHandler())

GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N")
COLOUR = ("RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr")

ORIENTATION = 0x0112  # a tag of EXIF: how the camera was held
TURNS = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}


def inspect_image(path: Path) -> tuple[int, int, int] | str:
    """(height, width, channels) of an image that decodes to its last byte, else what is wrong with it."""
    try:
        with open_image(path) as image:
            image.verify()  # the sums of a PNG's parts, which decoding leaves out
        with open_image(path) as image:
            width, height = image.size
            turn = turn_of(image)
            channels = 1 if image.mode in GREY else 3
            # A JPEG is read whole but decoded at an eighth of its size, for speed.
            image.draft(None, (max(1, width // 8), max(1, height // 8)))
            to_pixels(image, channels, "white", turn)
    except Exception as error:
        return what_is_wrong(path, error)
    return (width, height, channels) if is_sideways(turn) else (height, width, channels)


def decode_image(path: str | Path, image_shape: tuple[int, int, int], background: str) -> np.ndarray:
    """The image in a file, uint8 `image_shape`, resized and cropped where it is of another size.

    It is turned upright as its EXIF orientation says; of an animation, it is the first frame. What is
    transparent shows the background.
    """
    height, width, channels = image_shape
    with open_image(path) as image:
        turn = turn_of(image)
        stored = (height, width) if is_sideways(turn) else (width, height)
        # A JPEG far larger than that is decoded smaller.
        image.draft(None, (2 * stored[0], 2 * stored[1]))
        pixels = to_pixels(image, channels, background, turn)
    fitted = PIL.ImageOps.fit(pixels, (width, height), PIL.Image.Resampling.BILINEAR)
    return np.asarray(fitted).reshape(image_shape)


@contextlib.contextmanager
def open_image(path: str | Path) -> Iterator[PIL.Image.Image]:
    """An image file's header; the pixels are not decoded yet.

    Raises:
        ValueError, OSError: It is not a file, not an image, or one that takes too much memory.
    """
    with open_file(path) as file, PIL.Image.open(file, formats=FORMATS) as image:
        most = PIL.Image.MAX_IMAGE_PIXELS  # which Pillow itself only warns of
        if most is not None and image.width * image.height > most:
            raise ValueError(f"{image.width * image.height:,} pixels, of {most:,} at most")
        if min(image.size) < 1:
            raise ValueError("it has no pixels")
        # A TIFF's integers have any scale, and its floats too.
        if image.mode not in GREY + COLOUR or (image.mode == "I" and image.format == "TIFF"):
            raise ValueError(f"pixels of the type {image.mode}, which are neither grey nor colours")
        yield image


def turn_of(image: PIL.Image.Image) -> PIL.Image.Transpose | None:
    """What turns an image upright. Pillow turns TIFFs by itself."""
    if image.format == "TIFF":
        return None
    try:
        return TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged EXIF around a sound image
        return None


def is_sideways(turn: PIL.Image.Transpose | None) -> bool:
    """Whether turning it upright swaps an image's height and width."""
    return turn in [TURNS[number] for number in (5, 6, 7, 8)]


def to_pixels(
    image: PIL.Image.Image, channels: int, background: str, turn: PIL.Image.Transpose | None
) -> PIL.Image.Image:
    """Decodes an image: grey or colour, 8 bits, opaque and upright."""
    if image.mode.startswith("I"):
        image = upper_eight_bits(image)
    if image.has_transparency_data:
        canvas = PIL.Image.new("RGBA", image.size, background)
        canvas.alpha_composite(image.convert("RGBA"))
        image = canvas
    image = image.convert("L" if channels == 1 else "RGB")
    return image if turn is None else image.transpose(turn)


def upper_eight_bits(image: PIL.Image.Image) -> PIL.Image.Image:
    """Of a grey image of 16 bits, which may have a transparent value."""
    values = np.asarray(image)
    grey = PIL.Image.fromarray((values >> 8).astype(np.uint8))
    if "transparency" in image.info:
        opaque = values != image.info["transparency"]
        grey.putalpha(PIL.Image.fromarray(opaque.astype(np.uint8) * 255))
    return grey


def what_is_wrong(path: str | Path, error: Exception) -> str:
    """Why an image does not decode, in a few words."""
    if isinstance(error, PIL.UnidentifiedImageError):
        return f"not an image of the formats {', '.join(FORMATS)}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    words = " ".join(str(error).split()).removeprefix(f"{printable(path)} ")
    return words or type(error).__name__


def let_prefetch_end() -> None:
    """Keeps Python from hanging at its end, where it waits for a prefetch that waits for Python.

    Its pool of threads is closed by then, so that a prefetch fails, and ends, within this moment.
    """
    time.sleep(0.1)


class ImageReader:
    """Decodes the images of a data set by their numbers, many at a time.

    Args:
        paths: The files, all of which decoded when they were inspected.
        image_shape: (height, width, channels) that all get.
        background: What shows through transparent pixels.
        skip_broken: Whether another image stands in for one that does not decode any more.
    """

    def __init__(
        self, paths: list[Path], image_shape: tuple[int, int, int], background: str, skip_broken: bool
    ):
        self.names = [str(path) for path in paths]
        self.image_shape = image_shape
        self.background = background
        self.skip_broken = skip_broken
        self.broken: set[int] = set()
        self.num_threads = os.cpu_count() or 1
        self.pool = concurrent.futures.ThreadPoolExecutor(self.num_threads)
        atexit.unregister(let_prefetch_end)
        atexit.register(let_prefetch_end)

    def read_batch(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images, and the number that each has, which is another where an image broke."""
        # One part for each thread: for small images, passing them on one by one takes longer than decoding.
        parts = self.pool.map(self.read_all, np.array_split(numbers, self.num_threads))
        images, read = zip(*(pair for part in parts for pair in part), strict=True)
        return np.stack(images), np.array(read, np.int64)

    def read_all(self, numbers: np.ndarray) -> list[tuple[np.ndarray, int]]:
        return [self.read(int(number)) for number in numbers]

    def read(self, number: int) -> tuple[np.ndarray, int]:
        """An image and its number, or the next one that decodes."""
        for candidate in (*range(number, len(self.names)), *range(number)):
            name = self.names[candidate]
            try:
                return decode_image(name, self.image_shape, self.background), candidate
            except Exception as error:
                self.note_broken(candidate, what_is_wrong(name, error))
        raise BrokenImageError("None of the images decodes any more: were they moved or deleted?")

    def note_broken(self, number: int, why: str) -> None:
        """Raises, or warns once, of an image that decoded when it was inspected."""
        about = f"{printable(self.names[number])} has changed since the data was loaded ({why})"
        if not self.skip_broken:
            raise BrokenImageError(
                f"{about}. Put it back, or leave out broken images with skip_broken=True."
            )
        if number not in self.broken:
            self.broken.add(number)
            warnings.warn(f"{about}: another image stands in for it.", stacklevel=2)


def file_loader(
    paths: list[Path],
    labels: list[int] | None,
    image_shape: tuple[int, int, int],
    background: str,
    batch_size: int,
    skip_broken: bool,
) -> Loader:
    """Batches decoded from files, in the order asked for."""
    reader = ImageReader(paths, image_shape, background, skip_broken)
    with tf.device("CPU:0"):
        all_labels = None if labels is None else tf.constant(labels, tf.int32)

    def read(numbers: tf.Tensor):  # type: ignore[no-untyped-def]
        types = (tf.uint8, tf.int64)
        images, read = tf.numpy_function(reader.read_batch, [numbers], types, stateful=False)
        images = tf.ensure_shape(images, (None, *image_shape))
        read = tf.ensure_shape(read, (None,))
        return images if all_labels is None else (images, tf.gather(all_labels, read))

    return lambda order: tf.data.Dataset.from_tensor_slices(order).batch(batch_size).map(read)
