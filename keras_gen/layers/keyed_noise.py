"""Noise that depends on an example's key alone, whatever else is in the batch."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

STREAM_STEP = 2**32  # more than any seed, so that no stream repeats another's noise


def keyed_normal(keys: tf.Tensor, shape: Any, stream: int | tf.Tensor = 0) -> tf.Tensor:
    """Standard normal noise, float32 (n, *shape).

    Args:
        keys: (seed, example), integers (n, 2).
        shape: Shape of the noise of one example.
        stream: From 0 to 2**31 - 1: the noise of different streams is independent.

    Example:

    >>> keys = tf.constant([[7, 2], [7, 3]])
    >>> bool(tf.reduce_all(keyed_normal(keys, (3,))[1] == keyed_normal(keys[1:], (3,))[0]))
    True
    """
    return for_each_key(tf.random.stateless_normal, keys, shape, stream)


def keyed_uniform(keys: tf.Tensor, shape: Any, stream: int | tf.Tensor = 0) -> tf.Tensor:
    """Uniform noise in [0, 1), float32 (n, *shape): see `keyed_normal`."""
    return for_each_key(tf.random.stateless_uniform, keys, shape, stream)


def for_each_key(draw: Callable, keys: tf.Tensor, shape: Any, stream: int | tf.Tensor) -> tf.Tensor:
    offset = tf.cast(stream, tf.int64) * STREAM_STEP
    keys = tf.cast(keys, tf.int64) + tf.stack([offset, tf.zeros_like(offset)])
    return tf.map_fn(lambda key: draw(shape, key), keys, fn_output_signature=tf.float32)
