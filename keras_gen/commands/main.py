"""The `keras-gen` command: argv and stdout. TensorFlow is imported only by what computes."""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras_gen
from keras_gen.commands.errors import guarded
from keras_gen.commands.parsing import Option, Parser, one_of
from keras_gen.utils.suggestions import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import keras

    from keras_gen.models import ImageGenerator, TextGenerator
    from keras_gen.runs.building import Data

# The numbers of a preset that its line in a list shows.
SHOWN = {
    "fd": "FD",
    "recall": "recall",
    "log_prob": "log p(x)",
    "cross_entropy_bound": "cross-entropy",
    "reconstruction_error": "MSE",
    "accuracy": "accuracy",
    "perplexity": "perplexity",
    "bits_per_character": "bits per character",
}

PLACES = {"FOLDER": "images, in sub-folders by class", "FILE.npz": "arrays"}
TEXT_PLACES = {
    "FILE.txt": "text, or a folder of such files",
    "FILE.json": "recipes in Epicurious' format, with title and directions",
}


# What `evaluate` hands on to the data's loader; spelt out here, since its signature comes with TensorFlow.
DATA_OPTIONS = {
    "data_dir": ("str", "FOLDER", "a named data set's own files"),
    "image_size": ("Size", "H,W", "size that a folder's or CelebA's images are resized to"),
    "channels": ("Channels", "N", "1 or 3, for a folder that mixes grey and colour images"),
    "background": ("str", "COLOUR", "what shows through the transparent pixels of a folder's images"),
    "label": ("str", "NAME", "the CelebA attribute that defines the two classes"),
    "skip_broken": ("bool", "true", "leave out image files that do not decode"),
    "test_fraction": ("Part", "PART", "held out, where the source has no test set"),
    "sequence_length": ("Count", "N", "tokens in a row of text"),
    "encoding": ("str", "NAME", "of text files"),
}

WRITING_OPTIONS = ("prompt", "max_tokens", "temperature", "top_k", "top_p")

SOURCE = "run directory, .keras file, or preset: its name, folder or URL"


def main(argv: list[str] | None = None) -> int:
    """Runs one command; gives the exit status.

    0; 1 for an error; 2 for wrong usage (raised as SystemExit); 130 for Ctrl-C, 143 for SIGTERM; 141 where
    the reader of a pipe has gone.
    """
    argv = sys.argv[1:] if argv is None else argv
    return guarded(lambda: run(argv))


def run(argv: list[str]) -> int | None:
    """The command that is named first, with its arguments."""
    if argv[:1] == ["train"]:
        return train(argv[1:])
    arguments = build_parser().parse_args(argv)
    return arguments.command(arguments)


def import_tensorflow() -> None:
    """Imports TensorFlow without the chatter of its start, and lets GPUs share their memory."""
    # 3, since TensorFlow calls it an error where it leaves out an optimization of a graph.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    keras_gen.refuse_other_backends()
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            import tensorflow as tf

            gpus = tf.config.list_physical_devices("GPU")
        except Exception:
            os.dup2(stderr, 2)
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)


