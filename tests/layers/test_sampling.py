import keras
import numpy as np
import tensorflow as tf

from keras_gen.layers import Sampling, replica_seed


def test_moments_are_those_asked_for():
    mean, log_var = tf.fill((200_000, 1), 2.0), tf.fill((200_000, 1), np.log(9.0).astype("float32"))
    z = Sampling(seed=0)(mean, log_var).numpy()
    assert abs(z.mean() - 2.0) < 0.03
    assert abs(z.std() - 3.0) < 0.03


def test_gradients_are_those_of_the_reparameterization():
    mean, log_var = tf.Variable([[0.5]]), tf.Variable([[0.4]])
    with tf.GradientTape() as tape:
        z = Sampling(seed=0)(mean, log_var)
    by_mean, by_log_var = tape.gradient(z, [mean, log_var])
    assert by_mean.numpy().item() == 1.0
    np.testing.assert_allclose(by_log_var, 0.5 * (z - mean), rtol=1e-5)


def test_each_call_draws_anew_and_a_seed_repeats():
    layer, zeros = Sampling(seed=0), tf.zeros((2, 3))
    first, second = layer(zeros, zeros), layer(zeros, zeros)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(Sampling(seed=0)(zeros, zeros), first)


def test_replicas_get_different_seeds(two_replicas):
    with two_replicas.scope():
        generator = keras.random.SeedGenerator(0)
    seeds = two_replicas.run(tf.function(lambda: replica_seed(generator)))
    one, other = two_replicas.experimental_local_results(seeds)
    assert not np.array_equal(one, other)
