"""The options of `keras-gen train MODEL`: of `train`, of the loader of its data, and of its class."""

import argparse
import inspect
from typing import Any, Optional

import jsonargparse

from keras_gen import datasets, models, training
from keras_gen.recipes import RECIPES


def train_parser(recipe: str) -> tuple[Any, list[str], list[str]]:
    """The options of one model, and the names of those of its data's loader and of its class.

    They come from the signatures and docstrings of `train`, the loader and the class.
    """
    chosen = RECIPES[recipe]
    parser = DashedParser(
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
    not_options: set[str | int] = {"recipe", "mlflow", *training.NOT_RECORDED}
    parser.add_function_arguments(training.train, skip=not_options)
    model = getattr(models, chosen.model)
    of_data = list(datasets.loader_options(model.loader))
    loader = getattr(datasets, model.loader)
    parameters = inspect.signature(loader).parameters
    others: set[str | int] = {name for name in parameters if name not in of_data}
    if "tokenizer" in of_data:  # from Python, an object will do as well
        kinds = parameters["tokenizer"].annotation.__args__[0]
        parser.add_argument("--tokenizer", type=kinds, default="char", help="made of the training text")
        others.add("tokenizer")
    parser.add_function_arguments(loader, skip=others)
    not_options = set(training.not_hyperparameters(recipe))
    hyperparameters = parser.add_class_arguments(model, skip=not_options, instantiate=False)
    parser.set_defaults({**chosen.data_options, **chosen.hyperparameters})
    return parser, of_data, hyperparameters


class DashedParser(jsonargparse.ArgumentParser):
    """Names its options --max-minutes, where jsonargparse takes the argument's name, max_minutes."""

    def add_argument(self, *names: str, **options: Any) -> Any:
        return super().add_argument(*map(dashed, names), **options)

    def add_argument_group(self, *arguments: Any, **options: Any) -> Any:
        group: Any = super().add_argument_group(*arguments, **options)
        add_argument = group.add_argument
        group.add_argument = lambda *names, **options: add_argument(*map(dashed, names), **options)
        return group


def dashed(name: str) -> str:
    """--max_minutes -> --max-minutes"""
    return name.replace("_", "-") if name.startswith("--") else name
