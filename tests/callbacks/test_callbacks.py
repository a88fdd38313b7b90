"""Each callback on a real `fit`."""

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from keras_gen import callbacks
from keras_gen.callbacks.text_samples import fenced, in_code
from keras_gen.datasets import load_text
from keras_gen.models import VAE, CNNClassifier, LSTMTextGenerator


@pytest.fixture
def model() -> VAE:
    model = VAE(latent_dim=3, widths=(4,), hidden_units=8, seed=0)
    model.compile(steps_per_execution=2)
    return model


@pytest.fixture
def conditional() -> VAE:
    model = VAE(latent_dim=3, widths=(4,), hidden_units=8, num_classes=10, seed=0)
    model.compile(steps_per_execution=2)
    return model


def events(folder) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0})
    return accumulator.Reload()


def test_sample_grid_is_the_same_noise_every_epoch(model, garments, tmp_path):
    grid = callbacks.SampleGrid(tmp_path, num_samples=16, every=2)
    model.fit(garments[0], epochs=5, verbose=0, callbacks=[grid])
    names = sorted(path.name for path in (tmp_path / "samples").glob("*.png"))
    assert names == ["epoch-0002.png", "epoch-0004.png", "epoch-0005.png"]  # and after the last
    picture = np.asarray(PIL.Image.open(tmp_path / "samples" / "epoch-0005.png"))
    np.testing.assert_array_equal(picture, grid.picture())
    assert picture.shape == (4 * 58 + 2, 4 * 58 + 2, 3)  # 28 enlarged to 56, gaps of 2
    assert [e.step for e in events(tmp_path / "train").Tensors("samples")] == [2, 4, 5]


def test_sample_grid_has_a_row_for_each_class(conditional, garments, tmp_path):
    grid = callbacks.SampleGrid(tmp_path, samples_per_class=3, class_names=list("abcdefghij"))
    conditional.fit(*garments, verbose=0, callbacks=[grid])
    shown = np.asarray(PIL.Image.open(tmp_path / "samples" / "epoch-0001.png"))
    expected = conditional.generate(30, seed=0, labels=np.repeat(np.arange(10), 3))
    right = shown[:, -(3 * 58 + 2) :]
    tile = right[2 + 4 * 58 : 58 + 4 * 58, 2 + 58 : 58 + 58, 0]  # row 4, column 1
    np.testing.assert_array_equal(tile[::2, ::2], np.round(expected[4 * 3 + 1, ..., 0] * 255))


def test_reconstruction_grid_shows_real_above_model(model, garments, tmp_path):
    grid = callbacks.ReconstructionGrid(tmp_path, garments[0][:5], columns=4)
    model.fit(garments[0], verbose=0, callbacks=[grid])
    shown = np.asarray(PIL.Image.open(tmp_path / "reconstructions" / "epoch-0001.png"))
    pictures = shown[:, -(4 * 58 + 2) :, 0]
    np.testing.assert_array_equal(pictures[2:58, 2:58][::2, ::2], garments[0][0])
    expected = np.round(model.reconstruct(garments[0][:5])[..., 0] * 255)
    np.testing.assert_array_equal(pictures[60:116, 2:58][::2, ::2], expected[0])
    np.testing.assert_array_equal(pictures[176:232, 2:58][::2, ::2], expected[4])  # none is left out
    assert pictures[176:, 60:].min() == 255


def test_training_curves_share_charts(model, garments, tmp_path):
    """A GAN's names, too, and what other callbacks add."""

    class Other(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs):
            logs["val_fd"] = 10.0 - epoch

    curves = callbacks.TrainingCurves(tmp_path)
    history = model.fit(
        garments[0],
        validation_data=(garments[0][:64],),
        epochs=2,
        verbose=0,
        callbacks=[Other(), curves],
    ).history
    shared = {"loss", "metrics/active_units", "metrics/kl_loss", "metrics/reconstruction_loss"}
    train, validation = events(tmp_path / "train"), events(tmp_path / "validation")
    assert set(train.Tags()["tensors"]) == shared | {"training/learning_rate"}
    assert set(validation.Tags()["tensors"]) == shared | {"metrics/FD"}
    for log, tag, name in ((train, "loss", "loss"), (validation, "metrics/FD", "val_fd")):
        points = log.Tensors(tag)
        assert [event.step for event in points] == [1, 2]
        values = [tf.make_ndarray(event.tensor_proto).item() for event in points]
        assert values == pytest.approx(history[name])


