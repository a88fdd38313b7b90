"""Exponential moving average of a network's weights, which generates better samples than they do.

    average = momentum * average + (1 - momentum) * weights

References:
    1. Yazici et al. 2018, The Unusual Effectiveness of Averaging in GAN Training, arXiv 1806.04498.
"""

import keras
import tensorflow as tf


def update_ema(average: keras.Model, network: keras.Model, momentum: float, step: tf.Tensor) -> None:
    """Moves the weights of `average` towards those of `network`.

    The momentum rises to `momentum` with the steps, so that the average soon leaves the initial weights.

    Args:
        average: A copy of the network.
        network: What is trained.
        momentum: From 0 to less than 1.
        step: Number of training steps so far.
    """
    step = tf.cast(step, tf.float32)
    momentum = tf.minimum(momentum, (1.0 + step) / (10.0 + step))
    for mean, weight in zip(average.weights, network.weights, strict=True):
        mean.assign(momentum * mean + (1.0 - momentum) * weight)
