"""A run directory: what `keras-gen train` writes, how it is resumed, and what is loaded from it.

config.json       everything needed to repeat the run, versions and hardware included
metrics.csv       a row for each epoch
time.json         the seconds that training has taken
logs/             TensorBoard
checkpoints/      the newest complete state
samples/          a picture after some of the epochs, and `final.png`
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

from keras_gen import __version__, callbacks, images, models, tracking
from keras_gen.checkpoints import Keeper, Stop, newest_checkpoint, save
from keras_gen.datasets import ImageDataset, load_dataset
from keras_gen.datasets.names import DATASETS
from keras_gen.distribution import is_chief, make_strategy
from keras_gen.files import written_whole
from keras_gen.hardware import computes_in_bfloat16, hardware_info
from keras_gen.loading import load_model
from keras_gen.recipes import find_recipe

NUM_PICTURES = 10  # drawn in a run, whatever its number of epochs
NUM_PROJECTED = 1000  # test images in TensorBoard's projector

# What a caller shows progress with: it gets the data, the number of epochs, and the epoch and the
# step in it (both from 0) that the run goes on from.
Progress = Callable[[ImageDataset, int, int, int], keras.callbacks.Callback]


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
    data_dir: str | None = None,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    label: str | None = None,
    skip_broken: bool = False,
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
    hyperparameters: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Trains a recipe's model and writes a run directory.

    Args:
        recipe: A name from the recipes table.
        data: Name of a data set, a folder of images, or an .npz file; the recipe's by default.
        data_dir: Folder with a named data set's own files, where there is no network.
        image_size: Height and width that a folder's images are resized and cropped to.
        channels: 1 or 3, for a folder whose images are grey and coloured.
        label: CelebA's attribute that makes its classes, such as Blond_Hair.
        skip_broken: Leave out image files that do not decode.
        epochs: Passes over the training images; the recipe's by default, which for some models are so
            many that they see a number of images that does not depend on the data.
        max_minutes: Stop after so many minutes; the run can be resumed.
        batch_size: Images in a training step, over all replicas; the recipe's by default.
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
        "data_dir": None if data_dir is None else str(Path(data_dir).resolve()),
        "image_size": image_size,
        "channels": channels,
        "label": label,
        "skip_broken": skip_broken,
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
    if options["data"] not in DATASETS and Path(options["data"]).exists():
        options["data"] = str(Path(options["data"]).resolve())
    name = f"{recipe}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    directory = Path(out) if out else Path("runs") / name
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ValueError(
            f"{directory} is not empty: expected a new directory, so that no run is overwritten. "
            f"Choose another, delete it, or continue the run with: keras-gen resume {directory}"
        )
    run = Run(directory, recipe, options, {**chosen.hyperparameters, **(hyperparameters or {})})
    return run.train(max_minutes, progress)


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
    if name not in ("max_minutes", "out", "hyperparameters", "progress")
}


class Run:
    """One run directory and what is in it."""

    def __init__(
        self,
        directory: Path,
        recipe: str,
        options: dict[str, Any],
        hyperparameters: dict[str, Any],
    ):
        self.directory = directory
        self.recipe = recipe
        self.options = options
        self.hyperparameters = hyperparameters

    @classmethod
    def read(cls, directory: Path) -> "Run":
        """Reads `config.json` back."""
        path = directory / "config.json"
        try:
            config = json.loads(path.read_text())
            recipe = config.pop("run")["recipe"]
            options = {name: config.pop(name, default) for name, default in OPTIONS.items()}
            hyperparameters = config
            find_recipe(recipe)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{directory} is not a run directory: expected the config.json that keras-gen "
                f"train writes there ({type(error).__name__}: {error})."
            ) from None
        return cls(directory, recipe, options, hyperparameters)

    def write(self, model: models.ImageModel) -> None:
        """Writes `config.json`, whose options `keras-gen train --config` takes as they are."""
        described = model.get_config()
        config = {
            **self.options,
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
        data = load_dataset(
            options["data"],
            batch_size=options["batch_size"],
            seed=options["seed"],
            data_dir=options["data_dir"],
            image_size=options["image_size"],
            channels=options["channels"],
            label=options["label"],
            skip_broken=options["skip_broken"],
        )
        if options["epochs"] is None:
            images_in_all = find_recipe(self.recipe).images or 0
            options["epochs"] = max(1, round(images_in_all / data.num_train))
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
        watchers = self.watchers(data) if chief else []
        if chief and progress is not None:
            watchers.append(progress(data, options["epochs"], epoch, step))
        values = {"model": self.recipe, **self.options, **self.hyperparameters}
        with contextlib.ExitStack() as stack:
            if chief:
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
                self.draw(model, data)
            save(model, place / "model.keras")  # last, for it says that the run is finished
        return self.directory

    def build(self, data: ImageDataset) -> models.ImageModel:
        """The model as the options have it, compiled."""
        options, arguments = self.options, dict(self.hyperparameters)
        recipe = find_recipe(self.recipe)
        if recipe.uses_labels and arguments.get("num_classes") is None:
            if data.num_classes is None:
                raise ValueError(f"{self.recipe} needs labels, and {data.name} has none.")
            arguments["num_classes"] = data.num_classes
        num_classes = arguments.get("num_classes")
        if num_classes is not None:
            if num_classes != data.num_classes:
                raise ValueError(
                    f"num_classes must be {data.num_classes}, as {data.name} has them. "
                    f"Received: {num_classes}"
                )
            arguments["class_names"] = data.class_names
        model = getattr(models, recipe.model)(
            image_shape=data.image_shape,
            seed=options["seed"],
            dtype=options["dtype_policy"],
            **arguments,
        )
        rates = [options["learning_rate"]]
        if isinstance(model, models.GAN):
            rates.append(options["discriminator_learning_rate"] or rates[0])
        elif options["discriminator_learning_rate"]:
            raise ValueError(
                f"discriminator_learning_rate is for models with a discriminator: {self.recipe} has none."
            )
        if options["learning_rate_decay"]:
            steps = options["epochs"] * data.steps_per_epoch
            rates = [keras.optimizers.schedules.CosineDecay(rate, steps) for rate in rates]
        model.compile(*[model.default_optimizer(rate) for rate in rates])
        return model

    def watchers(self, data: ImageDataset) -> list[keras.callbacks.Callback]:
        """The callbacks that show the run in TensorBoard and in `samples/`."""
        logs = self.directory / "logs"
        every = max(1, self.options["epochs"] // NUM_PICTURES)
        x, y = data.test_images(NUM_PROJECTED)
        names = data.class_names
        model = getattr(models, find_recipe(self.recipe).model)
        found: list[keras.callbacks.Callback] = [
            keras.callbacks.TensorBoard(logs, write_graph=False),
            self.picture(data, every=every),
            callbacks.HardwareMonitor(logs, data.batch_size),
        ]
        if issubclass(model, models.GAN):
            found.append(callbacks.GANHealth(logs))
        if hasattr(model, "reconstruct"):
            few = None if y is None else y[:20]
            found.append(callbacks.ReconstructionGrid(logs, x[:20], few, every=every))
        if hasattr(model, "encode"):
            found.append(callbacks.LatentProjector(logs, x, y, names))
        return found

    def fit(
        self,
        model: models.ImageModel,
        data: ImageDataset,
        watchers: list[keras.callbacks.Callback],
        epoch: int,
        step: int,
    ) -> None:
        """`model.fit` from the given step of the given epoch."""
        everyone = keras.callbacks.CallbackList(watchers, model=model)
        everyone.set_params({"epochs": self.options["epochs"], "steps": data.steps_per_epoch})
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

    def picture(self, data: ImageDataset, **options: Any) -> callbacks.PictureCallback:
        """What `samples/` shows: what the model generates, or for a classifier, what it confuses."""
        logs, folder = self.directory / "logs", self.directory / "samples"
        model = getattr(models, find_recipe(self.recipe).model)
        if issubclass(model, models.GenerativeModel):
            return callbacks.SampleGrid(logs, image_dir=folder, **options)
        x, y = data.test_images()
        return callbacks.ConfusionMatrix(logs, x, y, image_dir=folder, **options)

    def draw(self, model: models.ImageModel, data: ImageDataset) -> None:
        """`samples/final.png`."""
        last = self.picture(data)
        last.set_model(model)
        images.write_png(last.image_dir / "final.png", last.picture())
