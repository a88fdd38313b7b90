import numpy as np
import pytest
import tensorflow as tf

from keras_gen.datasets.epochs import EpochSetter
from keras_gen.datasets.images.image_dataset import Share, array_loader, build_dataset
from keras_gen.models import MLPClassifier


def numbered(seed: int = 0, batch_size: int = 4, n: int = 18):
    """A data set whose image k is the number k, so that its order shows."""
    images = np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1)
    return build_dataset(
        "numbers",
        array_loader(images, images.ravel(), batch_size),
        array_loader(images, images.ravel(), batch_size),
        num_train=n,
        num_test=n,
        batch_size=batch_size,
        seed=seed,
        image_shape=(1, 1, 1),
        class_names=tuple(map(str, range(n))),
    )


def order(dataset) -> list[int]:
    return [int(value) for images, _ in dataset for value in images.numpy().ravel()]


def test_order_of_an_epoch_depends_on_seed_and_epoch_alone():
    data, again, other = numbered(), numbered(), numbered(seed=1)
    epochs = [order(data.train) for _ in range(3)]
    assert len({tuple(epoch) for epoch in epochs}) == 3
    again.train.set_epoch(2)
    assert order(again.train) == epochs[2]
    again.train.set_epoch(0)
    assert order(again.train) == epochs[0]
    assert order(other.train) != epochs[0]


def test_an_epoch_is_a_permutation_less_the_last_partial_batch():
    data = numbered()
    assert data.steps_per_epoch == len(data.train) == 4
    epoch = order(data.train)
    assert len(set(epoch)) == 16 and set(epoch) <= set(range(18))


def test_train_from_leaves_out_the_first_batches_of_the_same_order():
    data = numbered()
    data.train.set_epoch(5)
    rest = data.train_from(3)
    rest.set_epoch(5)
    assert order(rest) == order(data.train)[12:]


def test_test_images_come_whole_and_in_order():
    data = numbered()
    assert order(data.test) == list(range(18)) and len(data.test) == 5


@pytest.mark.parametrize(
    ("derive", "expected"),
    (
        (lambda train: train.map(lambda x, y: (x + 100, y)), lambda k: [n + 100 for n in k[2]]),
        (lambda train: train.take(3).unbatch().batch(2), lambda k: k[2][:12]),
        (lambda train: train.repeat(), lambda k: k[2] + k[3] + k[4]),
        (lambda train: train.cache(), lambda k: k[0]),
        (lambda train: train.concatenate(numbered(seed=1).train), lambda k: k[2] + k["other"]),
    ),
    ids=("map", "take", "repeat", "cache", "concatenate"),
)
def test_epoch_reaches_the_data_that_others_are_made_of(derive, expected):
    train, other = numbered().train, numbered(seed=1).train
    orders = {epoch: order(train) for epoch in range(5)}
    other.set_epoch(2)
    orders["other"] = order(other)
    data = derive(train)
    setter = EpochSetter(data)
    setter.on_train_begin()
    setter.on_epoch_begin(2)
    numbers = expected(orders)
    assert order(data.unbatch().batch(1).take(len(numbers))) == numbers


def test_fit_sets_the_epoch_of_training_and_validation_data():
    """Halves of one data set do not overlap, since both are in the same epoch."""
    seen = {"training": [], "validation": []}

    def half(part: str, dataset: tf.data.Dataset) -> tf.data.Dataset:
        def note(images, labels):
            seen[part].extend(images.ravel().tolist())
            return labels

        return dataset.map(lambda x, y: (x, tf.ensure_shape(tf.numpy_function(note, [x, y], tf.int32), 4)))

    data = numbered()
    data.train.set_epoch(2)
    epoch = order(data.train)
    model = MLPClassifier(image_shape=(1, 1, 1), num_classes=18, widths=(2,))
    model.compile(run_eagerly=True)
    validation = half("validation", data.train.skip(2))
    model.fit(half("training", data.train.take(2)), validation_data=validation, initial_epoch=2, epochs=3)
    assert seen["training"][-8:] == epoch[:8] and seen["validation"][-8:] == epoch[8:]


def test_labels_go_with_their_images():
    for images, labels in numbered().train:
        np.testing.assert_array_equal(images.numpy().ravel(), labels)


def test_fewer_images_than_a_batch():
    with pytest.raises(ValueError, match="at least batch_size=32 images. Received: 18"):
        numbered(batch_size=32)


def test_shares_of_workers_make_up_each_batch():
    """What two workers load of a step is, together, the batch that one process has then."""
    data = numbered()
    whole = [batch[1].numpy() for batch in data.train_from(1)]
    shares = [[batch[1].numpy() for batch in data.train_from(1, Share(part, 2))] for part in range(2)]
    assert [len(share) for share in shares] == [len(whole)] * 2
    for step, batch in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([share[step] for share in shares]), batch)


@pytest.mark.parametrize(
    ("call", "message"),
    (
        (lambda data: data.train_from(4), "step must be below 4, the batches of an epoch. Received: 4"),
        (lambda data: data.train_from(-1), "step must be an integer from 0 .* Received: -1"),
        (lambda data: data.train_from(0, "half"), "share must be a Share. Received: 'half'"),
        (lambda data: data.train_from(0, Share(0, 3)), "parts must divide batch_size=4. Received: 3"),
        (lambda data: Share(2, 2), "part must be below parts=2. Received: 2"),
        (lambda data: Share(0, 0), "parts must be an integer from 1"),
        (lambda data: data.train.set_epoch(1.5), "epoch must be an integer from 0 .* Received: 1.5"),
        (lambda data: data.train.set_epoch(2**63), "epoch must be an integer from 0"),
        (lambda data: data.test_images(0), "most must be an integer from 1 .* or None. Received: 0"),
        (lambda data: data.training_chunks(0.5), "most must be an integer from 1 .* Received: 0.5"),
    ),
)
def test_steps_shares_and_epochs_that_are_none(call, message):
    with pytest.raises(ValueError, match=message):
        call(numbered())
