"""GAN, WGANGP and CGAN: what each step must do, checked by numbers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gen import losses
from keras_gen.layers import DiffAugment
from keras_gen.models import CGAN, GAN, WGANGP
from keras_gen.models.gans.networks import default_discriminator_widths, default_generator_widths

SMALL = {"latent_dim": 4, "generator_widths": (6, 4), "discriminator_widths": (4, 6), "seed": 0}


def fitted(model: GAN, garments, epochs: int = 1, **options) -> dict:
    images, labels = garments
    model.compile(**options)
    return model.fit(images[:128], labels[:128], batch_size=32, epochs=epochs, verbose=0).history


# === Targets ===


@pytest.mark.parametrize(
    "options",
    [
        {"real_label_noise": 1.0, "generated_label_noise": 1.0},
        {"label_smoothing": 0.3, "real_label_noise": 0.4, "real_label_flips": 0.5},
        {"generated_label_noise": 0.2, "generated_label_flips": 1.0},
    ],
)
def test_targets_never_leave_0_to_1(options):
    real, generated = GAN(**SMALL, **options).targets(tf.constant(4000))
    for targets in (real, generated):
        assert targets.numpy().min() >= 0 and targets.numpy().max() <= 1


def test_targets_are_what_was_asked_for():
    real, generated = GAN(**SMALL).targets(tf.constant(5))
    assert real.numpy().tolist() == [1.0] * 5 and generated.numpy().tolist() == [0.0] * 5
    smooth, generated = GAN(**SMALL, label_smoothing=0.1).targets(tf.constant(5))
    np.testing.assert_allclose(smooth, 0.9, rtol=1e-6)
    assert generated.numpy().tolist() == [0.0] * 5  # one-sided
    real, generated = GAN(**SMALL, real_label_noise=0.3, generated_label_noise=0.2).targets(40_000)
    assert real.numpy().min() >= 0.7 and real.numpy().mean() == pytest.approx(0.85, abs=0.005)
    assert generated.numpy().max() <= 0.2 and generated.numpy().mean() == pytest.approx(0.1, abs=0.005)
    real, generated = GAN(**SMALL, real_label_flips=0.25, generated_label_flips=0.1).targets(40_000)
    assert real.numpy().mean() == pytest.approx(0.75, abs=0.01)
    assert generated.numpy().mean() == pytest.approx(0.1, abs=0.01)


def test_soft_targets_are_the_cross_entropy_with_them():
    """Blending two losses by the target is what Keras computes for the target itself."""
    logits, targets = np.float32([-2, 0.5, 3]), np.float32([0.1, 0.8, 1.0])
    both = losses.non_saturating(tf.constant(logits))
    ours = targets * both.real + (1 - targets) * both.generated
    theirs = keras.ops.binary_crossentropy(targets, logits, from_logits=True)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


# === Steps ===


def test_first_losses_are_those_of_the_papers(garments):
    """With a learning rate of 0, the logged losses are what the formulas give for the networks."""
    images = garments[0][:32]
    for name in ("non_saturating", "minimax", "least_squares", "hinge"):
        model = GAN(**SMALL, loss=name, discriminator_normalization="none")
        logs = fitted(
            model,
            (np.repeat(images, 4, axis=0), np.zeros(128)),
            generator_optimizer=keras.optimizers.SGD(0.0),
            discriminator_optimizer=keras.optimizers.SGD(0.0),
        )
        real = model.logits(2.0 * images[..., None] / np.float32(255) - 1.0, None)
        expected = tf.reduce_mean(losses.ADVERSARIAL_LOSSES[name](real).real)
        z = tf.random.stateless_normal((1000, 4), (0, 0))
        generated = losses.ADVERSARIAL_LOSSES[name](model.logits(model.generator(z, training=True), None))
        expected += tf.reduce_mean(generated.generated)
        assert logs["discriminator_loss"][0] == pytest.approx(float(expected), abs=0.01)
        generator = float(tf.reduce_mean(generated.generator))
        assert logs["generator_loss"][0] == pytest.approx(generator, abs=0.01)


def test_each_step_moves_its_own_network_only(garments):
    """A learning rate of 0 on one side keeps that side, and that side alone, as it was."""
    for still in ("generator", "discriminator"):
        model = GAN(**SMALL)
        before = [w.numpy() for w in getattr(model, still).trainable_weights]
        fitted(model, garments, **{f"{still}_optimizer": keras.optimizers.SGD(0.0)})
        for old, new in zip(before, getattr(model, still).trainable_weights, strict=True):
            np.testing.assert_array_equal(old, new)
        other = model.discriminator if still == "generator" else model.generator
        assert any(np.abs(w.numpy()).max() > 0 for w in other.trainable_weights)


@pytest.mark.parametrize("steps", (1, 3))
def test_discriminator_steps(steps, garments):
    model = WGANGP(**SMALL, discriminator_steps=steps)
    fitted(model, garments)
    assert int(model.optimizer.iterations) == 4
    assert int(model.discriminator_optimizer.iterations) == 4 * steps


def test_ema_follows_the_generator(garments):
    """The average after one step, computed another way; and without it the generator itself draws."""
    model = GAN(**SMALL, ema=0.5)
    before = [weight.numpy() for weight in model.generator.weights]
    images = garments[0][:32]
    model.compile(steps_per_execution=1)
    model.fit(images, batch_size=32, verbose=0)
    momentum = min(0.5, 2 / 11)
    for old, new, average in zip(before, model.generator.weights, model.ema_generator.weights, strict=True):
        expected = momentum * old + (1 - momentum) * new.numpy()
        np.testing.assert_allclose(average, expected, atol=1e-6)
    plain = GAN(**SMALL, ema=0.0)
    assert plain.ema_generator is plain.generator


def test_learning_rates_and_gradient_norms_are_logged(garments):
    logs = fitted(
        GAN(**SMALL),
        garments,
        generator_optimizer=keras.optimizers.Adam(3e-4),
        discriminator_optimizer=keras.optimizers.Adam(7e-4),
    )
    assert logs["generator_learning_rate"] == pytest.approx([3e-4])
    assert logs["discriminator_learning_rate"] == pytest.approx([7e-4])
    assert logs["generator_gradient_norm"][0] > 0 and logs["discriminator_gradient_norm"][0] > 0


def test_one_optimizer_for_both_is_copied():
    model = GAN(**SMALL)
    shared = keras.optimizers.Adam(1e-4)
    model.compile(shared, shared)
    assert model.discriminator_optimizer is not model.optimizer
    assert float(model.discriminator_optimizer.learning_rate) == pytest.approx(1e-4)


def test_instance_noise_falls_to_0(garments):
    model = GAN(**SMALL, instance_noise=0.1, instance_noise_steps=4)
    model.compile(steps_per_execution=1)
    zeros = tf.zeros((64, 28, 28, 1))
    assert np.std(model.augment(zeros)) == pytest.approx(0.2, rel=0.05)  # of a range of 2
    model.fit(garments[0][:64], batch_size=32, verbose=0)
    assert np.std(model.augment(zeros)) == pytest.approx(0.1, rel=0.05)
    model.fit(garments[0][:64], batch_size=32, verbose=0)
    assert np.std(model.augment(zeros)) == 0


# === Penalties ===


def linear_critic(slope: np.ndarray) -> keras.Model:
    """D(x) = <slope, x> + 1, whose slope is the same everywhere."""
    inputs = keras.Input((28, 28, 1))
    outputs = keras.layers.Dense(1)(keras.layers.Flatten()(inputs))
    critic = keras.Model(inputs, outputs)
    critic.layers[-1].set_weights([slope.reshape(-1, 1), np.ones(1)])
    return critic


def test_penalties_of_a_linear_critic(garments):
    """Its slope has a known length s: the penalties are (s - 1)^2 and s^2 / 2, whatever the images."""
    slope = np.random.default_rng(0).normal(size=784).astype("float32")
    slope *= 3.0 / np.linalg.norm(slope)
    for model, expected in (
        (WGANGP(**SMALL, discriminator=linear_critic(slope)), 4.0),
        (GAN(**SMALL, r1_weight=1.0, discriminator=linear_critic(slope)), 4.5),
    ):
        logs = fitted(model, garments, discriminator_optimizer=keras.optimizers.SGD(0.0))
        assert logs["penalty"][0] == pytest.approx(expected, rel=1e-4)


def test_a_share_of_the_batch_is_penalized(garments):
    """As many images as asked for, rounded up, each with its own label."""
    seen = []
    model = CGAN(**SMALL, base="wgan_gp", penalty_share=0.3)
    penalty = model.penalty

    def watched(real_images, generated_images, labels):
        seen.append((real_images.shape, generated_images.shape, labels))
        return penalty(real_images, generated_images, labels)

    model.penalty = watched
    model.compile(run_eagerly=True)
    images, labels = garments
    model.fit(images[:10], labels[:10], batch_size=10, shuffle=False, verbose=0)
    ((real_shape, generated_shape, penalized_labels),) = seen
    assert real_shape == generated_shape == (3, 28, 28, 1)
    np.testing.assert_array_equal(tf.argmax(penalized_labels, axis=1), labels[:3])
    model = WGANGP(**SMALL)
    assert [len(model.penalized(tf.zeros((n, 1)))[0]) for n in (1, 4, 5, 32)] == [1, 1, 2, 8]
    assert CGAN(**SMALL).penalty_share == 1 and CGAN(**SMALL, base="wgan_gp").penalty_share == 0.25


def test_gradient_penalty_against_finite_differences():
    critic = WGANGP(image_shape=(5, 4, 1), latent_dim=2, discriminator_widths=(3,), seed=1).discriminator
    rng = np.random.default_rng(0)
    real, generated = rng.normal(size=(2, 3, 5, 4, 1)).astype("float32")
    fractions = rng.random((3, 1, 1, 1)).astype("float32")

    def score(x):
        return tf.squeeze(critic(x), 1)

    ours = losses.gradient_penalty(score, real, generated, tf.constant(fractions)).numpy()
    between = fractions * real + (1 - fractions) * generated
    step = 1e-2
    for number in range(3):
        offsets = np.eye(20, dtype="float32").reshape(20, 5, 4, 1) * step
        slopes = (score(between[number] + offsets) - score(between[number] - offsets)) / (2 * step)
        assert ours[number] == pytest.approx((np.linalg.norm(slopes) - 1) ** 2, rel=2e-2, abs=1e-3)


def test_interpolates_lie_between_and_have_one_fraction_an_image():
    """As in the notebooks' bug: no cross product of images, no fraction outside of [0, 1]."""
    seen = []

    def score(x):
        seen.append(x)
        return tf.reduce_sum(x, axis=(1, 2, 3))

    model = WGANGP(**SMALL)
    model.logits = lambda images, labels, training: score(images)
    real, generated = tf.ones((500, 28, 28, 1)), tf.zeros((500, 28, 28, 1))
    model.penalty(real, generated, None)
    between = seen[0].numpy()
    assert between.shape == (500, 28, 28, 1)
    fractions = between[:, 0, 0, 0]
    np.testing.assert_array_equal(between, np.broadcast_to(fractions[:, None, None, None], between.shape))
    assert 0 <= fractions.min() < 0.02 and 0.98 < fractions.max() <= 1
    assert fractions.mean() == pytest.approx(0.5, abs=0.05)


