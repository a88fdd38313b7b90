"""A recipe's model for the data at hand, compiled as the options of a run have it."""

from typing import Any

from keras_gen import models
from keras_gen.datasets import ImageDataset, TextDataset
from keras_gen.recipes import find_recipe

Data = ImageDataset | TextDataset


def model_class(recipe: str) -> type[models.BaseModel]:
    """The class of a recipe's model."""
    return getattr(models, find_recipe(recipe).model)


def arguments_from(recipe: str, data: Data, hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """The constructor arguments of a recipe's model that follow from the data."""
    uses_labels = find_recipe(recipe).uses_labels or hyperparameters.get("num_classes") is not None
    return model_class(recipe).arguments_from(data, uses_labels, **hyperparameters)


def build(
    recipe: str, data: Data, options: dict[str, Any], hyperparameters: dict[str, Any]
) -> models.BaseModel:
    """Builds and compiles a recipe's model.

    Args:
        recipe: A name from the recipes table.
        data: What it will be trained on.
        options: Of these `seed`, `dtype_policy`, `epochs`, `steps`, `learning_rate`,
            `discriminator_learning_rate` and `learning_rate_decay`: see `training.train`.
        hyperparameters: Constructor arguments of the model.

    Raises:
        ValueError: The model does not fit the data, or has no discriminator to train at a rate of its own.
    """
    arguments = {**hyperparameters, **arguments_from(recipe, data, hyperparameters)}
    model = model_class(recipe)(seed=options["seed"], dtype=options["dtype_policy"], **arguments)
    rates = {
        "optimizer": options["learning_rate"],
        "discriminator_optimizer": options["discriminator_learning_rate"],
    }
    steps = options["steps"] or options["epochs"] * data.steps_per_epoch
    model.compile(**model.optimizers(rates, steps if options["learning_rate_decay"] else None))
    return model
