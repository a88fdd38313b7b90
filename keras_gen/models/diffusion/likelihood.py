"""The likelihood of 8-bit pixels under a probability flow.

The flow dx_t / dt = f(x_t, t) takes images to noise, and changes the log-density by its divergence [1, 2]:

    log p_s(x_s) = log N(x_1; 0, 1) + integral from s to 1 of div f(x_t, t) dt

Pixels are discrete, so the flow begins at a small time s with noise that stays within half a level of each
pixel: normal noise, truncated [3]. The entropy of that noise is known, and makes a lower bound of the
log-probability of the pixels from the log-density at x_s.

References:
    1. Chen et al. 2018, Neural Ordinary Differential Equations, arXiv 1806.07366.
    2. Grathwohl et al. 2019, FFJORD: Free-form Continuous Dynamics for Scalable Reversible Generative
       Models, arXiv 1810.01367.
    3. Zheng et al. 2023, Improved Techniques for Maximum Likelihood Estimation for Diffusion ODEs,
       arXiv 2305.03935.
"""

import math
from collections.abc import Callable

import tensorflow as tf

from keras_gen.layers.keyed_noise import keyed_uniform
from keras_gen.models.diffusion.schedules import Schedule

HALF_LEVEL = 1.0 / 255.0  # of 8-bit pixels, in [-1, 1]
FIRST_RATIO = 0.6 * HALF_LEVEL  # noise_rate / signal_rate at the start, where noise stays within the level
Slope = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # x_t (n, ...) and time, a scalar -> dx_t / dt (n, ...)


def log_prob(
    slope: Slope,
    schedule: Schedule,
    images: tf.Tensor,
    uniform: tf.Tensor,
    probe: tf.Tensor | None,
    num_steps: int,
) -> tf.Tensor:
    """A lower bound of the log-probability of 8-bit images, nats (n,), unbiased in its noise.

    Args:
        slope: The probability flow.
        schedule: The noise schedule.
        images: In [-1, 1], (n, h, w, c).
        uniform: Noise in [0, 1), of the same shape, for the dequantization.
        probe: Signs, -1 or 1, of the same shape, by which the divergence is estimated [2]; None to compute
            it exactly, which calls the slope once for each number of an image.
        num_steps: Steps of Heun's method.
    """
    path = times(schedule, num_steps)
    x, log_noise = dequantized(images, uniform, *schedule.rates(path[0]))
    x, change = integrate(slope, x, probe, path)
    prior = tf.reduce_sum(-0.5 * tf.square(x) - 0.5 * math.log(2.0 * math.pi), axis=(1, 2, 3))
    return prior + change - log_noise


def dequantized(
    images: tf.Tensor, uniform: tf.Tensor, signal_rate: tf.Tensor, noise_rate: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Images with noise within half a level of each pixel, and the log-density of that noise (n,)."""
    bound = HALF_LEVEL * signal_rate / noise_rate
    inside = tf.math.erf(bound * 2**-0.5)  # how much of a normal distribution is not cut off
    noise = 2**0.5 * tf.math.erfinv(inside * (2.0 * uniform - 1.0))
    log_density = -0.5 * tf.square(noise) - tf.math.log(noise_rate * inside) - 0.5 * math.log(2.0 * math.pi)
    return signal_rate * images + noise_rate * noise, tf.reduce_sum(log_density, axis=(1, 2, 3))


def times(schedule: Schedule, num_steps: int) -> tf.Tensor:
    """Times up to 1, (num_steps + 1,): those of a linear schedule are a geometric sequence."""
    first = FIRST_RATIO / (1.0 + FIRST_RATIO)
    noise_shares = tf.exp(tf.linspace(math.log(first), 0.0, num_steps + 1))[:-1]
    return tf.concat([schedule.time_of(noise_shares / (1.0 - noise_shares)), [1.0]], axis=0)


def integrate(
    slope: Slope, x: tf.Tensor, probe: tf.Tensor | None, times: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """x at the last of `times`, and the integral of the divergence along the way, by Heun's method."""

    def body(i: tf.Tensor, x: tf.Tensor, total: tf.Tensor) -> tuple:
        t, length = times[i], times[i + 1] - times[i]
        first, first_divergence = with_divergence(slope, x, t, probe)
        second, second_divergence = with_divergence(slope, x + length * first, times[i + 1], probe)
        x += 0.5 * length * (first + second)
        return i + 1, x, total + 0.5 * length * (first_divergence + second_divergence)

    num_steps = tf.size(times) - 1
    return tf.while_loop(lambda i, *_: i < num_steps, body, (0, x, tf.zeros(tf.shape(x)[:1])))[1:]


def with_divergence(
    slope: Slope, x: tf.Tensor, t: tf.Tensor, probe: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """The slope at x, and its divergence (n,)."""
    if probe is None:
        return slope(x, t), exact_divergence(slope, x, t)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = slope(x, t)
    product = tape.gradient(value, x, output_gradients=probe)
    return value, tf.reduce_sum(probe * product, axis=(1, 2, 3))


def exact_divergence(slope: Slope, x: tf.Tensor, t: tf.Tensor) -> tf.Tensor:
    """The sum of the derivatives of each of the slope's numbers by the same of x, one at a time, (n,)."""
    size = math.prod(x.shape[1:])

    def body(i: tf.Tensor, total: tf.Tensor) -> tuple:
        probe = tf.zeros_like(x) + tf.reshape(tf.one_hot(i, size), (1, *x.shape[1:]))
        return i + 1, total + with_divergence(slope, x, t, probe)[1]

    return tf.while_loop(lambda i, _: i < size, body, (0, tf.zeros(tf.shape(x)[:1])))[1]


def signs(keys: tf.Tensor, shape: tuple[int, ...], stream: int) -> tf.Tensor:
    """-1 or 1 with equal probability, float32 (n, *shape)."""
    return tf.where(keyed_uniform(keys, shape, stream) < 0.5, -1.0, 1.0)
