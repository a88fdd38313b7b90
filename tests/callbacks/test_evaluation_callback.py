"""The Evaluation callback, and what acts on its numbers."""

import keras
import numpy as np
import pytest

from keras_gen import callbacks, metrics
from keras_gen.datasets import load_dataset
from keras_gen.models import VAE, CNNClassifier


@pytest.fixture(scope="module")
def data():
    return load_dataset("fashion_mnist_12k", batch_size=100)


def model(**arguments) -> VAE:
    built = VAE(latent_dim=3, widths=(4,), hidden_units=8, seed=0, **arguments)
    built.compile()
    return built


def test_logs_what_the_metrics_say(data, garments):
    vae = model(num_classes=10)
    evaluation = callbacks.Evaluation(data, num=200, metrics=("fd", "recall", "label_accuracy"), seed=5)
    history = vae.fit(*garments, epochs=2, verbose=0, callbacks=[evaluation]).history
    x, y = data.test_images(200)
    extractor = metrics.load_extractor()
    features, probabilities = extractor(vae.generate(200, seed=5, labels=y))
    real = extractor(x)[0]
    assert history["val_fd"][-1] == pytest.approx(metrics.frechet_distance(real, features), rel=1e-5)
    assert history["val_recall"][-1] == metrics.precision_recall(real, features)[1]
    assert history["val_label_accuracy"][-1] == metrics.label_accuracy(probabilities, y)


def test_between_two_measurements_the_last_values_are_repeated(data, garments):
    evaluation = callbacks.Evaluation(data, num=150, every=3, metrics=("fd",))
    history = model().fit(*garments, epochs=5, verbose=0, callbacks=[evaluation]).history["val_fd"]
    assert history[0] == history[1] != history[2] == history[3] == history[4]


def test_model_checkpoint_keeps_the_best(data, garments, tmp_path):
    path = tmp_path / "best.keras"
    evaluation = callbacks.Evaluation(data, num=150, metrics=("fd",))
    keep = keras.callbacks.ModelCheckpoint(path, monitor="val_fd", save_best_only=True)
    vae = model()
    history = vae.fit(*garments, epochs=4, verbose=0, callbacks=[evaluation, keep]).history["val_fd"]
    again = callbacks.Evaluation(data, num=150, metrics=("fd",))
    again.set_model(keras.saving.load_model(path))
    logs = {}
    again.on_epoch_end(0, logs)
    assert logs["val_fd"] == pytest.approx(min(history))


@pytest.mark.parametrize(
    ("build", "message"),
    (
        (lambda d: [keras.callbacks.ModelCheckpoint("x.keras", monitor="val_fd", save_best_only=True)],
         "ModelCheckpoint monitors 'val_fd', which is not logged before it acts"),
        (lambda d: [keras.callbacks.EarlyStopping("val_loss")], "'val_loss'.*validation_data"),
        (lambda d: [keras.callbacks.ReduceLROnPlateau("lose")], "ReduceLROnPlateau monitors 'lose'"),
        (lambda d: [keras.callbacks.EarlyStopping("val_fd"), callbacks.Evaluation(d, num=150)],
         "an Evaluation callback earlier in the list"),
    ),
)  # fmt: skip
def test_an_unknown_monitor_is_refused_before_training(data, garments, build, message):
    vae = model()
    before = vae.get_weights()
    with pytest.raises(ValueError, match=message):
        vae.fit(*garments, verbose=0, callbacks=build(data))
    for one, other in zip(before, vae.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_known_monitors_pass(garments):
    model().fit(
        *garments,
        validation_split=0.5,
        verbose=0,
        callbacks=[
            keras.callbacks.EarlyStopping("val_kl_loss"),
            keras.callbacks.ReduceLROnPlateau("loss"),
            # Without save_best_only it acts on nothing.
            keras.callbacks.ModelCheckpoint("never.keras", "val_fd", mode="min", save_freq=10**9),
        ],
    )


def test_the_better_direction_is_known(data, garments):
    """Keras cannot tell for a model with its own train_step, and would refuse."""
    stop = [keras.callbacks.EarlyStopping(name) for name in ("val_fd", "val_recall", "kl_loss")]
    evaluation = callbacks.Evaluation(data, num=150, metrics=("fd", "recall"))
    model().fit(*garments, verbose=0, callbacks=[evaluation, *stop])
    assert [callback.mode for callback in stop] == ["min", "max", "min"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        (
            {"num": 100},
            "A comparison by 128 features (fashion_mnist) needs 129 or more images of each kind",
        ),
        ({"num": 2**31 - 1}, "Received: num=2,147,483,647, which takes 6,734.5 GB"),
        ({"num": 150.5}, "num must be an integer from 1"),
        ({"every": 0}, "every must be an integer from 1"),
        ({"metrics": ("fid",)}, "metrics must be among fd, kid, precision"),
        ({"metrics": "fd"}, "metrics must be a list or tuple, each a string. Received: 'fd'"),
        ({"metrics": ()}, "metrics must be a list or tuple, each a string"),
        (
            {"extractor": "fashion"},
            "extractor must be fashion_mnist, inception_v3, an existing .keras file",
        ),
        ({"seed": -1}, "seed must be an integer from 0"),
        ({"data": {}}, "data must be an ImageDataset. Received: {}"),
    ),
)
def test_refuses_arguments_in_one_line(data, arguments, message):
    with pytest.raises(ValueError) as refusal:
        callbacks.Evaluation(**{"data": data, **arguments})
    assert str(refusal.value).startswith(message) and "Received: " in str(refusal.value)


def test_refuses_a_model_that_it_cannot_measure(data, garments):
    labels = callbacks.Evaluation(data, num=150, metrics=("label_accuracy",))
    with pytest.raises(ValueError, match="label_accuracy is for conditional models. Received: a VAE"):
        model().fit(*garments, verbose=0, callbacks=[labels])
    classifier = CNNClassifier(widths=(4,), hidden_units=8)
    classifier.compile()
    with pytest.raises(
        ValueError, match="Evaluation is for models that generate images. Received: a CNNCl"
    ):
        classifier.fit(*garments, verbose=0, callbacks=[callbacks.Evaluation(data, 150)])


def test_nan_is_no_quality(data, garments):
    vae = model()
    evaluation = callbacks.Evaluation(data, num=150, metrics=("fd",))
    evaluation.set_model(vae)
    vae.decoder.layers[-1].bias.assign([np.nan])
    with pytest.raises(ValueError, match="The model computes NaN or infinity.*a tenth of the learning"):
        evaluation.on_epoch_end(2, {})
