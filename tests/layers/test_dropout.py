import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gen.layers import Dropout


def test_keeps_the_mean_and_drops_the_rate():
    y = Dropout(0.3, seed=0)(tf.ones((100, 1000)), training=True).numpy()
    assert np.mean(y == 0) == pytest.approx(0.3, abs=0.01)
    assert y.mean() == pytest.approx(1.0, abs=0.02)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.7)}


def test_does_nothing_outside_of_training_or_at_rate_0():
    x = tf.ones((3, 4))
    np.testing.assert_array_equal(Dropout(0.5)(x, training=False), x)
    np.testing.assert_array_equal(Dropout(0.0)(x, training=True), x)


def test_replicas_drop_different_units(two_replicas):
    with two_replicas.scope():
        layer = Dropout(0.5, seed=0)
    dropped = two_replicas.run(tf.function(lambda: layer(tf.ones((4, 50)), training=True)))
    one, other = two_replicas.experimental_local_results(dropped)
    assert 0.3 < np.mean(one.numpy() != other.numpy()) < 0.7


def test_an_axis_is_dropped_as_a_whole():
    layer = keras.Sequential([keras.Input((None, 50)), Dropout(0.4, noise_shape=(None, 1, None), seed=0)])
    y = layer(tf.ones((40, 7, 50)), training=True).numpy()
    np.testing.assert_array_equal(y, np.repeat(y[:, :1], 7, axis=1))
    assert np.mean(y == 0) == pytest.approx(0.4, abs=0.03)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer.layers[0]))
    assert again.noise_shape == (None, 1, None)


@pytest.mark.parametrize("dtype", ("float16", "bfloat16"))
def test_keeps_the_dtype(dtype):
    assert Dropout(0.5, dtype=dtype)(tf.ones((3, 4)), training=True).dtype == dtype


def test_config_round_trip():
    layer = Dropout(0.4, seed=3, name="other")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config() and again.rate == 0.4