def test_what_an_early_stop_leaves_is_shown(model, garments, tmp_path):
    """The last epoch, though nobody knew that it was."""
    grid = callbacks.SampleGrid(tmp_path, num_samples=4, every=5)
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(model, "stop_training", epoch == 1)
    )
    model.fit(garments[0], epochs=10, verbose=0, callbacks=[stop, grid])
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["epoch-0002.png"]


def test_latent_projector_writes_what_the_projector_reads(model, garments, tmp_path):
    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    images, labels = garments[0][:30], garments[1][:30]
    names = [f"class {n}" for n in range(10)]
    projector = callbacks.LatentProjector(tmp_path, images, labels, names)
    model.fit(garments[0], verbose=0, callbacks=[projector])
    folder = tmp_path / "projector"
    text = (folder / "projector_config.pbtxt").read_text()
    (embedding,) = text_format.Parse(text, ProjectorConfig()).embeddings
    codes = np.loadtxt(folder / embedding.tensor_path, delimiter="\t")
    np.testing.assert_allclose(codes, model.encode(images), atol=1e-4)
    lines = (folder / embedding.metadata_path).read_text().splitlines()
    assert lines == [f"class {label}" for label in labels]
    sprite = np.asarray(PIL.Image.open(folder / embedding.sprite.image_path))
    width, height = embedding.sprite.single_image_dim
    assert sprite.shape[:2] == (6 * height, 6 * width)
    np.testing.assert_array_equal(sprite[height : 2 * height, :width, 0], images[6])
    with pytest.raises(ValueError, match="Expected 30 labels"):
        callbacks.LatentProjector(tmp_path, images, labels[:3])
    with pytest.raises(ValueError, match="Expected 1 to 10,000 images"):
        callbacks.LatentProjector(tmp_path, images[:0])


def test_hardware_monitor_logs_scalars_and_ends_its_thread(model, garments, tmp_path):
    monitor = callbacks.HardwareMonitor(tmp_path, 32, seconds=0.01)
    model.fit(garments[0], epochs=4, batch_size=32, verbose=0, callbacks=[monitor])
    assert monitor._thread is None
    logged = events(tmp_path / "train")
    names = {"cpu_percent", "ram_percent", "process_ram_gib"}
    assert {f"utilization/{name}" for name in names} <= set(logged.Tags()["tensors"])
    rates = logged.Tensors("training/images_per_second")
    assert [event.step for event in rates] == [1, 2, 3, 4]
    assert all(tf.make_ndarray(event.tensor_proto) > 0 for event in rates)
    assert {event.step for event in logged.Tensors("utilization/cpu_percent")} <= {1, 2, 3, 4}
    with pytest.raises(ValueError, match="seconds must be more than 0"):
        callbacks.HardwareMonitor(tmp_path, seconds=0)


@pytest.mark.parametrize("steps_per_execution", (1, 4))
def test_finite_guard_names_the_loss_and_the_step(garments, steps_per_execution):
    """One NaN pixel in the 7th batch."""
    images = (garments[0][:320] / 255).astype("float32")
    images[6 * 32 + 5, 3, 3] = np.nan
    model = VAE(latent_dim=3, widths=(4,), hidden_units=8, seed=0)
    model.compile(steps_per_execution=steps_per_execution)
    data = tf.data.Dataset.from_tensor_slices(images).batch(32)
    with pytest.raises(FloatingPointError, match=r"reconstruction_loss.* at step 7 \(epoch 1\)"):
        model.fit(data, verbose=0, callbacks=[callbacks.FiniteGuard()])


def test_finite_guard_on_any_keras_model():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    x = np.ones((40, 1), "float32")
    x[25] = np.inf
    with pytest.raises(FloatingPointError, match="loss was not finite at epoch 1, between steps 3 and 3"):
        model.fit(x, x, batch_size=10, shuffle=False, verbose=0, callbacks=[callbacks.FiniteGuard()])


