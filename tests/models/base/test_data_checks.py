"""What is wrong only in a later batch of a data set or a generator is refused where it comes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gen.models import VAE
from keras_gen.utils import arrays

BATCHES = 4
WRONG = 2  # the number of the batch


def batches(change):
    """Batches of 8 images with labels, of which one is changed."""
    for number in range(BATCHES):
        images = np.full((8, 8, 8, 1), 0.5, "float32")
        labels = np.arange(8) % 3
        if number == WRONG:
            images, labels = change(images, labels)
        yield images, labels


def data_set(change):
    signature = (tf.TensorSpec((None, 8, 8, 1)), tf.TensorSpec((None,), tf.int64))
    data = tf.data.Dataset.from_generator(lambda: batches(change), output_signature=signature)
    return data.apply(tf.data.experimental.assert_cardinality(BATCHES))


class Batches(keras.utils.PyDataset):
    def __init__(self, change, **kwargs):
        super().__init__(**kwargs)
        self.batches = list(batches(change))

    def __len__(self):
        return BATCHES

    def __getitem__(self, number):
        return self.batches[number]


SOURCES = {
    "data set": data_set,
    "generator": batches,
    "PyDataset": Batches,
    "PyDataset with workers": lambda change: Batches(change, workers=2),
}


def nan(images, labels):
    images[7, 7, 7] = np.nan
    return images, labels


CHANGES = {
    "Images must be finite. Received: NaN": nan,
    "floating point in .0, 1.. Received: from 1.5 to 1.5": lambda images, labels: (3 * images, labels),
    "Labels must be integers from 0 to 2. Received: 3": lambda images, labels: (images, labels + 1),
}


@pytest.fixture(scope="module")
def model():
    model = VAE((8, 8, 1), 2, num_classes=3, widths=(2,), hidden_units=4, seed=0)
    model.compile(steps_per_execution=1)
    return model


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("message", CHANGES)
def test_a_wrong_batch_is_refused_and_not_learned_from(model, source, message):
    with pytest.raises(ValueError, match=message):
        model.fit(SOURCES[source](CHANGES[message]), verbose=0)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize("source", ["data set", "generator", "PyDataset"])
def test_validation_and_evaluation_are_checked_too(model, source):
    with pytest.raises(ValueError, match="Images must be finite"):
        model.evaluate(SOURCES[source](nan), verbose=0)
    right = data_set(lambda *batch: batch)
    with pytest.raises(ValueError, match="Images must be finite"):
        model.fit(right, validation_data=SOURCES[source](nan), verbose=0)
    logs = model.evaluate(SOURCES[source](lambda *batch: batch), steps=BATCHES, return_dict=True, verbose=0)
    assert logs == model.evaluate(right, return_dict=True, verbose=0)


def test_predict_is_checked_too():
    model = VAE((8, 8, 1), 2, widths=(2,), hidden_units=4, seed=0)
    images = np.full((24, 8, 8, 1), 0.5, "float32")
    right = tf.data.Dataset.from_tensor_slices(images).batch(8)
    np.testing.assert_array_equal(model.predict(right, verbose=0), model.predict(images, verbose=0))
    images[20] = np.nan
    with pytest.raises(ValueError, match="Images must be finite"):
        model.predict(tf.data.Dataset.from_tensor_slices(images).batch(8), verbose=0)


def test_an_error_of_the_data_itself_is_the_one_that_is_raised(model):
    def broken(images, labels):
        raise KeyError("no such picture")

    for source in ("generator", "PyDataset"):
        with pytest.raises(KeyError, match="no such picture"):
            model.fit(iter(batches(broken)) if source == "generator" else Broken(), verbose=0)


class Broken(Batches):
    def __init__(self):
        super().__init__(lambda *batch: batch)

    def __getitem__(self, number):
        if number == WRONG:
            raise KeyError("no such picture")
        return super().__getitem__(number)


def test_a_data_set_that_ends_in_an_error_says_which(model):
    def broken(images, labels):
        raise KeyError("no such picture")

    message = "could not be read to its end. Received: KeyError: 'no such picture'"
    with pytest.raises(ValueError, match=message):
        model.fit(data_set(broken), verbose=0)


def test_a_batch_with_fewer_labels_is_refused(model):
    with pytest.raises(ValueError, match="Expected 8 labels, one for each image. Received: 7"):
        model.fit(data_set(lambda images, labels: (images, labels[1:])), verbose=0)


@pytest.mark.parametrize("wrong", [[0.9, 0.9, 0.9], [0, 0, 0], [2, -1, 0]])
def test_later_rows_that_are_not_one_hot_are_refused(model, wrong):
    rows = np.eye(3, dtype="float32")[np.arange(24) % 3]
    rows[20] = wrong
    data = tf.data.Dataset.from_tensor_slices((np.zeros((24, 8, 8), "uint8"), rows)).batch(8)
    with pytest.raises(ValueError, match="Rows of one-hot labels must be 0 or more and sum to 1"):
        model.fit(data, verbose=0)


def test_labels_of_other_types_and_those_that_are_ignored():
    images = tf.zeros((16, 8, 8, 1))
    two = VAE((8, 8, 1), 2, num_classes=2, widths=(2,), hidden_units=4, seed=0)
    without = VAE((8, 8, 1), 2, widths=(2,), hidden_units=4, seed=0)
    for model, labels in (
        (two, tf.constant([True, False] * 8)),
        (without, {"age": tf.zeros(16), "name": tf.constant(["a"] * 16)}),
        (without, (tf.zeros((16, 2)), tf.ones(16))),
    ):
        model.compile()
        data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(8)
        model.fit(data, verbose=0)
        assert int(model.optimizer.iterations) == 2


def test_lists_beside_an_array_and_other_types_mean_the_same(model):
    images = np.linspace(0, 1, 8 * 64, dtype="float32").reshape(8, 8, 8)
    labels, weights = np.arange(8) % 3, np.arange(8) / 7
    expected = model.evaluate(images, labels, sample_weight=weights, verbose=0)
    for pixels in (images.astype(">f4"), images.astype(np.longdouble)):
        found = model.evaluate(pixels, labels.tolist(), sample_weight=weights.tolist(), verbose=0)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_what_is_no_data_is_refused(model):
    for data in (iter([1]), "images", 3, object(), np.zeros, [np.zeros((8, 8, 8))]):
        with pytest.raises(ValueError, match="Expected images as one array .* Received: "):
            model.fit(data, verbose=0)


def test_a_generator_of_images_alone():
    model = VAE((8, 8, 1), 2, widths=(2,), hidden_units=4, seed=0)
    model.compile()
    model.fit((np.zeros((4, 8, 8), "uint8") for _ in range(3)), steps_per_epoch=3, verbose=0)
    assert int(model.optimizer.iterations) == 3


def test_an_epoch_without_end_is_refused(model):
    endless = data_set(lambda *batch: batch).repeat()
    endless = endless.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    right = data_set(lambda *batch: batch)
    for call, name in (
        (lambda: model.fit(endless), "steps_per_epoch"),
        (lambda: model.fit(right, validation_data=endless), "validation_steps"),
        (lambda: model.evaluate(endless), "steps"),
        (lambda: model.predict(endless), "steps"),
    ):
        with pytest.raises(ValueError, match=f"An infinite data set needs {name}. Received: {name}=None"):
            call()
    model.fit(endless, steps_per_epoch=2, verbose=0)


def test_weights_of_a_later_batch_are_checked(model):
    weights = np.ones(32, "float32")
    weights[20] = -1
    images, labels = np.zeros((32, 8, 8), "uint8"), np.zeros(32, "int64")
    data = tf.data.Dataset.from_tensor_slices((images, labels, weights)).batch(8)
    with pytest.raises(ValueError, match="sample_weight must be finite and 0 or more"):
        model.fit(data, verbose=0)


@pytest.mark.parametrize(
    ("images", "advice"),
    (
        (np.ones((2, 3, 3, 1), bool), "astype('float32')"),
        (np.ones((2, 3, 3, 1), "int64"), "If they are in [0, 255], convert them"),
        (np.full((2, 3, 3, 1), -1.0), "(images + 1) / 2"),
        (np.full((2, 3, 3, 1), 255.0), "Divide by 255"),
    ),
)
def test_the_advice_for_pixels_suits_what_was_passed(images, advice):
    with pytest.raises(ValueError) as caught:
        arrays.images("images", images)
    assert advice in str(caught.value)
