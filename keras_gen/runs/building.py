"""A recipe's model for the data at hand, compiled as the options of a run have it."""

from typing import Any

from keras_gen import models
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
        dtype=options["dtype_policy"],
        **{**hyperparameters, **from_data},
    )
    rates = {"optimizer": options["learning_rate"]}
    if options["discriminator_learning_rate"]:
        rates["discriminator_optimizer"] = options["discriminator_learning_rate"]
    steps = options["steps"] or options["epochs"] * data.steps_per_epoch
    model.compile(**model.optimizers(rates, steps if options["learning_rate_decay"] else None))
    return model
