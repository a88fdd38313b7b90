"""A run directory: what `keras-gen train` writes, how it is resumed, and what is loaded from it.

config.json       everything needed to repeat the run, versions and hardware included
metrics.csv       a row for each epoch
time.json         the seconds that training has taken
logs/             TensorBoard
checkpoints/      the newest complete state
samples/          a picture, or texts, after some of the epochs, and `final.png`, or `final.md`
model.keras       the trained model
"""

import contextlib
import datetime
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from keras_gen import __version__, building, callbacks, datasets, models, tensorboard, tracking, watching
from keras_gen.building import Data
from keras_gen.checkpoints import Keeper, Stop, newest_checkpoint, save
from keras_gen.datasets import loader_options
from keras_gen.datasets.names import DATASETS, TEXTS
from keras_gen.distribution import is_chief, make_strategy
from keras_gen.files import written_whole
from keras_gen.hardware import computes_in_bfloat16, hardware_info
from keras_gen.loading import load_model
from keras_gen.recipes import find_recipe

# What a caller shows progress with: it gets the data, the number of epochs, and the epoch and the
# step in it (both from 0) that the run goes on from.
Progress = Callable[[Data, int, int, int], keras.callbacks.Callback]


class StoppedEarly(Exception):  # noqa: N818 (it is no error)
    """The run stopped before its end, and can be resumed.

    Args:
        directory: The run.
        why: What stopped it.
    """

    def __init__(self, directory: Path, why: str):
        super().__init__(why)
        self.directory = directory
        self.why = why


# === Starting and resuming ===


def train(
    recipe: str = "vae",
    *,
    data: str | None = None,
    epochs: int | None = None,
    max_minutes: float | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    discriminator_learning_rate: float | None = None,
    learning_rate_decay: bool = True,
    seed: int = 0,
    out: str | None = None,
    strategy: Literal["none", "mirrored", "multi_worker"] = "none",
    dtype_policy: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] | None = None,
    mlflow: str | None = None,
    data_options: dict[str, Any] | None = None,
    hyperparameters: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Trains a recipe's model and writes a run directory.

    Args:
        recipe: A name from the recipes table.
        data: Name of a data set, a folder of images, or an .npz file; for a text generator `python_docs`,
            a .txt or .json file, or a folder of .txt files; the recipe's by default.
        epochs: Passes over the training data; the recipe's by default, which for some models are so
            many that they see a number of images that does not depend on the data.
        max_minutes: Stop after so many minutes; the run can be resumed.
        batch_size: Images, or rows of text, in a training step, over all replicas; the recipe's by default.
        learning_rate: Of Adam, at the start; the recipe's by default.
        discriminator_learning_rate: Of the discriminator's Adam, for models that have one; by default the
            recipe's, or `learning_rate` where that is given.
        learning_rate_decay: Let the learning rate fall to 0 along half a cosine.
        seed: Determines initial weights, noise and the order of the data.
        out: Run directory to make, runs/<model>-<time> by default; must not exist or be empty.
        strategy: Train on all GPUs of this machine (mirrored), or on all machines that TF_CONFIG
            or Slurm names (multi_worker).
        dtype_policy: Numbers that the networks compute with; auto is mixed_bfloat16 on a processor that
            has instructions for it, else float32. The recipe's by default.
        mlflow: URI of an MLflow store to log the run to, too; "" for MLflow's own default.
        data_options: What else `load_dataset`, or `load_text`, takes, such as `data_dir`.
        hyperparameters: Constructor arguments of the model.
        progress: Makes the callback that shows progress.

    Returns:
        The run directory.

    Raises:
        ValueError: An argument is out of range, the data does not fit, or `out` is not empty.
        ImportError: `mlflow` was asked for and is not installed.
        StoppedEarly: The time was up, or the run was interrupted.
    """
    chosen = find_recipe(recipe)
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be 1 or more. Received: {value}")
    for name, number in (
        ("max_minutes", max_minutes),
        ("learning_rate", learning_rate),
        ("discriminator_learning_rate", discriminator_learning_rate),
    ):
        if number is not None and not number > 0:
            raise ValueError(f"{name} must be more than 0. Received: {number}")
    if discriminator_learning_rate is None and learning_rate is None:
        discriminator_learning_rate = chosen.discriminator_learning_rate
    options: dict[str, Any] = {
        "data": data or chosen.dataset,
        "epochs": epochs or chosen.epochs,
        "batch_size": batch_size or chosen.batch_size,
        "learning_rate": learning_rate or chosen.learning_rate,
        "discriminator_learning_rate": discriminator_learning_rate,
        "learning_rate_decay": learning_rate_decay,
        "seed": seed,
        "strategy": strategy,
        "dtype_policy": resolved(dtype_policy or chosen.dtype_policy),
        "mlflow": mlflow,
    }
    if options["data"] not in {**DATASETS, **TEXTS} and Path(options["data"]).exists():
        options["data"] = str(Path(options["data"]).resolve())
    loading = {**loader_options(loader_of(recipe)), **chosen.data_options, **(data_options or {})}
    try:
        json.dumps(loading)
    except TypeError as error:
        raise ValueError(
            f"data_options must be what JSON can hold, since config.json repeats the run. Received: {error}"
        ) from None
    if loading.get("data_dir") is not None:
        loading["data_dir"] = str(Path(loading["data_dir"]).resolve())
    name = f"{recipe}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    directory = Path(out) if out else Path("runs") / name
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ValueError(
            f"{directory} is not empty: expected a new directory, so that no run is overwritten. "
            f"Choose another, delete it, or continue the run with: keras-gen resume {directory}"
        )
    run = Run(directory, recipe, options, loading, {**chosen.hyperparameters, **(hyperparameters or {})})
    return run.train(max_minutes, progress)


def loader_of(recipe: str) -> str:
    """What in `keras_gen.datasets` loads the data of a recipe's model."""
    return getattr(models, find_recipe(recipe).model).loader


