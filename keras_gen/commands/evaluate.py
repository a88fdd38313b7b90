"""`keras-gen evaluate SOURCE`."""

import argparse
import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any

from keras_gen.commands import tensorflow_import
from keras_gen.commands.parsing import Option
from keras_gen.commands.places import SOURCE, check_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
    summary = "measure a trained model: distances, recall, likelihood, perplexity"
    added = commands.add_parser("evaluate", help=summary, description=summary)
    added.set_defaults(command=evaluate)
    added.add_argument("source", type=Option("str"), metavar="SOURCE", help=SOURCE)
    added.add_argument(
        "--data", type=Option("str"), help="data set, folder or file (default: what it was trained on)"
    )
    added.add_argument(
        "--num",
        type=Option("Count"),
        help="number of generated images (default: as many as test images, at most 10,000)",
    )
    added.add_argument("--seed", type=Option("Seed"), default=0, help="determines the images (default: 0)")
    added.add_argument(
        "--extractor",
        type=Option("str"),
        help="network whose features compare images: fashion_mnist, inception_v3, a .keras file, or a "
        "trained classifier's SOURCE (default: fashion_mnist for garments, else inception_v3)",
    )
    added.add_argument("--json", action="store_true", help="print JSON instead of a table")
    data_group = added.add_argument_group("the data (default: as in training, where it applies)")
    for name, (kind, metavar, summary) in DATA_OPTIONS.items():
        option = f"--{name.replace('_', '-')}"
        data_group.add_argument(option, type=Option(kind), metavar=metavar, help=summary)


def evaluate(arguments: argparse.Namespace) -> None:
    """keras-gen evaluate SOURCE"""
    check_source(arguments.source)
    tensorflow_import.import_tensorflow()
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
