"""The diffusion model's own invariants."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_gen as kg
from keras_gen.layers.keyed_noise import keyed_uniform
from keras_gen.models import DiffusionModel
from keras_gen.models.base.verbs import keys_of
from keras_gen.models.diffusion import likelihood
from keras_gen.models.diffusion.schedules import SCHEDULES
from keras_gen.optimizers import Muon

SHAPE = (4, 4, 1)
MEAN, STD = -0.2, 0.3  # of every pixel, in [-1, 1]
SMALL = {"image_shape": (8, 8, 1), "widths": (4, 8), "num_blocks": 1, "seed": 0}


def perfect(schedule: str, prediction: str, num_classes: int | None = None) -> DiffusionModel:
    """A model whose network is that of pixels from N(MEAN, STD**2); class k has a mean of MEAN + 0.2 k."""
    x, t = keras.Input(SHAPE), keras.Input((1,))
    labels = [] if num_classes is None else [keras.Input((num_classes,))]
    mean = MEAN
    if labels:
        mean += ops.reshape(0.2 * ops.sum(labels[0] * np.arange(num_classes), axis=1), (-1, 1, 1, 1))
    signal_rate, noise_rate = SCHEDULES[schedule].rates(ops.reshape(t, (-1, 1, 1, 1)))
    gain = signal_rate * STD**2 / (signal_rate**2 * STD**2 + noise_rate**2)
    image = mean + gain * (x - signal_rate * mean)
    noise = noise_rate * (x - signal_rate * mean) / (signal_rate**2 * STD**2 + noise_rate**2)
    image_coefficient, noise_coefficient = SCHEDULES[schedule].velocity_coefficients(
        ops.reshape(t, (-1, 1, 1, 1))
    )
    outputs = {
        "image": image,
        "noise": noise,
        "velocity": image_coefficient * image + noise_coefficient * noise,
    }
    network = keras.Model([x, t, *labels], outputs[prediction])
    options = {"class_dropout": 0.1} if labels else {}
    return DiffusionModel(
        SHAPE, num_classes, schedule, prediction, ema=0.0, network=network, guide_steps=0, seed=0, **options
    )


every_kind = pytest.mark.parametrize(
    ("schedule", "prediction"),
    (
        ("linear", "velocity"),
        ("cosine", "noise"),
        pytest.param("linear", "image", marks=pytest.mark.slow),
        pytest.param("cosine", "velocity", marks=pytest.mark.slow),
        pytest.param("edm", "velocity", marks=pytest.mark.slow),
    ),
)


@every_kind
def test_a_perfect_network_draws_the_distribution(schedule, prediction):
    model = perfect(schedule, prediction)
    pixels = 2 * model.generate(800, num_steps=60, seed=0) - 1
    assert pixels.mean() == pytest.approx(MEAN, abs=0.01)
    assert pixels.std() == pytest.approx(STD, rel=0.03)


@every_kind
def test_encoding_is_undone_by_decoding(schedule, prediction):
    model = perfect(schedule, prediction)
    images = np.clip(0.5 * np.random.default_rng(0).normal(MEAN, STD, (200, *SHAPE)) + 0.5, 0, 1)
    z = model.encode(images, num_steps=100)
    assert z.mean() == pytest.approx(0, abs=0.05) and z.std() == pytest.approx(1, rel=0.03)
    np.testing.assert_allclose(model.decode(z, num_steps=100), images, atol=0.01)


@every_kind
def test_the_likelihood_is_that_of_the_distribution(schedule, prediction):
    model = perfect(schedule, prediction)
    if prediction == "image":
        with pytest.raises(AttributeError, match="This DiffusionModel has no log_prob: a predicted image"):
            model.log_prob(np.zeros((1, *SHAPE)))
        return
    values = np.random.default_rng(0).normal(MEAN, STD, (60, *SHAPE))
    levels = np.clip(np.round(255 * (0.5 * values + 0.5)), 0, 255).astype("uint8")
    found = model.log_prob(levels, num_steps=128)
    # The density where the flow begins is known, and so is that of the noise.
    rates = model.schedule.rates(likelihood.times(model.schedule, 128)[0])
    images = tf.constant(2 * (levels / np.float32(255)) - 1)
    uniform = keyed_uniform(keys_of(0, 60), SHAPE)
    x, log_noise = likelihood.dequantized(images, uniform, *rates)
    variance = rates[0] ** 2 * STD**2 + rates[1] ** 2
    density = -0.5 * np.log(2 * np.pi * variance) - 0.5 * (x - rates[0] * MEAN) ** 2 / variance
    np.testing.assert_allclose(found, tf.reduce_sum(density, axis=(1, 2, 3)) - log_noise, atol=0.1)
    # A lower bound of the probability of the levels, which is the normal density's integral over each.
    below, above = (
        0.5 * (1 + tf.math.erf(((2.0 * levels + sign) / 255 - 1 - MEAN) / STD / 2**0.5)).numpy()
        for sign in (-1, 1)
    )
    gap = np.log(above - below).sum(axis=(1, 2, 3)).mean() - found.mean()
    assert 0 < gap < 0.17 * 16  # nats, of some 70
    np.testing.assert_allclose(
        model.log_prob(levels[:2], num_steps=128, divergence="exact"), found[:2], atol=0.01
    )


@every_kind
def test_a_known_noise_is_removed_as_well_as_it_can_be(schedule, prediction):
    """The mean of a normal distribution's posterior, in closed form."""
    model = perfect(schedule, prediction)
    mean, variance = 0.5 * MEAN + 0.5, (0.5 * STD) ** 2  # of pixels in [0, 1]
    for noise_rate in (0.004, 0.02, 0.2, 9.49):
        std = np.sqrt(variance + noise_rate**2)
        noisy = np.random.default_rng(0).normal(mean, std, (50, *SHAPE)).astype("float32")
        noisy = noisy.clip(-9.0 * noise_rate, 1.0 + 9.0 * noise_rate)
        wanted = np.clip(mean + variance / std**2 * (noisy - mean), 0, 1)
        found = model.denoise(noisy, noise_rate=noise_rate)
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_noisy_images_may_be_uint8_but_not_in_0_to_255():
    model = perfect("linear", "velocity")
    noisy = np.random.default_rng(0).integers(0, 256, (3, *SHAPE)).astype("uint8")
    found = model.denoise(noisy, noise_rate=0.1)
    np.testing.assert_allclose(found, model.denoise(noisy / 255.0, noise_rate=0.1), atol=1e-6)
    np.testing.assert_array_equal(found, model.denoise(noisy[..., 0], noise_rate=0.1))
    with pytest.raises(
        ValueError, match="plus noise of noise_rate. Received: from 0 to 255, and noise_rate=0.1. Pixels"
    ):
        model.denoise(np.array([0.0, 255.0] * 8).reshape(1, *SHAPE), noise_rate=0.1)
    with pytest.raises(ValueError, match="must be uint8 in .0, 255. or floating point .* Received: int64"):
        model.denoise(noisy.astype("int64"), noise_rate=0.1)


