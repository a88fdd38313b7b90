import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gen.models import VAE
from keras_gen.models.autoencoders.vae import ActiveUnits


def linear_gaussian_vae() -> tuple[VAE, np.ndarray, np.ndarray, float]:
    """x = W z + b + noise, for which log p(x) is known, with an encoder that is near the truth."""
    rng = np.random.default_rng(0)
    pixels, d, log_var = 12, 2, -1.0
    weight = rng.normal(0, 0.4, (d, pixels)).astype("float32")
    bias = np.full(pixels, 0.5, "float32")
    images = keras.Input((3, 4, 1))
    flat = keras.layers.Flatten()(images)
    mean, spread = keras.layers.Dense(d), keras.layers.Dense(d)
    encoder = keras.Model(images, [mean(flat), spread(flat)])
    z = keras.Input((d,))
    decoder = keras.Model(z, keras.layers.Reshape((3, 4, 1))(keras.layers.Dense(pixels)(z)))
    model = VAE((3, 4, 1), d, encoder=encoder, decoder=decoder, likelihood="gaussian", seed=0)
    model.pixel_log_var.assign(log_var)
    decoder.layers[1].set_weights([weight, bias])
    variance = np.exp(log_var)
    precision = np.eye(d) + weight @ weight.T / variance
    gain = np.linalg.inv(precision) @ weight / variance  # posterior mean = gain (x - b)
    mean.set_weights([gain.T, -gain @ bias])
    # A quarter more variance than the best diagonal: a bound that is not tight at K = 1.
    log_spread = np.log(1.25 / np.diag(precision))
    spread.set_weights([np.zeros((pixels, d)), log_spread])
    return model, weight, bias, variance


def exact_log_prob(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, variance: float):
    covariance = weight.T @ weight + variance * np.eye(len(bias))
    centred = x.reshape(len(x), -1) - bias
    squares = np.einsum("ni,ij,nj->n", centred, np.linalg.inv(covariance), centred)
    return -0.5 * (squares + np.linalg.slogdet(2 * np.pi * covariance)[1])


def test_log_prob_tightens_to_the_exact_value_of_a_linear_gaussian_model():
    model, weight, bias, variance = linear_gaussian_vae()
    x = np.random.default_rng(1).uniform(0, 1, (40, 3, 4, 1)).astype("float32")
    exact = exact_log_prob(x, weight, bias, variance)
    gaps = [
        np.mean([exact - model.log_prob(x, num_samples=k, seed=seed) for seed in range(5)])
        for k in (1, 8, 2000)
    ]
    assert gaps[0] > gaps[1] > 0
    np.testing.assert_allclose(model.log_prob(x, num_samples=2000), exact, atol=0.05)
    assert abs(gaps[2]) < 0.01


def test_log_prob_of_one_sample_is_the_negative_loss_on_average(garments):
    images = garments[0][:256]
    model = VAE(latent_dim=3, widths=(4, 8), hidden_units=12, seed=0)
    model.compile()
    loss = model.evaluate(images, verbose=0, return_dict=True)["loss"]
    bounds = [model.log_prob(images, num_samples=1, seed=seed).mean() for seed in range(4)]
    assert -np.mean(bounds) == pytest.approx(loss, rel=2e-3)


def test_loss_is_reconstruction_plus_beta_kl(garments):
    model = VAE(latent_dim=3, widths=(4, 8), hidden_units=12, beta=4.0, free_bits=2.0, seed=0)
    model.compile()
    logs = model.fit(*garments, verbose=0).history
    expected = logs["reconstruction_loss"][0] + 4.0 * logs["kl_loss"][0]
    assert logs["loss"][0] == pytest.approx(expected, rel=1e-5)


def test_kl_weight_warms_up_along_a_line(garments):
    model = VAE(latent_dim=3, widths=(4,), hidden_units=8, beta=2.0, kl_warmup_steps=8, seed=0)
    model.compile()
    weights = [float(model.kl_weight())]
    for _ in range(3):
        model.fit(garments[0][:128], batch_size=32, verbose=0)  # 4 steps
        weights.append(float(model.kl_weight()))
    assert weights == [0.0, 1.0, 2.0, 2.0]


@pytest.mark.slow
def test_free_bits_keep_dimensions_from_collapsing(garments):
    """With beta = 50 every dimension collapses, unless its first nats are free."""
    kl = {}
    for free_bits in (0.0, 0.5):
        model = VAE(latent_dim=4, widths=(4,), hidden_units=16, beta=50.0, free_bits=free_bits, seed=0)
        model.compile(keras.optimizers.Adam(3e-3))
        # Keras shuffles arrays by a seed that is not the model's.
        history = model.fit(garments[0], epochs=25, shuffle=False, verbose=0).history
        kl[free_bits] = history["kl_loss"][-1]
    assert kl[0.0] < 0.6
    assert kl[0.5] > 1.2


def test_active_units_counts_dimensions_that_vary():
    metric = ActiveUnits(3)
    z = np.random.default_rng(0).normal(5.0, [0.05, 0.5, 0.0], (400, 3)).astype("float32")
    for batch in np.split(z, 4):
        metric.update_state(batch)
    expected = (z.var(axis=0) > 0.01).sum()
    assert float(metric.result()) == expected == 1


