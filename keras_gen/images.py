"""Arrays of images -> pictures that a person looks at: grids as PNG, walks as GIF."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from keras_gen.files import written_whole

GAP = 2  # pixels between the images of a grid
SMALLEST_TILE = 56
LONGEST_NAME = 40  # characters that are shown


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Images of any accepted type and shape -> uint8 (n, height, width, channels).

    Example:

    >>> to_uint8(np.array([[[0.0, 0.5, 1.0]]])).tolist()
    [[[[0], [128], [255]]]]
    """
    images = np.asarray(images)
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.dtype == np.uint8:
        return images
    return np.round(np.clip(images, 0.0, 1.0) * 255.0).astype(np.uint8)


def in_colour(images: np.ndarray) -> np.ndarray:
    """The channels that are shown: one, or three."""
    return images[..., : 3 if images.shape[-1] >= 3 else 1]


def in_one_line(name: str) -> str:
    """A name as a picture or a table can show it."""
    line = " ".join(name.encode(errors="backslashreplace").decode().split())
    return line if len(line) <= LONGEST_NAME else f"{line[:LONGEST_NAME]}..."


def grid(
    images: np.ndarray,
    columns: int | None = None,
    row_names: Sequence[str] | None = None,
    smallest_tile: int = SMALLEST_TILE,
) -> np.ndarray:
    """Lays images out in rows, on white.

    Args:
        images: (n, height, width, channels), float in [0, 1] or uint8. Of more channels than 3 the first
            three are shown, of 2 the first.
        columns: Images in a row; by default as many as make the grid about square.
        row_names: What to write at the left of each row.
        smallest_tile: Pixels, 1 or more; smaller images are enlarged, by whole factors, to at least this.

    Returns:
        uint8 (rows, columns, 3).

    Example:

    >>> grid(np.zeros((4, 64, 64, 1)), columns=2).shape
    (134, 134, 3)
    """
    images = in_colour(to_uint8(images))
    n, height, width, _ = images.shape
    columns = min(n, columns or int(np.ceil(np.sqrt(n))))
    rows = -(-n // columns)
    scale = max(1, -(-smallest_tile // max(height, width)))
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    height, width = height * scale, width * scale
    canvas = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3), 255, np.uint8)
    for number, image in enumerate(images):
        top = GAP + number // columns * (height + GAP)
        left = GAP + number % columns * (width + GAP)
        canvas[top : top + height, left : left + width] = image
    if row_names is None:
        return canvas
    return np.concatenate([_margin(row_names, rows, height, len(canvas)), canvas], axis=1)


def _margin(names: Sequence[str], rows: int, height: int, total_height: int) -> np.ndarray:
    """The strip at the left of a grid that names its rows."""
    names = [in_one_line(name) for name in names]
    font = PIL.ImageFont.load_default(max(14, height // 3))
    width = 8 + max(int(np.ceil(font.getlength(name))) for name in names)
    strip = PIL.Image.new("RGB", (width, total_height), "white")
    draw = PIL.ImageDraw.Draw(strip)
    for row, name in enumerate(names[:rows]):
        middle = GAP + row * (height + GAP) + height // 2
        draw.text((width - 4, middle), name, fill="black", font=font, anchor="rm")
    return np.asarray(strip)


def sample_picture(
    model: Any,
    num_samples: int = 64,
    samples_per_class: int = 10,
    class_names: Sequence[str] | None = None,
    seed: int = 0,
) -> np.ndarray:
    """A grid of what a model generates; of a conditional one, a row for each class.

    Args:
        model: Anything that has `generate`, `conditional`, `num_classes` and `class_names`.
        num_samples: Images of an unconditional model.
        samples_per_class: Columns for a conditional model.
        class_names: What to write beside the rows; the model's own names by default.
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


def write_png(path: str | os.PathLike, picture: np.ndarray) -> Path:
    """Writes a uint8 picture (height, width, 3), whole or not at all; gives its path."""
    # Level 1 is several times faster than the default and a little larger.
    with written_whole(path) as draft:
        PIL.Image.fromarray(picture).save(draft, format="PNG", compress_level=1)
    return Path(path)


def write_gif(path: str | os.PathLike, pictures: Sequence[np.ndarray], seconds: float) -> Path:
    """Writes uint8 pictures (height, width, 3) as a GIF that repeats for ever; gives its path.

    Args:
        path: The file.
        pictures: One or more, of one shape.
        seconds: How long each is shown.
    """
    frames = [PIL.Image.fromarray(picture) for picture in pictures]
    with written_whole(path) as draft:
        frames[0].save(
            draft,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=round(1000 * seconds),
            loop=0,
        )
    return Path(path)
