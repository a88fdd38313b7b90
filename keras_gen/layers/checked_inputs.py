"""Refuses invalid inputs of layers with a one-line error."""

from typing import Any

import keras
import tensorflow as tf

from keras_gen.utils.arguments import MOST_CHARACTERS, received


class CheckedInputs:
    """A base of layers that refuses inputs that are not numbers, or have the wrong number of axes.

    Raises:
        ValueError: Keras refuses an argument; at a call, the inputs are of another kind.
    """

    least_axes, most_axes = 1, 99
    axes = "(n, ...)"

    def __init__(self, *args: Any, **kwargs: Any):
        try:
            super().__init__(*args, **kwargs)
        except Exception as error:  # Keras' own differ by the argument, and not all say what they received
            given = ", ".join(f"{name}={received(value)}" for name, value in kwargs.items())
            reason = " ".join(str(error).split())[:MOST_CHARACTERS]
            raise ValueError(f"{type(self).__name__}: {reason}. Received: {given or 'nothing'}") from error

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if args:
            args = (self.numbers("inputs", args[0]), *args[1:])
        return super().__call__(*args, **kwargs)  # type: ignore[misc]

    def numbers(self, name: str, value: Any) -> Any:
        """The value as a tensor."""
        tensor = value
        try:
            if isinstance(value, (tf.RaggedTensor, tf.SparseTensor)):
                raise TypeError
            if not isinstance(value, keras.KerasTensor):
                tensor = keras.ops.convert_to_tensor(value)
            if tf.as_dtype(tensor.dtype).is_integer:
                tensor = keras.ops.cast(tensor, self.compute_dtype)  # type: ignore[attr-defined]
            rank = tf.TensorShape(tensor.shape).rank
            fits = tf.as_dtype(tensor.dtype).is_floating and (
                rank is None or self.least_axes <= rank <= self.most_axes
            )
        except Exception:  # TensorFlow's own differ by what the value is
            fits = False
        if not fits:
            raise ValueError(f"{name} must be numbers of shape {self.axes}. Received: {received(value)}")
        return tensor
