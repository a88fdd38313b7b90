"""What `keras-gen evaluate` does: a SOURCE measured, and what is kept of it in a run directory.

evaluation.json           the numbers, each with what it depends on
samples/neighbours.png    generated images over their nearest training images
logs/validation           the numbers in TensorBoard
"""

import json
import math
import os
import warnings
from pathlib import Path
from typing import Any

from keras_gen import datasets, models
from keras_gen.datasets import loader_options
from keras_gen.datasets.names import options_used_by
from keras_gen.metrics import FeatureExtractor, Report, load_extractor, measure
from keras_gen.metrics.measurement import Progress
from keras_gen.runs.building import Data
from keras_gen.runs.loading import data_of, load_model
from keras_gen.serving.presets import find_preset, list_presets
from keras_gen.serving.presets.loading import load_keras_file
from keras_gen.utils import pictures, tensorboard
from keras_gen.utils.arguments import Count, Seed, checked, received
from keras_gen.utils.files import atomic_write, is_file, printable, read_text
from keras_gen.utils.memory import refuse_beyond_memory
from keras_gen.utils.suggestions import did_you_mean

MOST_FEATURES = 2048  # of an extractor, for each image
EXTRACTORS = ("fashion_mnist", "inception_v3", "inception")


@checked
def evaluate_source(
    source: str | os.PathLike,
    *,
    data: str | None = None,
    num: Count | None = None,
    extractor: Any = None,
    seed: Seed = 0,
    generate_options: dict[str, Any] | None = None,
    progress: Progress | None = None,
    **data_options: Any,
) -> Report:
    """Measures a trained model, and stores the results if the source is a run directory.

    A run that is still training is measured at its newest checkpoint, without disturbing it.

    Args:
        source: A run directory, a `.keras` file or a preset.
        data: Name of a data set, a file or a folder; by default, what the model was trained on.
        num: Number of generated images; by default the number of test images, at most 10,000.
        extractor: See `keras_gen.metrics.load_extractor`; or the SOURCE of a classifier.
        seed: Integer that determines the generated images.
        generate_options: See `keras_gen.metrics.measure`. With any, the results are not stored: a run's
            are those of the defaults, so that runs can be compared.
        progress: Called with the progress.
        **data_options: Further arguments of `load_dataset` or `load_text`, such as `data_dir` and
            `image_size`; by default those of training, if they apply to the data.

    Returns:
        The report.

    Raises:
        ValueError: There is no such model or data, or too few images for the number of features.
    """
    if data is not None and (not data or "\0" in data):
        raise ValueError(f"data must be a data set, a file or a folder. Received: {data!r}")
    check_extractor(extractor)
    model = load_model(source)
    run = None if generate_options else run_to_keep_in(source)
    given = {name: value for name, value in data_options.items() if value is not None}
    options = {**options_for(data, data_of(source, model.loader)), **given}
    if "data" not in options:
        raise ValueError(f"What {source} was trained on is not known: choose the data with --data.")
    loaded = load_for(model, **options)
    if extractor is not None:
        extractor = find_extractor(extractor)
    if num is not None and hasattr(model, "image_shape"):
        numbers = math.prod(model.image_shape) + MOST_FEATURES
        refuse_beyond_memory(2 * 4 * num * numbers, f"num={num}", "Measure fewer images.")
    report = measure(
        model,
        loaded,
        num=num,
        extractor=extractor,
        seed=seed,
        generate_options=generate_options,
        progress=progress,
    )
    if run is not None:
        keep(report, *run)
    return report


def run_to_keep_in(source: str | os.PathLike) -> tuple[Path, int] | None:
    """The run to store an evaluation in, and its number of completed epochs; None for other sources.

    Raises:
        ValueError: The run's `metrics.csv` is damaged.
    """
    run = Path(source)
    if find_preset(source) is not None or not is_file(run / "config.json"):
        return None
    for folder in (run, run / "samples", run / "logs"):
        if folder.exists() and not (folder.is_dir() and os.access(folder, os.W_OK)):
            warnings.warn(
                f"{printable(folder)} cannot be written to: the numbers are not kept there.", stacklevel=2
            )
            return None
    return run, epochs_trained(run)


def options_for(data: str | None, known: dict[str, Any]) -> dict[str, Any]:
    """`data` and those options of training that apply to it."""
    if data is None or known.get("data") in (data, str(Path(data).resolve())):
        return known
    options = {**known, "data": data}
    unused = set(loader_options("load_dataset")) - set(options_used_by(data))
    dropped = {"data_dir", "test_fraction", *unused}
    return {name: value for name, value in options.items() if name not in dropped}


def load_for(model: models.BaseModel, data: str, **options: Any) -> Data:
    """The data that a model is evaluated on."""
    for name in options:
        if name not in loader_options(model.loader):
            raise ValueError(f"{name} is not an option of {model.loader}. Received: {options[name]!r}")
    options = {**options, **model.loader_arguments(), "batch_size": model.evaluation_batch_size}
    return getattr(datasets, model.loader)(data, **options)


def check_extractor(source: Any) -> None:
    """Raises a ValueError for an unknown extractor, before anything is loaded or downloaded."""
    if not isinstance(source, (str, os.PathLike)):
        return  # None, or an object
    name, presets = os.fspath(source), list_presets()
    known = (*EXTRACTORS, *presets)
    if name in known or "://" in name or Path(name).is_dir():
        return
    if not name or Path(name).suffix != ".keras" or not is_file(name):
        raise ValueError(
            f"The extractor must be one of {', '.join(EXTRACTORS)}, an existing .keras file, or a trained "
            f"classifier. Received: {received(name)}{did_you_mean(name, known)}"
        )


def find_extractor(source: Any) -> FeatureExtractor:
    """`load_extractor`, also for run directories and presets."""
    if not isinstance(source, (str, os.PathLike)) or source in EXTRACTORS:
        return load_extractor(source)
    if find_preset(source) is None and not Path(source).is_dir():
        return load_extractor(load_keras_file(Path(source)), name=Path(source).stem)
    return load_extractor(load_model(source), name=Path(source).name)


def keep(report: Report, run: Path, epoch: int) -> None:
    """Writes a report into a run directory and its TensorBoard logs."""
    with atomic_write(run / "evaluation.json") as path:
        path.write_text(json.dumps(report.to_dict(), indent=2) + "\n")
    if report.neighbours is not None:
        pictures.write_png(run / "samples" / "neighbours.png", report.neighbours)
    logs = run / "logs"
    tensorboard.drop_events_after(logs / tensorboard.EVALUATION, epoch - 1)  # an earlier evaluation
    values = {name.replace(" ", "_"): result.value for name, result in report.results.items()}
    scalars = {tag: values[name] for name, tag in tensorboard.scalar_tags(values).items()}
    tensorboard.write_scalars(tensorboard.summary_writer(logs, tensorboard.EVALUATION), scalars, epoch)


def epochs_trained(run: Path) -> int:
    """Number of epochs that a run has completed."""
    path = run / "metrics.csv"
    if not os.path.lexists(path):
        return 0
    rows = read_text(path, encoding="utf-8-sig").splitlines()
    if not rows or not rows[0].startswith("epoch,"):
        raise ValueError(
            f"{printable(path)} must begin with the column epoch. Received: {received(rows[:1])}. Restore "
            "it, or delete it."
        )
    return len(rows) - 1
