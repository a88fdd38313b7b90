"""Random numbers: seeds that differ between generators and replicas, and noise per example."""

import zlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_gen.layers.checked_inputs import CheckedInputs
from keras_gen.layers.keyed_noise import keyed_normal
from keras_gen.utils.arguments import Seed, checked, received


@checked
def child_seed(seed: Seed | None, name: str) -> int | None:
    """An integer derived from a model's seed and a name.

    Each layer, noise source and sampler of a model gets its own, so that none repeats another's numbers,
    nor those of a model with a neighbouring seed.

    Args:
        seed: The model's seed; None for a random one.
        name: Name of the random number generator, such as `"dropout"`.

    Returns:
        From 0 to 2**31 - 1, or None if `seed` is None.

    Example:

    >>> child_seed(0, "latents") != child_seed(1, "latents") != child_seed(0, "dropout")
    True
    """
    if seed is None:
        return None
    sequence = np.random.SeedSequence(seed, spawn_key=(zlib.crc32(name.encode(errors="surrogatepass")),))
    return int(sequence.generate_state(1)[0] >> 1)


def replica_id() -> tf.Tensor:
    """Number of this replica in a distributed run, from 0; 0 otherwise."""
    context = tf.distribute.get_replica_context()
    return tf.cast(0 if context is None else context.replica_id_in_sync_group, tf.int32)


@checked
def replica_seed(generator: keras.random.SeedGenerator) -> tf.Tensor:
    """The next seed of a generator, different on each replica of a distributed run.

    A `SeedGenerator` has the same state on every replica, so its own seed would give all replicas the same
    noise.

    Args:
        generator: The generator, which advances by one.

    Returns:
        (2,), for TensorFlow's stateless random functions.
    """
    seed = tf.convert_to_tensor(generator.next())
    return tf.random.experimental.stateless_fold_in(seed, tf.cast(replica_id(), seed.dtype))


@checked
def example_noise(seed: Any, examples: Any, shape: Any) -> tf.Tensor:
    """Standard normal noise that depends on (seed, number of the example) alone.

    Args:
        seed: Integer.
        examples: Numbers of the examples, integers (n,).
        shape: Shape of the noise of one example.

    Raises:
        ValueError: `seed`, `examples` or `shape` are not integers, or `examples` have another shape.

    Returns:
        float32 (n, *shape): whatever batch an example is in, its noise is the same.

    Example:

    >>> alone = example_noise(7, tf.constant([2]), (3,))
    >>> bool(tf.reduce_all(alone[0] == example_noise(7, tf.range(4), (3,))[2]))
    True
    """

    sizes = shape if isinstance(shape, (tuple, list)) else [None]
    if not all(tf.is_tensor(size) or (isinstance(size, int) and size >= 0) for size in sizes):
        raise ValueError(f"shape must be a tuple of integers, 0 or more. Received: {received(shape)}")
    seed, examples = integers("seed", seed, 0), integers("examples", examples, 1)
    return keyed_normal(tf.stack([tf.fill(tf.shape(examples), seed), examples], axis=1), shape)


def integers(name: str, value: Any, rank: int) -> tf.Tensor:
    """An argument as an int32 tensor with a number of axes.

    Raises:
        ValueError: It is another one.
    """
    try:
        tensor = tf.convert_to_tensor(value)
        fits = tensor.dtype.is_integer and tensor.shape.rank in (None, rank)
    except Exception:  # TensorFlow's own differ by what the value is
        fits = False
    if not fits:
        expected = ("an integer", "integers of shape (n,)")[rank]
        raise ValueError(f"{name} must be {expected}. Received: {received(value)}")
    return tf.cast(tensor, tf.int32)


@keras.saving.register_keras_serializable("keras_gen")
class Sampling(CheckedInputs, keras.layers.Layer):
    """Draws z ~ N(z_mean, exp(z_log_var)) so that gradients reach both [1, section 2.4].

    z = z_mean + exp(z_log_var / 2) * noise, with noise ~ N(0, 1) from a generator that the layer
    owns: it is saved with the model, and replicas of a distributed run draw different noise.

    Args:
        seed: Integer that determines the noise; random by default.

    Raises:
        ValueError: The inputs are not numbers (n, latent_dim), or their shapes differ.

    References:
        1. Kingma & Welling 2013, Auto-Encoding Variational Bayes, arXiv 1312.6114.

    Example:

    >>> z = Sampling(seed=0)(tf.zeros((1000, 2)), tf.fill((1000, 2), -50.0))
    >>> bool(tf.reduce_max(tf.abs(z)) < 1e-9)
    True
    """

    least_axes = most_axes = 2
    axes = "(n, latent_dim)"

    @checked
    def __init__(self, seed: Seed | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    @checked
    def __call__(self, z_mean: Any, z_log_var: Any, noise: Any = None, **kwargs: Any) -> tf.Tensor:
        z_mean = self.numbers("z_mean", z_mean)
        z_log_var = self.numbers("z_log_var", z_log_var)
        noise = None if noise is None else self.numbers("noise", noise)
        for name, other in (("z_log_var", z_log_var), ("noise", noise)):
            if other is not None and not tf.TensorShape(z_mean.shape).is_compatible_with(other.shape):
                raise ValueError(
                    f"{name} must have the shape of z_mean, {tuple(z_mean.shape)}. "
                    f"Received: {received(other)}"
                )
        return super().__call__(z_mean, z_log_var, noise, **kwargs)

    def call(self, z_mean: tf.Tensor, z_log_var: tf.Tensor, noise: tf.Tensor | None = None) -> tf.Tensor:
        """Draws one z for each row.

        Args:
            z_mean: (n, latent_dim).
            z_log_var: (n, latent_dim).
            noise: Standard normal, (n, latent_dim), in place of the layer's own.

        Returns:
            (n, latent_dim).
        """
        if noise is None:
            seed = replica_seed(self.seed_generator)
            noise = tf.random.stateless_normal(tf.shape(z_mean), seed=seed, dtype=z_mean.dtype)
        return z_mean + tf.exp(0.5 * z_log_var) * noise

    def get_config(self) -> dict:
        return {**super().get_config(), "seed": self.seed}
