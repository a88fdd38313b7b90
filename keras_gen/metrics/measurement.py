"""`measure`: all metrics that apply to a model.

Generated images are compared with test images. For comparison, each metric is also computed for as many
training images in place of the generated ones.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_gen.datasets import ImageDataset, TextDataset
from keras_gen.metrics.classification import label_accuracy
from keras_gen.metrics.extractors import check_extractor, default_extractor
from keras_gen.metrics.likelihood import bits_per_dim, dequantized, reconstruction_error
from keras_gen.metrics.originality import Originality
from keras_gen.metrics.report import Better, Report, Result
from keras_gen.metrics.set_metrics import SET_METRICS, SetMetrics, set_label
from keras_gen.metrics.text_measurement import measure_text
from keras_gen.utils.arguments import Count, Seed, check, checked, received
from keras_gen.utils.memory import refuse_beyond_memory

MOST_IMAGES = 10_000  # of each kind, by default
GENERATED_AT_ONCE = 500
TRAINING_AT_ONCE = 2000
NUM_ORIGINALITY = 1000  # generated images, and test images, whose nearest training image is sought
NUM_BOUND = 2000  # test images of the importance-weighted bound, which takes 64 passes

# What shows how far an evaluation is: it gets a stage, and how many of how many images are done.
Progress = Callable[[str, int, int], None]
VERBS = ("generate", "log_prob", "reconstruct", "classify")


@checked
def measure(
    model: Any,
    data: ImageDataset | TextDataset,
    *,
    num: Count | None = None,
    extractor: Any = None,
    seed: Seed = 0,
    generate_options: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Measures everything that a model can do: generate, compute likelihoods, reconstruct, classify.

    A text generator is measured by how well it predicts the held-out text, in comparison with a unigram and
    a trigram model of the same training text.

    Args:
        model: A keras_gen model, or any model with its verbs (`generate`, `log_prob`, `reconstruct`, ...).
        data: The test images, and the training images for originality and for comparison; or text.
        num: Number of generated images, and of test images if there are as many; by default the number of
            test images, at most 10,000.
        extractor: See `load_extractor`; by default the one for the data.
        seed: Integer that determines the generated images.
        generate_options: Further arguments of the model's `generate`, such as `{"num_steps": 50}`; the
            report states them.
        progress: Called with (stage, done, total) as the evaluation proceeds.

    Returns:
        A `Report`.

    Raises:
        ValueError: There are too few images for the number of features, the model does not fit the data,
            its `generate` has no such option or value, or what it computes is not finite.

    Example:

    >>> import keras_gen as kg
    >>> data = kg.load_dataset("fashion_mnist_12k")
    >>> report = measure(kg.from_preset("vae_fashion_mnist"), data, num=500)
    >>> report["fd"] > report.results["fd"].floor > 0
    True
    """
    progress = progress or (lambda stage, done, total: None)
    check_fit(model, data)
    options = options_of_generate(model, generate_options or {})
    if isinstance(data, TextDataset):
        if num is not None or extractor is not None:
            raise ValueError(
                "num and extractor are for images, and a text is read whole. "
                f"Received: num={num}, extractor={received(extractor)}"
            )
        return measure_text(model, data, seed, progress)
    if extractor is not None:
        check_extractor(extractor)
    start = time.monotonic()
    wanted = min(MOST_IMAGES, data.num_test) if num is None else num
    if hasattr(model, "generate"):
        num_bytes = 4 * wanted * math.prod(model.image_shape)
        refuse_beyond_memory(num_bytes, f"num={wanted:,}", "Measure fewer images.")
    x, y = data.test_images(wanted)
    labels = y if model.conditional else None
    results: list[Result] = []
    neighbours = None
    if hasattr(model, "generate"):
        measured, neighbours = compare(model, data, x, y, wanted, extractor, seed, options, progress)
        results += measured
    results += test_results(model, x, y, labels, progress)
    return Report(
        {result.name: result for result in results},
        data.name,
        seed,
        time.monotonic() - start,
        neighbours,
        options=options,
    )


