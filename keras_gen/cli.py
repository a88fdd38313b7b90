"""The `keras-gen` command: argv and stdout. TensorFlow is imported only by what computes."""

import argparse
import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import keras
    import numpy as np

    from keras_gen.datasets import ImageDataset
    from keras_gen.models import GenerativeModel, ImageModel

GIF_FRAMES_PER_STEP = 12
GIF_SECONDS_PER_FRAME = 0.06
GIF_TILE = 224  # pixels

# The numbers of a preset that its line in a list shows.
SHOWN = {
    "fd": "FD",
    "recall": "recall",
    "log_prob": "log p(x)",
    "reconstruction_error": "MSE",
    "accuracy": "accuracy",
}

SOURCE = "run directory, .keras file, or preset: its name, folder or URL"


def main(argv: list[str] | None = None) -> int:
    """Runs one command; gives the exit status.

    0; 1 for an error; 2 for wrong usage; 130 for Ctrl-C; 141 where the reader of a pipe has gone.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = build_parser()
    if argv[:1] == ["train"]:
        return guarded(train, argv[1:])
    arguments = parser.parse_args(argv)
    return guarded(arguments.command, arguments)


def guarded(command: Any, arguments: Any) -> int:
    """Turns what a user can mend into one line on stderr, and leaves defects their traceback."""
    try:
        command(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, `head` for one, has seen enough. Nor may Python complain of it when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        if os.environ.get("KERAS_GEN_DEBUG"):
            raise
        print(f"keras-gen: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("keras-gen: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if type(error).__name__ != "StoppedEarly":
            raise
        directory = error.directory  # type: ignore[attr-defined]
        print(f"Stopped: {error}. Continue with: keras-gen resume {directory}", file=sys.stderr)
        print(directory)
        return {"SIGINT": 130, "SIGTERM": 143}.get(str(error).split()[-1], 0)
    return 0


def import_tensorflow() -> None:
    """Imports TensorFlow without the chatter of its start, and lets GPUs share their memory."""
    # 3, since TensorFlow calls it an error where it leaves out an optimization of a graph.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            import tensorflow as tf

            gpus = tf.config.list_physical_devices("GPU")
        except BaseException:
            os.dup2(stderr, 2)
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)


def build_parser() -> argparse.ArgumentParser:
    """Every command but `train`, whose options come from the model's signature."""
    from keras_gen import __version__

    parser = argparse.ArgumentParser(
        prog="keras-gen",
        description="Generative models for Keras 3: train, resume, sample, evaluate, export.",
    )
    parser.add_argument("--version", action="version", version=f"keras_gen {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, function: Any, summary: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=summary)
        added.set_defaults(command=function)
        return added

    command("train", train, "train a model: keras-gen train MODEL --help lists its options")

    added = command("resume", resume, "continue a run that was stopped or killed")
    added.add_argument("run", metavar="RUN", help="run directory")
    added.add_argument("--max-minutes", type=float, help="stop after so many minutes")

    added = command("sample", sample, "draw images with a trained model")
    added.add_argument("source", metavar="SOURCE", help=SOURCE)
    added.add_argument("--num", type=int, default=64, help="how many images (default: 64)")
    added.add_argument("--seed", type=int, default=0, help="determines the images (default: 0)")
    added.add_argument(
        "--labels",
        metavar="A,B,...",
        help="classes by name or number, repeated in order up to --num; for conditional models",
    )
    added.add_argument(
        "--out",
        required=True,
        help=".png: a grid; .npy: uint8 images (n, h, w, c); .gif: a walk through latent space",
    )

    added = command("evaluate", evaluate, "measure a trained model: distances, recall, likelihood")
    added.add_argument("source", metavar="SOURCE", help=SOURCE)
    added.add_argument("--data", help="data set, folder or .npz (default: what it was trained on)")
    added.add_argument("--data-dir", help="folder with a named data set's own files")
    added.add_argument(
        "--num", type=int, help="generated images (default: as many as test images, at most 10,000)"
    )
    added.add_argument("--seed", type=int, default=0, help="determines the images (default: 0)")
    added.add_argument(
        "--extractor",
        help="what images are compared by: fashion_mnist, inception, a .keras file, or a trained "
        "classifier's SOURCE (default: fashion_mnist for garments, else inception)",
    )
    added.add_argument("--json", action="store_true", help="print JSON in place of the table")

    added = command("export", export, "add a version to a directory that TensorFlow Serving reads")
    added.add_argument("source", metavar="SOURCE", help=SOURCE)
    added.add_argument("directory", metavar="DIR", help="where the numbered versions are")
    added.add_argument(
        "--format",
        default="tf_saved_model",
        choices=("tf_saved_model", "onnx", "litert", "openvino"),
        help="a SavedModel with all signatures (default), or one network in another format",
    )

    added = command("list", list_names, "list the models, the data sets or the presets")
    added.add_argument("what", choices=("models", "datasets", "presets"))

    added = command("hardware", hardware, "describe this machine")
    added.add_argument("--json", action="store_true", help="as JSON")
    return parser


# === Commands ===


def train(argv: list[str]) -> None:
    """keras-gen train MODEL [OPTIONS]"""
    from keras_gen.recipes import RECIPES

    names = ", ".join(RECIPES)
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: keras-gen train MODEL [OPTIONS]\n\nMODEL is one of: {names}\n")
        print("keras-gen train MODEL --help lists the options of that model.")
        if not argv:
            raise ValueError(f"train needs a model: expected one of {names}")
        return
    recipe, argv = argv[0], argv[1:]
    if recipe not in RECIPES:
        raise ValueError(f"Unknown model: expected one of {names}. Received: {recipe!r}")
    import_tensorflow()
    parser, hyperparameters = train_parser(recipe)
    options = parser.parse_args(argv).as_dict()
    for key in ("config", "run"):
        options.pop(key, None)
    from keras_gen import training

    arguments = {name: options.pop(name) for name in hyperparameters}
    run = training.train(recipe, **options, hyperparameters=arguments, progress=progress)
    finished(run)


def train_parser(recipe: str) -> tuple[Any, list[str]]:
    """The options of one model, from the signatures and docstrings of `train` and of its class."""
    import jsonargparse

    from keras_gen import models, training
    from keras_gen.recipes import RECIPES

    chosen = RECIPES[recipe]
    parser = jsonargparse.ArgumentParser(
        prog=f"keras-gen train {recipe}", description=f"Train {recipe}: {chosen.summary}."
    )
    parser.add_argument("--config", action="config", help="read options from a run's config.json")
    parser.add_argument(
        "--run",
        type=Optional[dict],  # noqa: UP045 (an annotation it takes)
        default=None,
        help=argparse.SUPPRESS,
    )
    parser.add_argument(
        "--mlflow",
        metavar="URI",
        nargs="?",
        const="",
        default=None,
        help="log the run to MLflow, too: to this URI, or to MLflow's own default",
    )
    not_options: set[str | int] = {"recipe", "hyperparameters", "progress", "mlflow"}
    parser.add_function_arguments(training.train, skip=not_options)
    networks = {"encoder", "decoder", "backbone", "generator", "discriminator"}
    from_data = {"image_shape", "seed", "class_names", "name", "dtype", *networks}
    if chosen.uses_labels:
        from_data.add("num_classes")
    model = getattr(models, chosen.model)
    hyperparameters = parser.add_class_arguments(model, skip=from_data, instantiate=False)
    parser.set_defaults(chosen.hyperparameters)
    use_dashes(parser)
    return parser, hyperparameters


def use_dashes(parser: Any) -> None:
    """--max_minutes, as jsonargparse names it after the argument, becomes --max-minutes."""
    for option, action in list(parser._option_string_actions.items()):
        dashed = option.replace("_", "-")
        parser._option_string_actions[dashed] = parser._option_string_actions.pop(option)
        action.option_strings = [dashed if o == option else o for o in action.option_strings]


def resume(arguments: argparse.Namespace) -> None:
    """keras-gen resume RUN"""
    import_tensorflow()
    from keras_gen import training

    if (Path(arguments.run) / "model.keras").exists():
        print("This run is finished.", file=sys.stderr)
    finished(training.resume(arguments.run, arguments.max_minutes, progress))


def finished(run: Path) -> None:
    """The last lines of a run: the picture to open, and the directory."""
    print(f"Samples:     {run / 'samples' / 'final.png'}")
    print(f"TensorBoard: tensorboard --logdir {run / 'logs'}")
    print(run)


def sample(arguments: argparse.Namespace) -> None:
    """keras-gen sample SOURCE --out FILE"""
    out = Path(arguments.out)
    if out.suffix not in (".png", ".npy", ".gif"):
        raise ValueError(f"--out must end in .png, .npy or .gif. Received: {out}")
    if arguments.num < 1:
        raise ValueError(f"--num must be 1 or more. Received: {arguments.num}")
    import_tensorflow()
    import numpy as np

    from keras_gen import images, loading
    from keras_gen.files import written_whole

    model = generative(loading.load_model(arguments.source))
    labels = None if arguments.labels is None else label_numbers(model, arguments.labels)
    if out.suffix == ".gif":
        frames = walk(model, arguments.num, arguments.seed, labels)
        pictures = [images.grid(frame[np.newaxis], smallest_tile=GIF_TILE) for frame in frames]
        images.write_gif(out, pictures, GIF_SECONDS_PER_FRAME)
    else:
        generated = model.generate(arguments.num, seed=arguments.seed, labels=labels)
        if out.suffix == ".png":
            images.write_png(out, images.grid(generated))
        else:
            with written_whole(out) as draft:
                np.save(draft, images.to_uint8(generated))
    print(out)


def generative(model: "ImageModel") -> "GenerativeModel":
    """The model, if it generates."""
    if not hasattr(model, "generate"):
        raise ValueError(f"A {type(model).__name__} generates nothing: expected a generative model.")
    return model


def label_numbers(model: "GenerativeModel", labels: str) -> list[int]:
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


def walk(model: "GenerativeModel", num: int, seed: int, labels: list[int] | None) -> "np.ndarray":
    """Images on great arcs between `num` random latent vectors and back to the first."""
    import numpy as np

    z = model.latents(max(2, num), seed).numpy()
    z_end = np.roll(z, -1, axis=0)
    classes = None
    if model.num_classes is not None:
        classes = np.resize(labels or np.arange(model.num_classes), len(z))
    images = model.interpolate(z, z_end, GIF_FRAMES_PER_STEP + 1, classes)
    return images[:, :-1].reshape(-1, *images.shape[2:])


def evaluate(arguments: argparse.Namespace) -> None:
    """keras-gen evaluate SOURCE"""
    import_tensorflow()
    from keras_gen import evaluating

    # Keras says on stdout what it downloads, where it would spoil the JSON.
    with stages() as show, contextlib.redirect_stdout(sys.stderr):
        report = evaluating.evaluate_source(
            arguments.source,
            data=arguments.data,
            data_dir=arguments.data_dir,
            num=arguments.num,
            extractor=arguments.extractor,
            seed=arguments.seed,
            progress=show,
        )
    print(json.dumps(report.to_dict(), indent=2) if arguments.json else report.table())


@contextlib.contextmanager
def stages() -> "Iterator[Callable[[str, int, int], None]]":
    """Shows in a terminal which stage is how far."""
    import tqdm

    bar = tqdm.tqdm(
        bar_format="{desc} {bar} {n_fmt}/{total_fmt}", leave=False, disable=not sys.stderr.isatty()
    )

    def show(stage: str, done: int, total: int) -> None:
        bar.set_description_str(stage, refresh=False)
        bar.total, bar.n = total, done
        bar.refresh()

    try:
        yield show
    finally:
        bar.close()


def export(arguments: argparse.Namespace) -> None:
    """keras-gen export SOURCE DIR"""
    import_tensorflow()
    from keras_gen import exporting, loading

    model = loading.load_model(arguments.source)
    print(exporting.export_next_version(model, arguments.directory, arguments.format))


def list_names(arguments: argparse.Namespace) -> None:
    """keras-gen list models|datasets|presets"""
    from keras_gen.datasets.names import DATASETS
    from keras_gen.presets import list_presets
    from keras_gen.recipes import RECIPES

    if arguments.what == "presets":
        rows = {name: preset_summary(card) for name, card in list_presets().items()}
    elif arguments.what == "models":
        rows = {name: recipe.summary for name, recipe in RECIPES.items()}
    else:
        rows = {**DATASETS, "FOLDER": "images, in sub-folders by class", "FILE.npz": "arrays"}
    width = max(map(len, rows))
    for name, summary in rows.items():
        print(f"{name:<{width}}  {summary}")


def preset_summary(card: dict[str, Any]) -> str:
    """What a preset is, and how good."""
    size = sum(file["bytes"] for file in card["files"].values()) / 1e6
    numbers = [
        f"{label} {card['metrics'][name]:.4g}" for name, label in SHOWN.items() if name in card["metrics"]
    ]
    return f"{card['model']} on {card['data']}, {size:.1f} MB: {', '.join(numbers)}"


def hardware(arguments: argparse.Namespace) -> None:
    """keras-gen hardware [--json]"""
    import_tensorflow()
    from keras_gen.hardware import hardware_info, hardware_report

    info = hardware_info()
    print(json.dumps(info, indent=2) if arguments.json else hardware_report(info))


def progress(data: "ImageDataset", epochs: int, epoch: int, step: int) -> "keras.callbacks.Callback":
    """What shows a run's progress in the terminal."""
    from keras_gen.callbacks import ProgressBar

    return ProgressBar(epochs, data.steps_per_epoch, data.batch_size, epoch, step, say)


def say(line: str) -> None:
    """Prints at once, also into a pipe."""
    print(line, flush=True)