def test_images_are_filled_in_with_random_classes_where_no_labels_are_given():
    model = perfect("linear", "velocity", num_classes=3)
    images, mask = np.zeros((300, *SHAPE)), np.ones(SHAPE[:2])
    filled = 2 * model.inpaint(images, mask, guidance=1.0, num_steps=10, seed=0) - 1
    assert filled.mean() == pytest.approx(MEAN + 0.2, abs=0.02)
    with pytest.raises(ValueError, match="Expected 300 labels"):
        model.inpaint(images, mask, labels=[1])


def test_the_latent_dimension_is_not_an_argument():
    with pytest.raises(ValueError, match="takes no latent_dim: its latent variables are noise"):
        DiffusionModel(**SMALL, latent_dim=4)
    with pytest.raises(TypeError, match="DiffusionModel.generate: .*num_step"):
        DiffusionModel(**SMALL).generate(1, num_step=3)


def test_inpainting_keeps_what_is_known_and_draws_the_rest():
    model = perfect("linear", "velocity")
    images = np.random.default_rng(0).integers(0, 256, (300, *SHAPE)).astype("uint8")
    mask = np.zeros(SHAPE[:2], bool)
    mask[1:3, 1:] = True
    filled = model.inpaint(images, mask, num_steps=40, seed=0)
    np.testing.assert_allclose(filled[:, ~mask], images[:, ~mask] / 255, atol=1e-6)
    drawn = 2 * filled[:, mask] - 1
    assert drawn.mean() == pytest.approx(MEAN, abs=0.02) and drawn.std() == pytest.approx(STD, rel=0.05)
    masks = np.repeat(mask[np.newaxis], 300, axis=0)
    np.testing.assert_array_equal(model.inpaint(images, masks, num_steps=40, seed=0), filled)
    np.testing.assert_array_equal(
        model.inpaint(images, masks[..., np.newaxis], num_steps=40, seed=0), filled
    )
    with pytest.raises(ValueError, match="Received: int64 of shape .*, from 0 to 255"):
        model.inpaint(images, 255 * mask)
    for bad in (mask[1:], masks[1:], 0.5 * mask, "mask"):
        with pytest.raises(ValueError, match="mask must be"):
            model.inpaint(images, bad)


