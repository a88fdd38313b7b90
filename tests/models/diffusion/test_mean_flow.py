"""The mean flow's own invariants."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_gen as kg
from keras_gen.models import DiffusionModel, MeanFlow

SHAPE = (4, 4, 1)
MEAN = -0.2  # of every pixel, in [-1, 1]
SMALL = {"image_shape": (8, 8, 1), "widths": (4, 8), "num_blocks": 1}


def linear_field(slope: float):
    """A flow whose paths are known, and a model whose network is its mean velocity.

    The flow is v = slope * (x - MEAN) + 2 t. One of its paths is p(t) = MEAN - 2 t / slope - 2 / slope**2,
    and all others come from it exponentially: x_s = p(s) + (x_t - p(t)) * exp(slope * (s - t)).
    """
    x, t, duration = keras.Input(SHAPE), keras.Input((1,)), keras.Input((1,))
    now, length = (ops.reshape(value, (-1, 1, 1, 1)) for value in (t, duration))

    def own_path(t):
        return MEAN - 2 * t / slope - 2 / slope**2

    safe = ops.maximum(length, 1e-2)
    start = own_path(now - safe) + (x - own_path(now)) * ops.exp(-slope * safe)
    mean_velocity = ops.where(length > 1e-2, (x - start) / safe, slope * (x - MEAN) + 2 * now)
    model = MeanFlow(SHAPE, network=keras.Model([x, t, duration], mean_velocity), ema=0.0, seed=0)

    class Flow:
        def velocity(self, x, t, labels, guidance):
            return slope * (x - MEAN) + 2 * t

    model.flow = Flow()
    return model


def test_the_identity_holds_for_a_linear_field():
    """The network of the true mean velocities has no loss, and that of another flow has."""
    images = tf.random.stateless_uniform((64, *SHAPE), (0, 0), -1.0, 1.0)
    noise = tf.random.stateless_normal((64, *SHAPE), (0, 1))
    t = tf.random.stateless_uniform((64, 1, 1, 1), (0, 2), 0.3, 1.0)
    duration = t * tf.random.stateless_uniform((64, 1, 1, 1), (0, 3), 0.1, 1.0)
    model = linear_field(1.5)

    def relative_losses(model: MeanFlow) -> np.ndarray:
        return model.losses_at(images, noise, t, None, False, duration, tf.range(64))[1].numpy()

    np.testing.assert_allclose(relative_losses(model), 0.0, atol=1e-6)
    model.flow = linear_field(1.0).flow
    assert (relative_losses(model) > 0.01).all()


def test_one_step_goes_as_far_as_many():
    model = linear_field(1.5)
    z = np.random.default_rng(0).normal(size=(20, *SHAPE)).astype("float32")
    end = MEAN - 2 / 1.5**2 + (z - MEAN + 2 / 1.5 + 2 / 1.5**2) * np.exp(-1.5)
    for num_steps in (1, 2, 7):
        decoded = model.decode(z, num_steps=num_steps)
        np.testing.assert_allclose(decoded, np.clip(0.5 * end + 0.5, 0, 1), atol=1e-5)


def test_steps_lead_from_the_noise_to_what_is_generated():
    model = linear_field(1.5)
    steps = model.generation_steps(3, num_steps=4, seed=2)
    np.testing.assert_allclose(steps[:, -1], model.generate(3, num_steps=4, seed=2), atol=1e-6)
    assert model.loss_by_time(np.zeros((2, *SHAPE)))[1].max() < 1e-5


def test_losses_of_the_networks_own_layers_are_those_of_the_training_call():
    x, t, duration = keras.Input(SHAPE), keras.Input((1,)), keras.Input((1,))
    dropped = keras.layers.Dropout(0.999999)(x)
    network = keras.Model([x, t, duration], keras.layers.ActivityRegularization(l2=1.0)(dropped))
    model = MeanFlow(SHAPE, network=network, ema=0.0, seed=0)
    images, normal = tf.ones((8, *SHAPE)), tf.random.stateless_normal((8, 1, 1, 4), (0, 0))
    model.losses(images, images, normal, None, training=True)
    assert float(network.losses[0]) == 0.0  # everything was dropped, as in training alone


def test_a_quarter_of_a_batch_has_durations():
    model = MeanFlow(**SMALL, seed=0)
    seen = {}
    model.losses_at = lambda *arguments: seen.update(
        t=arguments[2], duration=arguments[5], rows=arguments[6]
    )
    images, normal = tf.zeros((4000, 8, 8, 1)), tf.random.stateless_normal((4000, 1, 1, 4), (0, 0))
    for training in (True, False):
        model.losses(images, images, normal, None, training)
        t, duration = seen["t"].numpy().ravel(), seen["duration"].numpy().ravel()
        assert np.mean(duration > 0) == pytest.approx(0.25, abs=0 if training else 0.02)
        assert set(np.flatnonzero(duration)) <= set(seen["rows"].numpy())
        assert not (duration[:50] > 0).all() and (t - duration >= 0).all() and (t <= 1).all()
        assert 0.22 < duration[duration > 0].mean() < 0.26  # 0.24 between two logit-normal times


@pytest.mark.slow
@pytest.mark.parametrize("options", ({}, {"attention": True}, {"architecture": "dit", "widths": (40,)}))
def test_every_network_starts_as_the_flow(options):
    flow = DiffusionModel(**{**SMALL, **options}, num_classes=3, class_names=list("abc"), seed=0)
    random = np.random.default_rng(0)
    for network in (flow.ema_network, flow.guide_network):
        network.set_weights([random.normal(0, 0.1, w.shape) for w in network.get_weights()])
    model = MeanFlow((8, 8, 1), flow=flow, seed=1)  # also its classes
    assert model.class_names == ("a", "b", "c")
    x, t = tf.random.stateless_normal((3, 8, 8, 1), (0, 0)), tf.fill((3, 1, 1, 1), 0.4)
    labels = tf.eye(3)
    np.testing.assert_allclose(model.velocity(x, t, labels), flow.velocity(x, t, labels), atol=1e-6)
    guidance = tf.fill((3,), 2.0)
    np.testing.assert_allclose(
        model.flow.velocity(x, t, labels, guidance), flow.velocity(x, t, labels, guidance), atol=1e-6
    )


@pytest.mark.slow
def test_it_starts_as_the_flow_and_learns_its_mean_velocity(garments):
    images = garments[0][:256, 2:26:3, 2:26:3]
    flow = DiffusionModel(**SMALL, guide_steps=0, ema=0.9, seed=0)
    flow.compile()
    flow.fit(images, epochs=20, verbose=0)
    model = MeanFlow(image_shape=(8, 8, 1), flow=flow, ema=0.9, seed=1)
    x, t = (
        tf.random.stateless_normal((3, 8, 8, 1), (0, 0)),
        tf.constant([0.2, 0.5, 0.9])[:, None, None, None],
    )
    np.testing.assert_allclose(model.velocity(x, t), flow.velocity(x, t), atol=1e-6)
    wanted = flow.generate(200, num_steps=50, sampler="euler", seed=0)

    def error() -> float:
        return float(np.abs(model.generate(200, num_steps=1, seed=0) - wanted).mean())

    before, weights = error(), model.flow.get_weights()
    model.compile()
    model.fit(images, epochs=40, verbose=0)
    assert error() < 0.9 * before
    for now, then in zip(model.flow.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_preset_leaves_out_the_flow(tmp_path):
    flow = DiffusionModel(**SMALL, seed=0)
    model = MeanFlow(image_shape=(8, 8, 1), flow=flow, guidance=1.0, seed=1)
    model.ema_network.set_weights([w + 0.02 for w in model.ema_network.get_weights()])
    model.steps_trained.assign(1000)
    loaded = kg.from_preset(model.save_preset(tmp_path / "preset"))
    assert loaded.steps_trained.numpy() == 1000  # on which the ramp of the moving average depends
    assert loaded.flow is None and len(loaded.weights) < len(model.weights) - len(flow.network.weights)
    np.testing.assert_allclose(loaded.generate(3, seed=0), model.generate(3, seed=0), atol=1e-3)
    model.save(tmp_path / "model.keras")
    whole = kg.load_model(tmp_path / "model.keras")
    assert len(whole.trainable_variables) == len(model.trainable_variables)
    assert not whole.flow.trainable_variables and not whole.flow.network.trainable_variables
    assert whole.guidance == 1.0
    for found, weight in zip(whole.flow.weights, model.flow.weights, strict=True):
        np.testing.assert_array_equal(found, weight)


def test_the_portable_network_draws_in_one_step():
    model = MeanFlow(**SMALL, num_classes=3, seed=0)
    model.ema_network.set_weights([w + 0.02 for w in model.ema_network.get_weights()])
    z = np.random.default_rng(0).normal(size=(5, 8, 8, 1)).astype("float32")
    labels = np.array([0, 1, 2, 0, 1])
    images = model.portable_network()([z, np.eye(3, dtype="float32")[labels]])
    np.testing.assert_allclose(images, model.decode(z, labels=labels, num_steps=1), atol=1e-5)
    assert images.numpy().std() > 0.1


def test_the_pixels_sines_are_seen_without_a_duration_alone():
    """They change sign with half a level; their steepness would be that of a mean velocity's derivative."""
    model = MeanFlow(image_shape=(8, 8, 1), widths=(8,), num_blocks=1, ema=0.0, seed=0)
    random = np.random.default_rng(0)
    model.network.set_weights([random.normal(0, 0.1, w.shape) for w in model.network.get_weights()])
    x, t = tf.random.stateless_uniform((20, 8, 8, 1), (0, 0), -1, 1), tf.fill((20, 1, 1, 1), 0.003)

    def change(duration: float) -> float:
        outputs = [
            model._predicted(model.network, x + shift, t, None, duration * tf.ones_like(t))
            for shift in (0.0, 1 / 255)
        ]
        return float(np.abs(outputs[1] - outputs[0]).mean())

    assert change(0.02) < 0.1 * change(0.0)


