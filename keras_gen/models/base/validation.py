"""Checks of models' arguments and inputs."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_gen.utils import arrays, devices
from keras_gen.utils.arguments import LARGEST, Natural, NonNegative, check, received

# Layers that leave the values as they are.
SHAPING = (keras.layers.Reshape, keras.layers.Cropping2D, keras.layers.Flatten, keras.layers.Permute)


def image_size(shape: Sequence[int]) -> None:
    """Raises a ValueError if an image has more values than TensorFlow can count."""
    if math.prod(shape) > LARGEST:
        raise ValueError(
            f"image_shape must have fewer than 2**31 values. Received: image_shape={tuple(shape)}"
        )


def class_names(names: Sequence[str] | None, num_classes: int | None) -> None:
    """Raises a ValueError unless there is one distinct, non-empty name for each class."""
    if names is None:
        return
    if len(names) != num_classes:
        raise ValueError(
            f"class_names must be num_classes={num_classes} names. Received: {len(names)}, "
            f"{received(names)}"
        )
    if len(set(names)) < len(names) or not all(name.strip() for name in names):
        raise ValueError(f"class_names must differ, and none be empty. Received: {received(list(names))}")


def dtype_policy(value: Any) -> Any:
    """The dtype policy of a model, or a ValueError.

    `"auto"` is resolved for the device of this process.
    """
    if value is None:
        return None
    value = devices.resolve_dtype(value)
    try:
        policy = keras.dtype_policies.get(value)
        if policy.compute_dtype in ("float32", "float16", "bfloat16"):
            return policy
    except Exception:  # whatever Keras raises of what it was given
        pass
    raise ValueError(
        "dtype must be None, 'auto', 'float32', 'float16', 'bfloat16', 'mixed_float16', 'mixed_bfloat16', "
        f"or a Keras policy of one of these names. Received: {received(value)}"
    )


def network(
    name: str,
    value: keras.Model,
    inputs: Sequence[tuple[int, ...]],
    outputs: Sequence[tuple[int, ...]],
) -> None:
    """Raises a ValueError if the shapes of a user's network (without batch axis) do not fit the model."""
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
    """Raises a ValueError if a user's network ends in a sigmoid, but the loss expects logits."""
    refuse_sigmoid(
        name, value, "return logits, since losses computed from probabilities saturate", "Remove it"
    )


def gives_tanh(name: str, value: keras.Model) -> None:
    """Raises a ValueError if a user's network ends in a sigmoid, but pixels are in [-1, 1]."""
    refuse_sigmoid(
        name,
        value,
        "return images in [-1, 1], as a tanh does: a sigmoid never draws dark pixels",
        "Use a tanh",
    )


def refuse_sigmoid(name: str, value: keras.Model, expected: str, remedy: str) -> None:
    """Raises a ValueError if the last layer of a user's network applies a sigmoid."""
    last: Any = value
    while isinstance(last, keras.Model):
        layers = getattr(last, "operations", last.layers)  # a Sequential has only the latter
        last = next(layer for layer in reversed(layers) if not isinstance(layer, SHAPING))
    sigmoid = getattr(last, "activation", None) is keras.activations.sigmoid
    if sigmoid or type(last).__name__ == "Sigmoid":  # as keras.ops.sigmoid is in a Functional
        raise ValueError(
            f"{name} must {expected}. Received: a network whose last layer, {last.name}, applies a "
            f"sigmoid. {remedy}."
        )


def no_batch_normalization(critic: keras.Model) -> None:
    """Raises a ValueError if a critic under a gradient penalty has batch normalization."""
    for layer in critic._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            raise ValueError(
                "A critic under a gradient penalty must not have batch normalization: the penalty is on "
                "the slope at each image, and with it an image's score depends on the others of its batch. "
                f"Received: the layer {layer.name}. Use LayerNormalization, or none."
            )


def images(x: Any, shape: tuple[int, int, int]) -> np.ndarray:
    """Images as an array, or a ValueError if their type, shape or range is wrong."""
    x = arrays.array("Images", x)
    shapes = [shape] if shape[2] != 1 else [shape, shape[:2]]
    if x.shape[1:] not in shapes or not x.ndim:
        expected = " or ".join(str(("n", *s)).replace("'", "") for s in shapes)
        raise ValueError(f"Images must have shape {expected}. Received: {x.shape}")
    if not len(x):
        raise ValueError("Expected at least one image. Received: none")
    return arrays.pixels("Images", x)


def noisy_images(x: Any, shape: tuple[int, int, int]) -> np.ndarray:
    """Pixels with noise added as float32, or a ValueError; uint8 is divided by 255."""
    x = arrays.array("Images", x)
    arrays.check_pixel_type("Images", x.dtype)
    x = x / np.float32(255) if x.dtype == np.uint8 else x
    return latents("Images", x[..., np.newaxis] if x.shape[1:] == shape[:2] and shape[2] == 1 else x, shape)


