import numpy as np
import pytest

from keras_gen.datasets.image_dataset import array_loader, build_dataset


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


def test_labels_go_with_their_images():
    for images, labels in numbered().train:
        np.testing.assert_array_equal(images.numpy().ravel(), labels)


def test_fewer_images_than_a_batch():
    with pytest.raises(ValueError, match="at least batch_size=32 images. Received: 18"):
        numbered(batch_size=32)
