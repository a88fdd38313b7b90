"""What a run is configured by: options of training, of its data and of its model.

`config.json` has them in three groups, and facts beside them:

train    how long and how fast the model is trained, and on which devices
data     `data`, and the arguments of its loader
model    constructor arguments
run      the recipe, versions, hardware

What depends on the machine, such as `dtype_policy="auto"`, is stored as it was given.
"""

import dataclasses
import datetime
import inspect
import json
import os
import typing
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_gen import datasets, models
from keras_gen.datasets import loader_options
from keras_gen.datasets.names import options_used_by
from keras_gen.recipes import find_recipe
from keras_gen.runs.building import Data, arguments_from, model_class
from keras_gen.runs.failures import blame
from keras_gen.utils.arguments import check, received
from keras_gen.utils.files import atomic_write, printable
from keras_gen.utils.hardware import hardware_info
from keras_gen.utils.records import RunConfig, read_record
from keras_gen.utils.suggestions import did_you_mean
from keras_gen.utils.version import __version__

# The parameters of `train` that `config.json` does not hold as options of training.
NOT_RECORDED = ("data_options", "hyperparameters", "progress", "started")
NOT_OPTIONS = ("recipe", "minutes", "max_minutes", "out", *NOT_RECORDED)


@dataclasses.dataclass
class Config:
    """What a run is configured by, as `config.json` holds it.

    Args:
        recipe: A name from the recipes table.
        options: Options of training, and `data`: see `training.train`.
        data_options: Further arguments of the data's loader.
        hyperparameters: Constructor arguments of the model.
        own_networks: Names of the user's own networks, which `config.json` does not hold.
        identity: Identifies the run in its checkpoints; None for a run of an older version.
        num_train: Number of training examples at the beginning, if known.
        budget: The time budget and the measured speed, from which the number of steps follows.
    """

    recipe: str
    options: dict[str, Any]
    data_options: dict[str, Any]
    hyperparameters: dict[str, Any]
    own_networks: Sequence[str] = ()
    identity: str | None = None
    num_train: int | None = None
    budget: dict[str, Any] | None = None

    @classmethod
    def read(cls, directory: Path, train: Callable) -> "Config":
        """Reads the `config.json` of a run, also one of an older version.

        Args:
            directory: The run directory.
            train: `training.train`, whose signature declares the options.

        Raises:
            ValueError: There is none, or something in it is not as `train` writes it.
        """
        path = directory / "config.json"
        if not os.path.lexists(path):
            raise ValueError(
                f"{printable(directory)} is not a run directory: expected one with the config.json that "
                "keras-gen train writes."
            )
        config = read_record(path, RunConfig, "Correct it, or repeat the run with keras-gen train.")
        facts, values = config.run, config.options
        version = f" (written by keras_gen {facts.keras_gen}; this is {__version__})"
        with blame(path, version if facts.keras_gen not in (None, __version__) else ""):
            defaults = loader_options(loader_of(facts.recipe))
            hints = typing.get_type_hints(inspect.unwrap(train), include_extras=True)
            options = {
                name: check(name, values.pop(name, default), hints[name])
                for name, default in option_defaults(train).items()
            }
            options.update(
                (name, value)
                for name, value in recipe_options(facts.recipe).items()
                if options[name] is None
            )
            data_options = checked_data_options(
                loader_of(facts.recipe),
                {name: values.pop(name, default) for name, default in defaults.items()},
            )
            if config.is_flat and loader_of(facts.recipe) == "load_dataset":
                # They had no effect, and are refused today.
                unused = set(defaults) - set(options_used_by(options["data"]))
                data_options |= {name: defaults[name] for name in unused}
            check_names("hyperparameters", values, hyperparameter_names(facts.recipe))
        return cls(
            facts.recipe, options, data_options, values, facts.own_networks, facts.id, facts.num_train
        )

    def describe(self, model: models.BaseModel) -> None:
        """Records all of a model's constructor arguments, including defaults."""
        described, left_out = model.get_config(), not_hyperparameters(self.recipe)
        self.hyperparameters = {name: described[name] for name in described if name not in left_out}
        self.own_networks = [name for name in model.own_networks if described.get(name) is not None]

    def write(self, directory: Path, model: models.BaseModel, data: Data) -> None:
        """Writes `config.json`, which `keras-gen train --config` accepts."""
        self.identity, self.num_train = uuid.uuid4().hex, data.num_train
        config = {
            "train": {name: value for name, value in self.options.items() if name != "data"},
            "data": {"data": self.options["data"], **self.data_options},
            "model": self.hyperparameters,
            "run": {
                "recipe": self.recipe,
                "model": type(model).__name__,
                "own_networks": self.own_networks,
                "budget": self.budget,
                "parameters": model.count_params(),
                "num_train": self.num_train,
                # What these two were resolved to here; results on another machine may differ in bits.
                "dtype": model.dtype_policy.name,
                "jit_compile": model.jit_compile,
                "id": self.identity,
                "created": datetime.datetime.now(datetime.timezone.utc).isoformat("T", "seconds"),
                "keras_gen": __version__,
                "numpy": np.__version__,
                "hardware": hardware_info(),
            },
        }
        with atomic_write(directory / "config.json") as path:
            path.write_text(json.dumps(config, indent=2) + "\n")

    def arguments(self, data: Data) -> dict[str, Any]:
        """The constructor arguments that follow from `config.json` and the data, as in JSON."""
        from_data = arguments_from(self.recipe, data, self.hyperparameters)
        arguments = {**self.hyperparameters, **from_data}
        return as_json({name: value for name, value in arguments.items() if value is not None})

    def to_dict(self) -> dict[str, Any]:
        """All options by name, for experiment trackers."""
        return {"model": self.recipe, **self.options, **self.data_options, **self.hyperparameters}


