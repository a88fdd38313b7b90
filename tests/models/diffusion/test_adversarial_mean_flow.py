"""The adversarial mean flow's own invariants."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gen.models import AdversarialMeanFlow, DiffusionModel
from keras_gen.models.diffusion.adversarial_mean_flow import OBJECTIVE

SMALL = {"image_shape": (8, 8, 1), "widths": (4,), "num_blocks": 1, "seed": 0}
COUNT = tf.constant(16)


def batch() -> tuple[tf.Tensor, ...]:
    images = tf.random.stateless_uniform((16, 8, 8, 1), (0, 0), -1.0, 1.0)
    noise = tf.random.stateless_normal((16, 8, 8, 1), (0, 1))
    return images, noise, tf.random.stateless_normal((16, 1, 1, 4), (0, 2))


def compiled(**kwargs) -> AdversarialMeanFlow:
    """A small model whose last layer is no longer 0."""
    model = AdversarialMeanFlow(**{**SMALL, **kwargs})
    random = np.random.default_rng(0)
    model.network.set_weights([w + random.normal(0, 0.05, w.shape) for w in model.network.get_weights()])
    model.compile()
    return model


def norm_of(gradients) -> float:
    return float(tf.linalg.global_norm(gradients))


def test_the_gradients_have_the_norms_that_the_weight_says():
    one, other = [tf.constant([3.0, 4.0]), None], [tf.constant([0.0, 2.0]), tf.constant([0.0])]
    for weight in (0.5, 2.0):
        model = AdversarialMeanFlow(**SMALL, adversarial_weight=weight)
        both = model.weighted_sum(one, other)
        np.testing.assert_allclose(both[0], [3.0, 4.0 + weight * 5.0], rtol=1e-6)
        # A gradient that has nearly vanished is not blown up, and without any, nothing is added.
        small = [1e-6 * gradient for gradient in other]
        np.testing.assert_allclose(model.weighted_sum(one, small)[0], one[0], rtol=1e-4)
        np.testing.assert_array_equal(model.weighted_sum(one, [None, None])[0], one[0])


def test_both_losses_move_the_network():
    moved = {}
    for weight in (0.0, 1.0):
        model = compiled(adversarial_weight=weight)
        gradients = []
        model.apply_to_network = lambda found, count, kept=gradients: kept.extend(found)
        model.train_network(*batch(), None, None, COUNT)
        moved[weight] = gradients
    added = [both - alone for both, alone in zip(moved[1.0], moved[0.0], strict=True)]
    assert 0.1 < norm_of(added) / norm_of(moved[0.0]) < 1.0 + 1e-4


def test_the_first_losses_are_those_of_a_discriminator_that_knows_nothing():
    model = compiled()
    model.discriminator.set_weights([0.0 * w for w in model.discriminator.get_weights()])
    values, _ = model.train_network(*batch(), None, None, COUNT)
    assert float(values["generator_loss"]) == pytest.approx(np.log(2), abs=1e-5)
    assert float(values["discriminator_loss"]) == pytest.approx(2 * np.log(2), abs=1e-5)


def test_the_discriminator_learns_by_its_own_optimizer():
    model = compiled()
    images = batch()[0]
    before = [variable.numpy() for variable in model.discriminator.trainable_variables]

    def moved() -> list[float]:
        now = model.discriminator.trainable_variables
        return [float(np.abs(a - b).max()) for a, b in zip(now, before, strict=True)]

    nothing = tf.zeros(16)
    model.train_discriminator(images, -images, None, nothing, COUNT)  # of weight 0
    assert max(moved()) == 0.0
    model.discriminator_optimizer = OBJECTIVE.optimizer(1.5e-3)
    model.train_discriminator(images, -images, None, None, COUNT)
    assert moved()[0] == pytest.approx(1.5e-3, rel=1e-3)  # Adam's first step
    rates = AdversarialMeanFlow(**SMALL).optimizers({"optimizer": 0.01}, None)
    assert float(rates["optimizer"].learning_rate) == pytest.approx(0.01)
    assert float(rates["discriminator_optimizer"].learning_rate) == pytest.approx(1.5e-3)
    with pytest.raises(ValueError, match="must be two"):
        model.compile(model.optimizer, model.optimizer)


def test_losses_of_a_discriminators_own_layers_count_for_both_kinds_of_images():
    x = keras.Input((8, 8, 1))
    regularized = keras.layers.ActivityRegularization(l2=1.0)(x)
    own = keras.Model(
        x, keras.layers.Dense(1, kernel_initializer="zeros")(keras.layers.Flatten()(regularized))
    )
    model = AdversarialMeanFlow(**SMALL, discriminator=own)
    model.compile()
    ones = tf.ones((16, 8, 8, 1))
    values = model.train_discriminator(ones, 3.0 * ones, None, None, COUNT)
    wanted = 2 * np.log(2) + 0.5 * (64 + 9 * 64)  # Keras divides by the batch size
    assert float(values["discriminator_loss"]) == pytest.approx(wanted, rel=1e-5)


def test_half_of_the_jumps_start_from_noise():
    model = AdversarialMeanFlow(**SMALL)
    seen = {}

    def predicted(network, x, t, labels, duration, training):
        seen.update(x=x, t=t, duration=duration)
        return x / t  # ends at 0

    model._predicted = predicted
    images = tf.ones((4000, 8, 8, 1))
    np.testing.assert_allclose(model.jump(images, None), 0.0, atol=1e-5)
    x, t = seen["x"].numpy(), seen["t"].numpy().ravel()
    assert np.mean(t == 1.0) == pytest.approx(0.5, abs=0.03)
    assert t[t < 1.0].mean() == pytest.approx(0.5, abs=0.03)
    np.testing.assert_array_equal(seen["t"], seen["duration"])
    assert x[t == 1.0].mean() == pytest.approx(0.0, abs=0.01)  # nothing is left of the image
    assert x[t < 0.01].mean() == pytest.approx(1.0, abs=0.02)


def test_a_preset_has_the_discriminator_and_no_flow(tmp_path):
    flow = DiffusionModel(**SMALL, num_classes=3)
    model = AdversarialMeanFlow(image_shape=(8, 8, 1), flow=flow, guidance=1.0, seed=1)
    assert model.num_classes == 3
    for network in (model.ema_network, model.discriminator):
        network.set_weights([w + 0.02 for w in network.get_weights()])
    loaded = AdversarialMeanFlow.from_preset(model.save_preset(tmp_path / "preset"))
    assert loaded.flow is None
    np.testing.assert_allclose(loaded.generate(3, seed=0), model.generate(3, seed=0), atol=1e-3)
    for found, wanted in zip(loaded.discriminator.weights, model.discriminator.weights, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_a_discriminator_of_your_own_is_used_or_refused():
    images = keras.Input((8, 8, 1))
    logits = keras.layers.Dense(1)(keras.layers.Flatten()(images))
    own = keras.Model(images, logits)
    model = AdversarialMeanFlow(**SMALL, discriminator=own)
    assert model.discriminator is own
    copy = AdversarialMeanFlow.from_config(model.get_config())
    assert [type(layer) for layer in copy.discriminator.layers] == [type(layer) for layer in own.layers]
    with pytest.raises(ValueError, match="discriminator"):
        AdversarialMeanFlow(**SMALL, num_classes=3, discriminator=own)
    with pytest.raises(ValueError, match="discriminator"):
        AdversarialMeanFlow(**SMALL, discriminator=keras.Model(images, keras.activations.sigmoid(logits)))
