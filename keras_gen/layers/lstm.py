"""An LSTM layer whose gradient consists of a few large matrix products."""

from typing import Any

import keras
import tensorflow as tf

from keras_gen.layers.checked_inputs import CheckedInputs
from keras_gen.utils.arguments import Count, Probability, Seed, checked
from keras_gen.utils.devices import uses_cudnn
from keras_gen.utils.memory import refuse_beyond_memory


@keras.saving.register_keras_serializable("keras_gen")
class LSTM(CheckedInputs, keras.layers.LSTM):
    """Keras' long short-term memory [1], with the same results, faster on a CPU.

    Keras' loop computes the inputs' products and the gradients of the weights step by step. Here, the
    inputs of all steps are one product before the loop, and the gradients of the weights are one product
    after the backward loop. On a GPU, the layer is Keras', which runs cuDNN's kernel.

    Args:
        units: Length of the state, 1 or more.
        *args: As for `keras.layers.LSTM`.
        dropout: Fraction of the inputs that is dropped, from 0 to 1.
        recurrent_dropout: Fraction of the state that is dropped, from 0 to 1.
        seed: Integer that determines what is dropped; random by default.
        return_sequences: Whether to return the outputs of all steps, or the last one.
        return_state: Whether to return the last state, too.
        **kwargs: As for `keras.layers.LSTM`. What differs from a plain LSTM (dropout inside, masks, other
            activations, going backwards) is computed by Keras.

    Raises:
        ValueError: An argument is out of its range, or the inputs are not numbers (n, t, features).

    References:
        1. Hochreiter & Schmidhuber 1997, Long Short-Term Memory.

    Example:

    >>> layer = LSTM(4, return_sequences=True)
    >>> layer(tf.zeros((2, 7, 3))).shape
    TensorShape([2, 7, 4])
    """

    least_axes = most_axes = 3
    axes = "(n, t, features)"

    @checked
    def __init__(
        self,
        units: Count,
        *args: Any,
        dropout: Probability = 0.0,
        recurrent_dropout: Probability = 0.0,
        seed: Seed | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        **kwargs: Any,
    ):
        super().__init__(
            units,
            *args,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
            return_sequences=return_sequences,
            return_state=return_state,
            **kwargs,
        )

    def build(self, sequences_shape: tuple, initial_state_shape: Any = None) -> None:
        num_bytes = 16 * self.units * (self.units + sequences_shape[-1])
        refuse_beyond_memory(num_bytes, f"units={self.units:,}", "Take fewer.")
        super().build(sequences_shape, initial_state_shape)

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        if mask is not None or uses_cudnn() or not self.is_plain():
            return super().call(sequences, initial_state=initial_state, mask=mask, training=training)
        inputs = tf.transpose(tf.convert_to_tensor(sequences), (1, 0, 2))
        steps, n = tf.shape(inputs)[0], tf.shape(inputs)[1]
        kernel, recurrent, bias = (
            tf.cast(weights, inputs.dtype)
            for weights in (self.cell.kernel, self.cell.recurrent_kernel, self.cell.bias)
        )
        flat = tf.reshape(inputs, (steps * n, inputs.shape[2]))
        projected = tf.reshape(flat @ kernel + bias, (steps, n, 4 * self.units))
        if initial_state is None:
            initial_state = [tf.zeros((n, self.units), inputs.dtype)] * 2
        outputs, cells = recurrence(projected, recurrent, *initial_state)
        last = outputs[-1]
        result = tf.transpose(outputs, (1, 0, 2)) if self.return_sequences else last
        return [result, last, cells[-1]] if self.return_state else result

    def is_plain(self) -> bool:
        """Whether `recurrence` can compute this LSTM."""
        names = [keras.activations.serialize(f) for f in (self.activation, self.recurrent_activation)]
        others = (self.dropout, self.recurrent_dropout, self.go_backwards, self.stateful, self.unroll)
        return names == ["tanh", "sigmoid"] and self.use_bias and not any(others)