def option_defaults(train: Callable) -> dict[str, Any]:
    """The options of training and `data`, with what a missing one means."""
    parameters = inspect.signature(train).parameters.values()
    return {each.name: each.default for each in parameters if each.name not in NOT_OPTIONS}


def check_names(what: str, given: dict[str, Any], known: Iterable[str]) -> None:
    """Raises a ValueError if a name is not a known one."""
    for name in given:
        if name not in known:
            raise ValueError(
                f"{what} must be among: {', '.join(known)}. "
                f"Received: {received(name)}{did_you_mean(str(name), known)}"
            )


def recipe_options(recipe: str) -> dict[str, Any]:
    """The options of training that a recipe sets."""
    chosen = find_recipe(recipe)
    return {
        "data": chosen.dataset,
        "batch_size": chosen.batch_size,
        "learning_rate": chosen.learning_rate or model_class(recipe).default_learning_rate,
        "dtype_policy": chosen.dtype_policy,
    }


def checked_data_options(loader: str, options: dict[str, Any]) -> dict[str, Any]:
    """Further arguments of `load_dataset` or `load_text`, checked by their types."""
    check_names("data_options", options, loader_options(loader))
    hints = typing.get_type_hints(inspect.unwrap(getattr(datasets, loader)), include_extras=True)
    return {name: check(name, value, hints.get(name, Any)) for name, value in options.items()}


def loader_of(recipe: str) -> str:
    """The name of the function in `keras_gen.datasets` that loads the data of a recipe's model."""
    return model_class(recipe).loader


def not_hyperparameters(recipe: str) -> set[str]:
    """The constructor arguments of a recipe's model that a run does not take as options."""
    chosen = find_recipe(recipe)
    model = model_class(recipe)
    names = {*model.from_data, *model.own_networks, "seed", "name", "dtype", "trainable"}
    return names | {"num_classes"} if chosen.uses_labels else names


def hyperparameter_names(recipe: str) -> list[str]:
    """The constructor arguments of a recipe's model that are options of a run, or networks."""
    model: Any = model_class(recipe)
    left_out = not_hyperparameters(recipe) - set(model.own_networks) | {"self", "args", "kwargs"}
    names: list[str] = []
    for part in model.__mro__:  # each passes the rest on to the next
        names += inspect.signature(part.__init__).parameters
        if part is models.BaseModel or "kwargs" not in inspect.signature(part.__init__).parameters:
            break
    return [name for name in dict.fromkeys(names) if name not in left_out]


def refuse_own_networks(names: Sequence[str]) -> None:
    """Raises a ValueError if a config.json does not hold all of its model."""
    if names:
        raise ValueError(
            f"The model of this config.json had networks of its own ({', '.join(names)}), which are not in "
            "the file: repeat the run, and give them again."
        )


def as_json(values: dict[str, Any]) -> Any:
    """Constructor arguments in the form that they have in a saved config."""
    serialized = {
        name: keras.saving.serialize_keras_object(value) if hasattr(value, "get_config") else value
        for name, value in values.items()
    }
    return json.loads(json.dumps(serialized, default=str))
