import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gen.layers import BatchNormalization


def both(**options):
    """Ours and Keras' own, built, with the same gamma and beta."""
    layers = BatchNormalization(**options), keras.layers.BatchNormalization(**options)
    for layer in layers:
        layer.build((None, 5, 5, 3))
        layer.gamma.assign([0.5, 1.0, 2.0])
        layer.beta.assign([-1.0, 0.0, 1.0])
    return layers


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_training_and_inference_equal_keras(dtype):
    generator = np.random.default_rng(0)
    x = tf.constant(generator.normal(1.0, 3.0, (6, 5, 5, 3)), "float32")
    weights = tf.constant(generator.normal(size=(6, 5, 5, 3)), "float32")
    results = []
    for layer in both(momentum=0.8, dtype=dtype):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(tf.cast(x, layer.compute_dtype), training=True)
            loss = tf.reduce_sum(tf.cast(y, tf.float32) * weights)
        gradients = tape.gradient(loss, [x, *[v.value for v in layer.trainable_variables]])
        after = layer(tf.cast(x, layer.compute_dtype), training=False)
        results.append([y, *gradients, *[v.value for v in layer.variables], after])
    tolerance = 1e-5 if dtype == "float32" else 2e-2
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype == theirs.dtype
        ours, theirs = np.asarray(ours, "float32"), np.asarray(theirs, "float32")
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def test_what_the_kernel_cannot_do_goes_the_way_of_keras():
    x = np.random.default_rng(0).normal(size=(64, 7)).astype("float32")
    for options in ({}, {"center": False}, {"scale": False}):
        ours, theirs = BatchNormalization(**options), keras.layers.BatchNormalization(**options)
        np.testing.assert_array_equal(ours(x, training=True), theirs(x, training=True))
        for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_frozen_layer_keeps_its_statistics():
    layer, _ = both()
    layer.trainable = False
    before = layer.get_weights()
    layer(np.ones((2, 5, 5, 3), "float32"), training=True)
    for a, b in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