def test_own_networks_are_checked_and_saved(tmp_path, garments):
    images = keras.Input((28, 28, 1))
    flat = keras.layers.Flatten()(images)
    encoder = keras.Model(images, [keras.layers.Dense(2)(flat), keras.layers.Dense(2)(flat)])
    z = keras.Input((2,))
    dropped = keras.layers.Dropout(0.5)(keras.layers.Dense(784)(z))
    decoder = keras.Model(z, keras.layers.Reshape((28, 28, 1))(dropped))

    def make() -> VAE:
        model = VAE(
            latent_dim=2,
            encoder=keras.models.clone_model(encoder),
            decoder=keras.models.clone_model(decoder),
            seed=0,
        )
        model.compile(steps_per_execution=1)
        return model

    model = make()
    model.fit(garments[0][:64], verbose=0)
    model.save(tmp_path / "own.keras")
    again = keras.saving.load_model(tmp_path / "own.keras")
    # Dropout's generator goes on where it was, too.
    for each in (model, again):
        each.fit(garments[0][:64], verbose=0, shuffle=False)
    for one, other in zip(model.variables, again.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match=r"encoder must have outputs of shapes .*Received: \[\(2,\)"):
        VAE(latent_dim=3, encoder=encoder)
    with pytest.raises(ValueError, match="decoder must have inputs"):
        VAE(latent_dim=2, num_classes=10, decoder=decoder)
    with pytest.raises(ValueError, match="must be a keras.Model"):
        VAE(encoder=lambda x: x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        ({"image_shape": (28, 28)}, "image_shape must be"),
        ({"latent_dim": 0}, "latent_dim must be an integer from 1 to .*. Received: 0"),
        ({"beta": -1.0}, "beta must be a finite number, 0 or more"),
        (
            {"likelihood": "laplace"},
            "one of 'bernoulli', 'gaussian', 'discretized_logistic'. Received: 'laplace'",
        ),
        ({"widths": ()}, "widths must be 1 to 64 integers"),
        ({"num_classes": 1}, "num_classes must be an integer from 2"),
        ({"num_classes": 2, "class_names": ("one",)}, "class_names must be num_classes=2 names"),
    ),
)
def test_refuses_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        VAE(**arguments)


@pytest.mark.slow
def test_a_gaussian_likelihood_learns_its_variance(garments):
    x = garments[0]
    model = VAE(latent_dim=4, widths=(4,), hidden_units=16, likelihood="gaussian", seed=0)
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(x, epochs=60, batch_size=64, verbose=0)
    error = np.mean((model.reconstruct(x)[..., 0] - x / 255) ** 2)
    assert np.exp(float(model.pixel_log_var)) == pytest.approx(error, rel=0.2)


def test_interpolation_starts_and_ends_at_the_given_codes():
    model = VAE(latent_dim=3, widths=(4,), hidden_units=8, num_classes=10, seed=0)
    z = np.random.default_rng(0).normal(size=(4, 3))
    images = model.interpolate(z[:2], z[2:], [1, 2], num_steps=5)
    assert images.shape == (2, 5, 28, 28, 1)
    np.testing.assert_allclose(images[:, 0], model.decode(z[:2], [1, 2]), atol=1e-6)
    np.testing.assert_allclose(images[:, -1], model.decode(z[2:], [1, 2]), atol=1e-6)


def test_weights_of_a_replicated_run_are_those_of_one_process(garments, two_replicas):
    """With the noise switched off and one global batch; the optimizer's sum over replicas included."""

    class Silent(VAE):
        def __init__(self, **arguments):
            super().__init__(**arguments)
            self.sampling.call = lambda z_mean, z_log_var, noise=None: z_mean

    def trained(strategy: tf.distribute.Strategy) -> list[np.ndarray]:
        with strategy.scope():
            model = Silent(latent_dim=3, widths=(4,), hidden_units=8, seed=1)
            model.compile(keras.optimizers.SGD(1e-4))
        batches = tf.data.Dataset.from_tensor_slices(garments[0]).batch(64)
        model.fit(batches, epochs=2, verbose=0)
        return [weight.numpy() for weight in model.weights]

    one = trained(tf.distribute.get_strategy())
    two = trained(two_replicas)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, atol=3e-5)


def test_a_discretized_likelihood_is_learned_and_far_below_8_bits(garments):
    """Probabilities of 8-bit pixels: uniform ones take 8 bits, a trained model's a good deal less."""
    x = garments[0]
    model = VAE(latent_dim=4, widths=(8,), hidden_units=32, likelihood="discretized_logistic", seed=0)
    model.compile(keras.optimizers.Adam(3e-3))

    def bits() -> float:
        return -model.log_prob(x[:100], num_samples=4).mean() / 784 / np.log(2)

    before = bits()
    model.fit(x, epochs=20, batch_size=32, verbose=0)
    assert bits() < min(before, 6.0)
    assert model.portable_network()([np.zeros((2, 4), "float32")]).shape == (2, 28, 28, 1)
