"""`keras-gen list` and `keras-gen hardware`."""

import argparse
import json
from typing import Any

from keras_gen.commands import tensorflow_import
from keras_gen.commands.parsing import Option

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


def add_list(commands: Any) -> None:
    summary = "list models, data sets or presets"
    added = commands.add_parser("list", help=summary, description=summary)
    added.set_defaults(command=list_names)
    added.add_argument("what", type=Option("Listed"), metavar="WHAT", help="models, datasets or presets")


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
    """A line about a preset: model, data, size and quality."""
    size = sum(file["bytes"] for file in card["files"].values()) / 1e6
    numbers = [
        f"{label} {card['metrics'][name]:.4g}" for name, label in SHOWN.items() if name in card["metrics"]
    ]
    return f"{card['model']} on {card['data']}, {size:.1f} MB: {', '.join(numbers)}"


def add_hardware(commands: Any) -> None:
    summary = "describe this machine"
    added = commands.add_parser("hardware", help=summary, description=summary)
    added.set_defaults(command=hardware)
    added.add_argument("--json", action="store_true", help="as JSON")


def hardware(arguments: argparse.Namespace) -> None:
    """keras-gen hardware [--json]"""
    tensorflow_import.import_tensorflow()
    from keras_gen.utils.hardware import hardware_info, hardware_report

    info = hardware_info()
    print(json.dumps(info, indent=2) if arguments.json else hardware_report(info))