def labels(y: Any, num_classes: int, num_images: int, how: str = "as labels=") -> np.ndarray:
    """Labels as an array, or a ValueError if they are missing, too few or too many, or out of range.

    `how` says how to pass them.
    """
    if y is None:
        raise ValueError(
            f"The model is conditional (num_classes={num_classes}) and needs a label for each image: pass "
            f"them {how}. Received: no labels"
        )
    y = arrays.array("Labels", y)
    expected = f"Labels must be integers (n,) or one-hot (n, {num_classes})"
    if y.dtype.kind not in "biuf":
        raise ValueError(f"{expected}. Received: {received(y)}")
    if y.ndim == 0 or len(y) != num_images or not len(y):
        values = "a single number" if y.ndim == 0 else len(y)
        raise ValueError(f"Expected {num_images} labels, one for each image. Received: {values}")
    if y.ndim == 2 and y.shape[1] == num_classes:
        wrong = ~((y >= 0).all(axis=1) & np.isclose(y.sum(axis=1), 1))
        if wrong.any():
            row = received(y[wrong][0].tolist())
            raise ValueError(f"Rows of one-hot labels must be 0 or more and sum to 1. Received: {row}")
        return y
    if y.ndim > 2 or y.size != len(y):
        raise ValueError(f"{expected}. Received: {y.shape}")
    wrong = ~((y >= 0) & (y < num_classes) & (y == np.round(y)))
    if wrong.any():
        raise ValueError(
            f"Labels must be integers from 0 to {num_classes - 1}. Received: {received(y[wrong][0])}"
        )
    return y


def latents(name: str, z: Any, shape: Sequence[int]) -> np.ndarray:
    """Latent variables (n, *shape) as float32, or a ValueError."""
    z = arrays.array(name, z)
    if z.dtype.kind not in "iuf" or z.shape[1:] != tuple(shape) or not z.ndim or not len(z):
        axes = ", ".join(map(str, shape))
        raise ValueError(f"{name} must be numbers of shape (n, {axes}). Received: {received(z)}")
    with np.errstate(over="ignore"):  # what is infinite then is refused
        z = z.astype(np.float32)
    if not np.isfinite(z).all():
        raise ValueError(f"{name} must be finite. Received: NaN or infinity among the numbers")
    return z


def masks(name: str, value: Any, image_shape: Sequence[int], count: int | None) -> np.ndarray:
    """Masks (n, height, width) as booleans, or a ValueError; one mask (height, width) is repeated."""
    array = arrays.array(name, value)
    size = tuple(image_shape[:2])
    if array.shape[1:] == (*size, 1):
        array = array[..., 0]
    fits = array.shape == size or (array.shape[1:] == size and count in (None, len(array)) and len(array))
    if not fits or array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
        num = "n" if count is None else count
        raise ValueError(
            f"{name} must be True or 1 where pixels are to be filled in, else False or 0, of shape "
            f"({num}, {size[0]}, {size[1]}) or {size}. Received: {received(array)}{range_of(array)}"
        )
    return np.broadcast_to(
        array.astype(bool), (count or len(array), *size) if array.ndim == 2 else array.shape
    )


def range_of(array: np.ndarray) -> str:
    """The least and the largest of an array's numbers, for errors."""
    return f", from {array.min():g} to {array.max():g}" if array.size and array.dtype.kind in "iuf" else ""


def metric(value: Any, taken: set[str]) -> keras.metrics.Metric:
    """A Keras metric from a name, a function or a metric; its name is added to `taken`."""
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
    """Raises a ValueError if a callback monitors a value that `fit` does not log before it.

    If a callback leaves it to Keras which direction is better, and Keras could not tell, this sets it.
    """
    known = {name: direction(name) for name in [*names, "learning_rate"]}
    for callback in callbacks:
        monitor = getattr(callback, "monitor", None)
        acts = getattr(callback, "save_best_only", True)  # a ModelCheckpoint may only name its files by it
        if isinstance(monitor, str) and acts:
            if monitor not in known:
                raise ValueError(
                    f"{type(callback).__name__} monitors {monitor!r}, which is not logged before it acts: "
                    f"expected one of {', '.join(known)}. Names with val_ need validation_data, or an "
                    "Evaluation callback earlier in the list."
                )
            if getattr(callback, "mode", "") == "auto":
                callback.mode = known[monitor]
        known.update(getattr(callback, "log_names", {}))