def test_a_flow_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="flow must have image_shape=.8, 8, 1.. Received: .4, 4, 1."):
        MeanFlow((8, 8, 1), flow=DiffusionModel(SHAPE, widths=(4,), num_blocks=1))
    with pytest.raises(ValueError, match="flow must have schedule='linear'. Received: 'edm'"):
        MeanFlow((8, 8, 1), flow=DiffusionModel(**SMALL, schedule="edm"))
    with pytest.raises(ValueError, match=r"widths must match the flow's, .4, 8., or be omitted"):
        MeanFlow((8, 8, 1), flow=DiffusionModel(**SMALL), widths=(4, 4))
    transformer = DiffusionModel((8, 8, 1), architecture="dit", widths=(32,), num_blocks=1)
    with pytest.raises(ValueError, match="architecture must match the flow's, 'dit'.* Received: 'unet'"):
        MeanFlow((8, 8, 1), flow=transformer, architecture="unet")
    with pytest.raises(ValueError, match="MeanFlow takes no schedule: mean velocities are of straight"):
        MeanFlow((8, 8, 1), schedule="edm")
    with pytest.raises(ValueError, match="guidance is that of a flow. Received: guidance=1.5 and no flow"):
        MeanFlow(**SMALL, guidance=1.5)
    unguided = DiffusionModel(**SMALL, guide_steps=0)
    with pytest.raises(ValueError, match="Received: guidance=1.5 and a flow that has no guidance"):
        MeanFlow((8, 8, 1), flow=unguided, guidance=1.5)
    with pytest.raises(AttributeError, match="has no log_prob: its velocity may be a guided one"):
        MeanFlow(**SMALL).log_prob(np.zeros((1, 8, 8, 1)))
    with pytest.raises(ValueError, match="guidance has no effect"):
        MeanFlow(**SMALL).inpaint(np.zeros((1, 8, 8, 1)), np.ones((8, 8)), guidance=3.0)
