"""A recipe's model for the data at hand, compiled as the options of a run have it."""

from typing import Any

import keras

from keras_gen import models
from keras_gen.utils import devices
from keras_gen.datasets import ImageDataset, TextDataset
from keras_gen.recipes import find_recipe

Data = ImageDataset | TextDataset


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
    chosen = find_recipe(recipe)
    model_class = getattr(models, chosen.model)
    uses_labels = chosen.uses_labels or hyperparameters.get("num_classes") is not None
    from_data = model_class.arguments_from(data, uses_labels, **hyperparameters)
    model = model_class(
        seed=options["seed"],
        dtype=devices.resolve_dtype(options["dtype_policy"]),
        **{**hyperparameters, **from_data},
    )
    rates = {"optimizer": options["learning_rate"]}
    updates = model.updates_per_step()
    if "discriminator_optimizer" in updates:
        rates["discriminator_optimizer"] = options["discriminator_learning_rate"] or rates["optimizer"]
    elif options["discriminator_learning_rate"]:
        raise ValueError(
            f"discriminator_learning_rate is for models with a discriminator: {recipe} has none."
        )
    steps = options["steps"] or options["epochs"] * data.steps_per_epoch
    if options["learning_rate_decay"]:
        # A schedule counts its own optimizer's updates.
        rates = {
            name: keras.optimizers.schedules.CosineDecay(rate, steps * updates[name])
            for name, rate in rates.items()
        }
    model.compile(**{name: model.default_optimizer(rate) for name, rate in rates.items()})
    return model