def test_time_budget(model, garments):
    budget = callbacks.TimeBudget(minutes=1e-9)
    model.fit(garments[0], batch_size=32, epochs=50, verbose=0, callbacks=[budget])
    assert int(model.optimizer.iterations) == 2  # one call of two steps
    with pytest.raises(ValueError, match="minutes must be more than 0"):
        callbacks.TimeBudget(minutes=0)


def test_every_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="every must be 1 or more"):
        callbacks.SampleGrid(tmp_path, every=0)


def test_progress_bar_says_a_line_for_each_epoch(model, garments):
    lines = []
    bar = callbacks.ProgressBar(16, 8, 64, say=lines.append)
    model.fit(garments[0], batch_size=64, epochs=2, verbose=0, callbacks=[bar])
    assert [line[:10] for line in lines] == ["epoch 1/2 ", "epoch 2/2 "]
    assert "loss" in lines[0] and lines[0].endswith(" images/s")
    assert bar._done == 16


def test_confusion_matrix_against_scikit_learn(garments, tmp_path):
    reference = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    images, labels = garments
    classifier = CNNClassifier(widths=(4,), hidden_units=8, seed=0, class_names=list("abcdefghij"))
    classifier.compile()
    matrix = callbacks.ConfusionMatrix(tmp_path, images, labels)
    classifier.fit(images, labels, epochs=2, verbose=0, callbacks=[matrix])
    taken_for = classifier.classify(images).argmax(axis=1)
    np.testing.assert_array_equal(
        matrix.counts(), reference.confusion_matrix(labels, taken_for, labels=range(10))
    )
    picture = np.asarray(PIL.Image.open(tmp_path / "confusion" / "epoch-0002.png"))
    np.testing.assert_array_equal(picture, matrix.picture())
    assert picture.shape == (700, 700, 3)


def test_text_samples_are_the_same_prompts_at_several_temperatures(tmp_path):
    data = load_text(["a `b` c.\n" * 50], sequence_length=8, batch_size=4)
    model = LSTMTextGenerator(data.tokenizer, embedding_dim=4, widths=(6,), seed=0)
    samples = callbacks.TextSamples(
        tmp_path, ["", "a"], temperatures=(0, 0.7), max_tokens=20, num_likeliest=3, every=2
    )
    samples.set_model(model)
    samples.set_params({"epochs": 3})
    for epoch in range(3):
        samples.on_epoch_end(epoch)
    samples.on_train_end()
    assert sorted(p.name for p in (tmp_path / "samples").glob("*.md")) == ["epoch-0002.md", "epoch-0003.md"]
    shown = (tmp_path / "samples" / "epoch-0002.md").read_text()
    assert shown == (tmp_path / "samples" / "epoch-0003.md").read_text()  # the same noise
    for prompt in ("", "a"):
        for temperature in (0, 0.7):
            text = model.generate(["", "a"], 20, temperature, seed=0)[prompt == "a"]
            assert f"**Temperature {temperature:g}**\n\n" in shown and f"\n{text}\n```" in shown
        for piece, probability in model.next_token_probabilities(prompt, 3):
            assert f"| {in_code(piece)} | {probability:.1%} |" in shown
    assert shown.index("**Temperature 0.7**") < shown.index("| next token |")  # the text comes first
    logged = events(tmp_path / "train")
    assert logged.Tags()["tensors"] == ["samples/prompt_1", "samples/prompt_2"]
    assert [event.step for event in logged.Tensors("samples/prompt_1")] == [2, 3]
    for arguments in ({"prompts": "a"}, {"prompts": []}, {"temperatures": ()}):
        with pytest.raises(ValueError, match="must be a list of one or more"):
            callbacks.TextSamples(tmp_path, **arguments)


def test_markdown_shows_text_as_it_is():
    assert fenced("a ``` b") == "````\na ``` b\n````"
    assert in_code("\n  `x|") == "`` '\\n  `x\\|' ``" and in_code("") == "*the end*"
