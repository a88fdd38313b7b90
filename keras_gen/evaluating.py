"""What `keras-gen evaluate` does: a SOURCE measured, and what is kept of it in a run directory.

evaluation.json           the numbers, each with what it depends on
samples/neighbours.png    generated images over their nearest training images
logs/evaluation           the numbers in TensorBoard
"""

import json
import os
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_gen import images, models
from keras_gen.building import Data
from keras_gen.datasets import load_dataset, load_text
from keras_gen.files import written_whole
from keras_gen.loading import data_of, load_model
from keras_gen.metrics import FeatureExtractor, Report, evaluate, load_extractor
from keras_gen.metrics.evaluation import Progress
from keras_gen.presets import find_preset

BATCH = 16  # small: a data set with fewer training images than this is refused


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
        step = 0 if model.optimizer is None else int(model.optimizer.iterations.numpy())
        keep(report, run, step)
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


def keep(report: Report, run: Path, step: int) -> None:
    """Writes a report into a run directory and its TensorBoard logs."""
    with written_whole(run / "evaluation.json") as path:
        path.write_text(json.dumps(report.to_dict(), indent=2) + "\n")
    if report.neighbours is not None:
        images.write_png(run / "samples" / "neighbours.png", report.neighbours)
    writer = tf.summary.create_file_writer(str(run / "logs" / "evaluation"))
    with writer.as_default():
        for name, result in report.results.items():
            tf.summary.scalar(f"evaluation/{name}".replace(" ", "_"), result.value, step=step)
    writer.close()