def build_parser() -> Parser:
    """Every command but `train`, whose options come from the model's signature."""
    from keras_gen import __version__

    parser = Parser(
        prog="keras-gen",
        description="Generative models for Keras 3: train, resume, sample, evaluate, export.",
    )
    parser.add_argument("--version", action="version", version=f"keras_gen {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, function: Any, summary: str) -> Parser:
        added = commands.add_parser(name, help=summary, description=summary)
        added.set_defaults(command=function)
        return added

    command("train", train, "train a model: keras-gen train MODEL --help lists its options")

    added = command("resume", resume, "continue a run that was stopped or killed")
    added.add_argument("run", type=Option("str"), metavar="RUN", help="run directory")
    added.add_argument("--max-minutes", type=Option("Positive"), help="stop after this many minutes")

    added = command("sample", sample, "draw images, or write text, with a trained model")
    added.add_argument("source", type=Option("str"), metavar="SOURCE", help=SOURCE)
    added.add_argument(
        "--num",
        type=Option("Count"),
        help="how many images (default: one for each of --labels, else 64) or texts (default: 1)",
    )
    added.add_argument("--seed", type=Option("Seed"), default=0, help="determines the result (default: 0)")
    added.add_argument(
        "--out",
        type=place_of_samples,
        help=".png: a grid; .npy: uint8 images (n, h, w, c); .gif: a walk through latent space; "
        ".txt: text (default: printed in the terminal as it is written)",
    )
    of_images = added.add_argument_group("images")
    of_images.add_argument(
        "--labels",
        type=Option("str"),
        metavar="A,B,...",
        help="classes by name or number, repeated in order up to --num where that is given; for "
        "conditional models",
    )
    of_text = added.add_argument_group("text")
    of_text.add_argument(
        "--prompt",
        type=Option("str", may_be_empty=True),
        help="the text to continue (default: the beginning of a text)",
    )
    of_text.add_argument(
        "--max-tokens", type=Option("Count"), help="maximum number of tokens to write (default: 200)"
    )
    of_text.add_argument(
        "--temperature",
        type=Option("NonNegative"),
        help="lower gives likelier text, 0 the likeliest (default: 1)",
    )
    of_text.add_argument(
        "--top-k",
        type=Option("Natural"),
        help="choose among this many of the likeliest tokens (default: all)",
    )
    of_text.add_argument(
        "--top-p",
        type=Option("Share"),
        help="choose among the likeliest tokens with this total probability (default: 1)",
    )

    added = command(
        "evaluate", evaluate, "measure a trained model: distances, recall, likelihood, perplexity"
    )
    added.add_argument("source", type=Option("str"), metavar="SOURCE", help=SOURCE)
    added.add_argument(
        "--data", type=Option("str"), help="data set, folder or file (default: what it was trained on)"
    )
    added.add_argument(
        "--num",
        type=Option("Count"),
        help="generated images (default: as many as test images, at most 10,000)",
    )
    added.add_argument("--seed", type=Option("Seed"), default=0, help="determines the images (default: 0)")
    added.add_argument(
        "--extractor",
        type=Option("str"),
        help="network whose features compare images: fashion_mnist, inception_v3, a .keras file, or a "
        "trained classifier's SOURCE (default: fashion_mnist for garments, else inception_v3)",
    )
    added.add_argument("--json", action="store_true", help="print JSON in place of the table")
    of_data = added.add_argument_group("the data (default: as in training, where it applies)")
    for name, (kind, metavar, summary) in DATA_OPTIONS.items():
        option = f"--{name.replace('_', '-')}"
        of_data.add_argument(option, type=Option(kind), metavar=metavar, help=summary)

    added = command("export", export, "add a version to a directory that TensorFlow Serving reads")
    added.add_argument("source", type=Option("str"), metavar="SOURCE", help=SOURCE)
    added.add_argument(
        "directory", type=Option("str"), metavar="DIR", help="where the numbered versions are"
    )
    added.add_argument(
        "--format",
        default="tf_saved_model",
        type=Option("Format"),
        metavar="{tf_saved_model,onnx,litert,openvino}",
        help="a SavedModel with all signatures (default), or one network in another format",
    )

    added = command("list", list_names, "list the models, the data sets or the presets")
    added.add_argument("what", type=Option("Listed"), metavar="WHAT", help="models, datasets or presets")

    added = command("hardware", hardware, "describe this machine")
    added.add_argument("--json", action="store_true", help="as JSON")
    parser.commands = tuple(commands.choices)
    return parser


def place_of_samples(text: str) -> Path:
    """The file that `sample` writes."""
    path = Path(Option("str")(text))
    if path.suffix not in (".png", ".npy", ".gif", ".txt"):
        raise argparse.ArgumentTypeError(
            f"must end in .png, .npy, .gif or, for text, .txt. Received: {text!r}"
        )
    return path


# === Commands ===


def train(argv: list[str]) -> int:
    """keras-gen train MODEL [OPTIONS]"""
    from keras_gen.recipes import RECIPES

    started = time.monotonic()
    names = ", ".join(RECIPES)
    if argv and argv[0] in ("-h", "--help"):
        print(f"usage: keras-gen train MODEL [OPTIONS]\n\nMODEL is one of: {names}\n")
        print("keras-gen train MODEL --help lists the options of that model.")
        return 0
    parser = Parser(prog="keras-gen train")
    if not argv:
        parser.error(f"train needs a model: expected one of {names}. Received: nothing")
    recipe, argv = argv[0], argv[1:]
    if recipe not in RECIPES:
        parser.error(one_of("MODEL", recipe, RECIPES))
    import_tensorflow()
    from keras_gen.commands import train_options
    from keras_gen.runs import training

    options, data_options, hyperparameters = train_options.parse(recipe, argv)
    return ended(
        lambda: training.train(
            recipe,
            **options,
            data_options=data_options,
            hyperparameters=hyperparameters,
            progress=progress,
            started=started,
        )
    )


def resume(arguments: argparse.Namespace) -> int:
    """keras-gen resume RUN"""
    import_tensorflow()
    from keras_gen.runs import training

    if (Path(arguments.run) / "model.keras").exists():
        print("This run is finished.", file=sys.stderr)
    return ended(lambda: training.resume(arguments.run, arguments.max_minutes, progress))


def ended(run_to_its_end: "Callable[[], Path]") -> int:
    """Prints the last lines of a run: the file to open, or how to continue; and the directory."""
    from keras_gen.runs.training import StoppedEarly

    try:
        run = run_to_its_end()
    except StoppedEarly as stopped:
        print(f"Stopped: {stopped}. Continue with: keras-gen resume {stopped.directory}", file=sys.stderr)
        print(stopped.directory)
        return 0 if stopped.signal is None else 128 + stopped.signal  # as shells have it
    remedy = f"missing; draw some with: keras-gen sample {run} --out FILE"
    print(f"Samples:     {next((run / 'samples').glob('final.*'), remedy)}")
    print(f"TensorBoard: tensorboard --logdir {run / 'logs'}")
    print(run)
    return 0


def sample(arguments: argparse.Namespace) -> None:
    """keras-gen sample SOURCE [--out FILE]"""
    out = arguments.out
    if out is not None:
        check_place("--out", out)
    check_source(arguments.source)
    import_tensorflow()
    from keras_gen import models
    from keras_gen.runs import loading

    model = loading.load_model(arguments.source)
    if isinstance(model, models.TextGenerator):
        sample_text(model, arguments, out)
    elif hasattr(model, "generate"):
        sample_images(model, arguments, out)
    else:
        raise ValueError(
            f"SOURCE must be a generative model. Received: {arguments.source}, a {type(model).__name__}, "
            "which generates nothing."
        )


def check_source(source: str) -> None:
    """Raises a ValueError where a SOURCE is nothing that could be loaded, before TensorFlow is there."""
    from keras_gen.serving.presets import list_presets
    from keras_gen.utils.files import is_file

    path = Path(source)
    if source.partition("://")[0] in ("http", "https") or path.is_dir() or is_file(path):
        return
    presets = list_presets()
    if source in presets:
        return
    found = "is not a regular file" if path.exists() else "does not exist"
    raise ValueError(
        f"{source} {found}: expected a run directory, a .keras file or a preset"
        f"{did_you_mean(source, presets) or '.'}"
    )


def check_place(what: str, path: Path) -> None:
    """Raises a ValueError where a file cannot be written, before anything is computed for it."""
    if path.is_dir():
        raise ValueError(f"{what} must be a file. Received: {path}, which is a directory")
    check_folder(what, path.parent)


def check_folder(what: str, folder: Path) -> None:
    """Raises a ValueError where nothing can be written into a folder, which need not be there yet."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        where = "must be a directory" if what == "DIR" else "must be in a directory"
        raise ValueError(f"{what} {where}. Received: {folder}, where {there} is a file")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(
            f"{what} must be where you may write. Received: {folder}, where {there} is read-only"
        )


def sample_images(model: "ImageGenerator", arguments: argparse.Namespace, out: Path | None) -> None:
    """Draws images into a file, and prints its name."""
    from keras_gen.commands import sampling

    refuse(arguments, WRITING_OPTIONS, "models of text, and this one draws images")
    if out is None or out.suffix == ".txt":
        raise ValueError(
            "Images need a file: --out grid.png (a grid), images.npy, or walk.gif. "
            f"Received: {'no --out' if out is None else out}"
        )
    sampling.write_images(model, out, arguments.num, arguments.seed, arguments.labels)
    print(out)


def sample_text(model: "TextGenerator", arguments: argparse.Namespace, out: Path | None) -> None:
    """Prints what the model writes as it is written, or the file that it was written into."""
    from keras_gen.commands import sampling
    from keras_gen.utils.files import atomic_write

    refuse(arguments, ("labels",), "conditional models of images, and this one writes text")
    if out is not None and out.suffix != ".txt":
        raise ValueError(f"--out must end in .txt for a model that writes text. Received: {out}")
    given = {name: getattr(arguments, name) for name in WRITING_OPTIONS}
    options = {name: value for name, value in given.items() if value is not None}
    prompt = options.pop("prompt", "")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pieces = sampling.texts(model, prompt, arguments.num, arguments.seed, **options)
        if out is None:
            for piece in pieces:
                print(piece, end="", flush=True)
        else:
            with atomic_write(out) as draft, draft.open("w", encoding="utf-8") as file:
                file.writelines(pieces)
            print(out)
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        print(f"keras-gen: {message}", file=sys.stderr)


def refuse(arguments: argparse.Namespace, names: tuple[str, ...], whom_they_are_for: str) -> None:
    """Raises a ValueError where one of the options was given."""
    from keras_gen.utils.arguments import received

    for name in names:
        value = getattr(arguments, name)
        if value is not None:
            option = f"--{name.replace('_', '-')}"
            raise ValueError(f"{option} is for {whom_they_are_for}. Received: {option} {received(value)}")


def evaluate(arguments: argparse.Namespace) -> None:
    """keras-gen evaluate SOURCE"""
    check_source(arguments.source)
    import_tensorflow()
    from keras_gen.runs import evaluating

    # Keras says on stdout what it downloads, where it would spoil the JSON.
    with stages() as show, contextlib.redirect_stdout(sys.stderr):
        report = evaluating.evaluate_source(
            arguments.source,
            data=arguments.data,
            num=arguments.num,
            extractor=arguments.extractor,
            seed=arguments.seed,
            progress=show,
            **{name: getattr(arguments, name) for name in DATA_OPTIONS},
        )
    print(json.dumps(report.to_dict(), indent=2) if arguments.json else report.table())


@contextlib.contextmanager
def stages() -> "Iterator[Callable[[str, int, int], None]]":
    """Shows the progress of each stage in a terminal."""
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
    check_folder("DIR", Path(arguments.directory))
    check_source(arguments.source)
    import_tensorflow()
    from keras_gen.runs import loading
    from keras_gen.serving import exporting

    model = loading.load_model(arguments.source)
    print(exporting.export_next_version(model, arguments.directory, arguments.format))


def list_names(arguments: argparse.Namespace) -> None:
    """keras-gen list models|datasets|presets"""
    from keras_gen.datasets.names import DATASETS, TEXTS
    from keras_gen.recipes import RECIPES
    from keras_gen.serving.presets import list_presets

    if arguments.what == "presets":
        rows = {name: preset_summary(card) for name, card in list_presets().items()}
    elif arguments.what == "models":
        rows = {name: recipe.summary for name, recipe in RECIPES.items()}
    else:
        rows = {**DATASETS, **PLACES, **TEXTS, **TEXT_PLACES}
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
    from keras_gen.utils.hardware import hardware_info, hardware_report

    info = hardware_info()
    print(json.dumps(info, indent=2) if arguments.json else hardware_report(info))


def progress(data: "Data", steps: int, epoch: int, step: int) -> "keras.callbacks.Callback":
    """What shows a run's progress in the terminal."""
    from keras_gen.callbacks import ProgressBar

    return ProgressBar(steps, data.steps_per_epoch, data.units_per_step, epoch, step, data.unit, say)


def say(line: str) -> None:
    """Prints without buffering, also into a pipe."""
    print(line, flush=True)
