"""What `keras-gen sample` does: images into a file, or texts, piece by piece as they are written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_gen import images, models
from keras_gen.arguments import LARGEST
from keras_gen.files import written_whole

GIF_FRAMES_PER_STEP = 12
GIF_SECONDS_PER_FRAME = 0.06
GIF_TILE = 224  # pixels
NUM_IMAGES = 64  # where nobody says how many


def write_images(
    model: models.GenerativeModel, out: Path, num: int | None, seed: int, labels: str | None
) -> None:
    """Draws images into a file: a grid (.png), an array (.npy), or a walk through latent space (.gif).

    Args:
        model: What draws them.
        out: The file.
        num: How many; by default one for each label, or 64 without labels.
        seed: Determines them.
        labels: Classes by name or number, with commas between, repeated in order up to `num`.

    Raises:
        ValueError: The file is of another type, or there are no such classes.
    """
    numbers = None if labels is None else np.array(label_numbers(model, labels))
    if num is None:
        num = NUM_IMAGES if numbers is None else len(numbers)
    if numbers is not None:
        if num % len(numbers):
            raise ValueError(
                "--num must be a multiple of the number of labels, which are repeated in order, or be left "
                f"out. Received: {num} and {len(numbers)} labels"
            )
        numbers = np.resize(numbers, num)
    if out.suffix == ".gif":
        frames = walk(model, num, seed, numbers)
        pictures = [images.grid(frame[np.newaxis], smallest_tile=GIF_TILE) for frame in frames]
        images.write_gif(out, pictures, GIF_SECONDS_PER_FRAME)
        return
    generated = model.generate(num, seed=seed, labels=numbers)
    if out.suffix == ".png":
        images.write_png(out, images.grid(generated))
        return
    with written_whole(out) as draft:
        np.save(draft, images.to_uint8(generated))


def label_numbers(model: models.GenerativeModel, labels: str) -> list[int]:
    """`sneaker,3` -> [7, 3]."""
    if not model.conditional:
        raise ValueError("--labels is for conditional models, and this model has no classes.")
    names = list(model.class_names or [])
    numbers = []
    for label in labels.split(","):
        label = label.strip()
        if label in names:
            numbers.append(names.index(label))
        elif label.isdecimal() and int(label) < model.num_classes:
            numbers.append(int(label))
        else:
            known = ", ".join(names) or "no names"
            raise ValueError(
                f"--labels must be names ({known}) or numbers from 0 to {model.num_classes - 1}. "
                f"Received: {label!r}"
            )
    return numbers


def walk(model: models.GenerativeModel, num: int, seed: int, labels: np.ndarray | None) -> np.ndarray:
    """Images on great arcs between `num` random latent vectors and back to the first."""
    z = model.latents(max(2, num), seed).numpy()
    z_end = np.roll(z, -1, axis=0)
    classes = None
    if model.num_classes is not None:
        classes = np.resize(np.arange(model.num_classes) if labels is None else labels, len(z))
    frames = model.interpolate(z, z_end, classes, GIF_FRAMES_PER_STEP + 1)
    return frames[:, :-1].reshape(-1, *frames.shape[2:])


def texts(
    model: models.TextGenerator, prompt: str, num: int | None, seed: int, **options: Any
) -> Iterator[str]:
    """Writes after a prompt: pieces, which joined are `num` texts (1 by default) with lines between them.

    Args:
        model: What writes.
        prompt: The text to continue.
        num: How many texts.
        seed: Determines them: text k is that of `model.generate(prompt, seed=seed + k)`, and after the
            largest seed comes 0.
        **options: `max_tokens`, `temperature`, `top_k`, `top_p`.
    """
    for number in range(1 if num is None else num):
        if number:
            yield f"\n\n----- {number + 1} -----\n"
        yield prompt
        yield from model.stream(prompt, seed=(seed + number) % (LARGEST + 1), **options)
    yield "\n"
