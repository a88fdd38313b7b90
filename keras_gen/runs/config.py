"""What a run is configured by: options of training, of its data and of its model.

`config.json` has them in three groups, and facts beside them:

train    how long and how fast the model is trained, and on which devices
data     `data`, and the arguments of its loader
model    constructor arguments
run      the recipe, versions, hardware

What depends on the machine, such as `dtype_policy="auto"`, is stored as it was given.
"""

import difflib
import inspect
import json
import typing
from collections.abc import Iterable, Sequence
from typing import Any

import keras

from keras_gen import datasets, models
from keras_gen.datasets import loader_options
from keras_gen.recipes import find_recipe
from keras_gen.utils.arguments import check, received


def check_names(what: str, given: dict[str, Any], known: Iterable[str]) -> None:
    """Raises a ValueError if a name is not a known one."""
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise ValueError(f"{what} must be among: {', '.join(known)}. Received: {received(name)}.{hint}")


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


def model_class(recipe: str) -> type[models.BaseModel]:
    """The class of a recipe's model."""
    return getattr(models, find_recipe(recipe).model)


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
            "the file: repeat the run from Python, with the same hyperparameters."
        )


def as_json(values: dict[str, Any]) -> Any:
    """Constructor arguments in the form that they have in a saved config."""
    serialized = {
        name: keras.saving.serialize_keras_object(value) if hasattr(value, "get_config") else value
        for name, value in values.items()
    }
    return json.loads(json.dumps(serialized, default=str))
