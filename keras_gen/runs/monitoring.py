"""The callbacks that show a run, in TensorBoard and in its folder `samples`.

Each class says itself, in `for_run`, whether it has something to show of a model and its data.
"""

from pathlib import Path

import keras

from keras_gen import callbacks, models
from keras_gen.runs.building import Data

NUM_SHOWN = 10  # pictures of a run, or texts, whatever its number of epochs
# The first that has something to show writes what `samples/` holds.
SAMPLE_CALLBACKS = (callbacks.TextSamples, callbacks.SampleGrid, callbacks.ConfusionMatrix)
OTHER_CALLBACKS = (
    callbacks.HardwareMonitor,
    callbacks.GANHealth,
    callbacks.ReconstructionGrid,
    callbacks.LatentProjector,
    callbacks.GenerationSteps,
    callbacks.LossByTime,
    callbacks.TrainingCurves,  # after those that add to the logs
)


def run_callbacks(
    directory: Path, model: models.BaseModel, data: Data, epochs: int
) -> list[keras.callbacks.Callback]:
    """All of them.

    Args:
        directory: The run.
        model: What is trained.
        data: What it is trained on.
        epochs: Of the whole run.
    """
    logs, every = directory / "logs", epochs_between_samples(epochs)
    others = [kind.for_run(model, data, logs, every) for kind in OTHER_CALLBACKS]
    return [samples(directory, model, data, every), *(each for each in others if each is not None)]


def epochs_between_samples(epochs: int) -> int:
    """After how many epochs a run of so many shows what the model does."""
    return max(1, epochs // NUM_SHOWN)


def samples(
    directory: Path, model: models.BaseModel, data: Data, every: int = 1
) -> callbacks.SampleCallback:
    """Shows what the model generates or, for a classifier, what it confuses."""
    logs, folder = directory / "logs", directory / "samples"
    found = (kind.for_run(model, data, logs, every, folder) for kind in SAMPLE_CALLBACKS)
    return next(callback for callback in found if callback is not None)
