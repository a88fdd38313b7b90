"""`train` and `resume`, as the commands and scripts call them."""

import datetime
import json
import os
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np

from keras_gen.datasets import loader_options
from keras_gen.datasets.names import DATASETS, TEXTS
from keras_gen.recipes import find_recipe
from keras_gen.runs.config import (
    Config,
    check_names,
    checked_data_options,
    hyperparameter_names,
    loader_of,
    recipe_options,
)
from keras_gen.runs.directory import is_finished
from keras_gen.runs.locks import check_is_new
from keras_gen.runs.run import Progress, Run, StoppedEarly
from keras_gen.utils.arguments import Count, Positive, Seed, checked

__all__ = ["Progress", "StoppedEarly", "resume", "train"]


@checked
def train(
    recipe: str = "vae",
    *,
    data: str | os.PathLike | None = None,
    epochs: Count | None = None,
    steps: Count | None = None,
    minutes: Positive | None = None,
    max_minutes: Positive | None = None,
    batch_size: Count | None = None,
    learning_rate: Positive | None = None,
    discriminator_learning_rate: Positive | None = None,
    learning_rate_decay: bool = True,
    seed: Seed = 0,
    out: str | os.PathLike | None = None,
    strategy: Literal["none", "mirrored", "multi_worker"] = "none",
    dtype_policy: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] | None = None,
    mlflow: str | None = None,
    data_options: dict[str, Any] | None = None,
    hyperparameters: dict[str, Any] | None = None,
    progress: Progress | None = None,
    started: float | None = None,
) -> Path:
    """Trains a recipe's model and writes a run directory.

    Args:
        recipe: A name from the recipes table.
        data: Name of a data set, a folder of images, or an .npz file; for a text generator `python_docs`,
            a .txt or .json file, or a folder of .txt files; the recipe's by default.
        epochs: Passes over the training data; the recipe's by default. Some recipes set the number of
            training images instead, from which the number of epochs follows.
        steps: Training steps, instead of epochs. The last epoch is shorter if they do not fill it.
        minutes: Time budget of the whole run, instead of epochs. The speed is measured first, and the
            number of steps that fits is recorded in config.json, so that the run can be repeated exactly.
        max_minutes: Stop after this many minutes, finished or not; the run can be resumed.
        batch_size: Images, or rows of text, per training step, over all replicas; the recipe's by default.
        learning_rate: The optimizer's initial learning rate; the recipe's by default.
        discriminator_learning_rate: The discriminator's initial learning rate, for models that have one;
            by default `learning_rate`, or the model's own default.
        learning_rate_decay: Decay the learning rate to 0 along half a cosine.
        seed: Determines the initial weights, all noise and the order of the data.
        out: Run directory to create, runs/<model>-<time> by default; it must be empty or not exist.
        strategy: Train on all GPUs of this machine (mirrored), or on all machines that TF_CONFIG
            or Slurm names (multi_worker).
        dtype_policy: Number format of the networks; auto is mixed_bfloat16 where the hardware
            multiplies in bfloat16, otherwise float32. The recipe's by default.
        mlflow: URI of an MLflow store to log the run to as well; "" for MLflow's own default.
        data_options: Further arguments of `load_dataset`, or `load_text`, such as `data_dir`.
        hyperparameters: Constructor arguments of the model.
        progress: Makes the callback that shows progress.
        started: Value of `time.monotonic()` at which `minutes` began; now by default.

    Returns:
        The run directory.

    Raises:
        ValueError: An argument is out of range, the data does not fit, or `out` is not empty.
        ImportError: `mlflow` was asked for and is not installed.
        StoppedEarly: The time was up, or the run was interrupted.
    """
    chosen = find_recipe(recipe)
    started = time.monotonic() if started is None else started
    lengths = {"epochs": epochs, "steps": steps, "minutes": minutes}
    given = [f"{name}={value}" for name, value in lengths.items() if value is not None]
    if len(given) > 1:
        raise ValueError(
            "epochs, steps and minutes each say how long to train: choose one, and set the others to null "
            f"in a config.json. Received: {', '.join(given)}"
        )
    if minutes is not None and strategy == "multi_worker":
        raise ValueError("minutes is for one machine. With strategy multi_worker choose epochs or steps.")
    for name, path in (("data", data), ("out", out)):
        if path is not None and (not os.fspath(path) or "\0" in os.fspath(path)):
            raise ValueError(f"{name} must be a path, or be left out. Received: {os.fspath(path)!r}")
    check_names("hyperparameters", hyperparameters or {}, hyperparameter_names(recipe))
    data_options = checked_data_options(loader_of(recipe), data_options or {})
    learning_rate = learning_rate or recipe_options(recipe)["learning_rate"]
    options: dict[str, Any] = {
        "data": chosen.dataset if data is None else os.fspath(data),
        "epochs": epochs if given else chosen.epochs,
        "steps": steps,
        "batch_size": batch_size or chosen.batch_size,
        "learning_rate": learning_rate,
        "discriminator_learning_rate": discriminator_learning_rate,
        "learning_rate_decay": learning_rate_decay,
        "seed": seed,
        "strategy": strategy,
        "dtype_policy": dtype_policy or chosen.dtype_policy,
        "mlflow": mlflow,
    }
    if options["data"] not in {**DATASETS, **TEXTS} and os.path.exists(options["data"]):
        options["data"] = str(Path(options["data"]).resolve())
    loading = {**loader_options(loader_of(recipe)), **chosen.data_options, **data_options}
    try:
        json.dumps(loading)
    except TypeError as error:
        raise ValueError(
            f"data_options must be what JSON can hold, since config.json repeats the run. Received: {error}"
        ) from None
    if loading.get("data_dir") is not None:
        loading["data_dir"] = str(Path(loading["data_dir"]).resolve())
    name = f"{recipe}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    directory = Path("runs") / name if out is None else Path(out)
    check_is_new(directory)
    hyperparameters = {**chosen.hyperparameters, **(hyperparameters or {})}
    for key, value in hyperparameters.items():
        if isinstance(value, np.generic):  # a number of NumPy's, which JSON does not know
            hyperparameters[key] = value.item()
    run = Run(directory, Config(recipe, options, loading, hyperparameters))
    return run.train(max_minutes, progress, minutes, started, is_new=True)


@checked
def resume(
    directory: str | os.PathLike, max_minutes: Positive | None = None, progress: Progress | None = None
) -> Path:
    """Continues a run where its newest checkpoint left it, as if it had never stopped.

    Args:
        directory: The run directory.
        max_minutes: Stop after this many minutes from now.
        progress: Makes the callback that shows progress.

    Returns:
        The run directory.

    Raises:
        ValueError: `directory` is not a run directory, another process has it, or one of its files is
            damaged, of another run or gone. Nothing is changed then.
        StoppedEarly: The time was up, or the run was interrupted.
    """
    directory = Path(directory)
    run = Run(directory, Config.read(directory, train))
    if is_finished(directory):
        return directory
    return run.train(max_minutes, progress)
