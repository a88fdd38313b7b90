"""`keras-gen evaluate SOURCE [OPTIONS]`, with the options of the model's own `generate`."""

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_gen.commands import tensorflow_import
from keras_gen.commands.parsing import Option, Parser
from keras_gen.commands.places import SOURCE, check_source, source_and_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SUMMARY = "measure a trained model: distances, recall, likelihood, perplexity"
MODEL_HELP = "keras-gen evaluate SOURCE --help also lists the options of the model's generate."
# Options of the data's loader; spelt out here, since the loader's signature comes with TensorFlow.
DATA_OPTIONS = {
    "data_dir": ("str", "FOLDER", "the original files of a named data set"),
    "image_size": ("Size", "H,W", "size to resize images to, for a folder or CelebA"),
    "channels": ("Channels", "N", "1 or 3, for a folder that mixes grey and colour images"),
    "background": ("str", "COLOUR", "colour behind transparent pixels"),
    "label": ("str", "NAME", "the CelebA attribute that defines the two classes"),
    "skip_broken": ("bool", "true", "skip image files that cannot be decoded"),
    "test_fraction": ("Part", "PART", "fraction to hold out, for sources without a test set"),
    "sequence_length": ("Count", "N", "tokens in a row of text"),
    "encoding": ("str", "NAME", "encoding of text files"),
}


def add_evaluate(commands: Any) -> None:
    commands.add_parser("evaluate", help=SUMMARY, description=SUMMARY)


def evaluate(argv: Sequence[str]) -> None:
    """keras-gen evaluate SOURCE [OPTIONS]"""
    general = evaluate_parser("SOURCE", f"{SUMMARY}. SOURCE is a {SOURCE}. {MODEL_HELP}")
    source, options = source_and_options(argv, general)
    if source is None:
        return
    parser = evaluate_parser(source, f"{SUMMARY}: {source}", add_help=False)
    parsed, of_the_model = parser.parse_some(options)
    check_source(source)
    tensorflow_import.import_tensorflow()
    from keras_gen.runs import evaluating

    given = vars(parsed)
    generate_options = {}
    if of_the_model:
        generate_options = model_options(source, options)
    # Keras says on stdout what it downloads, where it would spoil the JSON.
    with stages() as show, contextlib.redirect_stdout(sys.stderr):
        report = evaluating.evaluate_source(
            source,
            data=given.get("data"),
            num=given.get("num"),
            extractor=given.get("extractor"),
            seed=given.get("seed", 0),
            generate_options=generate_options,
            progress=show,
            **{name: given.get(name) for name in DATA_OPTIONS},
        )
    print(json.dumps(report.to_dict(), indent=2) if "json" in given else report.table())


def model_options(source: str, argv: Sequence[str]) -> dict[str, Any]:
    """The options of a model's `generate` among those of a command line."""
    from keras_gen.commands.options import add_options, verb_options
    from keras_gen.runs import loading

    with contextlib.redirect_stdout(sys.stderr):
        model: Any = loading.load_model(source)
    parser = evaluate_parser(source, f"{SUMMARY}: {source}, a {type(model).__name__}")
    known: dict[str, Any] = {}
    if model.learns_from == "images" and hasattr(model, "generate"):
        options = verb_options(model.generate)
        add_options(parser, options)
        known = options.defaults
    given = vars(parser.parse_args(argv))
    return {name: value for name, value in given.items() if name in known}


def evaluate_parser(source: str, description: str, add_help: bool = True) -> Parser:
    """A parser of the command's own options, which gives those that are given."""
    parser = Parser(
        prog=f"keras-gen evaluate {source}",
        description=description,
        argument_default=argparse.SUPPRESS,
        add_help=add_help,
    )
    parser.add_argument(
        "--data", type=Option("str"), help="data set, folder or file (default: what it was trained on)"
    )
    parser.add_argument(
        "--num",
        type=Option("Count"),
        help="number of generated images (default: as many as test images, at most 10,000)",
    )
    parser.add_argument("--seed", type=Option("Seed"), help="determines the images (default: 0)")
    parser.add_argument(
        "--extractor",
        type=Option("str"),
        help="network whose features compare images: fashion_mnist, inception_v3, a .keras file, or a "
        "trained classifier's SOURCE (default: fashion_mnist for garments, else inception_v3, which is "
        "downloaded once)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    data_group = parser.add_argument_group("the data (default: as in training, where it applies)")
    for name, (kind, metavar, summary) in DATA_OPTIONS.items():
        option = f"--{name.replace('_', '-')}"
        data_group.add_argument(option, type=Option(kind), metavar=metavar, help=summary)
    return parser


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