def check_fit(model: Any, data: ImageDataset | TextDataset) -> None:
    """Raises a ValueError if data does not fit a model, or the model has no verb that is measured."""
    of_text = hasattr(model, "token_log_probs")
    if not of_text and not any(hasattr(model, verb) for verb in VERBS):
        raise ValueError(
            f"model must be a model of keras_gen, or have one of {', '.join(VERBS)}. "
            f"Received: {received(model)}"
        )
    if isinstance(data, TextDataset) != of_text:
        raise ValueError(
            "Models of text are measured by data of load_text, models of images by data of load_dataset. "
            f"Received: a {type(model).__name__} and a {type(data).__name__}"
        )
    if isinstance(data, TextDataset):
        return
    if model.image_shape != data.image_shape:
        raise ValueError(
            f"The model's images must be those of {data.name}, {data.image_shape}. "
            f"Received: {model.image_shape}"
        )
    if model.num_classes not in (None, data.num_classes):
        raise ValueError(
            f"The model must have the classes of {data.name}, {data.num_classes}. "
            f"Received: {model.num_classes}"
        )


def options_of_generate(model: Any, given: dict[str, Any]) -> dict[str, Any]:
    """The options that a model of images generates with, by default or as given."""
    known: dict[str, Any] = {}
    if hasattr(model, "generate") and not hasattr(model, "token_log_probs"):
        known = getattr(model.generate, "options", {})
    for name in given:
        if name not in known:
            some = (
                f"among {', '.join(known)}" if known else "left out: this model generates no images by any"
            )
            raise ValueError(f"generate_options must be {some}. Received: {received(name)}")
    checked_values = {name: check(name, value, known[name].annotation) for name, value in given.items()}
    return {name: option.default for name, option in known.items()} | checked_values


def finite_values(what: str, values: np.ndarray) -> np.ndarray:
    """Raises a ValueError if a model computes NaN or infinity."""
    bad = int(np.count_nonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1)))
    if bad:
        raise ValueError(
            f"{what} must be finite. Received: NaN or infinity for {bad:,} of {len(values):,} images. Its "
            "training may have diverged: try a checkpoint from before, or a lower learning rate"
        )
    return values


# === Generated images ===


def compare(
    model: Any,
    data: ImageDataset,
    x: np.ndarray,
    y: np.ndarray | None,
    num: int,
    extractor: Any,
    seed: int,
    options: dict[str, Any],
    progress: Progress,
) -> tuple[list[Result], np.ndarray]:
    """Set metrics and originality of generated images, and the picture of nearest neighbours."""
    metrics = SetMetrics(default_extractor(data.name) if extractor is None else extractor, x)
    metrics.check_count(num)
    generated, labels = generate(model, num, y, seed, options, progress)
    features, probabilities = metrics.extractor(generated)
    few = slice(0, NUM_ORIGINALITY)
    originality = Originality(generated[few], features[few], x[few], metrics.real_features[few])
    real, real_probabilities, real_labels = training_pass(data, metrics, originality, num, progress)
    progress("distances", 0, 2)
    values = metrics.measure_features(features, probabilities, labels)
    progress("distances", 1, 2)
    floors = {}
    if len(real) >= metrics.needed:
        asked = None if labels is None else real_labels
        floors = metrics.measure_features(real, real_probabilities, asked)
    progress("distances", 2, 2)
    facts: dict[str, Any] = {
        "extractor": metrics.extractor.name,
        "extractor_sha256": metrics.extractor.sha256,
    }
    results = [
        Result(
            name,
            set_label(name, metrics.extractor.name),
            value,
            SET_METRICS[name],
            "test",
            len(x),
            num,
            floor=floors[name][0] if name in floors else None,
            spread=spread,
            **facts,
        )
        for name, (value, spread) in values.items()
    ]
    return results + originality.results(facts), originality.picture()


def training_pass(
    data: ImageDataset, metrics: SetMetrics, originality: Originality, num: int, progress: Progress
) -> list[Any]:
    """One pass over the training images, for originality; returns features, probabilities and labels of
    `num`.
    """
    parts: list[tuple] = []
    done = 0
    for x, y in data.training_chunks(TRAINING_AT_ONCE):
        features, probabilities = metrics.extractor(x)
        originality.update(x, features)
        if done < num:
            parts.append((features, probabilities, y))
        done += len(x)
        progress("nearest training images", done, data.num_train)
    return [None if side[0] is None else np.concatenate(side)[:num] for side in zip(*parts, strict=True)]


