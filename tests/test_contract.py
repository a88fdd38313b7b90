"""The contract that every model in the recipes table passes."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gen import models
from keras_gen.datasets import TextDataset, load_text
from keras_gen.datasets.images.image_dataset import array_loader, build_dataset
from keras_gen.recipes import RECIPES
from keras_gen.utils.hardware import computes_in_bfloat16

BATCH = 32
SENTENCE = "The quick brown fox jumps over the lazy dog, and nobody minds.\n"


def model_class(recipe_name: str) -> type:
    return getattr(models, RECIPES[recipe_name].model)


def is_of_text(recipe_name: str) -> bool:
    return model_class(recipe_name).loader == "load_text"


def build(recipe_name: str, **arguments) -> models.BaseModel:
    """The recipe's model at its smoke size, for 28 x 28 garments, or for the sentence's characters."""
    recipe = RECIPES[recipe_name]
    if recipe.uses_labels:
        arguments.setdefault("num_classes", 10)
    if is_of_text(recipe_name):
        arguments.setdefault("tokenizer", sentences().tokenizer)
    else:
        arguments.setdefault("image_shape", (28, 28, 1))
    return model_class(recipe_name)(**{"seed": 7, **recipe.smoke, **arguments})


def compiled(name: str, **arguments) -> models.BaseModel:
    model = build(name, **arguments)
    model.compile(keras.optimizers.Adam(3e-3), steps_per_execution=2, jit_compile=False)
    return model


def compiled_alike(name: str) -> models.BaseModel:
    """A model whose layers have the names that those of all others have.

    TensorFlow sorts what it adds by name: layers 9 and 10 may give other last bits than layers 19 and 20.
    """
    keras.utils.clear_session()
    return compiled(name)


def sentences() -> TextDataset:
    """4 batches an epoch."""
    return load_text([SENTENCE * 85], sequence_length=24, batch_size=BATCH, seed=3, test_fraction=0.4)


@pytest.fixture
def data(name, garments):
    """tf.data of the model's kind: 4 batches an epoch."""
    if is_of_text(name):
        return sentences()
    images, labels = garments
    images = images[..., np.newaxis]
    loaders = [array_loader(part, y, BATCH) for part, y in ((images[:128], labels[:128]),) * 2]
    names = tuple("0123456789")
    return build_dataset(
        "test",
        *loaders,
        num_train=128,
        num_test=128,
        batch_size=BATCH,
        seed=3,
        image_shape=(28, 28, 1),
        class_names=names,
    )


def weights_of(model: keras.Model) -> list[np.ndarray]:
    variables = model.variables + [v for optimizer in optimizers_of(model) for v in optimizer.variables]
    return [variable.numpy() for variable in variables]


