"""Options of `keras-gen train MODEL`: of `train`, of the data's loader, and of the model's class."""

import argparse
import functools
import inspect
import typing
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

from keras_gen import datasets, models
from keras_gen.commands.options import Options, add_options, described
from keras_gen.commands.parsing import Option, Parser, of_text
from keras_gen.commands.places import SOURCE
from keras_gen.recipes import RECIPES
from keras_gen.runs import building, config, training
from keras_gen.runs.loading import load_model
from keras_gen.utils.arguments import check, received
from keras_gen.utils.records import Record, options_in, read_record
from keras_gen.utils.suggestions import did_you_mean

OWN_DEFAULT = object()  # of --mlflow without a URI: MLflow's own
FACTS = "run"  # what a config.json says beside the options


def parse(recipe: str, argv: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The options that a command line sets for `train`, for the loader and for the model.

    Raises:
        SystemExit: An option is unknown or wrong, or help was asked for.
        ValueError: A file of `--config` cannot be read, or has such an option.
    """
    groups = options_of(recipe)
    given = vars(train_parser(recipe, groups).parse_args(argv))
    sources = {name: given.pop(name) for name in trained_models(recipe) if name in given}
    values = {name: value for group in groups for name, value in group.defaults.items()}
    hints = {name: hint for group in groups for name, hint in group.hints.items()}
    for path in given.pop("config", ()):
        read = read_config(Path(path), recipe, hints, sources)
        for name, value in read.items():
            if value == "" and name != "mlflow" and values[name] != "":
                raise ValueError(f"{path}: {name} must not be empty. Received: ''")
        values |= read
    values |= {name: "" if value is OWN_DEFAULT else value for name, value in given.items()}
    training_options, data_options, model_options = (
        {name: values[name] for name in group.defaults} for group in groups
    )
    model_options |= {name: load_model(source) for name, source in sources.items()}
    return training_options, data_options, model_options


@functools.cache
def options_of(recipe: str) -> list[Options]:
    """The options of `train`, of the loader and of the class of a recipe."""
    chosen, model = RECIPES[recipe], building.model_class(recipe)
    loader = getattr(datasets, model.loader)
    parameters = inspect.signature(training.train).parameters.values()
    left_out = {"recipe", *config.NOT_RECORDED}
    not_options = {*config.not_hyperparameters(recipe), *model.fixed_arguments}
    hyperparameters = {
        name: default for name, default in constructor_defaults(model).items() if name not in not_options
    }
    return [
        described(
            "training", [training.train], {p.name: p.default for p in parameters if p.name not in left_out}
        ),
        described("data", [loader], {**datasets.loader_options(model.loader), **chosen.data_options}),
        described("model", constructors(model), {**hyperparameters, **chosen.hyperparameters}),
    ]


def trained_models(recipe: str) -> dict[str, str]:
    """The constructor arguments of a recipe's class that are other trained models, and what they are."""
    model = building.model_class(recipe)
    found = described("model", constructors(model), dict.fromkeys(model.own_networks))
    parts = {name: typing.get_args(hint) for name, hint in found.hints.items()}
    return {
        name: found.docs[name]
        for name in parts
        if any(isinstance(part, type) and issubclass(part, models.BaseModel) for part in parts[name])
    }


def constructors(model: type) -> list[Any]:
    """A class and its bases with a constructor of their own, bases first."""
    ours = [base for base in model.__mro__ if issubclass(base, models.BaseModel)]
    return [base for base in reversed(ours) if "__init__" in vars(base)]


def constructor_defaults(model: type) -> dict[str, Any]:
    """The parameters of a class's constructor, including those of its bases, with defaults."""
    defaults: dict[str, Any] = {}
    for base in reversed(constructors(model)):
        for parameter in inspect.signature(base.__init__).parameters.values():
            if parameter.name != "self" and parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
                defaults.setdefault(parameter.name, parameter.default)
    return defaults


def train_parser(recipe: str, groups: Sequence[Options]) -> Parser:
    """A parser that returns only the options that are given."""
    parser = Parser(
        prog=f"keras-gen train {recipe}",
        description=f"Train {recipe}: {RECIPES[recipe].summary}.",
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        action="append",
        type=Option(str),
        help="read options from a run's config.json",
    )
    # A string would be read as an option's text, and refused if it is empty.
    more_of: dict[str, Any] = {"mlflow": {"nargs": "?", "const": OWN_DEFAULT}}
    if "discriminator_optimizer" not in inspect.signature(building.model_class(recipe).compile).parameters:
        more_of["discriminator_learning_rate"] = {"help": argparse.SUPPRESS}  # and refused where given
    for group in groups:
        add_options(parser, group, **more_of)
    for name, words in trained_models(recipe).items():
        parser.add_argument(
            f"--{name}", type=Option(str), metavar="SOURCE", help=f"{words} (a {SOURCE})".replace("%", "%%")
        )
    return parser


def read_config(
    path: Path, recipe: str, hints: dict[str, Any], given_models: Container[str]
) -> dict[str, Any]:
    """The options in a run's `config.json`, each of its type.

    Raises:
        ValueError: The file holds no options of this recipe, or a run whose networks are not in it.
        OSError: It does not exist, or may not be read.
    """
    record = read_record(path, Record, "Give the config.json of a run, as keras-gen train writes it.")
    values = options_in(record.model_extra or {})
    facts = check(f"{path}: run", values.pop(FACTS, {}), dict[str, Any])
    networks = check(f"{path}: run.own_networks", facts.get("own_networks", []), list[str])
    missing = [name for name in networks if name not in given_models]
    for name in missing:
        if name in trained_models(recipe):
            raise ValueError(
                f"{path} is of a run that had --{name}, a trained model that is not in the file: give it "
                "again."
            )
    config.refuse_own_networks(missing)
    for name in values:
        if name not in hints:
            raise ValueError(
                f"{path} must hold options of {recipe}. Received: {received(name)}, in a file of "
                f"{received(facts.get('recipe', 'no model'))}{did_you_mean(name, hints)}"
            )
    return {name: check(f"{path}: {name}", value, of_text(hints[name])) for name, value in values.items()}
