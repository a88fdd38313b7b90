"""Pictures of arrays of images: grids as PNG, animations as GIF."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
from annotated_types import Interval
from numpy.typing import ArrayLike

from keras_gen.utils import arrays
from keras_gen.utils.arguments import Count, Seed, checked, received
from keras_gen.utils.files import atomic_write, printable
from keras_gen.utils.memory import refuse_beyond_memory

GAP = 2  # pixels between the images of a grid
SMALLEST_TILE = 56
LONGEST_NAME = 40  # characters that are shown
ROUNDING = 1e-3  # by which floating-point pixels may leave [0, 1]

Duration = Annotated[float, Interval(ge=0.01, le=655)]  # seconds: a GIF has 16 bits of hundredths


def to_uint8(images: ArrayLike) -> np.ndarray:
    """Images of any accepted type and shape -> uint8 (n, height, width, channels).

    Args:
        images: (n, height, width, channels) or (n, height, width), uint8 or floating point in [0, 1].

    Raises:
        ValueError: They have another shape or type, or are out of range.

    Example:

    >>> to_uint8(np.array([[[0.0, 0.5, 1.0]]])).tolist()
    [[[[0], [128], [255]]]]
    """
    array = arrays.array("images", images)
    if array.ndim == 3:
        array = array[..., np.newaxis]
    if array.ndim != 4:
        raise ValueError(
            "images must be (n, height, width, channels), or (n, height, width). "
            f"Received: {received(images)}"
        )
    if array.dtype == np.uint8 or not array.size:
        return array.astype(np.uint8, copy=False)
    arrays.check_pixel_type("images", array.dtype)
    least, most = float(array.min()), float(array.max())  # NaN where one of them is
    if not (least >= -ROUNDING and most <= 1 + ROUNDING):
        raise ValueError(f"images in floating point must be in [0, 1]. Received: from {least} to {most}")
    return np.round(np.clip(array, 0.0, 1.0) * 255.0).astype(np.uint8)


def in_colour(images: np.ndarray) -> np.ndarray:
    """Images with one channel, or three: other channels are dropped."""
    return images[..., : 3 if images.shape[-1] >= 3 else 1]


def in_one_line(name: str) -> str:
    """A name as one line, for pictures and tables."""
    line = " ".join(name.encode(errors="backslashreplace").decode().split())
    return line if len(line) <= LONGEST_NAME else f"{line[:LONGEST_NAME]}..."


@checked
def grid(
    images: ArrayLike,
    columns: Count | None = None,
    row_names: Sequence[str] | None = None,
    smallest_tile: Count = SMALLEST_TILE,
) -> np.ndarray:
    """Arranges images in rows, on a white background.

    Args:
        images: (n, height, width, channels), float in [0, 1] or uint8. Of more than 3 channels, the first
            three are shown; of 2, the first.
        columns: Images per row; by default, the grid is about square.
        row_names: Text at the left of each row, up to 40 characters.
        smallest_tile: Minimum size in pixels; smaller images are enlarged by whole factors.

    Returns:
        uint8 (height, width, 3).

    Raises:
        ValueError: The images have another shape or type, are out of range, or make a picture that does
            not fit into memory; or there are not as many names as rows.

    Example:

    >>> grid(np.zeros((4, 64, 64, 1)), columns=2).shape
    (134, 134, 3)
    """
    pixels = in_colour(to_uint8(images))
    n, height, width, _ = pixels.shape
    if not pixels.size:
        raise ValueError(
            f"images must be at least one, of at least one pixel. Received: shape {pixels.shape}"
        )
    columns = min(n, columns or int(np.ceil(np.sqrt(n))))
    rows = -(-n // columns)
    if row_names is not None and len(row_names) != rows:
        raise ValueError(f"row_names must be {rows}, one for each row. Received: {received(row_names)}")
    scale = max(1, -(-smallest_tile // max(height, width)))
    refuse_beyond_memory(
        2 * 3 * rows * columns * (height * scale + GAP) * (width * scale + GAP),
        f"{n} images enlarged by {scale}",
        "Choose a smaller smallest_tile, or fewer images.",
    )
    pixels = pixels.repeat(scale, axis=1).repeat(scale, axis=2)
    height, width = height * scale, width * scale
    canvas = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3), 255, np.uint8)
    for number, image in enumerate(pixels):
        top = GAP + number // columns * (height + GAP)
        left = GAP + number % columns * (width + GAP)
        canvas[top : top + height, left : left + width] = image
    if row_names is None:
        return canvas
    return np.concatenate([_margin(row_names, height, len(canvas)), canvas], axis=1)


def _margin(names: Sequence[str], height: int, total_height: int) -> np.ndarray:
    """The strip with the names of the rows, at the left of a grid."""
    names = [in_one_line(name) for name in names]
    font = PIL.ImageFont.load_default(max(14, height // 3))
    width = 8 + max(int(np.ceil(font.getlength(name))) for name in names)
    strip = PIL.Image.new("RGB", (width, total_height), "white")
    draw = PIL.ImageDraw.Draw(strip)
    for row, name in enumerate(names):
        middle = GAP + row * (height + GAP) + height // 2
        draw.text((width - 4, middle), name, fill="black", font=font, anchor="rm")
    return np.asarray(strip)


@checked
def sample_picture(
    model: Any,
    num_samples: Count = 64,
    samples_per_class: Count = 10,
    class_names: Sequence[str] | None = None,
    seed: Seed = 0,
) -> np.ndarray:
    """A grid of generated images; for a conditional model, with a row for each class.

    Args:
        model: Anything that has `generate`, `conditional`, `num_classes` and `class_names`.
        num_samples: Images of an unconditional model.
        samples_per_class: Columns for a conditional model.
        class_names: Names of the rows; those of the model by default.
        seed: Integer that determines the images.

    Returns:
        uint8 (height, width, 3).
    """
    if not model.conditional:
        return grid(model.generate(num_samples, seed=seed))
    labels = np.repeat(np.arange(model.num_classes), samples_per_class)
    generated = model.generate(len(labels), seed=seed, labels=labels)
    names = class_names or model.class_names or [str(label) for label in range(model.num_classes)]
    return grid(generated, samples_per_class, names)


@checked
def write_png(path: str | os.PathLike, picture: ArrayLike) -> Path:
    """Writes a uint8 picture (height, width, 3) atomically; returns its path.

    Raises:
        ValueError: The picture has another shape or type, or the path is a directory's.
    """
    image = as_image("picture", picture)
    # Level 1 is several times faster than the default and a little larger.
    with atomic_write(file_path(path)) as draft:
        image.save(draft, format="PNG", compress_level=1)
    return Path(path)


@checked
def write_gif(path: str | os.PathLike, pictures: ArrayLike, seconds: Duration) -> Path:
    """Writes uint8 pictures (height, width, 3) as a looping GIF; returns its path.

    Args:
        path: The file.
        pictures: One or more pictures of the same shape.
        seconds: Duration of each picture, from 0.01 to 655.

    Raises:
        ValueError: A picture has another shape or type, or the path is a directory's.
    """
    array = arrays.array("pictures", pictures)
    if array.ndim < 3 or not len(array):
        raise ValueError(
            "pictures must be one or more, each uint8 of shape (height, width, 3). "
            f"Received: {received(pictures)}"
        )
    frames = [as_image("pictures", picture) for picture in array]
    with atomic_write(file_path(path)) as draft:
        frames[0].save(
            draft,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=round(1000 * seconds),
            loop=0,
        )
    return Path(path)


def as_image(name: str, picture: Any) -> PIL.Image.Image:
    """A Pillow image of an array."""
    array = arrays.array(name, picture)
    if (
        array.dtype != np.uint8
        or array.ndim not in (2, 3)
        or array.shape[2:] not in ((), (3,))
        or not array.size
    ):
        raise ValueError(f"{name} must be uint8 of shape (height, width, 3). Received: {received(picture)}")
    return PIL.Image.fromarray(array)


def file_path(path: str | os.PathLike) -> Path:
    """Checks that a file can be written at a path."""
    path = Path(path)
    if not path.name or "\0" in str(path) or path.is_dir():
        what = "a directory" if path.is_dir() else "no file's name"
        raise ValueError(f"path must be a file to write. Received: {printable(path)!r}, which is {what}")
    return path
