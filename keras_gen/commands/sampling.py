"""Generates images into a file, or texts, piece by piece."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_gen import models
from keras_gen.models.base.verbs import keys_of
from keras_gen.utils import pictures
from keras_gen.utils.arguments import LARGEST, received
from keras_gen.utils.files import atomic_write
from keras_gen.utils.memory import refuse_beyond_memory
from keras_gen.utils.suggestions import did_you_mean

GIF_FRAMES_PER_STEP = 12
GIF_SECONDS_PER_FRAME = 0.06  # of a walk
GIF_SECONDS_PER_STEP = 0.2  # from noise to images
GIF_STILLS = 8  # frames of its end
GIF_TILE = 224  # pixels
NUM_IMAGES = 64  # by default
NAMES_SHOWN = 20  # of classes, in an error
AT_ONCE = 1000  # images that are written together
BETWEEN_TEXTS = "\n\n"
COPIES = 3  # of all images in memory: float32 from the model, whole and in parts, and as pixels of 8 bits


def write_images(
    model: models.ImageGenerator,
    out: Path,
    num: int | None,
    seed: int,
    labels: str | None,
    **options: Any,
) -> None:
    """Generates images into a file: a grid (.png), an array (.npy), or a film (.gif).

    The film shows the images from noise on, if the model generates in steps; else a walk through its latent
    space.

    Args:
        model: The model.
        out: The file.
        num: Number of images; by default one for each label, or 64 without labels.
        seed: Determines the images.
        labels: Classes by name or number, separated by commas, repeated in order up to `num`.
        **options: Options of the model's `generate`.

    Raises:
        ValueError: The file is of another type, or there are no such classes.
    """
    numbers = None if labels is None else np.array(label_numbers(model, labels))
    if num is None:
        num = NUM_IMAGES if numbers is None else len(numbers)
    if numbers is not None and num % len(numbers):
        raise ValueError(
            "--num must be a multiple of the number of labels, which are repeated in order, or be left "
            f"out. Received: {num} and {len(numbers)} labels"
        )
    remedy = "Draw fewer at a time, with other seeds."
    refuse_beyond_memory(memory_needed(model, out.suffix, num, options), f"--num {num}", remedy)
    if numbers is not None:
        numbers = np.resize(numbers, num)
    if out.suffix == ".gif" and hasattr(model, "generation_steps"):
        steps: Any = model.generation_steps(num, seed=seed, labels=numbers, **options)
        drawn = [pictures.grid(images) for images in steps.swapaxes(0, 1)]
        pictures.write_gif(out, [*drawn, *[drawn[-1]] * GIF_STILLS], GIF_SECONDS_PER_STEP)
        return
    if out.suffix == ".gif":
        if not hasattr(model, "interpolate"):
            raise ValueError(
                f"--out .gif is for models with a latent space. Received: a {type(model).__name__}"
            )
        if options:
            raise ValueError(
                f"--out .gif takes no further options. Received: --{', --'.join(options).replace('_', '-')}"
            )
        frames = walk(model, num, seed, numbers)
        drawn = [pictures.grid(frame[np.newaxis], smallest_tile=GIF_TILE) for frame in frames]
        pictures.write_gif(out, drawn, GIF_SECONDS_PER_FRAME)
        return
    generated = model.generate(num, seed=seed, labels=numbers, **options)
    if out.suffix == ".png":
        pictures.write_png(out, pictures.grid(generated))
        return
    write_npy(out, generated)


def write_npy(path: Path, generated: np.ndarray) -> None:
    """Writes images as uint8, in parts: `np.save` would hide the error of a full disk."""
    header = {"descr": "|u1", "fortran_order": False, "shape": generated.shape}
    with atomic_write(path) as draft, draft.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(generated), AT_ONCE):
            file.write(pictures.to_uint8(generated[start : start + AT_ONCE]).tobytes())


def memory_needed(model: models.ImageGenerator, suffix: str, num: int, options: dict[str, Any]) -> int:
    """Bytes needed for the images, and for their pictures in a file of this kind."""
    height, width, channels = model.image_shape
    tile = {".png": pictures.SMALLEST_TILE, ".gif": GIF_TILE}.get(suffix, 0)
    num_images = num
    if suffix == ".gif" and hasattr(model, "generation_steps"):
        tile = pictures.SMALLEST_TILE
        num_images *= 1 + options.get("num_steps", model.generate.options["num_steps"].default)
    elif suffix == ".gif":
        num_images *= GIF_FRAMES_PER_STEP
    picture = 2 * 3 * max(tile, height) * max(tile, width) if tile else 0
    return num_images * (COPIES * 4 * height * width * channels + picture)


def label_numbers(model: models.ImageGenerator, labels: str) -> list[int]:
    """`sneaker,3` -> [7, 3]; not case-sensitive."""
    if not model.conditional:
        raise ValueError(
            "--labels is for conditional models, and this model has no classes. "
            f"Received: {received(labels)}"
        )
    names = list(model.class_names or [])
    folded = [name.casefold() for name in names]
    numbers = []
    for label in map(str.strip, labels.split(",")):
        if label in names:
            numbers.append(names.index(label))
        elif folded.count(label.casefold()) == 1:
            numbers.append(folded.index(label.casefold()))
        elif label.isascii() and label.isdecimal() and len(label) < 10 and int(label) < model.num_classes:
            numbers.append(int(label))
        else:
            shown = [*names[:NAMES_SHOWN], "..."] if len(names) > NAMES_SHOWN else names
            known = ", ".join(shown) or "this model has none"
            raise ValueError(
                f"--labels must be names ({known}) or numbers from 0 to "
                f"{model.num_classes - 1}, with commas between. Received: {received(label)}"
                f"{did_you_mean(label, names)}"
            )
    return numbers


def walk(model: models.LatentGenerator, num: int, seed: int, labels: np.ndarray | None) -> np.ndarray:
    """Images on great arcs between `num` random latent vectors, and back to the first."""
    z = model.latents(keys_of(seed, max(2, num))).numpy()
    z_end = np.roll(z, -1, axis=0)
    classes = None
    if model.num_classes is not None:
        classes = np.resize(np.arange(model.num_classes) if labels is None else labels, len(z))
    frames = model.interpolate(z, z_end, classes, GIF_FRAMES_PER_STEP + 1)
    return frames[:, :-1].reshape(-1, *frames.shape[2:])


def texts(
    model: models.TextGenerator, prompt: str, num: int | None, seed: int, **options: Any
) -> Iterator[str]:
    """Continues a prompt: yields pieces of `num` texts (1 by default), separated by a line.

    Args:
        model: The model.
        prompt: The text to continue.
        num: Number of texts.
        seed: Determines them: text k is that of `model.generate(prompt, seed=seed + k)`.
        **options: Options of the model's `generate`.
    """
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise ValueError(f"--prompt must be UTF-8 text. Received: {received(prompt)}") from None
    num = 1 if num is None else num
    if seed + num - 1 > LARGEST:
        raise ValueError(
            "each text has a seed of its own, from --seed on, and the largest is 2**31 - 1. "
            f"Received: --seed {seed} --num {num}"
        )
    for number in range(num):
        if num > 1:
            yield f"{BETWEEN_TEXTS if number else ''}----- {number + 1} -----\n"
        if options.keys() <= inspect.signature(model.stream).parameters.keys():
            yield prompt
            yield from model.stream(prompt, seed=seed + number, **options)
        else:  # `stop`, for one, can be found only once the text is there
            yield model.generate(prompt, seed=seed + number, **options)
    yield "\n"