@tf.custom_gradient
def recurrence(projected: tf.Tensor, recurrent: tf.Tensor, output: tf.Tensor, cell: tf.Tensor) -> Any:
    """All outputs and cells of an LSTM, from its projected inputs and its initial output and cell.

    Args:
        projected: The inputs' contribution to the gates, (steps, n, 4 d): input, forget, candidate, output.
        recurrent: The weights of the last output, (d, 4 d).
        output: (n, d).
        cell: (n, d).

    Returns:
        Outputs and cells, (steps, n, d) each.
    """
    steps = tf.shape(projected)[0]

    def forward(step: tf.Tensor, output: tf.Tensor, cell: tf.Tensor, *written: tf.TensorArray) -> tuple:
        parts = projected_steps.read(step) + output @ recurrent
        input_gate, forget_gate, candidate, output_gate = tf.split(parts, 4, axis=1)
        input_gate, forget_gate = tf.sigmoid(input_gate), tf.sigmoid(forget_gate)
        candidate, output_gate = tf.tanh(candidate), tf.sigmoid(output_gate)
        cell = forget_gate * cell + input_gate * candidate
        output = output_gate * tf.tanh(cell)
        gates = tf.concat([input_gate, forget_gate, candidate, output_gate], axis=1)
        values = (gates, cell, output)
        written = tuple(array.write(step, value) for array, value in zip(written, values, strict=True))
        return step + 1, output, cell, *written

    projected_steps = steps_of(projected)
    start = (0, output, cell, *[tf.TensorArray(projected.dtype, steps) for _ in range(3)])
    _, _, _, *written = tf.while_loop(lambda step, *_: step < steps, forward, start)
    gates, cells, outputs = [array.stack() for array in written]

    def gradient(outputs_gradient: tf.Tensor, cells_gradient: tf.Tensor) -> tuple:
        def backward(
            step: tf.Tensor, output_gradient: tf.Tensor, cell_gradient: tf.Tensor, written: tf.TensorArray
        ) -> tuple:
            input_gate, forget_gate, candidate, output_gate = tf.split(gates_steps.read(step), 4, axis=1)
            squashed = tf.tanh(cells_steps.read(step))
            output_gradient += outputs_gradients.read(step)
            cell_gradient += cells_gradients.read(step)
            cell_gradient += output_gradient * output_gate * (1 - squashed * squashed)
            before = cells_before.read(step)
            parts_gradient = tf.concat(
                [
                    cell_gradient * candidate * input_gate * (1 - input_gate),
                    cell_gradient * before * forget_gate * (1 - forget_gate),
                    cell_gradient * input_gate * (1 - candidate * candidate),
                    output_gradient * squashed * output_gate * (1 - output_gate),
                ],
                axis=1,
            )
            output_gradient = parts_gradient @ transposed
            return (
                step - 1,
                output_gradient,
                cell_gradient * forget_gate,
                written.write(step, parts_gradient),
            )

        transposed = tf.transpose(recurrent)
        gates_steps, cells_steps = steps_of(gates), steps_of(cells)
        cells_before = steps_of(tf.concat([cell[tf.newaxis], cells[:-1]], axis=0))
        outputs_gradients, cells_gradients = steps_of(outputs_gradient), steps_of(cells_gradient)
        nothing = tf.zeros_like(output)
        start = (steps - 1, nothing, nothing, tf.TensorArray(projected.dtype, steps))
        _, first_output, first_cell, written = tf.while_loop(lambda step, *_: step >= 0, backward, start)
        projected_gradient = written.stack()
        outputs_before = tf.concat([output[tf.newaxis], outputs[:-1]], axis=0)
        recurrent_gradient = tf.matmul(
            tf.reshape(outputs_before, (-1, output.shape[1])),
            tf.reshape(projected_gradient, (-1, projected.shape[2])),
            transpose_a=True,
        )
        return projected_gradient, recurrent_gradient, first_output, first_cell

    return (outputs, cells), gradient


def steps_of(sequence: tf.Tensor) -> tf.TensorArray:
    return tf.TensorArray(sequence.dtype, tf.shape(sequence)[0]).unstack(sequence)
