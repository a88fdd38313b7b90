"""`keras-gen sample SOURCE [OPTIONS]`, with the options of the model's own `generate`."""

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_gen.commands import tensorflow_import
from keras_gen.commands.parsing import Option, Parser
from keras_gen.commands.places import SOURCE, check_place, check_source, source_and_options

if TYPE_CHECKING:
    from keras_gen.models import ImageGenerator, TextGenerator

SUFFIXES = (".png", ".npy", ".gif", ".txt")
OWN = ("out", "num", "seed", "labels", "prompt")  # the command's options; the others are the model's
SUMMARY = "generate images or text with a trained model"
MODEL_HELP = "keras-gen sample SOURCE --help lists the options of that model, too."


def add_sample(commands: Any) -> None:
    commands.add_parser("sample", help=SUMMARY, description=SUMMARY)


def sample(argv: Sequence[str]) -> None:
    """keras-gen sample SOURCE [OPTIONS]

    What the command alone can refuse is refused before TensorFlow is imported.
    """
    general = sample_parser("SOURCE", f"{SUMMARY}. SOURCE is a {SOURCE}. {MODEL_HELP}")
    source, options = source_and_options(argv, general)
    if source is None:
        return
    early, _ = sample_parser(source, SUMMARY, add_help=False).parse_some(options)
    if early.out is not None:
        check_place("--out", early.out)
    check_source(source)
    tensorflow_import.import_tensorflow()
    from keras_gen.commands.options import add_options, verb_options
    from keras_gen.runs import loading

    model: Any = loading.load_model(source)
    if not hasattr(model, "generate"):
        raise ValueError(
            f"SOURCE must be a generative model. Received: {source}, a {type(model).__name__}, which "
            "generates nothing."
        )
    parser = sample_parser(source, f"{SUMMARY}: {source}, a {type(model).__name__}")
    add_options(parser, verb_options(model.generate))
    given = vars(parser.parse_args(options))
    model_options = {name: value for name, value in given.items() if name not in OWN}
    arguments = argparse.Namespace(**{name: given.get(name) for name in OWN})
    if model.learns_from == "text":
        sample_text(model, arguments, model_options)
    else:
        sample_images(model, arguments, model_options)


def sample_parser(source: str, description: str, add_help: bool = True) -> Parser:
    """A parser of the command's own options, which gives those that are given, and the seed."""
    parser = Parser(
        prog=f"keras-gen sample {source}",
        description=description,
        argument_default=argparse.SUPPRESS,
        add_help=add_help,
    )
    parser.add_argument(
        "--num",
        type=Option("Count"),
        help="number of images (default: one for each of --labels, otherwise 64) or texts (default: 1)",
    )
    parser.add_argument("--seed", type=Option("Seed"), default=0, help="determines the result (default: 0)")
    parser.add_argument(
        "--out",
        type=place_of_samples,
        default=None,
        help=".png: a grid; .npy: uint8 images (n, h, w, c); .gif: a film from noise to images, or a "
        "walk through latent space; "
        ".txt: text (default: printed in the terminal as it is written)",
    )
    parser.add_argument(
        "--labels",
        type=Option("str"),
        metavar="A,B,...",
        help="classes by name or number, repeated in order up to --num; for conditional models of images",
    )
    parser.add_argument(
        "--prompt",
        type=Option("str", may_be_empty=True),
        help="the text to continue (default: the beginning of a text); for models of text",
    )
    return parser


def place_of_samples(text: str) -> Path:
    """The file that `sample` writes."""
    path = Path(Option("str")(text))
    if path.suffix not in SUFFIXES:
        raise argparse.ArgumentTypeError(
            f"must end in .png, .npy, .gif or, for text, .txt. Received: {text!r}"
        )
    return path


def sample_images(model: "ImageGenerator", arguments: argparse.Namespace, options: dict[str, Any]) -> None:
    """Draws images into a file, and prints its name."""
    from keras_gen.commands import sampling

    refuse(arguments, "prompt", "models of text, and this one draws images")
    out = arguments.out
    if out is None or out.suffix == ".txt":
        raise ValueError(
            "Images need a file: --out grid.png (a grid), images.npy, or film.gif. "
            f"Received: {'no --out' if out is None else out}"
        )
    sampling.write_images(model, out, arguments.num, arguments.seed, arguments.labels, **options)
    print(out)


def sample_text(model: "TextGenerator", arguments: argparse.Namespace, options: dict[str, Any]) -> None:
    """Prints text as it is written, or the name of the file that it was written into."""
    from keras_gen.commands import sampling
    from keras_gen.utils.files import atomic_write

    refuse(arguments, "labels", "conditional models of images, and this one writes text")
    out, prompt = arguments.out, arguments.prompt or ""
    if out is not None and out.suffix != ".txt":
        raise ValueError(f"--out must end in .txt for a model that writes text. Received: {out}")
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


def refuse(arguments: argparse.Namespace, name: str, whom_it_is_for: str) -> None:
    """Raises a ValueError if an option was given."""
    from keras_gen.utils.arguments import received

    value = getattr(arguments, name)
    if value is not None:
        raise ValueError(f"--{name} is for {whom_it_is_for}. Received: --{name} {received(value)}")