def resolved(dtype_policy: str) -> str:
    """What `"auto"` means on this machine."""
    if dtype_policy != "auto":
        return dtype_policy
    return "mixed_bfloat16" if computes_in_bfloat16() else "float32"


def resume(
    directory: str | os.PathLike, max_minutes: float | None = None, progress: Progress | None = None
) -> Path:
    """Continues a run where its newest checkpoint left it, as if it had never stopped.

    Args:
        directory: The run directory.
        max_minutes: Stop after so many minutes from now.
        progress: Makes the callback that shows progress.

    Returns:
        The run directory.

    Raises:
        ValueError: It is no run directory.
        StoppedEarly: The time was up, or the run was interrupted.
    """
    run = Run.read(Path(directory))
    if (run.directory / "model.keras").exists():
        return run.directory
    return run.train(max_minutes, progress)


# === A run ===

# What `config.json` holds beside hyperparameters, with what it means where an older one lacks it.
OPTIONS: dict[str, Any] = {
    name: default
    for name, default in (train.__kwdefaults__ or {}).items()
    if name not in ("max_minutes", "out", "data_options", "hyperparameters", "progress")
}


class Run:
    """One run directory and what is in it.

    Args:
        directory: The run directory.
        recipe: A name from the recipes table.
        options: How it is trained, see `train`.
        data_options: What else the data's loader takes.
        hyperparameters: Constructor arguments of the model.
    """

    def __init__(
        self,
        directory: Path,
        recipe: str,
        options: dict[str, Any],
        data_options: dict[str, Any],
        hyperparameters: dict[str, Any],
    ):
        self.directory = directory
        self.recipe = recipe
        self.options = options
        self.data_options = data_options
        self.hyperparameters = hyperparameters

    @classmethod
    def read(cls, directory: Path) -> "Run":
        """Reads `config.json` back."""
        path = directory / "config.json"
        try:
            config = json.loads(path.read_text())
            recipe = config.pop("run")["recipe"]
            defaults = loader_options(loader_of(recipe))
            options = {name: config.pop(name, default) for name, default in OPTIONS.items()}
            data_options = {name: config.pop(name, default) for name, default in defaults.items()}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{directory} is not a run directory: expected the config.json that keras-gen "
                f"train writes there ({type(error).__name__}: {error})."
            ) from None
        return cls(directory, recipe, options, data_options, hyperparameters=config)

    def write(self, model: models.BaseModel) -> None:
        """Writes `config.json`, whose options `keras-gen train --config` takes as they are."""
        described = model.get_config()
        config = {
            **self.options,
            **self.data_options,
            **{key: described[key] for key in self.hyperparameters},
            "run": {
                "recipe": self.recipe,
                "model": type(model).__name__,
                "parameters": model.count_params(),
                "created": datetime.datetime.now(datetime.timezone.utc).isoformat("T", "seconds"),
                "keras_gen": __version__,
                "numpy": np.__version__,
                "hardware": hardware_info(),
            },
        }
        with written_whole(self.directory / "config.json") as path:
            path.write_text(json.dumps(config, indent=2) + "\n")

    def train(self, max_minutes: float | None, progress: Progress | None) -> Path:
        """Trains from the newest checkpoint, or from the beginning, to the end."""
        options = self.options
        mlflow = options["mlflow"]
        mlflow_run = None if mlflow is None else tracking.MLflowRun(self.directory, mlflow)
        strategy = make_strategy(options["strategy"])
        keras.utils.set_random_seed(options["seed"])
        data = self.load_data()
        checkpoint = newest_checkpoint(self.directory / "checkpoints")
        with strategy.scope():
            model = self.build(data) if checkpoint is None else load_model(checkpoint[0])
        chief = is_chief(strategy)
        # The other workers must save with the chief, since reading metrics is collective.
        place = self.directory if chief else Path(tempfile.mkdtemp(prefix="keras-gen-worker-"))
        if chief and not (self.directory / "config.json").exists():
            self.write(model)
        _, epoch, step = checkpoint or (None, 0, 0)
        keeper = Keeper(place, data, epoch, step, max_minutes, strategy)
        watchers = watching.watchers(self.directory, model, data, options["epochs"]) if chief else []
        if chief and progress is not None:
            watchers.append(progress(data, options["epochs"], epoch, step))
        values = {"model": self.recipe, **options, **self.data_options, **self.hyperparameters}
        with contextlib.ExitStack() as stack:
            if chief:
                tensorboard.drop_events_after(self.directory / "logs" / tensorboard.TRAIN, epoch)
                tensorboard.drop_events_after(self.directory / "logs" / tensorboard.VALIDATION, epoch)
                stack.enter_context(tracking.hparams_session(self.directory, values))
            else:
                stack.callback(shutil.rmtree, place)
            if chief and mlflow_run is not None:
                watchers += stack.enter_context(mlflow_run.started(values))
            stack.enter_context(keeper.stopping_at_signals())
            try:
                self.fit(model, data, [*watchers, callbacks.FiniteGuard(), keeper], epoch, step)
            except Stop:
                raise StoppedEarly(self.directory, keeper.why) from None
            if chief:
                last = watching.samples(self.directory, model, data)
                last.set_model(model)
                last.write_file("final")
            save(model, place / "model.keras")  # last, for it says that the run is finished
        return self.directory

    def load_data(self) -> Data:
        """The data, and the number of epochs where that follows from its size."""
        options, recipe = self.options, find_recipe(self.recipe)
        loader = getattr(datasets, loader_of(self.recipe))
        sizes = {"batch_size": options["batch_size"], "seed": options["seed"]}
        data = loader(options["data"], **sizes, **self.data_options)
        if options["epochs"] is None:
            options["epochs"] = max(1, round((recipe.images or 0) / data.num_train))
        return data

    def build(self, data: Data) -> models.BaseModel:
        """The model as the options have it, compiled."""
        return building.build(self.recipe, data, self.options, self.hyperparameters)

    def fit(
        self,
        model: models.BaseModel,
        data: Data,
        watchers: list[keras.callbacks.Callback],
        epoch: int,
        step: int,
    ) -> None:
        """`model.fit` from the given step of the given epoch."""
        size = {"epochs": self.options["epochs"], "steps": data.steps_per_epoch}
        everyone = watching.RunCallbacks(watchers, model=model, **size)
        options = {"validation_data": data.test, "callbacks": everyone, "verbose": 0}
        try:
            if step:
                rest = data.train_from(step)
                model.fit(rest, initial_epoch=epoch, epochs=epoch + 1, **options)
                epoch += 1
            if epoch < self.options["epochs"]:
                epochs = self.options["epochs"]
                model.fit(data.train, initial_epoch=epoch, epochs=epochs, **options)
        except BaseException:
            everyone.on_train_end()  # writers and threads end with the run, however it ends
            raise
