import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gen.models import Autoencoder
from keras_gen.models.base.verbs import keys_of


@pytest.fixture
def model() -> Autoencoder:
    model = Autoencoder(latent_dim=3, widths=(4,), hidden_units=8, seed=0)
    model.compile()
    return model


def test_codes_are_followed_to_their_mean_and_covariance(model):
    z = np.random.default_rng(0).multivariate_normal(
        [1.0, -2.0, 0.5], [[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 0.3]], 4000
    )
    for _ in range(1000):
        model._update_prior(tf.constant(z, tf.float32))
    np.testing.assert_allclose(model.code_mean, z.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(model.code_covariance, np.cov(z.T, bias=True), atol=1e-3)


def test_latents_have_the_distribution_of_the_codes(model):
    mean, covariance = np.array([1.0, -2.0, 0.5]), np.diag([2.0, 1.0, 0.0])
    covariance[0, 1] = covariance[1, 0] = 0.7
    model.code_mean.assign(mean)
    model.code_covariance.assign(covariance)
    z = tf.function(model.latents)(tf.constant(keys_of(0, 50_000))).numpy()
    np.testing.assert_allclose(z.mean(axis=0), mean, atol=0.04)
    np.testing.assert_allclose(np.cov(z.T), covariance, atol=0.06)


@pytest.mark.slow
def test_reconstructions_get_close(garments):
    images = garments[0][:64]
    model = Autoencoder(latent_dim=8, widths=(8,), hidden_units=64, seed=0)
    model.compile(keras.optimizers.Adam(5e-3))
    before = np.mean((model.reconstruct(images)[..., 0] - images / 255) ** 2)
    model.fit(images, epochs=100, batch_size=64, verbose=0)
    after = np.mean((model.reconstruct(images)[..., 0] - images / 255) ** 2)
    assert after < before / 3


def test_call_reconstructs_so_that_predict_works(model, garments):
    images = garments[0][:5]
    np.testing.assert_allclose(model.predict(images, verbose=0), model.reconstruct(images), atol=1e-6)


def test_verbs_refuse_what_does_not_fit(model, garments):
    with pytest.raises(
        ValueError, match=r"z must be numbers of shape \(n, 3\). Received: float64 of shape \(2, 4\)"
    ):
        model.decode(np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"floating point in \[0, 1\]"):
        model.encode(garments[0].astype("float32"))
    with pytest.raises(ValueError, match="num_steps must be an integer from 2"):
        model.interpolate(np.zeros((1, 3)), np.zeros((1, 3)), num_steps=1)
    with pytest.raises(ValueError, match="Received: int64"):
        model.evaluate(garments[0].astype("int64"), verbose=0)