def test_a_flat_critic_has_a_finite_gradient():
    """The slope of the root at 0 is infinite: without the small number under it this is NaN."""
    critic = linear_critic(np.zeros(784, "float32"))
    x, middle = tf.zeros((2, 28, 28, 1)), tf.fill((2, 1, 1, 1), 0.5)
    with tf.GradientTape() as tape:
        penalty = tf.reduce_mean(losses.gradient_penalty(lambda i: tf.squeeze(critic(i), 1), x, x, middle))
    assert float(penalty) == pytest.approx(1.0, rel=1e-4)
    assert np.isfinite(tape.gradient(penalty, critic.trainable_variables[0])).all()


# === Networks ===


@pytest.mark.parametrize("normalization", ("none", "batch", "spectral"))
def test_discriminator_normalizations(normalization, garments):
    logs = fitted(GAN(**SMALL, discriminator_normalization=normalization), garments)
    assert np.isfinite(list(logs.values())).all()


def test_spectral_normalization_holds_kernels_at_norm_1(garments):
    model = GAN(**SMALL, discriminator_normalization="spectral")
    fitted(model, garments, epochs=10, discriminator_optimizer=keras.optimizers.SGD(0.0))
    for layer in model.discriminator.layers:
        if isinstance(layer, keras.layers.SpectralNormalization):
            kernel = layer.layer.kernel.numpy()
            norm = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]))[1].max()
            assert norm == pytest.approx(1.0, abs=0.05)