def test_too_few_steps_make_no_likelihood():
    with pytest.raises(ValueError, match="num_steps must be an integer from 32 to 1000"):
        DiffusionModel(**SMALL).log_prob(np.zeros((1, 8, 8)), num_steps=8)


def test_guidance_of_one_is_the_conditional_model():
    model = perfect("linear", "velocity", num_classes=3)
    means = [
        2 * model.generate(300, labels=[2], guidance=guidance, num_steps=30, seed=0).mean() - 1
        for guidance in (0.0, 1.0, 2.0)
    ]
    # A straight line: hidden labels are those of class 0.
    np.testing.assert_allclose(means, [MEAN, MEAN + 0.4, MEAN + 0.8], atol=0.04)
    mixed = model.velocity(*velocity_inputs(), guidance=tf.constant([1.0, 2.0]))
    alone = model.velocity(*velocity_inputs())
    np.testing.assert_array_equal(mixed[0], alone[0])
    assert np.abs(mixed[1] - alone[1]).max() > 0.1


def velocity_inputs():
    x = tf.random.stateless_normal((2, *SHAPE), (0, 0))
    return x, tf.fill((2, 1, 1, 1), 0.5), tf.one_hot([2, 2], 3)


def test_guidance_moves_away_from_a_smaller_network_that_is_trained_for_a_few_steps(garments):
    images = garments[0][:96, 2:26:3, 2:26:3]
    model = DiffusionModel((8, 8, 1), widths=(32, 64), num_blocks=1, guide_steps=6, seed=0)
    assert 0.2 < model.guide_network.count_params() / model.network.count_params() < 0.6
    model.compile()
    initial = model.guide_network.get_weights()
    model.fit(images[:64], batch_size=32, epochs=1, verbose=0)  # 2 steps
    early = model.guide_network.get_weights()
    model.compile()  # whose optimizer begins anew, but not the guide's
    model.fit(images, batch_size=32, epochs=2, verbose=0)  # 8 steps
    guide = model.guide_network.get_weights()
    for before, after in ((initial, early), (early, guide)):
        assert max(np.abs(a - b).max() for a, b in zip(before, after, strict=True)) > 1e-4
    model.fit(images, batch_size=32, epochs=2, verbose=0)
    for kept, before in zip(model.guide_network.get_weights(), guide, strict=True):
        np.testing.assert_array_equal(kept, before)
    assert model.guide_optimizer.iterations == 6

    t = tf.constant([0.2, 0.5, 0.9])[:, None, None, None]
    x = tf.random.stateless_normal((3, 8, 8, 1), (0, 0))
    good, guided = model.velocity(x, t), model.velocity(x, t, guidance=tf.fill((3,), 3.0))
    bad = model.guide_network([x, t[:, :, 0, 0]])
    np.testing.assert_allclose(guided[:2], (bad + 3 * (good - bad))[:2], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(guided[2], good[2])  # not in the first steps


@pytest.mark.slow
def test_the_guide_is_trained_as_a_model_of_its_own_would_be(garments):
    """The same network, optimizer, noise and times, without labels."""
    images, labels = garments[0][:32, 2:26:3, 2:26:3], np.arange(32) % 3
    options = {"image_shape": (8, 8, 1), "num_blocks": 1, "seed": 0}
    model = DiffusionModel(num_classes=3, widths=(32, 64), guide_steps=3, **options)
    model.compile(keras.optimizers.SGD(0.0))
    alone = DiffusionModel(widths=(16, 32), guide_steps=0, **options)  # wide enough for Muon
    alone.network.set_weights(model.guide_network.get_weights())
    decay = keras.optimizers.schedules.CosineDecay(0.02, 3)
    alone.compile(Muon(decay, global_clipnorm=1.0))
    model.fit(images, labels, batch_size=32, shuffle=False, epochs=3, verbose=0)
    alone.fit(images, batch_size=32, shuffle=False, epochs=3, verbose=0)
    for found, wanted in zip(model.guide_network.weights, alone.network.weights, strict=True):
        np.testing.assert_allclose(found, wanted, atol=2e-3)  # updates of 0.03, some in bfloat16


@pytest.mark.slow
def test_a_preset_goes_on_with_the_guide_where_its_steps_end(garments):
    images = garments[0][:96, 2:26:3, 2:26:3]
    model = DiffusionModel((8, 8, 1), widths=(32, 64), num_blocks=1, guide_steps=6, seed=0)
    model.compile()
    model.fit(images, batch_size=32, verbose=0)  # 3 steps
    copy = model.preset_copy()
    copy.compile()
    copy.fit(images, batch_size=32, verbose=0)  # 6 steps
    guide = copy.guide_network.get_weights()
    assert np.abs(guide[0] - model.guide_network.get_weights()[0]).max() > 0
    copy.fit(images, batch_size=32, epochs=4, verbose=0)
    for kept, before in zip(copy.guide_network.get_weights(), guide, strict=True):
        np.testing.assert_array_equal(kept, before)


def test_a_guide_whose_layers_were_frozen_is_compiled_anew(garments):
    model = DiffusionModel(**SMALL)
    for trainable in (False, True):
        model.trainable = trainable
        model.compile()
    before = model.guide_network.get_weights()[0]
    model.fit(garments[0][:64, 2:26:3, 2:26:3], verbose=0)
    assert np.abs(model.guide_network.get_weights()[0] - before).max() > 0


def test_what_guidance_moves_away_from_without_a_guide():
    model = DiffusionModel(**SMALL, num_classes=3, guide_steps=0)
    assert "guidance" not in model.generate.options
    model = DiffusionModel(**SMALL, num_classes=3, class_dropout=0.1, guide_steps=0)
    random = np.random.default_rng(0)
    model.ema_network.set_weights([random.normal(0, 0.2, w.shape) for w in model.ema_network.get_weights()])
    x, t = tf.random.stateless_normal((2, 8, 8, 1), (0, 0)), tf.fill((2, 1, 1, 1), 0.5)
    labels = tf.one_hot([0, 1], 3)
    good, other = (model.velocity(x, t, y) for y in (labels, tf.zeros_like(labels)))
    assert np.abs(good - other).max() > 1e-3
    guided = model.velocity(x, t, labels, tf.fill((2,), 2.0))
    np.testing.assert_allclose(guided, 2 * good - other, rtol=1e-4, atol=1e-4)


def test_a_gradient_that_overflows_float16_is_left_out_of_the_norm(garments):
    model = DiffusionModel(**SMALL, dtype="mixed_float16")
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-3), initial_scale=2.0**40))
    history = model.fit(garments[0][:128, 2:26:3, 2:26:3], batch_size=8, verbose=0).history
    assert np.isfinite(history["gradient_norm"]).all()


