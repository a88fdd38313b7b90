"""Checks in the graph of a SavedModel, which meets whatever a client sends."""

import tensorflow as tf


def asserted(expected: str, is_met: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """`value`; in a graph, an error where what is expected of it is not met."""
    with tf.control_dependencies([tf.debugging.Assert(is_met, [f"{expected}. Received:", value])]):
        return tf.identity(value)


def at_least_one(name: str, rows: tf.Tensor) -> tf.Tensor:
    """Rows (n, ...), in a graph with an error where there are none."""
    expected = f"{name} must have at least one row. Received: none"
    with tf.control_dependencies([tf.debugging.Assert(tf.shape(rows)[0] > 0, [expected])]):
        return tf.identity(rows)


def images(x: tf.Tensor) -> tf.Tensor:
    """Images (n, h, w, c), in a graph with an error where one is not in [0, 1], or there are none."""
    x = at_least_one("images", x)
    least, most = tf.reduce_min(x), tf.reduce_max(x)
    inside = tf.reduce_all((x >= 0) & (x <= 1))  # which NaN is not
    expected = "images must be finite and in [0, 1]. Received: from, to"
    with tf.control_dependencies([tf.debugging.Assert(inside, [expected, least, most])]):
        return tf.identity(x)


def labels(y: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Integers (n,), in a graph with an error where one is out of range, or there are none."""
    inside = tf.reduce_all((y >= 0) & (y < num_classes))
    return asserted(f"labels must be from 0 to {num_classes - 1}", inside, at_least_one("labels", y))


def latents(z: tf.Tensor) -> tf.Tensor:
    """Vectors (n, d), in a graph with an error where one is not finite, or there are none."""
    return asserted("z must be finite", tf.reduce_all(tf.math.is_finite(z)), at_least_one("z", z))


def same_count(y: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Labels (n,), in a graph with an error where there are not as many as rows."""
    count = tf.shape(rows)[0]
    return asserted("labels must be one for each row", tf.shape(y)[0] == count, y)
