"""What every model inherits of compile and fit: what a Keras user passes is used or refused."""

import math

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_gen as kg
from keras_gen.callbacks import FiniteGuard
from keras_gen.layers import child_seed, example_noise
from keras_gen.models import CGAN, GAN, VAE, WGANGP, Autoencoder, MLPClassifier
from keras_gen.runs import building
from keras_gen.utils import devices

SMALL = {"image_shape": (8, 8, 1), "latent_dim": 3, "seed": 0}
TINY = {**SMALL, "widths": (4,), "hidden_units": 8}
TINY_GAN = {**SMALL, "generator_widths": (4,), "discriminator_widths": (4,)}


@pytest.fixture(scope="module")
def small(garments):
    """64 images of 8 x 8 pixels, and their labels."""
    images, labels = garments
    return images[:64, 2:26:3, 2:26:3, np.newaxis], labels[:64]


def values(model: keras.Model) -> list[np.ndarray]:
    return [weight.numpy() for weight in model.trainable_variables]


# === compile ===


@pytest.mark.parametrize("optimizer", ("adam", keras.optimizers.SGD(0.25)))
def test_each_network_of_a_gan_gets_its_own_copy_of_one_optimizer(optimizer):
    model = GAN(**TINY_GAN)
    model.compile(optimizer=optimizer)
    both = model.optimizer, model.discriminator_optimizer
    assert both[0] is not both[1] and type(both[0]) is type(both[1])
    assert float(both[0].learning_rate) == float(both[1].learning_rate)


def test_compile_refuses_what_it_cannot_use():
    for model in (VAE(**TINY), GAN(**TINY_GAN)):
        with pytest.raises(ValueError, match="trains with its own loss.*Received: loss='mse'"):
            model.compile(loss="mse")
        with pytest.raises(ValueError, match="metrics must be Keras metrics.*Received: 'nonsense'"):
            model.compile(metrics=["nonsense"])
    with pytest.raises(ValueError, match="logs 'loss' already"):
        VAE(**TINY).compile(metrics=[keras.metrics.Mean(name="loss")])
    with pytest.raises(ValueError, match="are the same argument"):
        GAN(**TINY_GAN).compile("adam", generator_optimizer="sgd")


def test_metrics_are_logged_saved_and_weighted(small, tmp_path):
    images, labels = small
    model = Autoencoder(**TINY)
    model.compile(
        metrics=["mean_squared_error"], weighted_metrics=[keras.metrics.MeanAbsoluteError(name="mae")]
    )
    weights = np.where(np.arange(64) < 32, 1.0, 0.0)
    logs = model.fit(images, sample_weight=weights, validation_data=(images,), verbose=0).history
    assert {"mean_squared_error", "mae", "val_mean_squared_error"} <= set(logs)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    found = again.evaluate(images, sample_weight=weights, verbose=0, return_dict=True)
    errors = again.reconstruct(images) - images / 255
    assert found["mean_squared_error"] == pytest.approx(np.mean(errors**2), rel=1e-4)
    assert found["mae"] == pytest.approx(np.mean(np.abs(errors[:32])), rel=1e-4)
    classifier = MLPClassifier((8, 8, 1), widths=(8,), seed=0)
    classifier.compile(metrics=[keras.metrics.TopKCategoricalAccuracy(3, name="top_3")])
    top = classifier.evaluate(images, labels, verbose=0, return_dict=True)["top_3"]
    ranks = np.argsort(-classifier.classify(images), axis=1)[:, :3]
    assert top == pytest.approx(np.mean([label in rank for label, rank in zip(labels, ranks, strict=True)]))


def test_weights_without_a_random_generator_are_refused(tmp_path):
    """Else noise would silently start over; a metric that was not there then is no trouble."""
    model = VAE(**TINY)
    model.compile()
    model.save_weights(tmp_path / "all.weights.h5")
    other = VAE(**TINY)
    other.compile(metrics=[keras.metrics.MeanSquaredError()])
    other.load_weights(tmp_path / "all.weights.h5")
    with h5py.File(tmp_path / "all.weights.h5", "a") as file:
        del file["vars/random_state_0"]
    with pytest.raises(ValueError, match="1 objects could not be loaded"):
        other.load_weights(tmp_path / "all.weights.h5")