def test_default_widths():
    widths = default_discriminator_widths
    assert widths((28, 28, 1)) == widths((32, 32, 3)) == (32, 64, 128)
    assert widths((64, 64, 3)) == (32, 64, 128, 256)
    assert widths((128, 128, 3)) == (32, 64, 128, 256, 256)
    assert widths((3, 8, 1)) == (32,)
    widths = default_generator_widths
    assert widths((28, 28, 1)) == widths((32, 32, 3)) == (128, 64)
    assert widths((64, 64, 3)) == (256, 128, 64)
    assert widths((128, 128, 3)) == (256, 256, 128, 64)
    assert widths((5, 8, 1)) == (64,)


def test_a_latent_vector_is_in_one_cluster_nearly_always():
    model = GAN(seed=0)
    cluster = keras.Model(model.generator.inputs, model.generator.get_layer("cluster").output)
    choice = cluster(tf.random.stateless_normal((2000, 64), (0, 1))).numpy()
    assert choice.shape == (2000, 32)
    np.testing.assert_allclose(choice.sum(axis=1), 1.0, atol=1e-5)
    assert np.mean(choice.max(axis=1)) > 0.8
    assert np.bincount(choice.argmax(axis=1), minlength=32).min() > 20  # none is empty
    without = GAN(seed=0, latent_clusters=0)
    # What chooses, and the first dense layer's weights for the choice.
    difference = model.generator.count_params() - without.generator.count_params()
    assert difference == 65 * 32 + 32 * 49 * 128


