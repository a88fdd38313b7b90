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
    """A flow of straight decay, v = slope * (x - MEAN), and a model whose network is its mean velocity.

    The path is x_s = MEAN + (x_t - MEAN) * exp(slope * (s - t)).
    """
    x, t, duration = keras.Input(SHAPE), keras.Input((1,)), keras.Input((1,))
    length = ops.reshape(duration, (-1, 1, 1, 1))
    ratio = ops.where(length > 1e-3, (1.0 - ops.exp(-slope * length)) / ops.maximum(length, 1e-3), slope)
    network = keras.Model([x, t, duration], (x - MEAN) * ratio + 0.0 * ops.reshape(t, (-1, 1, 1, 1)))
    model = MeanFlow(SHAPE, network=network, ema=0.0, seed=0)

    class Flow:
        def velocity(self, x, t, labels, guidance):
            return slope * (x - MEAN)

    model.flow = Flow()
    return model


def test_the_identity_holds_for_a_linear_field():
    """The network of the true mean velocities has no loss, and one with another slope has."""
    images = tf.random.stateless_uniform((64, *SHAPE), (0, 0), -1.0, 1.0)
    noise = tf.random.stateless_normal((64, *SHAPE), (0, 1))
    t_normal = tf.random.stateless_normal((64, 1, 1, 3), (0, 2))
    model = linear_field(1.5)
    losses, relative_losses, _ = model.losses(images, noise, t_normal, None)
    np.testing.assert_allclose(losses, 0.0, atol=1e-6)
    np.testing.assert_allclose(relative_losses, 0.0, atol=1e-5)
    model.flow = linear_field(1.0).flow
    assert (model.losses(images, noise, t_normal, None)[1].numpy() > 0.05).all()


def test_one_step_goes_as_far_as_many():
    model = linear_field(1.5)
    z = np.random.default_rng(0).normal(size=(20, *SHAPE)).astype("float32")
    end = MEAN + (z - MEAN) * np.exp(-1.5)
    for num_steps in (1, 2, 7):
        decoded = model.decode(z, num_steps=num_steps)
        np.testing.assert_allclose(decoded, np.clip(0.5 * end + 0.5, 0, 1), atol=1e-5)


def test_steps_lead_from_the_noise_to_what_is_generated():
    model = linear_field(1.5)
    steps = model.generation_steps(3, num_steps=4, seed=2)
    np.testing.assert_allclose(steps[:, -1], model.generate(3, num_steps=4, seed=2), atol=1e-6)
    assert model.loss_by_time(np.zeros((2, *SHAPE)))[1].max() < 1e-6


def test_a_quarter_of_a_batch_has_durations():
    model = MeanFlow(**SMALL, seed=0)
    t, duration = np.split(
        model.times_of(tf.random.stateless_normal((4000, 1, 1, 3), (0, 0))).numpy(), 2, -1
    )
    assert (duration[:1000] > 0).all() and (duration[1000:] == 0).all()
    assert (t - duration >= 0).all() and (t <= 1).all()
    assert 0.2 < duration[:1000].mean() < 0.3  # 0.24 for two logit-normal times


def test_it_starts_as_the_flow_and_learns_its_mean_velocity(garments):
    images = garments[0][:256, 2:26:3, 2:26:3]
    flow = DiffusionModel(**SMALL, guide_steps=0, ema=0.9, seed=0)
    flow.compile()
    flow.fit(images, epochs=20, verbose=0)
    model = MeanFlow(image_shape=(8, 8, 1), flow=flow, guidance=1.0, ema=0.9, seed=1)
    x, t = (
        tf.random.stateless_normal((3, 8, 8, 1), (0, 0)),
        tf.constant([0.2, 0.5, 0.9])[:, None, None, None],
    )
    np.testing.assert_allclose(model.velocity(x, t), flow.velocity(x, t), atol=1e-6)
    wanted = flow.generate(200, num_steps=50, sampler="euler", seed=0)

    def error() -> float:
        return float(np.abs(model.generate(200, num_steps=1, seed=0) - wanted).mean())

    before, weights = error(), flow.get_weights()
    model.compile()
    model.fit(images, epochs=40, verbose=0)
    assert error() < 0.9 * before
    for now, then in zip(flow.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_preset_leaves_out_the_flow(tmp_path):
    flow = DiffusionModel(**SMALL, guide_steps=0, seed=0)
    model = MeanFlow(image_shape=(8, 8, 1), flow=flow, guidance=1.0, seed=1)
    model.ema_network.set_weights([w + 0.02 for w in model.ema_network.get_weights()])
    loaded = kg.from_preset(model.save_preset(tmp_path / "preset"))
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


def test_a_flow_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="flow must have image_shape=.8, 8, 1.. Received: .4, 4, 1."):
        MeanFlow((8, 8, 1), flow=DiffusionModel(SHAPE, widths=(4,), num_blocks=1))
    with pytest.raises(ValueError, match="flow must have schedule='linear'. Received: 'edm'"):
        MeanFlow((8, 8, 1), flow=DiffusionModel(**SMALL, schedule="edm"))
    with pytest.raises(ValueError, match=r"widths must be that of the flow, .4, 8., or be left out"):
        MeanFlow((8, 8, 1), flow=DiffusionModel(**SMALL), widths=(4, 4))
    with pytest.raises(ValueError, match="MeanFlow takes no schedule: its paths are straight"):
        MeanFlow((8, 8, 1), schedule="edm")
    with pytest.raises(ValueError, match="guidance is that of a flow. Received: guidance=1.5 and no flow"):
        MeanFlow(**SMALL, guidance=1.5)
    with pytest.raises(ValueError, match="guidance has no effect"):
        MeanFlow(**SMALL).inpaint(np.zeros((1, 8, 8, 1)), np.ones((8, 8)), guidance=1.5)
