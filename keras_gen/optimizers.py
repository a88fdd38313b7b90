"""Adam and Muon, the default optimizers, and copies of optimizers."""

import math
from collections.abc import Callable
from typing import Annotated, Any

import keras
import tensorflow as tf
from annotated_types import Ge

from keras_gen.utils.arguments import (
    Count,
    Fraction,
    Name,
    NonNegative,
    Positive,
    Probability,
    checked,
)
from keras_gen.utils.devices import resolve_dtype


@keras.saving.register_keras_serializable("keras_gen")
class Adam(keras.optimizers.Adam):
    """Keras' Adam [1], with one kernel for each weight instead of a dozen: twice as fast on a CPU.

    Arguments, state and results are those of `keras.optimizers.Adam`, up to float rounding.

    Args:
        learning_rate: 0 or more, a schedule, or a function that gives a number.
        beta_1: Momentum of the mean, from 0 to less than 1.
        beta_2: Momentum of the mean square, from 0 to less than 1.
        epsilon: What is added to the root of the mean square, more than 0.
        amsgrad: Whether to divide by the greatest mean square so far.
        weight_decay: 0 or more; None for none.
        clipnorm: The norm that each weight's gradient is clipped to, more than 0.
        clipvalue: The absolute value that each number of a gradient is clipped to, more than 0.
        global_clipnorm: The norm that all gradients together are clipped to, more than 0.
        use_ema: Whether to average the weights over the steps.
        ema_momentum: Momentum of that average, from 0 to 1.
        ema_overwrite_frequency: Steps after which the weights become their average.
        loss_scale_factor: What the loss is multiplied by and gradients are divided by, more than 0.
        gradient_accumulation_steps: Steps whose gradients are averaged for one update, 2 or more.
        name: Of the optimizer.

    Raises:
        ValueError: An argument is out of its range.

    References:
        1. Kingma & Ba 2014, Adam: A Method for Stochastic Optimization, arXiv 1412.6980.

    Example:

    >>> weight = keras.Variable([1.0, 1.0])
    >>> Adam(0.1).apply([tf.constant([5.0, -0.01])], [weight])
    >>> weight.numpy().round(3).tolist()
    [0.9, 1.1]
    """

    @checked
    def __init__(
        self,
        learning_rate: NonNegative | Callable = 1e-3,  # a schedule is a function, too
        beta_1: Fraction = 0.9,
        beta_2: Fraction = 0.999,
        epsilon: Positive = 1e-7,
        amsgrad: bool = False,
        weight_decay: NonNegative | None = None,
        clipnorm: Positive | None = None,
        clipvalue: Positive | None = None,
        global_clipnorm: Positive | None = None,
        use_ema: bool = False,
        ema_momentum: Probability = 0.99,
        ema_overwrite_frequency: Count | None = None,
        loss_scale_factor: Positive | None = None,
        gradient_accumulation_steps: Annotated[int, Ge(2)] | None = None,
        name: Name | None = "adam",
    ):
        super().__init__(
            learning_rate,
            beta_1,
            beta_2,
            epsilon,
            amsgrad,
            weight_decay,
            clipnorm,
            clipvalue,
            global_clipnorm,
            use_ema,
            ema_momentum,
            ema_overwrite_frequency,
            loss_scale_factor,
            gradient_accumulation_steps,
            name,
        )

    def update_step(self, gradient: Any, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices):  # the kernel is for neither
            super().update_step(gradient, variable, learning_rate)
            return
        dtype = variable.dtype
        index = self._get_variable_index(variable)
        step = tf.cast(tf.convert_to_tensor(self.iterations) + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, dtype), step),
            lr=tf.cast(learning_rate, dtype),
            beta1=tf.cast(self.beta_1, dtype),
            beta2=tf.cast(self.beta_2, dtype),
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )


