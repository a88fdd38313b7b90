import math

import numpy as np
import pytest
import tensorflow as tf

from keras_gen import losses


def test_gaussian_kl_equals_a_monte_carlo_estimate():
    generator = np.random.default_rng(0)
    z_mean = np.array([[0.7, -1.2, 0.0]])
    z_log_var = np.array([[-0.5, 0.8, -3.0]])
    z = z_mean + np.exp(z_log_var / 2) * generator.standard_normal((2_000_000, 3))
    log_q = -0.5 * (z_log_var + (z - z_mean) ** 2 / np.exp(z_log_var))
    log_p = -0.5 * z**2
    estimate = (log_q - log_p).mean(axis=0)
    kl = losses.gaussian_kl(tf.constant(z_mean), tf.constant(z_log_var))
    np.testing.assert_allclose(kl[0], estimate, atol=4e-3)


def test_gaussian_kl_is_zero_at_the_prior_only():
    zeros = tf.zeros((2, 5))
    assert float(tf.reduce_max(losses.gaussian_kl(zeros, zeros))) == 0.0
    assert float(tf.reduce_min(losses.gaussian_kl(zeros + 0.1, zeros))) > 0


def test_gaussian_log_prob_integrates_to_one():
    x = np.linspace(-30, 30, 200_001, dtype=np.float64)
    log_prob = losses.gaussian_log_prob(
        tf.constant(x[:, None]),
        tf.constant(1.5, tf.float64),
        tf.constant(math.log(4.0), tf.float64),
    )
    assert np.trapezoid(np.exp(log_prob), x) == pytest.approx(1.0, abs=1e-9)


def test_bernoulli_log_prob_is_that_of_the_probabilities_and_finite_far_out():
    p = np.array([[0.2, 0.9, 0.5]])
    x = np.array([[1.0, 0.0, 0.3]])
    expected = (x * np.log(p) + (1 - x) * np.log(1 - p)).sum()
    logits = np.log(p / (1 - p))
    assert float(losses.bernoulli_log_prob(x, logits)[0]) == pytest.approx(expected, rel=1e-6)
    assert float(losses.bernoulli_log_prob(tf.ones((1, 1)), tf.fill((1, 1), -1e4))[0]) == -1e4


def test_spherical_interpolation_keeps_to_the_sphere_and_its_ends():
    generator = np.random.default_rng(0)
    start, end = generator.standard_normal((2, 6, 16)).astype("float32")
    start /= np.linalg.norm(start, axis=1, keepdims=True)
    end /= np.linalg.norm(end, axis=1, keepdims=True)
    arc = losses.spherical_interpolation(start, end, np.linspace(0, 1, 7)).numpy()
    np.testing.assert_allclose(arc[:, 0], start, atol=1e-6)
    np.testing.assert_allclose(arc[:, -1], end, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(arc, axis=-1), 1.0, atol=1e-5)
    steps = np.arccos(np.clip((arc[:, 1:] * arc[:, :-1]).sum(-1), -1, 1))
    np.testing.assert_allclose(steps, steps[:, :1].repeat(6, axis=1), atol=1e-3)


@pytest.mark.parametrize("end", ([1.0, 0.0], [2.0, 0.0], [-1.0, 0.0], [0.0, 0.0]))
def test_spherical_interpolation_is_finite_where_there_is_no_arc(end):
    arc = losses.spherical_interpolation(tf.constant([[1.0, 0.0]]), tf.constant([end]), [0.0, 0.5, 1.0])
    assert np.isfinite(arc).all()
    np.testing.assert_allclose(arc[0, -1], end, atol=1e-6)


def test_diversity_is_a_ratio_of_mean_distances_to_the_next_image():
    def mean_distance(images):
        return np.linalg.norm((images - np.roll(images, 1, 0)).reshape(len(images), -1), axis=1).mean()

    images = np.random.default_rng(0).random((200, 4, 4, 1), "float32")
    others = images**3
    ratio = float(losses.diversity(tf.constant(others), tf.constant(images)))
    assert ratio == pytest.approx(mean_distance(others) / mean_distance(images))
    assert float(losses.diversity(tf.ones((5, 2, 2, 1)), tf.constant(images[:5]))) == 0
