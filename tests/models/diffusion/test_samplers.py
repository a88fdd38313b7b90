"""Samplers with a perfect denoiser: that of a normal distribution, whose paths are known."""

import numpy as np
import pytest
import tensorflow as tf

from keras_gen.models.diffusion.samplers import SAMPLERS, Path
from keras_gen.models.diffusion.schedules import SCHEDULES

MEAN, STD = np.array([0.5, -1.0, 0.0]), np.array([0.3, 1.0, 2.0])


def denoiser_of(schedule):
    """E[image | x_t] and E[noise | x_t] for images of N(MEAN, STD**2)."""

    def denoise(x, t):
        signal_rate, noise_rate = schedule.rates(t)
        gain = signal_rate * STD**2 / (signal_rate**2 * STD**2 + noise_rate**2)
        image = MEAN + gain * (x - signal_rate * MEAN)
        return image, (x - signal_rate * image) / noise_rate

    return denoise


def sample(name, schedule, x, times):
    """`times` are those of all examples (steps + 1,), or of each (steps + 1, n)."""
    times = tf.constant(np.reshape(times, (len(times), -1, 1)))
    last = len(times) - 1
    path = Path(
        schedule,
        denoiser_of(schedule),
        lambda i: times[tf.minimum(i, last)],
        tf.constant(last),
        lambda i: tf.random.stateless_normal(tf.shape(x), tf.stack([i, 0]), dtype=x.dtype),
    )
    return SAMPLERS[name](path, x).numpy()


def exact(schedule, x, start, end):
    """Where the probability flow takes x: it keeps its distance from the mean in standard deviations."""
    (s0, n0), (s1, n1) = ([float(rate) for rate in schedule.rates(tf.constant(t))] for t in (start, end))
    distance = (x - s0 * MEAN) / np.sqrt(s0**2 * STD**2 + n0**2)
    return s1 * MEAN + distance * np.sqrt(s1**2 * STD**2 + n1**2)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize(("name", "order"), (("euler", 1), ("heun", 2), ("dpm_solver_2m", 2)))
def test_the_error_falls_with_the_order_that_a_sampler_claims(schedule, name, order):
    x = tf.constant(np.random.default_rng(0).normal(size=(64, 3)))
    # Within the interior: at the very ends a step is one of denoising, whatever the order.
    start, end = 0.9, 0.2
    wanted = exact(schedule, x.numpy(), start, end)

    def error(num_steps: int) -> float:
        found = sample(name, schedule, x, np.linspace(start, end, num_steps + 1))
        return float(np.abs(found - wanted).max())

    errors = [error(n) for n in (32, 64, 128)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert errors[-1] < (0.1 if order == 1 else 0.005)
    assert orders[-1] == pytest.approx(order, abs=0.2), orders


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize(
    "schedule",
    [
        SCHEDULES["linear"],
        *(pytest.param(SCHEDULES[name], marks=pytest.mark.slow) for name in ("cosine", "edm")),
    ],
)
def test_noise_becomes_the_distribution(schedule, name):
    rng = np.random.default_rng(1)
    x = tf.constant(rng.normal(size=(10_000, 3)))
    found = sample(name, schedule, x, np.linspace(1.0, 0.0, 401))
    np.testing.assert_allclose(found.mean(axis=0), MEAN, atol=0.06)
    np.testing.assert_allclose(np.cov(found.T), np.diag(STD**2), rtol=0.06, atol=0.06)


@pytest.mark.parametrize("name", SAMPLERS)
def test_one_step_gives_the_mean(name):
    """All that a denoiser knows of an image that it cannot see."""
    x = tf.constant(np.random.default_rng(0).normal(size=(4, 3)))
    np.testing.assert_allclose(sample(name, SCHEDULES["linear"], x, [1.0, 0.0]), np.tile(MEAN, (4, 1)))


@pytest.mark.parametrize("name", SAMPLERS)
def test_each_example_has_a_number_of_steps_of_its_own(name):
    schedule = SCHEDULES["linear"]
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 3)))
    few, many = np.linspace(1, 0, 4), np.linspace(1, 0, 9)
    together = sample(name, schedule, x, np.stack([np.pad(few, (0, 5)), many], axis=1))
    if name == "sde":  # whose noise is that of the place in the batch
        np.testing.assert_allclose(together[0], sample(name, schedule, x, few)[0], rtol=1e-12)
        return
    np.testing.assert_allclose(together[:1], sample(name, schedule, x[:1], few), rtol=1e-12)
    np.testing.assert_allclose(together[1:], sample(name, schedule, x[1:], many), rtol=1e-12)
