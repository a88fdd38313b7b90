"""GANHealth on runs that are made to fail in each way, and on healthy ones."""

import json

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from keras_gen.callbacks import GANHealth
from keras_gen.callbacks.gan_health import diagnose
from keras_gen.models import GAN, WGANGP

SIZES = {"latent_dim": 16, "generator_widths": (32, 16), "discriminator_widths": (16, 32), "seed": 0}


def told(tmp_path, garments, generator_rate, discriminator_rate, model=None, epochs=8) -> list[str]:
    """What GANHealth says of a run with these learning rates."""
    model = model or GAN(**SIZES)
    model.compile(*[keras.optimizers.Adam(r, beta_1=0.5) for r in (generator_rate, discriminator_rate)])
    texts: list[str] = []
    health = GANHealth(tmp_path, window=16, patience=5, say=texts.append)
    model.fit(garments[0], batch_size=32, epochs=epochs, callbacks=[health], verbose=0)
    return texts


def test_discriminator_that_is_too_strong(tmp_path, garments):
    model = GAN(**SIZES, dropout=0.1)
    texts = told(tmp_path, garments, 1e-5, 4e-3, model)
    assert len(texts) == 1  # once, not in every window
    assert "The discriminator has overpowered the generator, since step " in texts[0]
    for remedy in (
        "r1_weight=0.1 (now 0)",
        "dropout=0.35 (now 0.1)",
        "learning rate of 0.001 (now 0.004)",
        "filters (now [16, 32])",
    ):
        assert remedy in texts[0]
    assert "real_label_noise=0.2" in texts[0] and "real_label_flips=0.05" in texts[0]
    events = EventAccumulator(str(tmp_path / "train"), size_guidance={"tensors": 0}).Reload()
    (event,) = events.Tensors("health")
    assert f"GANHealth: {event.tensor_proto.string_val[0].decode()}" == texts[0]
    assert 1 <= event.step <= 8  # the epoch


def test_generator_that_runs_ahead(tmp_path, garments):
    model = GAN(**SIZES, real_label_flips=0.3)
    texts = told(tmp_path, garments, 4e-3, 1.5e-6, model)
    assert len(texts) == 1
    assert "The generator has overpowered the discriminator, since step " in texts[0]
    assert "real_label_flips=0 (now 0.3)" in texts[0]
    assert "generator learning rate of 0.001 (now 0.004)" in texts[0]
    assert "discriminator learning rate above 1.5e-06" in texts[0]
    assert "discriminator_steps=2 (now 1)" in texts[0]


@pytest.mark.parametrize("model", (GAN, WGANGP))
def test_healthy_runs_hear_nothing(model, tmp_path, garments):
    assert told(tmp_path, garments, 1e-3, 1e-3, model(**SIZES), epochs=10) == []
    assert not list(tmp_path.iterdir())


def test_collapse_and_recovery_by_the_logs():
    """A mode, then health again: both are said, with the steps where they began."""
    texts: list[str] = []
    health = GANHealth(None, window=10, patience=2, say=texts.append)
    model = GAN(**SIZES)
    model.compile()
    health.set_model(model)
    health.set_params({"steps": 100})
    health.on_train_begin()
    rates = {"generator_learning_rate": 1e-3, "discriminator_learning_rate": 1e-3}
    losses = {"discriminator_loss": 1.0, "real_accuracy": 0.8, "generated_accuracy": 0.8}
    health.on_epoch_begin(0)
    diversities = np.concatenate([np.full(30, 0.9), np.full(40, 0.1), np.full(30, 0.9)])
    for step in range(100):  # the logs are means over the epoch so far, as Keras has them
        mean = diversities[: step + 1].mean()
        health.on_train_batch_end(step, {**losses, **rates, "diversity": mean})
    assert len(texts) == 2
    assert "since step 30 (epoch 1): its samples are alike, 0.10 times" in texts[0]
    assert texts[1] == "GANHealth: The generator is no longer ahead, since step 70 (epoch 1)."


def test_an_interrupted_run_is_judged_as_a_straight_one():
    """Stopped amid a window and an epoch; its state goes through JSON, as in a checkpoint."""
    model = GAN(**SIZES)
    model.compile()
    values = {"discriminator_loss": 1.0, "real_accuracy": 0.8, "generated_accuracy": 0.8}
    values |= {"generator_learning_rate": 1e-3, "discriminator_learning_rate": 1e-3}
    diversities = np.concatenate([np.full(30, 0.9), np.full(65, 0.1), np.full(25, 0.9)])  # 3 epochs of 40

    def run(health: GANHealth, first: int, last: int) -> None:
        health.set_model(model)
        health.on_train_begin()
        for step in range(first, last):
            epoch, place = divmod(step, 40)
            if step == first or place == 0:
                health.set_params({"steps": 40 - place})
                health.on_epoch_begin(epoch)
                skipped = place
            mean = diversities[40 * epoch : step + 1].mean()  # of the whole epoch, also when resumed
            health.on_train_batch_end(place - skipped, {**values, "diversity": mean})

    straight: list[str] = []
    run(GANHealth(None, window=15, patience=2, say=straight.append), 0, 120)
    assert len(straight) == 2
    for stop in (53, 80, 97):
        texts: list[str] = []
        stopped = GANHealth(None, window=15, patience=2, say=texts.append)
        run(stopped, 0, stop)
        resumed = GANHealth(None, window=15, patience=2, say=texts.append)
        resumed.set_state(json.loads(json.dumps(stopped.get_state())))
        run(resumed, stop, 120)
        assert texts == straight


def test_diagnose():
    healthy = {
        "diversity": 0.95,
        "real_accuracy": 0.8,
        "generated_accuracy": 0.85,
        "discriminator_loss": 1.0,
    }
    sure = {**healthy, "real_accuracy": 0.99, "generated_accuracy": 1.0, "discriminator_loss": 0.05}
    for loss in ("non_saturating", "minimax", "least_squares", "hinge"):
        assert diagnose(healthy, loss) is None
        assert diagnose({**sure, "discriminator_loss": 0.01}, loss) == "discriminator"
        assert diagnose({**sure, "real_accuracy": 0.6}, loss) is None
        assert diagnose({**healthy, "diversity": 0.3}, loss) == "generator"
        assert diagnose({**healthy, "generated_accuracy": 0.01}, loss) == "generator"
    assert diagnose(sure, "wasserstein") is None  # a good critic is sure
    assert diagnose({**sure, "discriminator_loss": 7.0}, "") == "discriminator"  # a loss of one's own
    # Sure, but with a loss to learn from: the end of a good run.
    assert diagnose({**sure, "discriminator_loss": 0.19}, "non_saturating") is None
    assert diagnose({**sure, "discriminator_loss": 0.5}, "non_saturating", True) == "discriminator"


def test_refuses_bad_arguments():
    with pytest.raises(ValueError, match="window must be an integer from 1 .*. Received: 0"):
        GANHealth(None, window=0)
