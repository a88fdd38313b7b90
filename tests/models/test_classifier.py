"""What only the classifiers do."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gen.models import CNNClassifier, MLPClassifier


def small(**arguments) -> CNNClassifier:
    return CNNClassifier(**{"widths": (4, 8), "hidden_units": 16, "seed": 0, **arguments})


def test_learns_to_tell_garments_apart(garments):
    images, labels = garments
    model = small(widths=(16, 32), hidden_units=64)
    model.compile()
    model.fit(images[:384], labels[:384], batch_size=32, epochs=12, verbose=0)
    right = model.classify(images[384:]).argmax(axis=1) == labels[384:]
    assert right.mean() > 0.7


def test_loss_and_accuracy_are_those_of_keras(garments):
    images, labels = garments
    model = small()
    model.compile()
    found = model.evaluate(images, labels, batch_size=100, verbose=0, return_dict=True)
    probabilities = model.classify(images)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    expected = keras.losses.sparse_categorical_crossentropy(labels, probabilities).numpy().mean()
    assert found["loss"] == pytest.approx(expected, rel=1e-4)
    assert found["accuracy"] == pytest.approx(np.mean(probabilities.argmax(axis=1) == labels))


def test_label_smoothing_is_that_of_keras(garments):
    """One step without dropout, whatever it logs, moves the weights as Keras' smoothed loss does."""
    images, labels = garments[0][:32], garments[1][:32]
    model = small(dropout=0.0, label_smoothing=0.2)
    model.compile(keras.optimizers.SGD(1.0))
    one_hot, x = (
        keras.utils.to_categorical(labels, 10),
        tf.image.convert_image_dtype(images[..., None], "float32"),
    )
    smoothed = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)
    with tf.GradientTape() as tape:
        loss = smoothed(one_hot, model.network(x, training=True)[1])
    kernel = model.network.get_layer("logits").kernel
    expected = kernel.numpy() - tape.gradient(loss, kernel.value).numpy()
    model.fit(images, labels, batch_size=32, shuffle=False, verbose=0)
    np.testing.assert_allclose(kernel.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(("flip", "shift"), ((True, 0), (False, 2), (True, 1)))
def test_augmented_images_are_mirrored_and_shifted(garments, flip, shift):
    """Each is one of the images that padding with the edge, cropping and mirroring can give."""
    images = garments[0][:60, ..., np.newaxis].astype("float32") / 255
    model = small(flip=flip, shift=shift)
    augmented = model.augment(tf.constant(images)).numpy()
    padded = np.pad(images, ((0, 0), (shift, shift), (shift, shift), (0, 0)), mode="edge")
    found, ways = set(), set()
    for number, down, right in itertools.product(range(60), range(2 * shift + 1), range(2 * shift + 1)):
        crop = padded[number, down : down + 28, right : right + 28]
        for mirrored in (False, True) if flip else (False,):
            if np.array_equal(crop[:, ::-1] if mirrored else crop, augmented[number]):
                found.add(number)
                ways.add((down, right, mirrored))
    assert found == set(range(60))
    assert len(ways) > 0.6 * (1 + flip) * (2 * shift + 1) ** 2  # 60 images may miss some


def test_does_not_augment_unless_asked(garments):
    images = tf.constant(garments[0][:4, ..., np.newaxis] / np.float32(255))
    assert small().augment(images) is images


def test_features_are_what_the_last_layer_decides_by(garments):
    model = small()
    features = model.features(garments[0][:20])
    logits = features @ model.network.get_layer("logits").kernel.numpy()
    expected = tf.nn.softmax(logits + model.network.get_layer("logits").bias.numpy())
    np.testing.assert_allclose(model.classify(garments[0][:20]), expected, atol=1e-5)
    assert features.shape == (20, 16) and features.dtype == np.float32


def test_portable_network_is_of_keras_alone(garments):
    model = MLPClassifier(widths=(8,), seed=0)
    network = model.portable_network()
    assert all(type(layer).__module__.startswith("keras.") for layer in network.layers)
    x = garments[0][:5, ..., np.newaxis] / np.float32(255)
    np.testing.assert_allclose(network([x]), model.classify(x), atol=1e-6)


def test_own_backbone_is_kept(tmp_path, garments):
    inputs = keras.Input((28, 28, 1))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(6, 5)(inputs))
    model = CNNClassifier(backbone=keras.Model(inputs, x), seed=0)
    assert model.features(garments[0][:2]).shape == (2, 6)
    model.save(tmp_path / "own.keras")
    again = keras.saving.load_model(tmp_path / "own.keras")
    np.testing.assert_array_equal(again.classify(garments[0][:2]), model.classify(garments[0][:2]))


def test_served_features(tmp_path, garments):
    model = small()
    model.export(tmp_path / "1")
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["features"]
    x = garments[0][:3, ..., np.newaxis] / np.float32(255)
    np.testing.assert_allclose(served(images=tf.constant(x))["features"], model.features(x), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        ({"dropout": 1.0}, "dropout must be from 0 to less than 1. Received: 1.0"),
        ({"label_smoothing": -0.1}, "label_smoothing must be from 0"),
        ({"shift": -1}, "shift must be 0 or more"),
        ({"num_classes": 1}, "num_classes must be an integer from 2"),
        ({"widths": ()}, "the number of widths must be 1 or more"),
        ({"hidden_units": 0}, "hidden_units must be 1 or more"),
        ({"image_shape": (28, 28)}, "image_shape must be"),
        (
            {"backbone": keras.Sequential([keras.Input((28, 28, 3)), keras.layers.Flatten()])},
            "inputs of shapes",
        ),
        ({"backbone": keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Conv2D(2, 3)])}, "features"),
    ),
)
def test_refuses_what_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        small(**arguments)
