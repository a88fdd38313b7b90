import math

import keras
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
    assert float(losses.diversity(tf.ones((5, 4, 4, 1)), tf.constant(images[:5]))) == 0


N, N_BY_1, N_BY_2 = tf.zeros(3), tf.zeros((3, 1)), tf.zeros((3, 2))
IMAGES, OTHERS = tf.zeros((3, 4, 4, 1)), tf.zeros((3, 4, 4, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    (
        (
            lambda: losses.gaussian_kl(N, N_BY_1),
            "z_log_var must have the shape of z_mean, (3,). Received: (3, 1)",
        ),
        (
            lambda: losses.gaussian_log_prob(N, N_BY_1, 0),
            "mean must broadcast to the shape of x, (3,). Rec",
        ),
        (lambda: losses.gaussian_log_prob(0.0, 0.0, 0.0), "values must have shape (n, ...). Received: ()"),
        (
            lambda: losses.bernoulli_log_prob(N_BY_2, N_BY_1),
            "logits must have the shape of images, (3, 2).",
        ),
        (lambda: losses.mean_over_batch(N, N_BY_1), "sample_weight must have shape (n,). Received: (3, 1)"),
        (
            lambda: losses.mean_over_batch(N, tf.zeros(1)),
            "sample_weight must be one number for each of val",
        ),
        (
            lambda: losses.hinge(N).discriminator(N_BY_1),
            "target must broadcast to the shape of the losses, ",
        ),
        (
            lambda: losses.spherical_interpolation(N_BY_2, N_BY_1, [0.5]),
            "end must have the shape of start, (",
        ),
        (
            lambda: losses.spherical_interpolation(N_BY_2, N_BY_2, 0.5),
            "fractions must have shape (n,). Recei",
        ),
        (
            lambda: losses.gradient_penalty(losses.sum_over_example, IMAGES, IMAGES, N),
            "fractions must have shape (n, height, width, channels). Received: (3,)",
        ),
        (
            lambda: losses.gradient_penalty(losses.sum_over_example, IMAGES, OTHERS, 0.5),
            "generated_images must have the shape of real_images, (3, 4, 4, 1). Received: (3, 4, 4, 3)",
        ),
        (
            lambda: losses.gradient_penalty(None, IMAGES, IMAGES, 0.5),
            "discriminator must be a function. Rec",
        ),
        (
            lambda: losses.input_gradients(lambda x: N, IMAGES),
            "discriminator must compute logits from the im",
        ),
        (
            lambda: losses.diversity(IMAGES, OTHERS),
            "generated_images must be as large as real_images, (3, 4, ",
        ),
        (lambda: losses.hinge("3"), "logits must be an array of real numbers. Received: '3'"),
        (lambda: losses.hinge([1j]), "logits must be an array of real numbers. Received: [1j]"),
        (
            lambda: losses.hinge(keras.Input((3,))),
            "logits must be an array of real numbers. Received: float",
        ),
        (
            lambda: losses.hinge(),
            "hinge: missing a required argument: 'logits'. Expected: logits. Received: n",
        ),
    ),
)
def test_refuses_what_would_broadcast_or_is_no_number(call, message):
    with pytest.raises((ValueError, TypeError)) as refusal:
        call()
    assert str(refusal.value).startswith(message) and "Received: " in str(refusal.value)


def test_takes_numbers_of_any_format():
    for values in (
        [[0, 1]],
        np.array([[0, 1]], "uint8"),
        np.array([[0.0, 1.0]]),
        tf.constant([[0.0, 1.0]]),
    ):
        assert losses.gaussian_kl(values, tf.zeros((1, 2))).numpy().tolist() == [[0.0, 0.5]]
