"""Checks of arguments; errors say what was expected, what was received, and what to do."""

import operator
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_gen.arguments import received

# Layers that leave the values as they are.
SHAPING = (keras.layers.Reshape, keras.layers.Cropping2D, keras.layers.Flatten, keras.layers.Permute)


def image_shape(value: Sequence[int]) -> None:
    """Refuses what is not (height, width, channels)."""
    if len(value) != 3 or min(value) < 1:
        raise ValueError(
            f"image_shape must be (height, width, channels), each 1 or more. Received: {value}"
        )


def at_least(name: str, value: float, minimum: float) -> None:
    """Refuses a number that is too small."""
    if not value >= minimum:
        raise ValueError(f"{name} must be {minimum} or more. Received: {value}")


def seed(value: Any) -> int:
    """Refuses what is not an integer from 0 to 2**31 - 1."""
    number = integer("seed", value, 0)
    if number >= 2**31:
        raise ValueError(f"seed must be less than 2**31. Received: {number}")
    return number


def integer(name: str, value: Any, minimum: int) -> int:
    """Refuses what is not an integer, or is too small; returns it as Python's int."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be an integer. Received: {value!r}") from None
    at_least(name, number, minimum)
    return number


def precision(dtype: Any) -> keras.DTypePolicy:
    """Keras' policy of a floating-point type; None for its global one."""
    try:
        policy = keras.dtype_policies.get(keras.config.dtype_policy() if dtype is None else dtype)
        types = [tf.as_dtype(name) for name in (policy.compute_dtype, policy.variable_dtype)]
    except Exception:  # whatever Keras raises
        types = []
    if not types or not all(kind.is_floating for kind in types):
        raise ValueError(
            "dtype must be a floating-point type or policy of Keras', such as 'float32' or "
            f"'mixed_bfloat16', or None. Received: {received(dtype)}"
        )
    return policy


def more_than(name: str, value: float, bound: float) -> None:
    """Refuses a number that is not above a bound."""
    if not value > bound:
        raise ValueError(f"{name} must be more than {bound}. Received: {value}")


def widths(value: Sequence[int]) -> None:
    """Refuses a stack without layers, or a layer without units."""
    at_least("the number of widths", len(value), 1)
    at_least("each of widths", min(value), 1)


def fraction(name: str, value: float) -> None:
    """Refuses what is not from 0 to less than 1."""
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be from 0 to less than 1. Received: {value}")


def probability(name: str, value: float) -> None:
    """Refuses what is not from 0 to 1."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be from 0 to 1. Received: {value}")


def share(name: str, value: float) -> None:
    """Refuses what is not in (0, 1]."""
    if not 0 < value <= 1:
        raise ValueError(f"{name} must be more than 0, and at most 1. Received: {value}")


def one_of(name: str, value: Any, allowed: Sequence[Any]) -> None:
    """Refuses a name that is not among those allowed."""
    if value not in allowed:
        expected = ", ".join(map(repr, allowed))
        raise ValueError(f"{name} must be one of {expected}. Received: {value!r}")


def network(
    name: str,
    value: keras.Model,
    inputs: Sequence[tuple[int, ...]],
    outputs: Sequence[tuple[int, ...]],
) -> None:
    """Refuses a user's network whose shapes (without the batch axis) do not fit the model."""
    if not isinstance(value, keras.Model) or not hasattr(value, "inputs"):
        raise ValueError(
            f"{name} must be a keras.Model with defined inputs (Functional or Sequential with an "
            f"Input). Received: {value!r}"
        )
    for side, tensors, shapes in (
        ("inputs", value.inputs, inputs),
        ("outputs", value.outputs, outputs),
    ):
        received = [tuple(tensor.shape[1:]) for tensor in tensors]
        if received != [tuple(shape) for shape in shapes]:
            raise ValueError(
                f"{name} must have {side} of shapes {list(shapes)} (without the batch axis). "
                f"Received: {received}"
            )


def gives_logits(name: str, value: keras.Model) -> None:
    """Refuses a user's network that ends in a sigmoid, where the loss expects logits."""
    last: Any = value
    while isinstance(last, keras.Model):
        last = next(layer for layer in reversed(last.operations) if not isinstance(layer, SHAPING))
    sigmoid = getattr(last, "activation", None) is keras.activations.sigmoid
    if sigmoid or type(last).__name__ == "Sigmoid":  # as keras.ops.sigmoid is in a Functional
        raise ValueError(
            f"{name} must return logits, since losses computed from probabilities saturate. Received: a "
            f"network whose last layer, {last.name}, applies a sigmoid. Remove it."
        )