def direction(name: str) -> str:
    """Whether lower or higher values of a logged number are better, in Keras' terms."""
    lower_is_better = ("loss", "perplexity", "bits_per_character", "bits_per_dim")
    return "min" if name.endswith(lower_is_better) else "max" if name.endswith("accuracy") else "auto"


def callbacks(given: Any) -> list[Any]:
    """One or several callbacks as a list, or a ValueError."""
    several = keras.tree.flatten(given) if isinstance(given, (list, tuple)) else [given]
    several = [] if given is None else several
    for callback in several:
        if not isinstance(callback, keras.callbacks.Callback):
            raise ValueError(
                "callbacks must be a list of keras.callbacks.Callback objects. "
                f"Received: {received(callback)}"
            )
    return several


def class_weight(given: dict | None) -> None:
    """Raises a ValueError unless the weights, by class number, are finite and 0 or more."""
    for label, value in (given or {}).items():
        check("each key of class_weight", label, Natural)
        check("each value of class_weight", value, NonNegative)


def optimizer(name: str, value: Any) -> keras.optimizers.Optimizer | None:
    """A Keras optimizer from a name or an optimizer, or None; a ValueError for an invalid learning rate."""
    if value is None:
        return None
    try:
        found = keras.optimizers.get(value)
        if not isinstance(found, keras.optimizers.Optimizer):
            raise TypeError(type(found).__name__)
    except Exception:  # whatever Keras raises of what it was given
        raise ValueError(
            f"{name} must be a Keras optimizer, or the name of one, such as 'adam'. "
            f"Received: {received(value)}"
        ) from None
    # Of a schedule, this is its first value.
    check(f"{name}'s learning rate", keras.ops.convert_to_numpy(found.learning_rate), NonNegative)
    return found


def weights(sample_weight: Any, shapes: Sequence[tuple[int, ...]]) -> None:
    """Raises a ValueError unless sample weights are finite, 0 or more, and of one of some shapes."""
    sample_weight = arrays.array("sample_weight", sample_weight)
    if sample_weight.dtype.kind not in "biuf" or sample_weight.shape not in shapes:
        expected = " or ".join(map(str, dict.fromkeys(shapes)))
        raise ValueError(
            f"sample_weight must be numbers of shape {expected}. "
            f"Received: {sample_weight.dtype} of shape {sample_weight.shape}"
        )
    wrong = ~((sample_weight >= 0) & (sample_weight <= np.finfo(np.float32).max))  # NaN is, too
    if wrong.any():
        raise ValueError(
            f"sample_weight must be finite and 0 or more. Received: {received(sample_weight[wrong][0])}"
        )


FIT_LABELS = "as fit(images, labels), or in a tf.data.Dataset of (images, labels)"


def image_batch(x: Any, y: Any, shape: tuple[int, int, int], num_classes: int | None) -> None:
    """Raises a ValueError if a model cannot learn from these images and labels."""
    x = images(x, shape)
    if num_classes is not None:
        labels(y, num_classes, len(x), FIT_LABELS)
    elif isinstance(y, (str, bytes, int, float)):
        raise ValueError(f"Expected {len(x)} labels, one for each image, or none. Received: {received(y)}")
    elif getattr(y, "shape", ()) and y.shape[0] != len(x):
        raise ValueError(f"Expected {len(x)} labels, one for each image. Received: {y.shape[0]}")


def token_rows(inputs: Any, targets: Any, vocabulary_size: int) -> None:
    """Raises a ValueError if a model cannot learn from these token ids and targets."""
    inputs, targets = (
        token_ids(name, rows, vocabulary_size) for name, rows in (("inputs", inputs), ("targets", targets))
    )
    if inputs.shape != targets.shape:
        raise ValueError(
            f"Each token needs its target: expected one shape. Received: {inputs.shape} and {targets.shape}"
        )


def token_ids(name: str, rows: Any, vocabulary_size: int) -> np.ndarray:
    """Token ids (n, t) as an array, or a ValueError."""
    expected = f"{name} must be token ids, integers (n, t), as load_text gives them"
    if isinstance(rows, (tf.RaggedTensor, tf.SparseTensor)):
        remedy = "Rows of one length are padded with 0, as by .to_tensor()."
        raise ValueError(f"{expected}. Received: a {type(rows).__name__}. {remedy}")
    array = arrays.as_array(rows) if hasattr(rows, "dtype") else None  # Keras takes no lists for arrays
    if array is None or array.ndim != 2 or not array.size or array.dtype.kind not in "iu":
        raise ValueError(f"{expected}. Received: {arrays.described(rows, array)}")
    if array.min() < 0 or array.max() >= vocabulary_size:
        raise ValueError(
            f"{name} must be token ids from 0 to {vocabulary_size - 1}. "
            f"Received: from {array.min()} to {array.max()}"
        )
    return array
