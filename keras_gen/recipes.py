"""The table of what can be trained by name. It imports nothing heavy, so that listing it is instant."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A model, the data it is trained on, and the tuned numbers.

    Args:
        model: The class in `keras_gen.models`.
        summary: One line for `keras-gen list models`.
        uses_labels: Whether the model gets the data's classes.
        dataset: What it trains on where nothing else is asked for.
        data_options: Arguments of `load_dataset`, or `load_text`, that differ from its defaults.
        hyperparameters: Constructor arguments that differ from the class's defaults.
        epochs: Passes over the data, along which the learning rate falls to 0.
        images: Training images in all, where the number of epochs is to follow from the data's size.
        batch_size: Images, or rows of text, in a training step.
        learning_rate: The initial learning rate, where it differs from the class's default.
        dtype_policy: Numbers that the networks compute with; `"auto"` is `"mixed_bfloat16"` on a processor
            with instructions for it, else `"float32"`.
        smoke: Constructor arguments for tests: small, and not the defaults.
    """

    model: str
    summary: str
    uses_labels: bool = False
    dataset: str = "fashion_mnist_12k"
    data_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    hyperparameters: dict[str, Any] = dataclasses.field(default_factory=dict)
    epochs: int | None = 32
    images: int | None = None
    batch_size: int = 128
    learning_rate: float | None = None
    dtype_policy: str = "float32"
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
    # R1 beside batch normalization: after 300,000 images of full Fashion-MNIST, with it and without, a GAN
    # had an FD of 1.94 and 2.52 and a recall of 0.524 and 0.507, a CGAN 1.40 and 1.84, 0.578 and 0.556.
    "gan": Recipe(
        model="GAN",
        summary="generative adversarial network (Goodfellow et al. 2014; Radford et al. 2015)",
        hyperparameters={"r1_weight": 0.1, "penalty_share": 0.25},
        epochs=None,
        images=540_000,
        batch_size=32,
        dtype_policy="auto",
        smoke={
            "latent_dim": 5,
            "loss": "least_squares",
            "generator_widths": (8, 4),
            "discriminator_widths": (4, 8),
            "dropout": 0.1,
            "label_smoothing": 0.1,
            "real_label_noise": 0.1,
            "generated_label_flips": 0.05,
            "instance_noise": 0.05,
            "instance_noise_steps": 100,
            "augment": "translation",
            "r1_weight": 0.1,
            "penalty_share": 0.5,
            "ema": 0.9,
        },
    ),
    "wgan_gp": Recipe(
        model="WGANGP",
        summary="Wasserstein GAN with gradient penalty (Gulrajani et al. 2017)",
        epochs=None,
        images=540_000,
        batch_size=32,
        dtype_policy="auto",
        smoke={
            "latent_dim": 5,
            "generator_widths": (8, 4),
            "discriminator_widths": (4, 8),
            "discriminator_normalization": "spectral",
            "discriminator_steps": 2,
            "gradient_penalty_weight": 5.0,
        },
    ),
    "cgan": Recipe(
        model="CGAN",
        summary="a GAN that draws the class you ask for (Mirza & Osindero 2014)",
        uses_labels=True,
        hyperparameters={"r1_weight": 0.1, "penalty_share": 0.25},
        epochs=None,
        images=540_000,
        batch_size=32,
        dtype_policy="auto",
        smoke={
            "latent_dim": 5,
            "conditioning": "concat",
            "generator_widths": (8, 4),
            "discriminator_widths": (4, 8),
            "ema": 0.9,
        },
    ),
    "diffusion": Recipe(
        model="DiffusionModel",
        summary="diffusion model by flow matching (Ho et al. 2020; Lipman et al. 2023)",
        epochs=None,
        images=1_200_000,
        batch_size=32,
        dtype_policy="auto",
        smoke={
            "schedule": "cosine",
            "prediction": "noise",
            "times": "uniform",
            "widths": (4, 8),
            "num_blocks": 1,
            "guide_steps": 5,
            "ema": 0.9,
        },
    ),
    "mean_flow": Recipe(
        model="MeanFlow",
        summary="a diffusion model that generates in one to four steps (Geng et al. 2025)",
        epochs=None,
        images=600_000,
        batch_size=32,
        dtype_policy="auto",
        smoke={"widths": (4, 8), "num_blocks": 1, "ema": 0.9},
    ),
    "adversarial_mean_flow": Recipe(
        model="AdversarialMeanFlow",
        summary="a mean flow that has to fool a discriminator, for one to four steps (Kim et al. 2024)",
        epochs=None,
        images=300_000,
        batch_size=32,
        dtype_policy="auto",
        smoke={"widths": (4, 8), "num_blocks": 1, "ema": 0.9, "adversarial_weight": 0.5},
    ),
    "cdiffusion": Recipe(
        model="DiffusionModel",
        summary="a diffusion model that draws the class you ask for (Karras et al. 2024)",
        uses_labels=True,
        epochs=None,
        images=1_200_000,
        batch_size=32,
        dtype_policy="auto",
        smoke={"widths": (4,), "num_blocks": 1, "class_dropout": 0.2, "ema": 0.9},
    ),
    "lstm": Recipe(
        model="LSTMTextGenerator",
        summary="text, a token at a time, by long short-term memory (Graves 2013)",
        dataset="python_docs",
        hyperparameters={"dropout": 0.3},
        epochs=24,
        batch_size=32,
        smoke={
            "embedding_dim": 6,
            "widths": (12, 8),
            "dropout": 0.1,
            "tie_weights": True,
        },
    ),
    "lstm_word": Recipe(
        model="LSTMTextGenerator",
        summary="the same, sized for words",
        dataset="python_docs",
        data_options={"tokenizer": "word", "sequence_length": 64},
        hyperparameters={"embedding_dim": 256, "dropout": 0.5, "tie_weights": True},
        epochs=16,
        batch_size=32,
        learning_rate=5e-3,
        smoke={"embedding_dim": 4, "widths": (6,)},
    ),
    "mlp_classifier": Recipe(
        model="MLPClassifier",
        summary="dense layers that tell the classes apart (Rumelhart et al. 1986)",
        uses_labels=True,
        hyperparameters={"flip": True},
        epochs=20,
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
        ValueError: The name is unknown.
    """
    if not isinstance(name, str) or name not in RECIPES:
        raise ValueError(f"Unknown model: expected one of {', '.join(RECIPES)}. Received: {name!r}")
    return RECIPES[name]
