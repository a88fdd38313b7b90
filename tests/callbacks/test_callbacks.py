"""Each callback on a real `fit`."""

import io

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from keras_gen import callbacks
from keras_gen.callbacks.text_samples import fenced, in_code
from keras_gen.datasets import load_text
from keras_gen.models import GAN, VAE, CNNClassifier, DiffusionModel, LSTMTextGenerator


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


def test_a_diffusion_model_shows_its_steps_and_where_it_is_bad(garments, tmp_path):
    images = garments[0][:64, 2:26:3, 2:26:3]
    model = DiffusionModel((8, 8, 1), widths=(4, 8), num_blocks=1, seed=0)
    model.compile()
    steps = callbacks.GenerationSteps(tmp_path, num_samples=2, num_steps=3)
    losses = callbacks.LossByTime(tmp_path, images, num_times=2)
    model.fit(images, verbose=0, epochs=2, callbacks=[steps, losses])
    shown = np.asarray(PIL.Image.open(tmp_path / "steps" / "epoch-0002.png"))
    tiles = shown.reshape(2, -1, shown.shape[1], 3)[1]  # the second sample
    last = model.generate(2, num_steps=3, seed=0)[1]
    size = (shown.shape[1] - 2) // 4 - 2
    with pytest.raises(ValueError, match="Images must have shape"):
        model.fit(images, verbose=0, callbacks=[callbacks.LossByTime(tmp_path, garments[0][:3])])
    tile = tiles[-size - 2 : -2, -size - 2 : -2, 0][:: size // 8, :: size // 8]
    np.testing.assert_allclose(tile, np.round(255 * last[..., 0]), atol=1)
    written = events(tmp_path / "validation")
    for tag, loss in zip(("0.25", "0.75"), model.loss_by_time(images, num_times=2)[1], strict=True):
        values = written.Tensors(f"loss by time/{tag}")
        assert [value.step for value in values] == [1, 2]
        assert tf.make_ndarray(values[-1].tensor_proto) == pytest.approx(loss, rel=1e-5)
    seldom = callbacks.LossByTime(tmp_path / "seldom", images, num_times=1, every=2)
    model.fit(images, verbose=0, epochs=3, callbacks=[seldom])
    values = events(tmp_path / "seldom" / "validation").Tensors("loss by time/0.50")
    assert [value.step for value in values] == [2, 3]  # and after the last epoch
    with pytest.raises(ValueError, match="LossByTime is for diffusion models. Received: a VAE"):
        vae = VAE(latent_dim=3, widths=(4,), hidden_units=8)
        vae.compile()
        vae.fit(garments[0], verbose=0, callbacks=[losses])


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
    with pytest.raises(ValueError, match="labels must be 30 integers 0 or more, one for each image"):
        callbacks.LatentProjector(tmp_path, images, labels[:3])
    with pytest.raises(ValueError, match="x must be 10,000 images at most. Received: 10,001"):
        callbacks.LatentProjector(tmp_path, np.zeros((10_001, 1, 1, 1), "uint8"))


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


class BreaksAtStep7(VAE):
    def reconstruction_loss(self, *args):
        step = tf.convert_to_tensor(self.optimizer.iterations) + 1
        return tf.where(step == 7, np.nan, super().reconstruction_loss(*args))


@pytest.mark.parametrize("steps_per_execution", (1, 4))
def test_finite_guard_names_the_loss_and_the_step(garments, steps_per_execution):
    model = BreaksAtStep7(latent_dim=3, widths=(4,), hidden_units=8, seed=0)
    model.compile(steps_per_execution=steps_per_execution)
    with pytest.raises(FloatingPointError, match=r"reconstruction_loss.* at step 7 \(epoch 1\)"):
        model.fit(garments[0][:320], verbose=0, callbacks=[callbacks.FiniteGuard()])


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


class Terminal(io.StringIO):
    """What a terminal shows of what is written to it: a carriage return goes back to the line's start."""

    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        found = []
        for line in self.getvalue().split("\n"):
            shown = ""
            for part in line.split("\r"):
                shown = part + shown[len(part) :]
            found.append(shown.rstrip())
        return found


def test_the_line_of_an_epoch_stands_alone_in_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setattr("sys.stderr", terminal)
    bar = callbacks.ProgressBar(4, 2, 64)
    bar.on_train_begin()
    for epoch in range(2):
        bar.on_epoch_begin(epoch)
        for step in range(2):
            bar.on_train_batch_end(step)
        bar.on_epoch_end(epoch, {"loss": 0.5})
    bar.on_train_end()
    said = [line for line in terminal.lines() if "images/s" in line and "%" not in line]
    assert [line.split("  ")[:2] for line in said] == [["epoch 1/2", "loss 0.5"], ["epoch 2/2", "loss 0.5"]]
    assert terminal.lines() == [*said, ""]


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


def test_markdown_shows_text_as_it_is():
    assert fenced("a ``` b") == "````\na ``` b\n````"
    assert in_code("\n  `x|") == "`` '\\n  `x\\|' ``" and in_code("") == "*the end*"


X, LABELS = np.zeros((4, 28, 28, 1), "uint8"), [0, 1, 2, 9]
ONE_OF_MANY = "an integer from 1 to 10000. Received: 1000000000"


@pytest.mark.parametrize(
    ("make", "message"),
    (
        (lambda d: callbacks.SampleGrid(d, every=0), "every must be an integer from 1"),
        (lambda d: callbacks.SampleGrid(d, every=np.nan), "every must be an integer from 1"),
        (lambda d: callbacks.SampleGrid(d, num_samples=10**9), f"num_samples must be {ONE_OF_MANY}"),
        (lambda d: callbacks.SampleGrid(d, class_names="abc"), "class_names must be a list or tuple"),
        (
            lambda d: callbacks.SampleGrid(""),
            "log_dir must be a directory that can be written to, or made.",
        ),
        (lambda d: callbacks.SampleGrid(d / "file"), "log_dir must be a directory that can be written to"),
        (lambda d: callbacks.TrainingCurves(d / "file" / "x"), "log_dir must be a directory"),
        (lambda d: callbacks.SampleGrid(d, image_dir=d / "file"), "the folder must be a directory"),
        (lambda d: callbacks.ReconstructionGrid(d, []), "x must be images of shape (n, height, width, cha"),
        (
            lambda d: callbacks.ReconstructionGrid(d, X * 2.0 - 1),
            "x must be uint8, or floating point in [0, ",
        ),
        (lambda d: callbacks.ReconstructionGrid(d, X, [1, 2]), "labels must be 4, one for each image. Rec"),
        (lambda d: callbacks.ConfusionMatrix(d, X, [1, 2]), "labels must be 4 integers 0 or more, one for"),
        (
            lambda d: callbacks.ConfusionMatrix(d, X, [1, 2, 3, -1]),
            "labels must be 4 integers 0 or more, on",
        ),
        (
            lambda d: callbacks.ConfusionMatrix(d, X, None),
            "labels must be 4 integers 0 or more, one for eac",
        ),
        (
            lambda d: callbacks.LatentProjector(d, X, LABELS, ["a", "b"]),
            "class_names must be 10 or more, one",
        ),
        (lambda d: callbacks.TextSamples(d, prompts="a"), "prompts must be a list of one or more strings."),
        (lambda d: callbacks.TextSamples(d, prompts=[]), "prompts must be a list of one or more strings."),
        (
            lambda d: callbacks.TextSamples(d, temperatures=[-1]),
            "temperatures must be a list of one or more",
        ),
        (
            lambda d: callbacks.HardwareMonitor(d, seconds=0),
            "seconds must be a finite number, more than 0.",
        ),
        (lambda d: callbacks.TimeBudget(minutes=np.inf), "minutes must be a finite number, more than 0."),
        (lambda d: callbacks.ProgressBar(3, 0, 1), "steps_per_epoch must be an integer from 1"),
        (lambda d: callbacks.FiniteGuard("loss"), "FiniteGuard: too many positional arguments"),
    ),
)
def test_refuses_arguments_in_one_line(make, message, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises((ValueError, TypeError)) as refusal:
        make(tmp_path)
    assert str(refusal.value).startswith(message) and "Received: " in str(refusal.value)


@pytest.fixture(scope="module")
def untrained() -> dict:
    """A compiled model of each kind."""
    tokenizer = load_text(["a b c.\n" * 50], sequence_length=8, batch_size=4).tokenizer
    sizes = {"latent_dim": 3, "widths": (4,), "hidden_units": 8}
    models = {
        "VAE": VAE(**sizes),
        "conditional": VAE(**sizes, num_classes=10),
        "classifier": CNNClassifier(widths=(4,), hidden_units=8),
        "GAN": GAN(latent_dim=3, generator_widths=(4,), discriminator_widths=(4,)),
        "text": LSTMTextGenerator(tokenizer, embedding_dim=4, widths=(6,)),
    }
    for model in models.values():
        model.compile()
    return models


@pytest.mark.parametrize(
    ("kind", "make", "message"),
    (
        (
            "classifier",
            lambda d: callbacks.SampleGrid(d),
            "SampleGrid is for models that generate images. Received: a CNNClassifier, which has no gene",
        ),
        (
            "text",
            lambda d: callbacks.SampleGrid(d),
            "SampleGrid is for models that generate images. "
            "Received: a LSTMTextGenerator, which has no image_shape",
        ),
        (
            "GAN",
            lambda d: callbacks.ReconstructionGrid(d, X),
            "ReconstructionGrid is for models that reconstruct images. Received: a GAN, which has no rec",
        ),
        (
            "VAE",
            lambda d: callbacks.ConfusionMatrix(d, X, LABELS),
            "ConfusionMatrix is for classifiers. Received: a VAE, which has no classify",
        ),
        (
            "GAN",
            lambda d: callbacks.LatentProjector(d, X),
            "LatentProjector is for models that encode images as latent vectors. Received: a GAN",
        ),
        (
            "VAE",
            lambda d: callbacks.TextSamples(d),
            "TextSamples is for models that generate text. Received: a VAE, which has no next_token_prob",
        ),
        (
            "VAE",
            lambda d: callbacks.GANHealth(d),
            "GANHealth is for GANs. Received: a VAE, which does not log discriminator_loss, diversity",
        ),
        (
            "VAE",
            lambda d: callbacks.ReconstructionGrid(d, X[:, :9]),
            "ReconstructionGrid's x must be images of shape (n, 28, 28, 1). "
            "Received: uint8 of shape (4, 9, 28, 1)",
        ),
        (
            "classifier",
            lambda d: callbacks.ConfusionMatrix(d, X, [0, 1, 2, 10]),
            "ConfusionMatrix's labels must be 4 integers from 0 to 9, one for each image. "
            "Received: from 0 to 10",
        ),
        (
            "classifier",
            lambda d: callbacks.ConfusionMatrix(d, X, LABELS, ["a"]),
            "class_names must be 10 names, one for each class of the model. Received: ['a']",
        ),
        (
            "conditional",
            lambda d: callbacks.LatentProjector(d, X),
            "The model is conditional (num_classes=10)",
        ),
        (
            "conditional",
            lambda d: callbacks.SampleGrid(d, samples_per_class=1001),
            "SampleGrid must have at most 10,000 images. Received: samples_per_class=1001 of 10 classes",
        ),
    ),
)
def test_a_callback_says_at_the_start_of_fit_what_it_is_for(untrained, kind, make, message, tmp_path):
    model = untrained[kind]
    ids = np.full((4, 5), 3, np.int32)
    data = (ids, ids) if kind == "text" else (X, np.array(LABELS))
    with pytest.raises(ValueError) as refusal:
        model.fit(*data, verbose=0, callbacks=[make(tmp_path)])
    assert str(refusal.value).startswith(message)
    assert int(model.optimizer.iterations) == 0 and not list(tmp_path.iterdir())


def test_a_log_directory_that_became_a_file_is_refused_before_training(model, garments, tmp_path):
    curves = callbacks.TrainingCurves(tmp_path / "logs")
    (tmp_path / "logs").touch()
    with pytest.raises(ValueError, match=r"^log_dir must be a directory .* Received: '.*/logs/train'$"):
        model.fit(garments[0], verbose=0, callbacks=[curves])
    assert int(model.optimizer.iterations) == 0


def test_class_names_that_are_no_words_can_be_drawn(tmp_path, garments):
    names = ["$x^$", "two\nlines", "a\ttab", "\udce9", "x" * 3000, *"fghij"]
    classifier = CNNClassifier(widths=(4,), hidden_units=8, seed=0)
    matrix = callbacks.ConfusionMatrix(tmp_path, *(part[:20] for part in garments), names)
    matrix.set_model(classifier)
    assert matrix.picture().shape == (700, 700, 3)
    conditional = VAE(latent_dim=3, widths=(4,), hidden_units=8, num_classes=10, seed=0)
    projector = callbacks.LatentProjector(tmp_path, *(part[:20] for part in garments), names)
    projector.set_model(conditional)
    projector.write()
    lines = (tmp_path / "projector" / "labels.tsv").read_text().splitlines()
    shown = ["$x^$", "two lines", "a tab", "\\udce9", "x" * 40 + "...", *"fghij"]
    assert lines == [shown[label] for label in garments[1][:20]]


def test_many_classes_are_drawn_within_bounds(tmp_path):
    classifier = CNNClassifier((8, 8, 1), 500, widths=(2,), hidden_units=2, seed=0)
    matrix = callbacks.ConfusionMatrix(tmp_path, np.zeros((3, 8, 8, 1), "uint8"), [0, 1, 499])
    matrix.set_model(classifier)
    assert matrix.picture().shape == (1250, 1250, 3)