@keras.saving.register_keras_serializable("keras_gen")
class Muon(Adam):
    """Momentum that is orthogonalized by Newton and Schulz' iteration [1], for matrices; Adam for the rest.

    Convolution kernels, which `keras.optimizers.Muon` leaves to Adam, are matrices, too: all axes but the
    last, by the last. Left to Adam are biases, and matrices with fewer than 16 rows or columns. The
    iteration is computed in bfloat16 on a device that multiplies in it.

    Args:
        learning_rate: Of the matrices: the singular values of an update, approximately, times the root of
            columns / rows where that is more than 1; 0 or more, a schedule, or a function that gives a
            number.
        adam_ratio: What the learning rate is multiplied by for all other weights.
        momentum: Of the matrices' gradients, from 0 to less than 1.
        global_clipnorm: The norm that all gradients together are clipped to, more than 0; None for none.
        **kwargs: As for `Adam`.

    Raises:
        ValueError: An argument is out of its range.

    References:
        1. Jordan et al. 2024, Muon: An optimizer for hidden layers in neural networks.

    Example:

    >>> weight = keras.Variable(tf.zeros((32, 16)))
    >>> Muon(0.02).apply([tf.random.stateless_normal((32, 16), (0, 0))], [weight])
    >>> singular_values = tf.linalg.svd(weight.value, compute_uv=False)
    >>> bool(tf.reduce_all(tf.abs(singular_values / 0.02 - 1) < 0.4))  # the iteration is not exact
    True
    """

    smallest_matrix = 16  # rows, and columns
    coefficients = (3.4445, -4.7750, 2.0315)  # of the iteration [1]
    num_iterations = 5

    @checked
    def __init__(
        self,
        learning_rate: NonNegative | Callable = 0.02,
        adam_ratio: Positive = 0.075,
        momentum: Fraction = 0.95,
        global_clipnorm: Positive | None = None,
        name: Name | None = "muon",
        **kwargs: Any,
    ):
        super().__init__(learning_rate, global_clipnorm=global_clipnorm, name=name, **kwargs)
        self.adam_ratio = adam_ratio
        self.momentum = momentum

    def get_config(self) -> dict:
        return {**super().get_config(), "adam_ratio": self.adam_ratio, "momentum": self.momentum}

    def update_step(self, gradient: Any, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        *axes, columns = tuple(variable.shape) or (1,)
        rows = math.prod(axes)
        if isinstance(gradient, tf.IndexedSlices) or min(rows, columns) < self.smallest_matrix:
            super().update_step(gradient, variable, self.adam_ratio * learning_rate)
            return
        mean = self._momentums[self._get_variable_index(variable)].value
        mean.assign(self.momentum * mean + gradient)
        ahead = tf.reshape(gradient + self.momentum * mean, (-1, columns))
        scale = max(1.0, columns / rows) ** 0.5
        update = scale * tf.cast(self.orthogonalized(ahead), variable.dtype)
        variable.assign_sub(tf.cast(learning_rate, variable.dtype) * tf.reshape(update, variable.shape))

    def orthogonalized(self, matrix: tf.Tensor) -> tf.Tensor:
        """The matrix with all singular values near 1."""
        x = matrix / (tf.norm(matrix) + 1e-7)
        if resolve_dtype("auto") == "mixed_bfloat16":  # of which the iteration needs no more
            x = tf.cast(x, tf.bfloat16)
        is_tall = matrix.shape[0] > matrix.shape[1]
        x = tf.transpose(x) if is_tall else x
        a, b, c = self.coefficients
        for _ in range(self.num_iterations):
            square = tf.matmul(x, x, transpose_b=True)
            x = a * x + tf.matmul(b * square + c * tf.matmul(square, square), x)
        return tf.transpose(x) if is_tall else x


@checked
def copy_of(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """A new optimizer with the same settings."""
    return type(optimizer).from_config(optimizer.get_config())


def scaled_like(
    optimizer: keras.optimizers.Optimizer, other: keras.optimizers.Optimizer, name: str
) -> keras.optimizers.Optimizer:
    """The optimizer, with loss scaling where another one has it; `name` is that of the scaling one."""
    kind = keras.optimizers.LossScaleOptimizer
    is_needed = isinstance(other, kind) and not isinstance(optimizer, kind)
    return kind(optimizer, name=name) if is_needed else optimizer


@checked
def has_schedule(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether an optimizer's learning rate follows a schedule."""
    config = optimizer.get_config()
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        config = optimizer.inner_optimizer.get_config()
    return isinstance(config["learning_rate"], dict)
