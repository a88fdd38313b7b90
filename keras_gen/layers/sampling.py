"""The reparameterization trick, and seeds that differ between replicas."""

import keras
import tensorflow as tf


def replica_seed(generator: keras.random.SeedGenerator) -> tf.Tensor:
    """The generator's next seed, another one on each replica of a distributed run.

    A `SeedGenerator` has the same state on every replica, so that its own seed would give all of
    them the same noise.

    Args:
        generator: The generator, which moves on by one.

    Returns:
        (2,), for TensorFlow's stateless random functions.
    """
    context = tf.distribute.get_replica_context()
    replica = 0 if context is None else context.replica_id_in_sync_group
    seed = tf.convert_to_tensor(generator.next())
    return tf.random.experimental.stateless_fold_in(seed, tf.cast(replica, seed.dtype))


@keras.saving.register_keras_serializable("keras_gen")
class Sampling(keras.layers.Layer):
    """Draws z ~ N(z_mean, exp(z_log_var)) so that gradients reach both [1, section 2.4].

    z = z_mean + exp(z_log_var / 2) * noise, with noise ~ N(0, 1) from a generator that the layer
    owns: it is saved with the model, and replicas of a distributed run draw different noise.

    Args:
        seed: Integer that determines the noise; random by default.

    References:
        1. Kingma & Welling 2013, Auto-Encoding Variational Bayes, arXiv 1312.6114.

    Example:

    >>> z = Sampling(seed=0)(tf.zeros((1000, 2)), tf.fill((1000, 2), -50.0))
    >>> bool(tf.reduce_max(tf.abs(z)) < 1e-9)
    True
    """

    def __init__(self, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, z_mean: tf.Tensor, z_log_var: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Draws one z for each row.

        Args:
            z_mean: (n, latent_dim).
            z_log_var: (n, latent_dim).
            seed: (2,) integers to draw from in place of the layer's own generator.

        Returns:
            (n, latent_dim).
        """
        if seed is None:
            seed = replica_seed(self.seed_generator)
        noise = tf.random.stateless_normal(tf.shape(z_mean), seed=seed, dtype=z_mean.dtype)
        return z_mean + tf.exp(0.5 * z_log_var) * noise

    def get_config(self) -> dict:
        return {**super().get_config(), "seed": self.seed}