def test_a_metric_of_a_gan_sees_real_and_generated_images(small):
    model = GAN(**TINY_GAN)

    def brighter(real_images, generated_images):
        return tf.reduce_mean(generated_images - real_images, axis=(1, 2, 3))

    model.compile(metrics=[brighter])
    logs = model.evaluate(np.zeros_like(small[0]), batch_size=64, verbose=0, return_dict=True)
    z = example_noise(0, tf.range(64), (3,))
    assert logs["brighter"] == pytest.approx(float(tf.reduce_mean(model.to_pixels(model.generator(z)))))


def test_a_callback_of_ones_own_is_called_for_every_step(small):
    batches = []

    class Counter(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            batches.append(batch)

    model = VAE(**TINY)
    model.compile()
    model.fit(small[0], batch_size=8, verbose=0)
    assert model.steps_per_execution == 16
    fitted = {"batch_size": 8, "verbose": 0, "callbacks": [Counter()]}
    model.fit(small[0], validation_data=(small[0],), epochs=2, **fitted)
    assert batches == [*range(8), *range(8)]
    batches.clear()
    model.fit(small[0], **fitted)
    own = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batches.append(batch))
    model.fit(small[0], batch_size=8, verbose=0, callbacks=[own])
    assert batches == [*range(8), *range(8)]
    model.compile(steps_per_execution=4)
    model.fit(small[0], batch_size=8, verbose=0, callbacks=[Counter()])
    assert batches[16:] == [3, 7]


def test_jit_compile_is_decided_where_the_model_is_loaded(small, tmp_path, monkeypatch):
    model = VAE(**TINY)
    model.compile()
    assert model.jit_compile is False and model.get_compile_config()["jit_compile"] is None
    model.save(tmp_path / "model.keras")
    monkeypatch.setattr("keras_gen.utils.devices.current_device", lambda: devices.Device("GPU", (8, 0)))
    assert keras.saving.load_model(tmp_path / "model.keras").jit_compile is True
    model.compile(jit_compile=False)
    model.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").jit_compile is False


def test_an_auto_dtype_is_decided_where_the_model_is_loaded(tmp_path, monkeypatch):
    device = "keras_gen.utils.devices.current_device"
    monkeypatch.setattr(device, lambda: devices.Device("CPU", bfloat16=True))
    model = VAE(**TINY, dtype="auto")
    assert model.dtype_policy.name == "mixed_bfloat16"
    model.save(tmp_path / "model.keras")
    monkeypatch.setattr(device, lambda: devices.Device("CPU", bfloat16=False))
    assert keras.saving.load_model(tmp_path / "model.keras").dtype_policy.name == "float32"


# === Weights of examples ===


