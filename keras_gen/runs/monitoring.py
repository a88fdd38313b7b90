"""The callbacks that show a run, in TensorBoard and in its folder `samples`."""

import itertools
from pathlib import Path

import keras

from keras_gen import callbacks, models
from keras_gen.datasets import ImageDataset, TextDataset
from keras_gen.runs.building import Data
from keras_gen.tokenizers import END

NUM_SHOWN = 10  # pictures of a run, or texts, whatever its number of epochs
NUM_RECONSTRUCTED = 18  # test images: as many rows as columns, beside their reconstructions
NUM_PROJECTED = 1000  # test images in TensorBoard's projector
PROMPT_TOKENS = 24  # of the held-out text, as a prompt


def watchers(
    directory: Path, model: models.BaseModel, data: Data, epochs: int
) -> list[keras.callbacks.Callback]:
    """All of them.

    Args:
        directory: The run.
        model: What is trained.
        data: What it is trained on.
        epochs: Of the whole run.
    """
    logs, every = directory / "logs", show_every(epochs)
    found: list[keras.callbacks.Callback] = [
        samples(directory, model, data, every),
        callbacks.HardwareMonitor(logs, data.units_per_step, data.unit),
    ]
    if isinstance(model, models.GAN):
        found.append(callbacks.GANHealth(logs))
    if isinstance(data, ImageDataset):
        x, y = data.test_images(NUM_PROJECTED)
        if hasattr(model, "reconstruct"):
            few = None if y is None else y[:NUM_RECONSTRUCTED]
            found.append(callbacks.ReconstructionGrid(logs, x[:NUM_RECONSTRUCTED], few, every=every))
        if hasattr(model, "encode"):
            found.append(callbacks.LatentProjector(logs, x, y, data.class_names))
    found.append(callbacks.TrainingCurves(logs))  # after what adds to the logs
    return found


def show_every(epochs: int) -> int:
    """After how many epochs a run of so many shows what the model does."""
    return max(1, epochs // NUM_SHOWN)


def samples(
    directory: Path, model: models.BaseModel, data: Data, every: int = 1
) -> callbacks.SampleCallback:
    """What `samples/` shows: what the model generates, or for a classifier, what it confuses."""
    logs, folder = directory / "logs", directory / "samples"
    if isinstance(data, TextDataset):
        return callbacks.TextSamples(logs, prompts(data), text_dir=folder, every=every)
    if hasattr(model, "generate"):
        return callbacks.SampleGrid(logs, image_dir=folder, every=every)
    x, y = data.test_images()
    return callbacks.ConfusionMatrix(logs, x, y, image_dir=folder, every=every)


def prompts(data: TextDataset) -> list[str]:
    """The beginning of a text, and the held-out text's first line, or as much of it as is known."""
    held_out = data.test_ids[int(data.per_document) :][:PROMPT_TOKENS]
    known = list(itertools.takewhile(lambda token_id: token_id > END, held_out))
    line = data.tokenizer.decode([known]).numpy()[0].decode().strip().split("\n")[0] if known else ""
    return list(dict.fromkeys(["", line]))