def test_noise_beyond_the_schedule_is_refused():
    model = DiffusionModel(**SMALL, schedule="edm")
    for noise_rate in (0.0005, 50.0):
        with pytest.raises(
            ValueError, match="noise_rate must be from 0.001 to 40 for this model's schedule"
        ):
            model.denoise(np.zeros((1, 8, 8, 1)), noise_rate=noise_rate)
    with pytest.raises(
        ValueError, match="noise_rate must be from 0 to 9.5 for .* and prediction. Received: 20"
    ):
        perfect("linear", "noise").denoise(np.zeros((1, *SHAPE)), noise_rate=20.0)


def test_a_saved_model_refuses_the_same_noise():
    model = DiffusionModel(**SMALL, schedule="edm", guide_steps=0)
    serve = tf.function(model.signatures()["denoise"][0])
    images = np.full((2, 8, 8, 1), 0.5, "float32")
    found = serve(tf.constant(images), tf.fill((2,), 0.1))["images"]
    np.testing.assert_allclose(found, model.denoise(images, noise_rate=0.1), atol=1e-6)
    for noise_rate, pixels, message in (
        (50.0, 0.0, "noise_rate must be from 0.001 to 40 for this model"),
        (1e-4, 0.0, "noise_rate must be from 0.001 to 40 for this model"),
        (0.1, 255.0, r"Images must be in \[0, 1\], plus noise of noise_rate"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            serve(tf.fill((2, 8, 8, 1), pixels), tf.constant([0.1, noise_rate]))


def test_damaged_weights_are_named_at_each_step_of_generation():
    model = DiffusionModel(**SMALL)
    model.ema_network.set_weights([np.full_like(w, np.nan) for w in model.ema_network.get_weights()])
    with pytest.raises(ValueError, match="computes NaN or infinity.* Received: NaN"):
        model.generation_steps(2, num_steps=2)


def test_labels_are_refused_without_classes():
    model = DiffusionModel(**SMALL)
    with pytest.raises(ValueError, match="labels are for models with num_classes. Received: predict"):
        model.predict([np.zeros((2, 8, 8, 1), "float32"), np.zeros(2, int)], verbose=0)


def test_guidance_is_refused_without_a_guide():
    model = DiffusionModel(**SMALL, guide_steps=0)
    with pytest.raises(ValueError, match="guidance has no effect on this DiffusionModel: leave it out"):
        model.generation_steps(1, guidance=3.0)
    with pytest.raises(ValueError, match="guidance has no effect on this DiffusionModel: leave it out"):
        model.generate(1, guidance=3.0)
    with pytest.raises(ValueError, match="leave it out. Received: guidance=1.5"):
        model.generate(1, guidance=1.5)
    images = model.generate(1, num_steps=2, seed=0)
    np.testing.assert_array_equal(model.generate(1, num_steps=2, guidance=1.0, seed=0), images)  # none
    steps = model.generation_steps(1, num_steps=2, guidance=1.0, seed=0)
    np.testing.assert_allclose(steps[:, -1], images, atol=1e-6)
    assert "guidance" not in model.generate.options
    assert set(model.signatures()["serving_default"][1]) == {"seeds", "num_steps"}


def test_the_number_of_steps_is_an_input():
    """One graph for all, and in a SavedModel each example has its own."""
    model = DiffusionModel(**SMALL)
    serve, specs = model.signatures()["serving_default"]
    assert set(specs) == {"seeds", "num_steps", "guidance"}
    images = tf.function(serve)(tf.constant([3, 4]), tf.constant([2, 7]), tf.constant([1.0, 1.0]))["images"]
    for i, num_steps in enumerate((2, 7)):
        alone = model.generate(1, num_steps=num_steps, guidance=1.0, seed=3 + i)
        np.testing.assert_allclose(images[i], alone[0], atol=1e-5)
    assert len(model.compiled_verbs) == 1


def test_a_network_that_predicts_nothing_is_told_from_one_that_learns(garments):
    images = garments[0][:256, 2:26:3, 2:26:3]
    model = DiffusionModel(**SMALL)
    model.compile(keras.optimizers.Adam(0.01))
    untrained = model.evaluate(images, verbose=0, return_dict=True)
    assert untrained["relative_loss"] == pytest.approx(1.0, abs=1e-6)  # its last layer begins with zeros
    model.fit(images, epochs=30, verbose=0)
    assert model.evaluate(images, verbose=0, return_dict=True)["relative_loss"] < 0.6


def test_images_of_one_grey_have_a_finite_relative_loss():
    """Predicting 0 makes no error there."""
    model = DiffusionModel(**SMALL, prediction="image")
    model.compile()
    logs = model.evaluate(np.full((4, 8, 8), 0.5, "float32"), verbose=0, return_dict=True)
    assert logs["loss"] == 0 and logs["relative_loss"] == 0


def test_times_have_the_distribution_that_was_asked_for():
    normal = tf.random.stateless_normal((20_000, 1, 1, 2), (0, 1))
    t = DiffusionModel(**SMALL).times_of(normal).numpy()
    log_ratio = np.log(t / (1 - t))
    lowest = np.log(likelihood.FIRST_RATIO)
    for value in (-6.0, -3.0, -1.0, 0.0, 1.0, 3.0):
        normal_part = 0.5 * (1 + math.erf(value / 2**0.5))
        uniform_part = np.clip((value - lowest) / -lowest, 0, 1)
        wanted = 0.9 * normal_part + 0.1 * uniform_part
        assert np.mean(log_ratio < value) == pytest.approx(wanted, abs=0.01)
    uniform = np.sort(DiffusionModel(**SMALL, times="uniform").times_of(normal).numpy().ravel())
    np.testing.assert_allclose(uniform, np.linspace(0, 1, 20_000), atol=0.015)


@pytest.mark.parametrize(
    "options",
    (
        pytest.param({"attention": True}, marks=pytest.mark.slow),
        {"architecture": "dit", "widths": (40,)},
    ),
)
def test_other_networks_learn(garments, options):
    images = garments[0][:256, 2:26:3, 2:26:3]
    model = DiffusionModel(**{**SMALL, **options}, guide_steps=0)
    model.compile(keras.optimizers.Adam(0.01))
    untrained = model.evaluate(images, verbose=0, return_dict=True)
    assert untrained["relative_loss"] == pytest.approx(1.0, abs=1e-6)
    model.fit(images, epochs=30, verbose=0)
    assert model.evaluate(images, verbose=0, return_dict=True)["relative_loss"] < 0.6


def test_attention_finds_what_is_far_away():
    """What is predicted at one corner depends on the other."""
    model = DiffusionModel((8, 12, 3), architecture="dit", num_blocks=1, guide_steps=0, ema=0.0, seed=0)
    random = np.random.default_rng(0)
    model.network.set_weights([random.normal(0, 0.1, w.shape) for w in model.network.get_weights()])
    x, t = np.zeros((2, 8, 12, 3), "float32"), np.full((2, 1), 0.5, "float32")
    x[1, -1, -1] = 1.0
    output = model.network([x, t])
    assert np.abs(output[1, 0, 0] - output[0, 0, 0]).max() > 1e-5


def test_networks_that_do_not_fit_their_options_are_refused():
    with pytest.raises(ValueError, match="widths of a Transformer must be one number"):
        DiffusionModel(architecture="dit", widths=(64, 128))
    with pytest.raises(ValueError, match="class_dropout is for models with num_classes"):
        DiffusionModel(**SMALL, class_dropout=0.2)
    with pytest.raises(ValueError, match="attention is for the U-Net"):
        DiffusionModel(architecture="dit", attention=True)
    x, t = keras.Input((8, 8, 1)), keras.Input((1,))
    with pytest.raises(ValueError, match="architecture is for the default networks"):
        DiffusionModel((8, 8, 1), architecture="dit", network=keras.Model([x, t], x))
    with pytest.raises(ValueError, match="num_blocks is for the default networks. Received: num_blocks=3"):
        DiffusionModel((8, 8, 1), num_blocks=3, network=keras.Model([x, t], x))


@pytest.mark.parametrize("sampler", ("heun", "dpm_solver_2m"))
def test_steps_lead_from_the_noise_to_what_is_generated(sampler):
    model = perfect("linear", "velocity", num_classes=3)
    options = {"labels": [1, 2], "num_steps": 7, "sampler": sampler, "guidance": 1.5, "seed": 4}
    steps = model.generation_steps(**options)
    assert steps.shape == (2, 8, *SHAPE)
    noise = model.latents(keys_of(4, 2))
    np.testing.assert_allclose(steps[:, 0], np.clip(0.5 * noise + 0.5, 0, 1), atol=1e-6)
    np.testing.assert_allclose(steps[:, -1], model.generate(**options), atol=1e-5)


def test_the_loss_by_time_is_that_of_the_posterior():
    """A perfect network's error is the variance that x_t leaves of the velocity, noise - image."""
    model = perfect("linear", "velocity")
    images = np.clip(0.5 * np.random.default_rng(0).normal(MEAN, STD, (2000, *SHAPE)) + 0.5, 0, 1)
    times, losses = model.loss_by_time(images, num_times=4)
    np.testing.assert_allclose(times, [0.125, 0.375, 0.625, 0.875])
    signal_rate, noise_rate = 1 - times, times
    # image - E[image | x_t] has the variance below, and noise follows from the image and x_t.
    of_image = STD**2 * noise_rate**2 / (signal_rate**2 * STD**2 + noise_rate**2)
    errors = of_image * (1 + signal_rate / noise_rate) ** 2
    ratio = losses / (errors / (1 + STD**2 + MEAN**2))
    assert (ratio > 0.98).all() and (ratio < 16 / 14 + 0.02).all()  # a mean of ratios over 16 pixels
    nothing = DiffusionModel(**SMALL).loss_by_time(np.zeros((3, 8, 8)), num_times=2)[1]
    np.testing.assert_allclose(nothing, 1.0, atol=1e-6)


def test_a_preset_holds_the_average_once(tmp_path):
    model = DiffusionModel((8, 8, 1), architecture="dit", widths=(64,), num_blocks=1, seed=0)
    random = np.random.default_rng(0)
    for network in (model.network, model.ema_network, model.guide_network):  # some with zeros of equal size
        network.set_weights(
            [
                random.normal(0, 0.02, w.shape) if w.ndim > 1 and w[0].any() else w
                for w in network.get_weights()
            ]
        )
    folder = model.save_preset(tmp_path / "preset", picture=np.zeros((2, 2, 3), "uint8"))
    assert (folder / "model.keras").stat().st_size < 2.3 * 2 * model.count_params()
    loaded = kg.from_preset(folder)
    for found, average in zip(loaded.network.weights, model.ema_network.weights, strict=True):
        np.testing.assert_allclose(found, average, rtol=1e-3, atol=1e-6)
    options = {"guidance": 2.0, "num_steps": 4, "seed": 0}
    np.testing.assert_allclose(loaded.generate(4, **options), model.generate(4, **options), atol=0.01)


@pytest.mark.parametrize(
    "schedule", ("cosine", *(pytest.param(name, marks=pytest.mark.slow) for name in ("linear", "edm")))
)
def test_a_thousand_steps_are_finite(schedule):
    model = perfect(schedule, "velocity")
    pixels = 2 * model.generate(50, num_steps=1000, seed=0) - 1
    assert pixels.mean() == pytest.approx(MEAN, abs=0.05) and pixels.std() == pytest.approx(STD, rel=0.1)


@pytest.mark.slow
def test_compiling_again_keeps_the_average(garments):
    model = DiffusionModel(**SMALL)
    model.compile()
    images = garments[0][:256, 2:26:3, 2:26:3]
    model.fit(images, epochs=20, verbose=0)
    before = model.ema_network.get_weights()
    gap = max(np.abs(a - b).max() for a, b in zip(before, model.network.get_weights(), strict=True))
    model.compile(keras.optimizers.SGD(0.0))
    model.fit(images[:64], verbose=0)  # two steps, which change the average by little
    for now, then in zip(model.ema_network.get_weights(), before, strict=True):
        np.testing.assert_allclose(now, then, atol=0.2 * gap)


def test_hidden_labels_are_a_fraction():
    model = DiffusionModel(**SMALL, num_classes=3, class_dropout=0.25)
    hidden = model.hide_labels(tf.one_hot(tf.zeros(4000, tf.int32), 3))
    assert 1 - hidden.numpy().sum() / 4000 == pytest.approx(0.25, abs=0.03)


def test_a_network_of_ones_own(garments):
    x, t = keras.Input((8, 8, 1)), keras.Input((1,))
    network = keras.Model(
        [x, t], keras.layers.Conv2D(1, 3, padding="same")(x) * ops.reshape(t, (-1, 1, 1, 1))
    )
    model = DiffusionModel((8, 8, 1), network=network, seed=0)
    model.compile()
    model.fit(garments[0][:64, 2:26:3, 2:26:3], verbose=0)
    assert model.generate(2, seed=0).shape == (2, 8, 8, 1)
    with pytest.raises(
        ValueError, match=r"network must have inputs of shapes \[\(8, 8, 1\), \(1,\), \(3,\)\]"
    ):
        DiffusionModel((8, 8, 1), num_classes=3, network=network)


@pytest.mark.slow
def test_the_gradient_norm_on_replicas_is_not_that_of_their_shares(garments, two_replicas):
    def norm(batch_size: int) -> float:
        model = DiffusionModel(**SMALL, guide_steps=0, ema=0.0)
        model.compile(keras.optimizers.SGD(0.0))
        images = garments[0][:320, 2:26:3, 2:26:3]  # replicas of the last batch may have unequal parts
        return model.fit(images, batch_size=batch_size, verbose=0).history["gradient_norm"][0]

    single = norm(8)
    with two_replicas.scope():
        assert norm(16) == pytest.approx(single, rel=0.15)  # of 8 images on each of two
