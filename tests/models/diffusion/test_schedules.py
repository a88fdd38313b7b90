"""Schedules meet their ends, and velocities are the slopes of the paths."""

import numpy as np
import pytest
import tensorflow as tf

from keras_gen.models.diffusion.schedules import SCHEDULES, add_noise, image_and_noise, velocity_of

every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
rng = np.random.default_rng(0)
images, noise = (tf.constant(rng.normal(size=(6, 2)), tf.float64) for _ in range(2))
times = tf.constant(np.linspace(0.05, 0.95, 6)[:, np.newaxis])


@every_schedule
def test_time_runs_from_the_image_to_noise(schedule):
    t = tf.constant([0.0, 0.3, 0.6, 1.0], tf.float64)
    signal_rate, noise_rate = (rate.numpy() for rate in schedule.rates(t))
    assert signal_rate[0] == pytest.approx(1, abs=1e-5) and noise_rate[0] == pytest.approx(0, abs=0.0021)
    assert signal_rate[-1] == pytest.approx(0, abs=0.0126) and noise_rate[-1] == pytest.approx(1, abs=1e-4)
    ratio = noise_rate[:3] / signal_rate[:3]
    assert (np.diff(ratio) > 0).all()
    np.testing.assert_allclose(schedule.time_of(ratio), t[:3], atol=1e-7)


@every_schedule
def test_velocity_is_the_slope_of_the_path(schedule):
    step = 1e-6
    later, earlier = (add_noise(schedule, images, noise, times + sign * step) for sign in (1, -1))
    velocity = velocity_of(schedule, images, noise, times)
    np.testing.assert_allclose(
        schedule.speed(times) * velocity, (later - earlier) / (2 * step), rtol=1e-5, atol=1e-7
    )


@every_schedule
def test_image_and_noise_follow_from_the_velocity(schedule):
    x = add_noise(schedule, images, noise, times)
    velocity = velocity_of(schedule, images, noise, times)
    found = image_and_noise(schedule, x, velocity, times)
    np.testing.assert_allclose(found[0], images, atol=1e-12)
    np.testing.assert_allclose(found[1], noise, atol=1e-12)