@pytest.mark.parametrize("shape", ((28, 28, 1), (32, 32, 3), (64, 64, 3), (128, 128, 1)))
def test_default_networks_of_any_size(shape):
    model = CGAN(image_shape=shape, num_classes=3, seed=0)
    assert model.generate(1, seed=0, labels=2).shape == (1, *shape)
    logits = model.logits(tf.zeros((2, *shape)), model.to_one_hot([0, 1]))
    assert logits.shape == (2,)


def test_own_networks_are_used_and_checked():
    z, images = keras.Input((4,)), keras.Input((28, 28, 1))
    pixels = keras.layers.Reshape((28, 28, 1))(keras.layers.Dense(784, activation="tanh")(z))
    generator = keras.Model(z, pixels)

    def discriminator(
        units: int = 1, activation: str | None = None, normalized: bool = False
    ) -> keras.Model:
        x = keras.layers.Flatten()(images)
        x = keras.layers.BatchNormalization()(x) if normalized else x
        return keras.Model(images, keras.layers.Dense(units, activation=activation)(x))

    model = GAN(latent_dim=4, generator=generator, discriminator=discriminator(), seed=0)
    assert model.generator is generator and model.generate(2, seed=0).shape == (2, 28, 28, 1)
    with pytest.raises(ValueError, match="must return logits.*sigmoid"):
        GAN(discriminator=discriminator(activation="sigmoid"))
    with pytest.raises(ValueError, match=r"outputs of shapes \[\(1,\)\].*Received: \[\(2,\)\]"):
        GAN(discriminator=discriminator(units=2))
    with pytest.raises(ValueError, match=r"generator must have inputs of shapes \[\(64,\)\]"):
        GAN(generator=generator)
    with pytest.raises(ValueError, match="must not have batch normalization"):
        WGANGP(discriminator=discriminator(normalized=True))
    with pytest.raises(ValueError, match="must not have batch normalization"):
        CGAN(base="wgan_gp", **SMALL, discriminator_normalization="batch")


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (GAN, {"loss": "wasserstein"}, "loss must be one of 'non_saturating'.*Received: 'wasserstein'"),
        (GAN, {"label_smoothing": 1.0}, "label_smoothing must be a number from 0 to less than 1"),
        (GAN, {"real_label_flips": 1.5}, "real_label_flips must be a number from 0 to 1. Received: 1.5"),
        (GAN, {"discriminator_steps": 0}, "discriminator_steps must be an integer from 1"),
        (GAN, {"augment": "rotation"}, "policy must name some of color, translation, cutout"),
        (GAN, {"r1_weight": -1}, "r1_weight must be a finite number, 0 or more"),
        (GAN, {"penalty_share": 0}, "penalty_share must be a number, more than 0, at most 1. Received: 0"),
        (
            WGANGP,
            {"penalty_share": 1.5},
            "penalty_share must be a number, more than 0, at most 1. Received: 1.5",
        ),
        (
            WGANGP,
            {"gradient_penalty_weight": 0},
            "gradient_penalty_weight must be a finite number, more than 0",
        ),
        (CGAN, {"base": "vae"}, "base must be one of 'gan', 'wgan_gp'"),
        (
            CGAN,
            {"base": "wgan_gp", "loss": "hinge"},
            "loss is not used with base='wgan_gp'",
        ),
        (CGAN, {"conditioning": "film"}, "conditioning must be one of 'projection', 'concat'"),
    ],
)
def test_refuses_bad_arguments(model, options, message):
    with pytest.raises(ValueError, match=message):
        model(**options)


# === Conditions ===


def test_labels_reach_both_networks():
    for conditioning in ("concat", "projection"):
        model = CGAN(**SMALL, conditioning=conditioning)
        first, second = model.generate(1, seed=0, labels=0), model.generate(1, seed=0, labels=1)
        assert np.abs(first - second).max() > 1e-3
        x = tf.zeros((1, 28, 28, 1))
        logits = [float(model.logits(x + 0.5, model.to_one_hot([y]))[0]) for y in (0, 1)]
        assert abs(logits[0] - logits[1]) > 1e-5