def no_batch_normalization(critic: keras.Model) -> None:
    """Refuses batch normalization under a gradient penalty."""
    for layer in critic._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            raise ValueError(
                "A critic under a gradient penalty must not have batch normalization: the penalty is on "
                "the slope at each image, and with it an image's score depends on the others of its batch. "
                f"Received: the layer {layer.name}. Use LayerNormalization, or none."
            )


def pixel_type(dtype: Any) -> None:
    """Refuses integers that are not uint8, since their range is unknown."""
    dtype = tf.as_dtype(dtype)
    if dtype != tf.uint8 and not dtype.is_floating:
        raise ValueError(
            "Images must be uint8 in [0, 255] or floating point in [0, 1]. "
            f"Received: {dtype.name}. Convert them with images.astype('uint8')."
        )


def images(x: Any, shape: tuple[int, int, int]) -> None:
    """Refuses pixels of another type, shape or range than the models take."""
    x = np.asarray(x)
    if x.dtype == object:
        raise ValueError("Images must be one array of numbers. Received: an array of objects")
    pixel_type(x.dtype)
    shapes = [shape] if shape[2] != 1 else [shape, shape[:2]]
    if x.shape[1:] not in shapes:
        expected = " or ".join(str(("n", *s)).replace("'", "") for s in shapes)
        raise ValueError(f"Images must have shape {expected}. Received: {x.shape}")
    if not len(x):
        raise ValueError("Expected at least one image. Received: none")
    if x.dtype == np.uint8:
        return
    low, high = float(x.min()), float(x.max())  # NaN is the minimum of whatever it is among
    if not np.isfinite([low, high]).all():
        raise ValueError("Images must be finite. Received: NaN or infinity among the pixels")
    if low < 0 or high > 1:
        raise ValueError(
            f"Floating-point images must be in [0, 1]. Received: from {low:g} to {high:g}. Divide "
            "by 255, or pass the uint8 images as they are."
        )


def labels(y: Any, num_classes: int, num_images: int, how: str = "as labels=") -> None:
    """Refuses labels that are missing, of another length or out of range; `how` says how to pass them."""
    if y is None:
        raise ValueError(
            f"The model is conditional (num_classes={num_classes}) and needs a label for each image: pass "
            f"them {how}. Received: no labels"
        )
    y = np.asarray(y)
    if y.dtype.kind not in "biuf":
        raise ValueError(f"Labels must be integers (n,) or one-hot (n, {num_classes}). Received: {y.dtype}")
    if y.ndim == 0 or len(y) != num_images:
        received = "a single number" if y.ndim == 0 else len(y)
        raise ValueError(f"Expected {num_images} labels, one for each image. Received: {received}")
    if y.ndim == 2 and y.shape[1] == num_classes:
        if not (y.min() >= 0 and np.allclose(y.sum(axis=1), 1)):
            raise ValueError("Rows of one-hot labels must be 0 or more and sum to 1. Received: other rows")
        return
    if y.reshape(len(y), -1).shape[1] != 1:
        raise ValueError(f"Labels must be integers (n,) or one-hot (n, {num_classes}). Received: {y.shape}")
    if not (y.min() >= 0 and y.max() < num_classes and (y == np.round(y)).all()):
        raise ValueError(
            f"Labels must be integers from 0 to {num_classes - 1}. Received: from {y.min()} to {y.max()}"
        )


def latents(name: str, z: Any, latent_dim: int) -> np.ndarray:
    """Refuses what is not an array of latent vectors (n, latent_dim); returns it as float32."""
    z = np.asarray(z)
    if z.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be numbers of shape (n, {latent_dim}). Received: {z.dtype}")
    if z.ndim != 2 or z.shape[1] != latent_dim or not len(z):
        raise ValueError(f"{name} must have shape (n, {latent_dim}). Received: {z.shape}")
    return z.astype(np.float32)


def metric(value: Any, taken: set[str]) -> keras.metrics.Metric:
    """A Keras metric by its name, as a function, or as it is; its name joins those that are taken."""
    if value in ("accuracy", "acc"):
        raise ValueError(
            f"What {value!r} means depends on the labels: pass a metric such as "
            "keras.metrics.CategoricalAccuracy()."
        )
    try:
        found = keras.metrics.get(value)
    except (TypeError, ValueError):
        found = None
    if found is None:
        raise ValueError(
            "metrics must be Keras metrics, functions of (y_true, y_pred), or names of either. "
            f"Received: {value!r}"
        )
    if not isinstance(found, keras.metrics.Metric):
        found = keras.metrics.MeanMetricWrapper(found, name=getattr(found, "__name__", None))
    if found.name in taken:
        raise ValueError(
            f"The model logs {found.name!r} already: leave out that metric, or give it another name."
        )
    taken.add(found.name)
    return found