def optimizers_of(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """A GAN has two; a model that is not compiled has as many places for one."""
    return [getattr(model, name, None) for name in model.updates_per_step()]


def assert_same(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


# A recipe that differs from an earlier one in its sizes alone has nothing else to prove.
distinct = list({(r.model, r.uses_labels): name for name, r in reversed(RECIPES.items())}.values())
# One model of each family is in the fast suite: the last of the table, which adds to the others.
FAST = {model_class(name).__module__.split(".")[2]: name for name in RECIPES if name in distinct}.values()


def marked(names: list[str]) -> list:
    return [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in names]


every_model = pytest.mark.parametrize("name", marked(distinct))
every_image_model = pytest.mark.parametrize("name", marked([n for n in distinct if not is_of_text(n)]))
generators = [n for n in distinct if hasattr(model_class(n), "generate") and not is_of_text(n)]
every_image_generator = pytest.mark.parametrize("name", marked(generators))
images_of_noise = np.random.default_rng(0).random((3, 28, 28, 1), "float32")


def answer(model: models.BaseModel) -> np.ndarray:
    """What the model computes where nothing but its weights matters."""
    if model.learns_from == "text":
        return model.score([SENTENCE, model.generate("The", max_tokens=9, seed=1)])
    if hasattr(model, "generate"):
        return model.generate(3, seed=1)
    return model.classify(images_of_noise)


@every_image_model
def test_fits_arrays_and_tf_data_and_mixtures(name, data, garments):
    images, labels = garments
    model = compiled(name)
    batches = tf.data.Dataset.from_tensor_slices((images[:64] / np.float32(255), labels[:64]))
    for x, y, validation in (
        (images[:64], labels[:64], data.test),
        (
            images[:64, ..., None] / 255.0,
            keras.utils.to_categorical(labels[:64], 10),
            batches.batch(16),
        ),
        (data.train, None, (images[:32], labels[:32])),
    ):
        history = model.fit(x, y, validation_data=validation, verbose=0, epochs=2).history
        names = {metric.name for metric in model.metrics}
        tested = names - set(model.logged_in_training)
        assert "loss" in tested or "discriminator_loss" in tested
        assert set(history) == names | {f"val_{metric}" for metric in tested}
        assert np.isfinite(list(history.values())).all()


@every_model
def test_logs_are_means_over_the_epoch(name, data):
    """Over all examples, whatever the batches: also the noise of an evaluation belongs to the example."""
    model = build(name)
    model.compile(keras.optimizers.SGD(0.0), steps_per_execution=1)
    x, y = [np.concatenate(part)[:80] for part in zip(*data.test, strict=True)]

    def logs(batch_size: int) -> dict:
        return model.evaluate(x, y, batch_size=batch_size, verbose=0, return_dict=True)

    whole = logs(40)
    loss = next(name for name in ("loss", "discriminator_loss") if name in whole)
    assert logs(16)[loss] == pytest.approx(whole[loss], rel=1e-4)
    assert logs(40) == whole


@every_model
def test_every_network_learns(name, data):
    model = compiled(name)
    before = [weight.numpy() for weight in model.trainable_variables]
    history = model.fit(data.train, epochs=12, verbose=0).history
    for old, weight in zip(before, model.trainable_variables, strict=True):
        if (
            getattr(model, "loss_name", "") == "wasserstein"
            and weight.shape == (1,)
            and "dense" in weight.path
        ):
            continue  # what is added to a critic's every score makes no difference to it
        assert np.abs(weight.numpy() - old).max() > 0, weight.path
    if "loss" in history:  # two players' losses need not fall
        assert history["loss"][-1] < history["loss"][0]


@every_model
def test_config_round_trip_keeps_values_that_are_not_defaults(name):
    model = build(name, seed=11, name="another")
    config = model.get_config()
    for key, value in RECIPES[name].smoke.items():
        assert config[key] == value, key
    # As JSON, as a .keras file holds it.
    stored = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    again = keras.saving.deserialize_keras_object(stored)
    assert json.loads(json.dumps(keras.saving.serialize_keras_object(again))) == stored
    assert again.seed == 11 and again.name == "another"


@every_model
def test_keras_file_resumes_bit_for_bit(name, data, tmp_path):
    straight = compiled_alike(name)
    straight.fit(data.train, epochs=3, verbose=0)
    stopped = compiled_alike(name)
    stopped.fit(data.train, epochs=1, verbose=0)
    stopped.save(tmp_path / "model.keras")
    keras.utils.clear_session()  # as in a new process: see compiled_alike
    resumed = keras.saving.load_model(tmp_path / "model.keras")
    assert_same(weights_of(stopped), weights_of(resumed))
    resumed.fit(data.train, initial_epoch=1, epochs=3, verbose=0)
    assert_same(weights_of(straight), weights_of(resumed))
    np.testing.assert_array_equal(answer(straight), answer(resumed))


@pytest.mark.slow
@every_model
def test_keras_backup_and_restore_resumes_bit_for_bit(name, data, tmp_path):
    class Kill(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise InterruptedError

    straight = compiled_alike(name)
    straight.fit(data.train, epochs=3, verbose=0)
    killed = compiled_alike(name)
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)
    with pytest.raises(InterruptedError):
        killed.fit(data.train, epochs=3, verbose=0, callbacks=[backup, Kill()])
    resumed = compiled_alike(name)
    resumed.fit(data.train, epochs=3, verbose=0, callbacks=[backup])
    assert_same(weights_of(straight), weights_of(resumed))


@pytest.mark.slow
def test_importing_keras_gen_is_enough_to_load_any_model(tmp_path):
    for name in distinct:
        compiled(name).save(tmp_path / f"{name}.keras")
    program = (
        "import sys, keras_gen as kg, keras\n"
        "for path in sys.argv[1:]:\n"
        "    assert type(keras.saving.load_model(path)) is type(kg.load_model(path))\n"
        "print(len(sys.argv))"
    )
    command = [sys.executable, "-c", program, *sorted(map(str, tmp_path.glob("*.keras")))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(len(distinct) + 1), done.stderr


@every_image_generator
@pytest.mark.parametrize("num", (1, 3))
def test_generate(name, num):
    model = build(name)
    images = model.generate(num, seed=5)
    assert images.shape == (num, 28, 28, 1) and images.dtype == np.float32
    assert images.min() >= 0 and images.max() <= 1
    assert model.generate(num, seed=5).tobytes() == images.tobytes()
    assert model.generate(num, seed=6).tobytes() != images.tobytes()
    assert model.generate(num).tobytes() != model.generate(num).tobytes()


@every_image_generator
def test_generate_is_one_function_whatever_the_chunks(name, monkeypatch):
    model = build(name)
    whole = model.generate(7, seed=0)
    monkeypatch.setattr("keras_gen.models.base.image_model.MOST_IMAGES", 3)
    np.testing.assert_allclose(model.generate(7, seed=0), whole, atol=1e-6)


@every_model
@pytest.mark.parametrize(
    "policy", (pytest.param("mixed_float16", marks=pytest.mark.slow), "mixed_bfloat16")
)
def test_mixed_precision_trains(name, policy, data):
    """Updates are as large as in float32: float16 without loss scaling would hardly move."""
    model = build(name, dtype=policy)
    model.compile()
    for optimizer in optimizers_of(model):
        scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        assert scaled == (policy == "mixed_float16")

    def plain(dtype: str) -> keras.optimizers.Optimizer:
        optimizer = keras.optimizers.SGD(1e-5)
        # The default scale of 2**15 takes some steps to come down to this.
        if dtype == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=32.0)
        return optimizer

    moved = {}
    for dtype in ("float32", policy):
        model = build(name, dtype=dtype)
        model.compile(*[plain(dtype) for _ in optimizers_of(model)], steps_per_execution=1)
        names = ("generator", "network", "discriminator")  # a norm for what each optimizer moves
        networks = [getattr(model, name) for name in names if hasattr(model, name)] or [model]
        before = [[weight.numpy() for weight in network.trainable_variables] for network in networks]
        logs = model.fit(data.test.take(2), verbose=0).history  # the same batches for both
        assert np.isfinite(list(logs.values())).all()
        moved[dtype] = [
            np.sqrt(
                sum(np.sum((a - b) ** 2) for a, b in zip(network.trainable_variables, old, strict=True))
            )
            for network, old in zip(networks, before, strict=True)
        ]
    # Where a processor has no instructions for bfloat16, TensorFlow sums in it, too, and gradients of
    # convolutions are noisy. "auto" keeps to float32 there.
    noisy = policy == "mixed_bfloat16" and not computes_in_bfloat16()
    assert moved[policy] == pytest.approx(moved["float32"], rel=0.1 if noisy else 0.02)
    assert answer(model).dtype == np.float32


@every_model
def test_two_replicas_train_to_the_same_weights(name, data, two_replicas):
    strategy = two_replicas
    with strategy.scope():
        model = compiled(name)
    logs = model.fit(data.train, validation_data=data.test, epochs=2, verbose=0).history
    assert np.isfinite(list(logs.values())).all()
    for weight in model.weights:
        copies = strategy.experimental_local_results(weight.value)
        np.testing.assert_array_equal(copies[0].numpy(), copies[-1].numpy())


@every_model
def test_export_and_reload(name, tmp_path):
    model = build(name)
    model.export(tmp_path / "1")
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    if model.learns_from == "text":
        options = {"max_tokens": 9, "temperature": 0.9, "top_k": 0, "top_p": 1.0}
        vectors = {name: tf.constant([value] * 2) for name, value in options.items()}
        texts = served(prompts=tf.constant(["The", ""]), seeds=tf.constant([4, 5]), **vectors)
        expected = [model.generate("The", seed=4, **options), model.generate("", seed=5, **options)]
        assert [text.decode() for text in texts["texts"].numpy()] == expected
        return
    if not hasattr(model, "generate"):
        probabilities = served(images=tf.constant(images_of_noise))["probabilities"]
        np.testing.assert_allclose(probabilities, model.classify(images_of_noise), atol=1e-5)
        return
    inputs = {"seeds": tf.constant([4, 5])}
    labels = [None, None]
    if model.num_classes is not None:
        labels = [[3], [1]]
        inputs["labels"] = tf.constant([3, 1])
    numbers = {name: o.default for name, o in model.generate.options.items() if type(o.default) is not str}
    images = served(**inputs, **{name: tf.constant([value] * 2) for name, value in numbers.items()})[
        "images"
    ]
    for i in range(2):
        alone = model.generate(1, seed=4 + i, labels=labels[i])
        np.testing.assert_allclose(images[i], alone[0], atol=1e-5)


@every_image_model
def test_refuses_bad_input(name, garments):
    images, labels = garments
    model = compiled(name)
    float_images = images.astype("float32")
    nan = float_images / 255
    nan[0, 0, 0] = np.nan
    for x, message in (
        (float_images, r"in \[0, 1\]. Received: from 0 to 255"),
        (float_images / 127.5 - 1, r"in \[0, 1\]. Received: from -1"),
        (nan, "must be finite"),
        (images.astype("int64"), "Received: int64"),
        (images[:, :20], r"shape \(n, 28, 28, 1\) or \(n, 28, 28\). Received: \(512, 20, 28\)"),
        (images[:0], "at least one"),
        ([images], r"Received: \[array"),
        (tf.data.Dataset.from_tensor_slices((float_images, labels)).batch(8), r"in \[0, 1\]"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(x, labels[: len(x)] if isinstance(x, np.ndarray) else None, verbose=0)
    with pytest.raises(ValueError, match="Expected 512 labels"):
        model.fit(images, labels[:5], verbose=0)
    if model.num_classes is not None:
        with pytest.raises(ValueError, match="needs a label for each image: pass them as fit"):
            model.fit(images, verbose=0)
        with pytest.raises(ValueError, match="from 0 to 9"):
            model.fit(images, labels + 1, verbose=0)


@every_image_generator
def test_generate_refuses_bad_input(name):
    model = build(name)
    with pytest.raises(ValueError, match="num_samples must be an integer from 1"):
        model.generate(0)
    if model.conditional:
        with pytest.raises(ValueError, match="from 0 to 9"):
            model.generate(2, labels=[10])
    else:
        with pytest.raises(ValueError, match="takes no labels"):
            model.generate(2, labels=[1, 2])


@every_image_model
@pytest.mark.parametrize(
    "shape",
    (
        (17, 23, 3),
        pytest.param((5, 8, 1), marks=pytest.mark.slow),
        pytest.param((64, 64, 3), marks=pytest.mark.slow),
    ),
)
def test_any_image_size(name, shape):
    model = compiled(name, image_shape=shape)
    x = np.random.default_rng(0).integers(0, 256, (8, *shape), dtype=np.uint8)
    model.fit(x, np.arange(8), batch_size=4, verbose=0)
    if hasattr(model, "generate"):
        assert model.generate(2, seed=0).shape == (2, *shape)
    else:
        assert model.classify(x).shape == (8, 10)
