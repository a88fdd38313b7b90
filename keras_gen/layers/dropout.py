"""Dropout whose noise differs between replicas."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_gen.layers.checked_inputs import CheckedInputs
from keras_gen.layers.sampling import replica_seed
from keras_gen.utils.arguments import Natural, Probability, Seed, checked


@keras.saving.register_keras_serializable("keras_gen")
class Dropout(CheckedInputs, keras.layers.Dropout):
    """Keras' dropout [1], which on several replicas would drop the same units on all of them.

    Args:
        rate: Fraction of the inputs that is dropped, from 0 to 1.
        noise_shape: Shape of the noise: along an axis of size 1, all units are dropped or kept together;
            None is the size of the inputs.
        seed: Integer that determines the noise; random by default.

    Raises:
        ValueError: An argument is out of its range, or the inputs are not numbers.

    References:
        1. Srivastava et al. 2014, Dropout: A Simple Way to Prevent Neural Networks from Overfitting.

    Example:

    >>> y = Dropout(0.5, seed=0)(tf.ones((4, 1000)), training=True)
    >>> sorted(set(y.numpy().ravel().tolist())), bool(abs(tf.reduce_mean(y) - 1.0) < 0.05)
    ([0.0, 2.0], True)
    """

    @checked
    def __init__(
        self,
        rate: Probability,
        noise_shape: Sequence[Natural | None] | None = None,
        seed: Seed | None = None,
        **kwargs: Any,
    ):
        super().__init__(rate, noise_shape, seed, **kwargs)

    def call(self, inputs: Any, training: bool = False) -> tf.Tensor:
        if not training or self.rate == 0:
            return inputs
        if self.rate == 1:
            return inputs * 0.0
        seed = replica_seed(self.seed_generator)
        shape = tf.shape(inputs)
        if self.noise_shape is not None:
            sizes = zip(tf.unstack(shape), self.noise_shape, strict=True)
            shape = [own if size is None else size for own, size in sizes]
        kept = tf.random.stateless_uniform(shape, seed) >= self.rate
        return tf.where(kept, inputs / (1.0 - self.rate), 0.0)