def test_the_penalty_knows_the_labels():
    model = CGAN(**SMALL, base="wgan_gp", conditioning="projection")
    x = tf.random.stateless_uniform((6, 28, 28, 1), (0, 0))
    penalties = []
    for label in (0, 1):
        model.noise_seed.state.assign([0, 0])
        penalties.append(float(model.penalty(x, x * 0.5, model.to_one_hot([label] * 6))))
    assert abs(penalties[0] - penalties[1]) > 1e-4


def test_base_decides_penalty_and_optimizers(garments):
    gan, wgan = CGAN(**SMALL), CGAN(**SMALL, base="wgan_gp")
    assert "penalty" not in fitted(gan, garments) and "penalty" in fitted(wgan, garments)
    assert gan.optimizer.beta_1 == 0.5 and wgan.optimizer.beta_1 == 0.0
    assert gan.loss_name == "non_saturating" and wgan.loss_name == "wasserstein"
    # What a config holds is what the constructor, and so `--config`, takes.
    assert wgan.get_config()["loss"] is None
    assert CGAN.from_config(wgan.get_config()).loss_name == "wasserstein"


# === DiffAugment ===


def test_diff_augment_lets_gradients_through_and_differs_between_images():
    layer = DiffAugment("color,translation,cutout", seed=0)
    images = tf.random.stateless_uniform((16, 12, 10, 3), (0, 0), -1, 1)
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(layer(images, training=True))
    assert np.isfinite(tape.gradient(total, images)).all()
    np.testing.assert_array_equal(layer(images, training=False), images)
    same = tf.repeat(images[:1], 16, axis=0)
    changed = layer(same, training=True).numpy()
    assert len(np.unique(changed.reshape(16, -1), axis=0)) == 16


def test_translation_moves_by_at_most_an_eighth():
    spot = np.zeros((400, 16, 16, 1), "float32")
    spot[:, 8, 8] = 1.0
    moved = DiffAugment("translation", seed=0)(tf.constant(spot), training=True).numpy()
    _, rows, columns, _ = np.nonzero(moved)
    for position in (rows, columns):
        assert sorted(set(position)) == [6, 7, 8, 9, 10]
    assert moved.sum() == 400


def test_cutout_blanks_a_square_of_half_the_size():
    holes = DiffAugment("cutout", seed=0)(tf.ones((400, 16, 12, 1)), training=True).numpy() == 0
    assert holes.sum(axis=(1, 2, 3)).max() == 8 * 6
    assert holes.any(axis=(1, 2, 3)).all()
    assert holes.mean(axis=0).min() > 0.05  # every pixel goes at times


def test_the_portable_network_stays_in_0_to_1():
    """A generator's last layer leaves [-1, 1] by a hundredth of what is beyond."""
    model = GAN(**SMALL)
    for network in (model.generator, model.ema_generator):
        for layer in network.layers:
            if layer.weights:
                layer.set_weights([10.0 * np.abs(weight) + 1.0 for weight in layer.get_weights()])
    z = np.random.default_rng(0).normal(size=(8, 4)).astype("float32") * 10
    assert np.abs(model.generator([z])).max() > 1.0
    images = model.portable_network()([z]).numpy()
    assert images.min() >= 0.0 and images.max() <= 1.0
    np.testing.assert_allclose(images, model.decode(z), atol=1e-6)


@pytest.mark.parametrize(
    "unused", [{"gradient_penalty_weight": 5.0}, {"base": "wgan_gp", "r1_weight": 1.0}]
)
def test_a_weight_that_its_base_does_not_use_is_refused_but_loads_from_an_older_file(unused):
    sizes = {"image_shape": (8, 8, 1), "generator_widths": (4,), "discriminator_widths": (4,)}
    with pytest.raises(ValueError, match="is not used with base="):
        CGAN(**sizes, **unused)
    used = {name: value for name, value in unused.items() if name == "base"}
    config = {**CGAN(**sizes, **used).get_config(), **unused}
    assert CGAN.from_config(config).num_classes == 10


def test_a_generator_that_ends_in_a_sigmoid_is_refused():
    """Its pixels would be in [0.5, 1] for ever."""
    layers = [
        keras.Input((4,)),
        keras.layers.Dense(64, activation="sigmoid"),
        keras.layers.Reshape((8, 8, 1)),
    ]
    with pytest.raises(ValueError, match=r"images in \[-1, 1\], as a tanh does.* Use a tanh"):
        GAN(image_shape=(8, 8, 1), latent_dim=4, generator=keras.Sequential(layers))
