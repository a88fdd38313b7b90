"""What the layers refuse, in one line."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gen import layers

ROWS, SEQUENCES, IMAGES = np.zeros((3, 2)), np.zeros((2, 5, 3)), np.zeros((2, 8, 8, 1))


@pytest.mark.parametrize(
    ("call", "message"),
    (
        (lambda: layers.Dropout(1.5), "rate must be a number from 0 to 1. Received: 1.5"),
        (lambda: layers.Dropout(0.5, seed=2**31), "seed must be an integer from 0"),
        (lambda: layers.Dropout(0.5, noise_shape="1"), "noise_shape must be a list or tuple"),
        (
            lambda: layers.Dropout(0.5, momentum=1),
            "Dropout: Unrecognized keyword arguments passed to Dropout",
        ),
        (lambda: layers.Dropout(0.5)("rows"), "inputs must be numbers of shape (n, ...). Received: 'rows'"),
        (
            lambda: layers.BatchNormalization(momentum=2),
            "momentum must be a number from 0 to 1. Received: 2",
        ),
        (
            lambda: layers.BatchNormalization(epsilon=0),
            "epsilon must be a finite number, more than 0. Received",
        ),
        (
            lambda: layers.BatchNormalization()(np.zeros(3)),
            "inputs must be numbers of shape (n, ..., channels)",
        ),
        (lambda: layers.LSTM(2.5), "units must be an integer from 1"),
        (lambda: layers.LSTM(3, dropout=-1), "dropout must be a number from 0 to 1. Received: -1"),
        (
            lambda: layers.LSTM(3, activation="tan"),
            "LSTM: Could not interpret activation function identifier",
        ),
        (
            lambda: layers.LSTM(3)(ROWS),
            "inputs must be numbers of shape (n, t, features). Received: float64 of",
        ),
        (lambda: layers.LSTM(2**31 - 1)(SEQUENCES), "Received: units=2,147,483,647, which takes"),
        (
            lambda: layers.DiffAugment("colour"),
            "policy must name some of color, translation, cutout, with com",
        ),
        (lambda: layers.DiffAugment(None), "policy must be a string. Received: None"),
        (
            lambda: layers.DiffAugment()(ROWS),
            "inputs must be numbers of shape (n, height, width, channels). R",
        ),
        (lambda: layers.Sampling(seed=-1), "seed must be an integer from 0"),
        (
            lambda: layers.Sampling()(ROWS, ROWS[:, :1]),
            "z_log_var must have the shape of z_mean, (3, 2). Rece",
        ),
        (
            lambda: layers.Sampling()(ROWS, ROWS, ROWS[:1]),
            "noise must have the shape of z_mean, (3, 2). Recei",
        ),
        (lambda: layers.child_seed(1.5, "x"), "seed must be an integer from 0"),
        (lambda: layers.replica_seed(0), "generator must be a keras.SeedGenerator. Received: 0"),
        (
            lambda: layers.example_noise(0, [0.5], (2,)),
            "examples must be integers of shape (n,). Received: [0.5]",
        ),
        (
            lambda: layers.example_noise(0, [0], (-2,)),
            "shape must be a tuple of integers, 0 or more. Received",
        ),
    ),
)
def test_refuses_in_one_line(call, message):
    with pytest.raises(ValueError) as refusal:
        call()
    text = str(refusal.value)
    assert text.startswith(message) and "Received: " in text and "\n" not in text


def test_takes_integers_lists_and_symbolic_inputs():
    assert layers.BatchNormalization()(np.arange(6).reshape(3, 2), training=True).dtype == tf.float32
    assert layers.Dropout(0.5)([[1, 2]]).numpy().tolist() == [[1.0, 2.0]]
    assert layers.LSTM(4)(keras.Input((5, 3))).shape == (None, 4)
    assert layers.DiffAugment()(keras.Input((8, 8, 1))).shape == (None, 8, 8, 1)


def test_dropping_everything_has_a_gradient_of_zero():
    x = tf.ones((2, 3))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layers.Dropout(1.0)(x, training=True)
    assert not y.numpy().any() and not tf.convert_to_tensor(tape.gradient(y, x)).numpy().any()
