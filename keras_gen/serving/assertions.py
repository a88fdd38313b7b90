"""Checks in the graph of a SavedModel, since clients may send anything."""

import tensorflow as tf


def asserted(expected: str, is_met: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """`value`; in a graph, with an error if the condition is not met."""
    with tf.control_dependencies([tf.debugging.Assert(is_met, [f"{expected}. Received:", value])]):
        return tf.identity(value)


def equally_many(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Inputs by name, each (n, ...), in a graph with an error if n is 0 or differs between them."""
    (first, rows), *others = inputs.items()
    count = tf.shape(rows)[0]
    found = {first: asserted(f"{first} must have at least one row", count > 0, rows)}
    for name, other in others:
        expected = f"{name} must have as many rows as {first}"
        found[name] = asserted(expected, tf.shape(other)[0] == count, other)
    return found


def images(x: tf.Tensor) -> tf.Tensor:
    """Images (n, h, w, c), in a graph with an error if one is not in [0, 1]."""
    low, high = tf.reduce_min(x), tf.reduce_max(x)
    inside = tf.reduce_all((x >= 0) & (x <= 1))  # which NaN is not
    expected = "images must be finite and in [0, 1]. Received: from, to"
    with tf.control_dependencies([tf.debugging.Assert(inside, [expected, low, high])]):
        return tf.identity(x)


def labels(y: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Integers (n,), in a graph with an error if one is out of range."""
    inside = tf.reduce_all((y >= 0) & (y < num_classes))
    return asserted(f"labels must be from 0 to {num_classes - 1}", inside, y)


def finite(name: str, rows: tf.Tensor) -> tf.Tensor:
    """Numbers (n, ...), in a graph with an error if one is not finite."""
    return asserted(f"{name} must be finite", tf.reduce_all(tf.math.is_finite(rows)), rows)