def monitors(callbacks: Sequence[Any], names: Sequence[str]) -> None:
    """Refuses a callback that acts on a number which `fit` does not log before it.

    Where a callback leaves it to Keras which direction is better, and Keras could not tell, this sets it.
    """
    known = {name: direction(name) for name in [*names, "learning_rate"]}
    for callback in callbacks:
        monitor = getattr(callback, "monitor", None)
        acts = getattr(callback, "save_best_only", True)  # a ModelCheckpoint may only name its files by it
        if isinstance(monitor, str) and acts:
            if monitor not in known:
                raise ValueError(
                    f"{type(callback).__name__} monitors {monitor!r}, which fit does not log before it: "
                    f"expected one of {', '.join(known)}. Names with val_ need validation_data, or an "
                    "Evaluation callback earlier in the list."
                )
            if getattr(callback, "mode", "") == "auto":
                callback.mode = known[monitor]
        known.update(getattr(callback, "log_names", {}))


def direction(name: str) -> str:
    """Keras' word for which values of a logged number are better."""
    return "min" if name.endswith("loss") else "max" if name.endswith("accuracy") else "auto"


def weights(sample_weight: Any, shapes: Sequence[tuple[int, ...]]) -> None:
    """Refuses sample weights that are not finite numbers of 0 or more, of one of some shapes."""
    sample_weight = np.asarray(sample_weight)
    if sample_weight.dtype.kind not in "biuf" or sample_weight.shape not in shapes:
        expected = " or ".join(map(str, dict.fromkeys(shapes)))
        raise ValueError(
            f"sample_weight must be numbers of shape {expected}. "
            f"Received: {sample_weight.dtype} of shape {sample_weight.shape}"
        )
    if not (np.isfinite(sample_weight).all() and sample_weight.min() >= 0):
        raise ValueError("sample_weight must be finite and 0 or more. Received: other values")


FIT_LABELS = "as fit(images, labels), or in a tf.data.Dataset of (images, labels)"


def image_data(x: Any, y: Any, shape: tuple[int, int, int], num_classes: int | None) -> None:
    """Checks arrays to the end, and of a data set the first batch. A generator's would be lost by that."""
    if isinstance(x, tf.data.Dataset):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(next(iter(x.take(1)), None))
        if x is None:
            raise ValueError("The tf.data.Dataset is empty: expected at least one batch.")
    elif isinstance(x, keras.utils.PyDataset):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(x[0])
    elif not (hasattr(x, "shape") and hasattr(x, "dtype")):
        if x is None or isinstance(x, (list, tuple, dict)):
            raise ValueError(
                "Expected images as one array (n, height, width, channels) or as a tf.data.Dataset. "
                f"Received: {type(x).__name__}"
            )
        return
    elif y is not None and len(y) != len(x):
        raise ValueError(f"Expected {len(x)} labels, one for each image. Received: {len(y)}")
    images(x, shape)
    if num_classes is not None:
        labels(y, num_classes, len(x), FIT_LABELS)


def token_rows(inputs: Any, targets: Any, vocabulary_size: int) -> None:
    """Checks the token ids that `fit` was given: arrays to the end, and of a data set the first batch."""
    if isinstance(inputs, tf.distribute.DistributedDataset):
        return
    if isinstance(inputs, tf.data.Dataset):
        batch = next(iter(inputs.take(1)), None)
        if batch is None:
            raise ValueError("The tf.data.Dataset is empty: expected at least one batch.")
        inputs, targets, _ = keras.utils.unpack_x_y_sample_weight(batch)
    for name, rows in (("inputs", inputs), ("targets", targets)):
        expected = f"{name} must be token ids, integers (n, t), as load_text gives them"
        if not (hasattr(rows, "shape") and hasattr(rows, "dtype")):
            raise ValueError(f"{expected}. Received: {type(rows).__name__}")
        rows = np.asarray(rows)
        if rows.ndim != 2 or not rows.size or not np.issubdtype(rows.dtype, np.integer):
            raise ValueError(f"{expected}. Received: {rows.dtype} of shape {rows.shape}")
        if rows.min() < 0 or rows.max() >= vocabulary_size:
            raise ValueError(
                f"{name} must be token ids from 0 to {vocabulary_size - 1}. "
                f"Received: from {rows.min()} to {rows.max()}"
            )
    if inputs.shape != targets.shape:
        raise ValueError(
            f"Each token needs its target: expected one shape. Received: {inputs.shape} and {targets.shape}"
        )
