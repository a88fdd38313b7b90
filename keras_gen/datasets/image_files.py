"""Image files -> pixels. Pillow both checks them before training and decodes them in training."""

import atexit
import concurrent.futures
import os
import time
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
import tensorflow as tf

from keras_gen.datasets.image_dataset import Loader

CHANNELS = {"1": 1, "L": 1, "RGB": 3, "P": 3, "RGBA": 3, "LA": 1, "CMYK": 3, "YCbCr": 3}


def inspect_image(path: Path) -> tuple[int, int, int] | str:
    """(height, width, channels) of an image that decodes to its last byte, else what is wrong with it."""
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


def decode_image(path: str, image_shape: tuple[int, int, int], background: str) -> np.ndarray:
    """The image in a file, uint8 `image_shape`, resized and cropped where it is of another size.

    What is transparent shows the background.
    """
    height, width, channels = image_shape
    with PIL.Image.open(path) as file:
        file.draft(None, (2 * width, 2 * height))  # a JPEG far larger than that is decoded smaller
        image: PIL.Image.Image = file
        if image.mode.startswith("I"):  # 16 bits, of which the upper 8 are kept
            image = PIL.Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        elif image.has_transparency_data:
            canvas = PIL.Image.new("RGBA", image.size, background)
            canvas.alpha_composite(image.convert("RGBA"))
            image = canvas
        image = image.convert("L" if channels == 1 else "RGB")
        fitted = PIL.ImageOps.fit(image, (width, height), PIL.Image.Resampling.BILINEAR)
    return np.asarray(fitted).reshape(image_shape)


def let_prefetch_end() -> None:
    """Keeps Python from hanging at its end, where it waits for a prefetch that waits for Python.

    Its pool of threads is closed by then, so that a prefetch fails, and ends, within this moment.
    """
    time.sleep(0.1)


def file_loader(
    paths: list[Path],
    labels: list[int] | None,
    image_shape: tuple[int, int, int],
    background: str,
    batch_size: int,
) -> Loader:
    """Batches decoded from files, many at a time, in the order asked for."""
    names = [str(path) for path in paths]
    num_threads = os.cpu_count() or 1
    pool = concurrent.futures.ThreadPoolExecutor(num_threads)
    atexit.unregister(let_prefetch_end)
    atexit.register(let_prefetch_end)
    with tf.device("CPU:0"):
        all_labels = None if labels is None else tf.constant(labels, tf.int32)

    def decode(numbers: np.ndarray) -> list[np.ndarray]:
        return [decode_image(names[number], image_shape, background) for number in numbers]

    def decode_batch(numbers: np.ndarray) -> np.ndarray:
        # One part for each thread: for small images, passing them on one by one takes longer than decoding.
        parts = pool.map(decode, np.array_split(numbers, num_threads))
        return np.stack([image for part in parts for image in part])

    def read(numbers: tf.Tensor):  # type: ignore[no-untyped-def]
        images = tf.numpy_function(decode_batch, [numbers], tf.uint8, stateful=False)
        images = tf.ensure_shape(images, (None, *image_shape))
        return images if all_labels is None else (images, tf.gather(all_labels, numbers))

    return lambda order: tf.data.Dataset.from_tensor_slices(order).batch(batch_size).map(read)
