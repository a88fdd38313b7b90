"""THE table of what can be trained by name. Nothing is imported here, so that it lists at once."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A model, the data it is trained on, and the numbers that somebody tuned.

    Args:
        model: The class in `keras_gen.models`.
        summary: One line for `keras-gen list models`.
        uses_labels: Whether the model gets the data's classes.
        dataset: What it trains on where nothing else is asked for.
        hyperparameters: Constructor arguments that differ from the class's defaults.
        epochs: Passes over the data, along which the learning rate falls to 0.
        learning_rate: Of Adam, at the start.
        smoke: Constructor arguments for tests: small, and not the defaults.
    """

    model: str
    summary: str
    uses_labels: bool = False
    dataset: str = "fashion_mnist_12k"
    hyperparameters: dict[str, Any] = dataclasses.field(default_factory=dict)
    epochs: int = 32
    learning_rate: float = 4e-3
    smoke: dict[str, Any] = dataclasses.field(default_factory=dict)


RECIPES = {
    "autoencoder": Recipe(
        model="Autoencoder",
        summary="codes of images, and a normal distribution over them (Ghosh et al. 2020)",
        smoke={"latent_dim": 3, "widths": (4, 8), "hidden_units": 12, "likelihood": "gaussian"},
    ),
    "vae": Recipe(
        model="VAE",
        summary="variational autoencoder (Kingma & Welling 2013)",
        smoke={
            "latent_dim": 3,
            "widths": (4, 8),
            "hidden_units": 12,
            "beta": 0.5,
            "kl_warmup_steps": 3,
            "free_bits": 0.01,
        },
    ),
    "cvae": Recipe(
        model="VAE",
        summary="variational autoencoder that draws the class you ask for (Sohn et al. 2015)",
        uses_labels=True,
        smoke={"latent_dim": 3, "widths": (4, 8), "hidden_units": 12},
    ),
    "mlp_classifier": Recipe(
        model="MLPClassifier",
        summary="dense layers that tell the classes apart (Rumelhart et al. 1986)",
        uses_labels=True,
        hyperparameters={"flip": True},
        epochs=20,
        learning_rate=3e-3,
        smoke={"widths": (16, 12), "dropout": 0.1, "label_smoothing": 0.05, "flip": True},
    ),
    "mlp_classifier_cifar10": Recipe(
        model="MLPClassifier",
        summary="the same, sized for CIFAR-10's photographs",
        uses_labels=True,
        dataset="cifar10",
        hyperparameters={"flip": True, "widths": (1024, 512)},
        epochs=40,
        learning_rate=2e-3,
        smoke={"widths": (12,)},
    ),
    "cnn_classifier": Recipe(
        model="CNNClassifier",
        summary="convolutions that tell the classes apart (LeCun et al. 1998)",
        uses_labels=True,
        hyperparameters={"flip": True, "shift": 2},
        epochs=18,
        learning_rate=3e-3,
        smoke={"widths": (4, 8), "hidden_units": 12, "dropout": 0.1, "flip": True, "shift": 1},
    ),
    "cnn_classifier_cifar10": Recipe(
        model="CNNClassifier",
        summary="the same, sized for CIFAR-10's photographs",
        uses_labels=True,
        dataset="cifar10",
        hyperparameters={"flip": True, "shift": 4, "widths": (64, 128, 256), "hidden_units": 256},
        epochs=40,
        learning_rate=2e-3,
        smoke={"widths": (4,), "hidden_units": 8, "label_smoothing": 0.1},
    ),
}


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: There is none.
    """
    if name not in RECIPES:
        raise ValueError(f"Unknown model: expected one of {', '.join(RECIPES)}. Received: {name!r}")
    return RECIPES[name]
