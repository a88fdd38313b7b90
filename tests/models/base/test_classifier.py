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


def network(*layers: keras.layers.Layer, shape: tuple = (28, 28, 1)) -> keras.Model:
    inputs = x = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def test_a_sequential_backbone_will_do(garments):
    backbone = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.GlobalAveragePooling2D()])
    assert small(backbone=backbone).features(garments[0][:2]).shape == (2, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        ({"dropout": 1.0}, "dropout must be a number from 0 to less than 1. Received: 1.0"),
        ({"dropout": np.nan}, "dropout must be a number from 0 to less than 1. Received: nan"),
        (
            {"label_smoothing": -0.1},
            "label_smoothing must be a number from 0 to less than 1. Received: -0.1",
        ),
        ({"flip": 1}, "flip must be True or False. Received: 1"),
        ({"shift": 1.5}, "shift must be an integer from 0"),
        ({"shift": 28}, "shift must be less than the image's height and width"),
        ({"num_classes": 1}, "num_classes must be an integer from 2"),
        ({"num_classes": "10"}, "num_classes must be an integer from 2"),
        ({"widths": ()}, "widths must be 1 to 64 integers, each 1 or more. Received: ()"),
        ({"widths": "84"}, "widths must be 1 to 64 integers, each 1 or more. Received: '84'"),
        ({"hidden_units": 0}, "hidden_units must be an integer from 1"),
        ({"image_shape": (28, 28)}, "image_shape must be (height, width, channels), three integers"),
        ({"seed": 2**31}, "seed must be an integer from 0 to 2**31 - 1, or None. Received: 2147483648"),
        (
            {"class_names": list("aacdefghij")},
            "class_names must differ, and none be empty. Received: ['a', 'a'",
        ),
        ({"class_names": ["a", "b"]}, "class_names must be num_classes=10 names. Received: 2, ['a', 'b']"),
        (
            {"class_names": np.array([list("abcdefghij")])},
            "class_names must be a list or tuple, each a string",
        ),
        ({"class_names": "abcdefghij"}, "class_names must be a list or tuple, each a string"),
        ({"width": 3}, "CNNClassifier: got an unexpected keyword argument 'width'. Did you mean widths?"),
        ({"backbone": "resnet"}, "backbone must be a keras.Model, or None. Received: 'resnet'"),
        (
            {"backbone": keras.Sequential([keras.layers.Flatten()])},
            "backbone must be a keras.Model with defined inputs",
        ),
        (
            {"backbone": network(keras.layers.Flatten(), shape=(28, 28, 3))},
            "backbone must have inputs of shapes [(28, 28, 1)]",
        ),
        (
            {"backbone": network(keras.layers.Conv2D(2, 3))},
            "backbone must give features (n, d). Received: outputs of shapes [(26, 26, 2)]",
        ),
        (
            {"backbone": network(keras.layers.Flatten(name="features"))},
            "backbone must have no layers named features or logits, as the classifier's own are. Received",
        ),
    ),
)
def test_refuses_arguments_in_one_line(arguments, message):
    with pytest.raises((ValueError, TypeError)) as refusal:
        small(**arguments)
    assert str(refusal.value).startswith(message) and "Received: " in str(refusal.value)


@pytest.mark.parametrize(
    ("labels", "message"),
    (
        (np.full(4, 10), "Labels must be integers from 0 to 9. Received: 10"),
        ([0, 1, 2, -1], "Labels must be integers from 0 to 9. Received: -1"),
        ([0, 1, 2, 1.7], "Labels must be integers from 0 to 9. Received: 1.7"),
        ([0, 1], "Expected 4 labels, one for each image. Received: 2"),
        (
            [[2, -1] + 8 * [0]] * 4,
            "Rows of one-hot labels must be 0 or more and sum to 1. Received: [2, -1, 0",
        ),
        (["a"] * 4, "Labels must be integers (n,) or one-hot (n, 10). Received: "),
        (None, "The model is conditional (num_classes=10) and needs a label for each image"),
    ),
)
def test_refuses_labels_in_one_line(labels, message):
    model = small()
    model.compile()
    with pytest.raises(ValueError) as refusal:
        model.fit(np.zeros((4, 28, 28), "uint8"), None if labels is None else np.array(labels), verbose=0)
    assert str(refusal.value).startswith(message) and int(model.optimizer.iterations) == 0
