"""A recipe's model for the data at hand, compiled as the options of a run have it."""

from typing import Any

import keras

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
    if isinstance(data, TextDataset):
        from_data: dict[str, Any] = {"tokenizer": data.tokenizer, "per_document": data.per_document}
    else:
        from_data = image_arguments(recipe, data, hyperparameters.get("num_classes"))
    model = getattr(models, find_recipe(recipe).model)(
        seed=options["seed"], dtype=options["dtype_policy"], **{**hyperparameters, **from_data}
    )
    rates = [options["learning_rate"]]
    if isinstance(model, models.GAN):
        rates.append(options["discriminator_learning_rate"] or rates[0])
    elif options["discriminator_learning_rate"]:
        raise ValueError(
            f"discriminator_learning_rate is for models with a discriminator: {recipe} has none."
        )
    if options["learning_rate_decay"]:
        steps = options["steps"] or options["epochs"] * data.steps_per_epoch
        rates = [keras.optimizers.schedules.CosineDecay(rate, steps) for rate in rates]
    model.compile(*[model.default_optimizer(rate) for rate in rates])
    return model


def image_arguments(recipe: str, data: ImageDataset, num_classes: int | None) -> dict[str, Any]:
    """What a model of images must know of its data."""
    arguments: dict[str, Any] = {"image_shape": data.image_shape}
    if num_classes is None and not find_recipe(recipe).uses_labels:
        return arguments
    if data.num_classes is None:
        raise ValueError(f"{recipe} needs labels, and {data.name} has none.")
    if num_classes not in (None, data.num_classes):
        raise ValueError(
            f"num_classes must be {data.num_classes}, as {data.name} has them. Received: {num_classes}"
        )
    return {**arguments, "num_classes": data.num_classes, "class_names": data.class_names}