def generate(
    model: Any, num: int, y: Any, seed: int, options: dict[str, Any], progress: Progress
) -> tuple[np.ndarray, np.ndarray | None]:
    """`num` generated images; for a conditional model, with the labels of the test images."""
    labels = None
    if model.conditional:
        labels = y[np.arange(num) % len(y)]
    parts = []
    for number, start in enumerate(range(0, num, GENERATED_AT_ONCE)):
        rows = slice(start, min(start + GENERATED_AT_ONCE, num))
        some = None if labels is None else labels[rows]
        # Each part is drawn with a seed of its own.
        part_seed = (seed * 100_003 + number) % (2**31 - 1)
        images = model.generate(rows.stop - rows.start, seed=part_seed, labels=some, **options)
        parts.append(finite_values("What the model generates", images))
        progress("generating", rows.stop, num)
    return np.concatenate(parts), labels


# === Test images ===


def test_results(
    model: Any, x: np.ndarray, y: np.ndarray | None, labels: np.ndarray | None, progress: Progress
) -> list[Result]:
    """Likelihoods, reconstruction error and accuracy, if the model has the verbs."""
    results = []

    def add(name: str, label: str, value: float, better: Better, count: int = len(x)) -> None:
        results.append(Result(name, label, value, better, "test", count))

    if hasattr(model, "log_prob"):
        results += likelihoods(model, x, labels, progress)
    if hasattr(model, "reconstruct"):
        reconstructions = finite_values("The model's reconstructions", model.reconstruct(x, labels))
        error = reconstruction_error(x, reconstructions)
        add("reconstruction_error", "reconstruction error (MSE)", error, "lower")
    if hasattr(model, "classify"):
        assert y is not None  # the model has as many classes as the data
        probabilities = finite_values("The model's probabilities", model.classify(x))
        add("accuracy", "accuracy", label_accuracy(probabilities, y), "higher")
        nats = -np.log(np.maximum(probabilities[np.arange(len(y)), y], 1e-30))
        add("loss", "loss (cross-entropy, nats)", float(np.mean(nats)), "lower")
        for number, name in enumerate(model.class_names or range(model.num_classes)):
            own = y == number
            if own.any():
                accuracy = label_accuracy(probabilities[own], y[own])
                add(f"accuracy_{name}", f"accuracy: {name}", accuracy, "higher", int(own.sum()))
    return results


def likelihoods(model: Any, x: np.ndarray, labels: np.ndarray | None, progress: Progress) -> list[Result]:
    """Likelihoods of test images, by what they are: probability, density or cross-entropy.

    A density is evaluated at dequantized pixels, which makes its bits per dimension comparable with those
    of a probability.
    """
    count = getattr(model, "num_likelihoods", NUM_BOUND)
    few, few_labels = x[:count], None if labels is None else labels[:count]
    of = getattr(model, "log_prob_of", "probability")
    if of == "density":
        x, few = dequantized(x), dequantized(few)
    results = []
    better: Better
    if hasattr(model, "elbo"):
        progress("likelihoods", 0, 2)
        elbo = float(np.mean(finite_values("The model's ELBO", model.elbo(x, labels=labels))))
        if of == "cross-entropy":
            name, label, better = "cross_entropy_elbo", "cross-entropy + KL (nats per image)", "lower"
            elbo = -elbo
        else:
            name, label, better = "elbo", f"ELBO, {of} (nats per image)", "higher"
        results.append(Result(name, label, elbo, better, "test", len(x)))
    progress("likelihoods", 1, 2)
    log_prob = finite_values("The model's log_prob", model.log_prob(few, labels=few_labels))
    mean = float(np.mean(log_prob))
    if of == "cross-entropy":
        label = "cross-entropy, importance-weighted (nats per image)"
        results.append(Result("cross_entropy_bound", label, -mean, "lower", "test", len(few)))
    else:
        label = f"log p(x), {of} (nats per image)"
        results.append(Result("log_prob", label, mean, "higher", "test", len(few)))
        bits = bits_per_dim(log_prob, int(np.prod(model.image_shape)), 256 if of == "density" else 1)
        results.append(Result("bits_per_dim", "bits per dimension", bits, "lower", "test", len(few)))
    progress("likelihoods", 2, 2)
    return results
