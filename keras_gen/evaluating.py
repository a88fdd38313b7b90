"""What `keras-gen evaluate` does: a SOURCE measured, and what is kept of it in a run directory.

evaluation.json           the numbers, each with what it depends on
samples/neighbours.png    generated images over their nearest training images
logs/validation           the numbers in TensorBoard
"""

import json
import os
from pathlib import Path
from typing import Any

from keras_gen import images, models, tensorboard
from keras_gen.building import Data
from keras_gen.datasets import load_dataset, load_text
from keras_gen.files import written_whole
from keras_gen.loading import data_of, load_model
from keras_gen.metrics import FeatureExtractor, Report, evaluate, load_extractor
from keras_gen.metrics.evaluation import Progress
from keras_gen.presets import find_preset

BATCH = 100  # divides 10,000 and 60,000: no training image is left out


def evaluate_source(
    source: str | os.PathLike,
    *,
    data: str | None = None,
    data_dir: str | None = None,
    num: int | None = None,
    extractor: Any = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Measures a trained model, and keeps the numbers where the source is a run directory.

    Args:
        source: A run directory, a `.keras` file or a preset.
        data: Name of a data set, a file or a folder; what the model was trained on by default.
        data_dir: Folder with a named data set's own files.
        num: Number of generated images; by default that of the test images, at most 10,000.
        extractor: See `keras_gen.metrics.load_extractor`; a SOURCE of a classifier, too.
        seed: Integer that determines the generated images.
        progress: Shows how far it is.

    Returns:
        The report.

    Raises:
        ValueError: There is no such model or data, or too few images for the number of features.
    """
    model = load_model(source)
    options = data_of(source, model.loader) if data is None else {"data": data}
    if data_dir is not None:
        options["data_dir"] = data_dir
    if "data" not in options:
        raise ValueError(f"What {source} was trained on is not known: choose the data with --data.")
    loaded = load_for(model, **options)
    if extractor is not None:
        extractor = find_extractor(extractor)
    report = evaluate(model, loaded, num=num, extractor=extractor, seed=seed, progress=progress)
    run = Path(source)
    if find_preset(source) is None and (run / "config.json").exists():
        keep(report, run)
    return report


def load_for(model: models.BaseModel, data: str, **options: Any) -> Data:
    """The data that a model is held against; of text, with the model's own tokenizer."""
    if not isinstance(model, models.TextGenerator):
        return load_dataset(data, **options, batch_size=BATCH)
    if "data_dir" in options:
        raise ValueError(f"data_dir is for images. Received: {options['data_dir']}")
    options.update(tokenizer=model.tokenizer, vocabulary_size=None, per_document=model.per_document)
    return load_text(data, **options, batch_size=1)


def find_extractor(source: Any) -> FeatureExtractor:
    """`load_extractor`, of a run directory or a preset too."""
    if find_preset(source) is None and not Path(source).is_dir():
        return load_extractor(source)
    return load_extractor(load_model(source), name=Path(source).name)


def keep(report: Report, run: Path) -> None:
    """Writes a report into a run directory and its TensorBoard logs."""
    with written_whole(run / "evaluation.json") as path:
        path.write_text(json.dumps(report.to_dict(), indent=2) + "\n")
    if report.neighbours is not None:
        images.write_png(run / "samples" / "neighbours.png", report.neighbours)
    epoch, logs = epochs_trained(run), run / "logs"
    tensorboard.drop_events_after(logs / tensorboard.EVALUATION, epoch - 1)  # an earlier evaluation
    values = {name.replace(" ", "_"): result.value for name, result in report.results.items()}
    scalars = {tag: values[name] for name, tag in tensorboard.scalar_tags(values).items()}
    tensorboard.write_scalars(tensorboard.summary_writer(logs, tensorboard.EVALUATION), scalars, epoch)


def epochs_trained(run: Path) -> int:
    """The epochs that a run has completed."""
    path = run / "metrics.csv"
    return len(path.read_text().splitlines()) - 1 if path.exists() else 0
