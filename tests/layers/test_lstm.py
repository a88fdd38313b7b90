"""Our LSTM is Keras' LSTM, in all its numbers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gen.layers import LSTM


def pair(**options) -> tuple[keras.layers.LSTM, LSTM, tf.Tensor]:
    """Keras' layer and ours with the same weights, none of them 0, and inputs."""
    inputs = tf.random.stateless_normal((3, 6, 5), (1, 2))
    layers = [layer(4, return_sequences=True, **options) for layer in (keras.layers.LSTM, LSTM)]
    for layer in layers:
        layer.build(inputs.shape)
    random = np.random.default_rng(0)
    weights = [random.normal(size=weight.shape) for weight in layers[0].get_weights()]
    for layer in layers:
        layer.set_weights(weights)
    return *layers, inputs


def values_and_gradients(layer, inputs, states=None):
    """What the layer gives, and the gradient of a sum in which each number has another weight."""
    watched = [inputs, *(states or []), *[weight.value for weight in layer.trainable_variables]]
    with tf.GradientTape() as tape:
        tape.watch(watched)
        outputs = tf.nest.flatten(layer(inputs, initial_state=states))
        loss = sum(
            tf.reduce_sum(tf.sin(3.0 * output + tf.cast(i, output.dtype)))
            for i, output in enumerate(outputs)
        )
    return outputs, tape.gradient(loss, watched)


@pytest.mark.parametrize("options", ({}, {"return_state": True}))
@pytest.mark.parametrize("compiled", (False, True))
def test_values_and_gradients_are_those_of_keras(options, compiled):
    keras_layer, layer, inputs = pair(**options)
    states = [tf.random.stateless_normal((3, 4), (seed, 0)) for seed in (3, 4)]
    for given in (None, states):
        expected = values_and_gradients(keras_layer, inputs, given)
        function = tf.function(values_and_gradients, jit_compile=True) if compiled else values_and_gradients
        actual = function(layer, inputs, given)
        for one, other in zip(tf.nest.flatten(actual), tf.nest.flatten(expected), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=2e-6)


def test_the_last_output_and_single_steps():
    keras_layer, layer, inputs = pair()
    keras_layer.return_sequences = layer.return_sequences = False
    for part in (inputs, inputs[:1], inputs[:, :1]):
        np.testing.assert_allclose(layer(part), keras_layer(part), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    ({"activation": "relu"}, {"use_bias": False}, {"go_backwards": True}, {"recurrent_activation": "relu"}),
)
def test_what_is_no_plain_lstm_is_left_to_keras(options):
    keras_layer, layer, inputs = pair(**options)
    np.testing.assert_allclose(layer(inputs), keras_layer(inputs), rtol=1e-5, atol=1e-6)


def test_masks_are_left_to_keras():
    keras_layer, layer, inputs = pair()
    mask = tf.sequence_mask([2, 6, 4], 6)
    np.testing.assert_allclose(layer(inputs, mask=mask), keras_layer(inputs, mask=mask), rtol=1e-5)
    assert np.abs(layer(inputs, mask=mask) - layer(inputs)).max() > 0.01


def test_dtype_policies():
    for policy, tolerance in (("mixed_bfloat16", 0.1), ("mixed_float16", 0.02)):
        keras_layer, layer, inputs = pair(dtype=policy)
        outputs = layer(inputs)
        assert outputs.dtype == keras_layer(inputs).dtype
        full = keras.layers.LSTM(4, return_sequences=True)
        full.build(inputs.shape)
        full.set_weights(layer.get_weights())
        np.testing.assert_allclose(tf.cast(outputs, tf.float32), full(inputs), atol=tolerance)