@pytest.mark.parametrize("model_class", (Autoencoder, VAE, MLPClassifier))
def test_sample_weight_is_in_the_loss(model_class, small):
    """Twice the weight of the one half and none of the other: the loss of the one half."""
    images, labels = small
    arguments = {"image_shape": (8, 8, 1), "widths": (8,)} if model_class is MLPClassifier else TINY
    model = model_class(**{**arguments, "seed": 0})
    model.compile()
    weights = np.repeat([2.0, 0.0], 32)
    half = model.evaluate(images[:32], labels[:32], batch_size=64, verbose=0, return_dict=True)
    logs = model.evaluate(images, labels, batch_size=64, sample_weight=weights, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(half["loss"], rel=1e-2 if model_class is VAE else 1e-5)
    before = values(model)
    model.fit(images, labels, sample_weight=np.zeros(64), verbose=0, epochs=2)
    for old, new in zip(before, values(model), strict=True):
        np.testing.assert_array_equal(old, new)


def test_class_weight_is_used(small):
    images, labels = small
    logs = []
    for weight in (1.0, 3.0):
        model = MLPClassifier((8, 8, 1), widths=(8,), dropout=0.0, seed=0)
        model.compile(keras.optimizers.SGD(0.0))
        weights = dict.fromkeys(range(10), weight)
        logs.append(model.fit(images, labels, class_weight=weights, batch_size=64, verbose=0).history)
    assert logs[1]["loss"][0] == pytest.approx(3.0 * logs[0]["loss"][0], rel=1e-5)


def test_weights_are_refused_where_they_mean_nothing(small):
    images, labels = small
    gan = GAN(**TINY_GAN)
    gan.compile()
    refusal = "GAN takes no sample_weight or class_weight"
    with pytest.raises(ValueError, match=refusal):
        gan.fit(images, sample_weight=np.ones(64), verbose=0)
    with pytest.raises(ValueError, match=refusal):
        gan.fit(images, labels, class_weight={0: 2.0}, verbose=0)
    with pytest.raises(ValueError, match=refusal):
        gan.fit(tf.data.Dataset.from_tensors((images, labels, np.ones(64))), verbose=0)
    model = VAE(**TINY)
    model.compile()
    for weights, message in (
        (np.ones(5), r"numbers of shape \(64,\) or \(64, 1\). Received: float64 of shape \(5,\)"),
        (-np.ones(64), "0 or more"),
        (np.full(64, np.nan), "finite"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(images, sample_weight=weights, verbose=0)
        with pytest.raises(ValueError, match=message):
            model.fit(images, validation_data=(images, labels, weights), verbose=0)


def test_weights_of_rows_and_of_tokens_mean_the_same():
    """In any order of calls, whose traces Keras shares."""
    data = kg.load_text(["to be or not to be, "] * 60, sequence_length=8, batch_size=8)
    model = kg.LSTMTextGenerator(data.tokenizer, embedding_dim=4, widths=(6,), seed=0)
    model.compile(metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")])
    x, y = (np.concatenate(part)[:16] for part in zip(*data.train, strict=True))
    rows = np.repeat([2.0, 0.0], 8)

    def loss(weights):
        options = {"batch_size": 16, "verbose": 0, "return_dict": True}
        return model.evaluate(x, y, sample_weight=weights, **options)

    found = [loss(rows), loss(rows[:, None]), loss(np.tile(rows[:, None], (1, 8))), loss(rows)]
    half = model.evaluate(x[:8], y[:8], batch_size=16, verbose=0, return_dict=True)
    assert [logs["loss"] for logs in found] == pytest.approx([half["loss"]] * 4, rel=1e-5)
    nats = -model.token_log_probs(np.concatenate([x[:, :1], y], axis=1)).numpy()
    assert found[0]["perplexity"] == pytest.approx(np.exp(nats.mean()), rel=1e-4)
    with pytest.raises(ValueError, match=r"shape \(16,\) or \(16, 1\) or \(16, 8\). Received"):
        loss(np.ones((16, 3)))
    with pytest.raises(ValueError, match="class_weight is for labels of images"):
        model.fit(x, y, class_weight={0: 1.0}, verbose=0)


# === Losses of a user's own networks ===


def decoder(regularizer: str | None) -> keras.Model:
    z = keras.Input((3,))
    x = keras.layers.Dense(64, kernel_regularizer=regularizer)(z)
    if regularizer is None:
        x = keras.layers.ActivityRegularization(l2=0.5)(x)  # an add_loss
    return keras.Model(z, keras.layers.Reshape((8, 8, 1))(x))


@pytest.mark.parametrize("model_class", (Autoencoder, VAE))
@pytest.mark.parametrize("regularizer", ("l2", None))
def test_losses_of_own_networks_are_in_the_loss_and_its_gradient(model_class, regularizer, small):
    model = model_class(**TINY, decoder=decoder(regularizer))
    model.compile(keras.optimizers.SGD(0.0))
    logs = {name: value[0] for name, value in model.fit(small[0], batch_size=64, verbose=0).history.items()}
    extra = logs["loss"] - logs["reconstruction_loss"] - logs.get("kl_loss", 0.0)
    if regularizer:
        kernel = model.decoder.layers[1].kernel.numpy()
        assert extra == pytest.approx(0.01 * np.sum(kernel**2), rel=1e-3)
    assert extra > 0
    tested = model.evaluate(small[0], batch_size=64, verbose=0, return_dict=True)
    assert tested["loss"] > tested["reconstruction_loss"] + tested.get("kl_loss", 0.0)


def test_a_regularizer_alone_shrinks_the_kernel_of_a_gan(small):
    """Where the loss' own gradient is zero, the regularizer's is left."""

    def network(inputs, outputs, name):
        x = keras.Input(inputs)
        y = keras.layers.Flatten()(x)
        y = keras.layers.Dense(8, kernel_regularizer=keras.regularizers.L2(0.5), name=name)(y)
        y = keras.layers.Rescaling(0.0)(y)
        return keras.Model(x, keras.layers.Reshape(outputs)(keras.layers.Dense(math.prod(outputs))(y)))

    model = GAN(
        **SMALL,
        generator=network((3,), (8, 8, 1), "first"),
        discriminator=network((8, 8, 1), (1,), "first"),
        loss="hinge",
    )
    model.compile(keras.optimizers.SGD(0.01), keras.optimizers.SGD(0.1), steps_per_execution=1)
    kernels = [net.get_layer("first").kernel for net in (model.generator, model.discriminator)]
    before = [kernel.numpy() for kernel in kernels]
    model.fit(small[0], batch_size=64, verbose=0)
    for kernel, old, rate in zip(kernels, before, (0.01, 0.1), strict=True):
        np.testing.assert_allclose(kernel, old * (1 - rate), rtol=1e-5)
    assert isinstance(model.losses, list) and len(model.losses) == 2


# === float16, learning rates, replicas ===


@pytest.mark.parametrize("model_class", (GAN, WGANGP))
def test_a_gradient_that_overflows_under_loss_scaling_ends_no_run(model_class, small):
    model = model_class(**TINY_GAN, dtype="mixed_float16")
    scaled = [keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-3), 2.0**60) for _ in range(2)]
    model.compile(*scaled, steps_per_execution=1)
    logs = model.fit(small[0], epochs=3, batch_size=32, verbose=0, callbacks=[FiniteGuard()]).history
    assert np.isfinite(list(logs.values())).all()
    assert float(model.optimizer.dynamic_scale) < 2.0**60  # it did overflow


def test_learning_rates_of_both_networks_end_with_the_run(garments):
    data = kg.load_dataset("fashion_mnist_12k", batch_size=2000)
    options = {
        "seed": 0,
        "dtype_policy": "float32",
        "epochs": 3,
        "steps": None,
        "learning_rate": 1e-3,
        "discriminator_learning_rate": 2e-3,
        "learning_rate_decay": True,
    }
    sizes = {"generator_widths": (4,), "discriminator_widths": (4,), "discriminator_steps": 5}
    model = building.build("wgan_gp", data, options, sizes)
    for optimizer, rate, updates in (
        (model.optimizer, 1e-3, 15),
        (model.discriminator_optimizer, 2e-3, 75),
    ):
        schedule = optimizer._learning_rate
        assert float(schedule(0)) == pytest.approx(rate)
        assert float(schedule(updates)) == pytest.approx(0.0, abs=1e-9)
        assert float(schedule(updates // 3)) > rate / 2


@pytest.mark.parametrize(
    "model_class",
    (
        VAE,
        *[pytest.param(each, marks=pytest.mark.slow) for each in (Autoencoder, GAN, WGANGP, MLPClassifier)],
    ),
)
def test_an_empty_batch_on_a_replica_changes_nothing(model_class, small, two_replicas):
    images, labels = small
    sizes = TINY_GAN if issubclass(model_class, GAN) else TINY
    if model_class is MLPClassifier:
        sizes = {"image_shape": (8, 8, 1), "widths": (8,), "seed": 0}
    with two_replicas.scope():
        model = model_class(**sizes)
        model.compile()
    model.fit(images[:4, ..., 0], labels[:4, None], batch_size=4, verbose=0)  # whatever the shapes
    # The last batch is of one image, on the first replica.
    logs = model.fit(images[:33], labels[:33], batch_size=32, epochs=2, verbose=0).history
    assert np.isfinite(list(logs.values())).all()
    assert all(np.isfinite(weight.numpy()).all() for weight in model.weights)
    alone = model_class(**sizes)
    alone.compile()
    alone.set_weights([weight.numpy() for weight in model.weights])
    found, expected = (
        m.evaluate(images[:33], labels[:33], batch_size=32, verbose=0, return_dict=True)
        for m in (model, alone)
    )
    if model_class in (Autoencoder, MLPClassifier):  # replicas of the others draw noise of their own
        assert found == pytest.approx(expected, rel=1e-4)


# === Arrays are checked to their end ===


def test_the_last_of_many_rows_is_checked():
    images = np.zeros((3000, 8, 8, 1), "float32")
    labels = np.zeros(3000, int)
    model = CGAN(image_shape=(8, 8, 1), generator_widths=(4,), discriminator_widths=(4,))
    model.compile()
    labels[-1] = 10
    with pytest.raises(ValueError, match="from 0 to 9. Received: 10"):
        model.fit(images, labels, verbose=0)
    for bad, message in ((np.nan, "finite"), (1.5, r"in \[0, 1\]. Received: from 0 to 1.5")):
        images[-1, 0, 0, 0] = bad
        with pytest.raises(ValueError, match=message):
            model.evaluate(images, labels * 0, verbose=0)


# === Errors in the reader's words ===


@pytest.fixture(scope="module")
def conditional():
    return VAE(**TINY, num_classes=3)


@pytest.mark.parametrize(
    ("verb", "arguments", "message"),
    (
        ("generate", {"labels": ["sneaker"]}, "numbers, since it has no class names. Received: 'sneaker'"),
        ("generate", {"num_samples": 4.0}, "num_samples must be an integer from 1 to .*. Received: 4.0"),
        ("generate", {"num_samples": 2, "labels": [1, 1, 2]}, "multiple .* Received: num_samples=2 and 3"),
        ("generate", {"labels": []}, "multiple of the number of labels"),
        (
            "encode",
            {"images": np.zeros((2, 8, 8, 1))},
            "needs a label for each image: pass them as labels=",
        ),
        ("decode", {"z": np.zeros((2, 3)), "labels": 1}, "Expected 2 labels, .*Received: a single number"),
        ("decode", {"z": "z", "labels": [1]}, "z must be numbers"),
        (
            "interpolate",
            {"z_start": np.zeros(3), "z_end": np.zeros(3)},
            r"z_start must be numbers of shape \(n, 3\)",
        ),
        ("interpolate", {"z_start": np.zeros((1, 3)), "z_end": np.zeros((2, 3))}, "Received: 1 and 2"),
        ("log_prob", {"images": np.zeros((1, 8, 8, 1)), "labels": [1], "num_samples": 0}, "from 1 to"),
    ),
)
def test_verbs_say_what_is_wrong(conditional, verb, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(conditional, verb)(**arguments)


def test_as_many_images_as_labels():
    model = VAE(**TINY, num_classes=3, class_names=("hat", "scarf", "sock"))
    images = model.generate(labels=[2, 2, 1], seed=4)
    assert images.shape == (3, 8, 8, 1)
    np.testing.assert_array_equal(model.generate(labels=["sock", "sock", "scarf"], seed=4), images)
    assert model.generate(6, labels=[2, 2, 1], seed=0).shape == (6, 8, 8, 1)
    assert model.generate(4, labels=1).shape == (4, 8, 8, 1)
    assert model.generate().shape == (1, 8, 8, 1)
    with pytest.raises(ValueError, match="one of hat, scarf, sock. Received: 'glove'"):
        model.generate(labels=["glove"])


def test_predict_takes_a_data_set_with_labels(conditional, small):
    images = small[0][:6]
    labels = np.arange(6) % 3
    found = conditional.predict(tf.data.Dataset.from_tensor_slices((images, labels)).batch(4), verbose=0)
    np.testing.assert_allclose(found, conditional.reconstruct(images, labels), atol=1e-6)
    with pytest.raises(ValueError, match=r"Latent vectors must be numbers of shape \(n, 3\)"):
        GAN(**TINY_GAN).predict(images, verbose=0)


def test_a_schedule_for_both_networks_is_refused_where_it_would_end_too_soon():
    model = GAN(**TINY_GAN, discriminator_steps=2)
    schedule = keras.optimizers.schedules.CosineDecay(1e-3, 10)
    with pytest.raises(ValueError, match="2 in each training step: pass it a schedule as many times as"):
        model.compile(keras.optimizers.Adam(schedule))
    model.compile(keras.optimizers.Adam(schedule), keras.optimizers.Adam(1e-3))


@pytest.mark.parametrize("activation", (True, False))
def test_a_decoder_that_ends_in_a_sigmoid_gives_no_logits(activation):
    z = keras.Input((3,))
    probabilities = keras.layers.Dense(64, activation="sigmoid")(z)
    with pytest.raises(ValueError, match="decoder must return logits"):
        VAE(**TINY, decoder=keras.Model(z, keras.layers.Reshape((8, 8, 1))(probabilities)))
    with pytest.raises(ValueError, match="decoder must return logits"):
        of_ops = keras.ops.sigmoid(keras.layers.Reshape((8, 8, 1))(keras.layers.Dense(64)(z)))
        VAE(**TINY, decoder=keras.Model(z, of_ops))
    x = keras.layers.Reshape((8, 8, 1))(keras.layers.Dense(64)(z))
    last = (
        keras.layers.Activation("sigmoid")
        if activation
        else keras.layers.Conv2D(1, 1, activation="sigmoid")
    )
    with pytest.raises(ValueError, match="decoder must return logits"):
        VAE(**TINY, decoder=keras.Model(z, last(x)))
    VAE(**TINY, decoder=keras.Model(z, last(x)), likelihood="gaussian")


# === Both shapes of grey images, seeds, presets ===


def test_every_verb_takes_both_shapes_of_grey_images_in_both_orders(small):
    images = small[0][:3]
    vae = VAE(**TINY)
    classifier = MLPClassifier((8, 8, 1), widths=(8,), seed=0)
    for model, verbs in (
        (vae, ("encode", "reconstruct", "log_prob", "elbo")),
        (classifier, ("classify", "features")),
    ):
        for verb in verbs:
            first = getattr(model, verb)(images)
            second = getattr(model, verb)(images[..., 0])
            np.testing.assert_array_equal(first, second)
            model.compiled_verbs.clear()
            np.testing.assert_array_equal(getattr(model, verb)(images[..., 0]), first)
            np.testing.assert_array_equal(getattr(model, verb)(images), first)


def test_a_bound_does_not_repeat_its_noise(small):
    """Image 256 has noise of its own, which does not depend on how many images there are."""
    images = np.repeat(small[0][:1], 600, axis=0)
    bounds = VAE(**TINY).log_prob(images, num_samples=1)
    assert len(set(bounds.tolist())) > 590
    np.testing.assert_allclose(VAE(**TINY).log_prob(images[:300], num_samples=1), bounds[:300], rtol=1e-5)


def test_neighbouring_seeds_share_no_layer_and_no_generator():
    kernels = []
    for seed in (0, 1):
        model = GAN(**{**TINY_GAN, "seed": seed})
        trained = model.trainable_variables
        kernels += [w.numpy().ravel()[:4].tolist() for w in trained if "kernel" in w.path]
        states = [v.numpy().tolist() for v in model.variables if "seed" in v.path]
        assert len(states) == len({tuple(state) for state in states}) > 2
    assert len(kernels) == len({tuple(kernel) for kernel in kernels}) == 10
    assert child_seed(None, "x") is None
    assert child_seed(5, "a") == child_seed(5, "a") != child_seed(5, "b")


def test_a_preset_is_loaded_by_its_class():
    assert type(kg.VAE.from_preset("vae_fashion_mnist")) is VAE
    assert type(kg.models.BaseModel.from_preset("wgan_gp_fashion_mnist")) is WGANGP
    with pytest.raises(ValueError, match="Expected a preset of a VAE. Received: 'gan_fashion_mnist'"):
        kg.VAE.from_preset("gan_fashion_mnist")


# === A researcher's own variant ===


def test_a_variant_is_one_method_and_learns_the_number_of_training_images(small, monkeypatch):
    """beta-TCVAE in miniature: an objective of its own, weighted by the size of the data."""

    class TCVAE(VAE):
        from_data = (*VAE.from_data, "num_images")

        def __init__(self, *arguments, num_images=1, **options):
            super().__init__(*arguments, **options)
            self.num_images = num_images

        @classmethod
        def arguments_from(cls, data, uses_labels=False, **arguments):
            return {**super().arguments_from(data, uses_labels, **arguments), "num_images": data.num_train}

        def latent_loss(self, z, z_mean, z_log_var, sample_weight=None, training=False):
            return tf.cast(self.num_images, tf.float32)

    monkeypatch.setattr("keras_gen.models.VAE", TCVAE)
    data = kg.load_dataset("fashion_mnist_12k", batch_size=2000)
    options = {
        "seed": 0,
        "dtype_policy": "float32",
        "epochs": 1,
        "steps": None,
        "learning_rate": 1e-3,
        "discriminator_learning_rate": None,
        "learning_rate_decay": True,
    }
    model = building.build("vae", data, options, {"widths": (4,), "hidden_units": 8})
    logs = model.evaluate(data.test, verbose=0, return_dict=True)
    assert logs["loss"] - logs["reconstruction_loss"] == pytest.approx(10_000, rel=1e-4)


def test_a_failed_save_leaves_the_older_file(tmp_path, monkeypatch):
    model = VAE((8, 8, 1), 2, widths=(2,), hidden_units=4, seed=0)
    path = tmp_path / "model.keras"
    model.save(path)
    before = path.read_bytes()

    def full(model, filepath, **_):
        filepath.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(keras.Model, "save", full)
    with pytest.raises(OSError, match="No space left"):
        model.save(path)
    assert path.read_bytes() == before and [each.name for each in tmp_path.iterdir()] == ["model.keras"]
    for arguments, message in (
        ({"filepath": tmp_path / "model.h5"}, "filepath must end in .keras"),
        ({"filepath": path, "overwrite": False}, "overwrite is False. Received: .* exists already"),
        ({"filepath": path / "inner.keras"}, "Expected a path that can be written to"),
    ):
        with pytest.raises(ValueError, match=message):
            model.save(**arguments)


def test_a_sequential_is_a_decoder_too():
    layers = [keras.Input((2,)), keras.layers.Dense(64), keras.layers.Reshape((8, 8, 1))]
    sizes = {"image_shape": (8, 8, 1), "latent_dim": 2, "widths": (2,), "hidden_units": 4}
    assert VAE(**sizes, decoder=keras.Sequential(layers)).generate(1, seed=0).shape == (1, 8, 8, 1)
    with pytest.raises(ValueError, match="applies a sigmoid. Remove it"):
        VAE(**sizes, decoder=keras.Sequential([*layers, keras.layers.Activation("sigmoid")]))


def test_predict_after_other_steps_per_execution(garments):
    """A callback of one's own has `fit` run one step a call, and the next `fit` 16: predict follows."""
    images, labels = garments[0][:200], garments[1][:200]
    model = MLPClassifier(image_shape=(28, 28, 1), num_classes=10, widths=(2,), seed=0)
    model.compile()

    class Own(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            pass

    model.fit(images, labels, callbacks=[Own()], verbose=0)
    assert model.predict(images, batch_size=10, verbose=0).shape == (200, 10)
    model.fit(images, labels, verbose=0)
    assert model.predict(images, batch_size=10, verbose=0).shape == (200, 10)


def test_learning_rates_of_optimizers():
    model = GAN(**TINY_GAN)

    def rates(given: dict) -> list[float]:
        return [float(optimizer.learning_rate) for optimizer in model.optimizers(given, None).values()]

    default = model.default_learning_rate
    assert rates({}) == pytest.approx([default, default])
    assert rates({"optimizer": None}) == pytest.approx([default, default])
    assert rates({"optimizer": 1e-3}) == pytest.approx([1e-3, 1e-3])
    assert rates({"optimizer": 1e-3, "discriminator_optimizer": 0.0}) == pytest.approx([1e-3, 0.0])


def test_a_monitor_of_what_validation_does_not_log_is_refused(small):
    model = GAN(**TINY_GAN, r1_weight=0.1)
    model.compile()
    images, _ = small
    for name in ("val_generator_gradient_norm", "val_penalty", "val_discriminator_learning_rate"):
        stopping = keras.callbacks.EarlyStopping(name, mode="min")
        with pytest.raises(ValueError, match=f"monitors '{name}', which is not logged before it acts"):
            model.fit(images, validation_data=(images, None), callbacks=[stopping], verbose=0)
