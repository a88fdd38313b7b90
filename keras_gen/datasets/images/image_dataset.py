"""What `load_dataset` gives: two `tf.data` pipelines and the facts that a model needs to be built."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from keras_gen.datasets.images.broken_images import explain_broken_images
from keras_gen.utils.arguments import Count, Natural, check, checked

TEST_FRACTION = 0.1  # of the images, where their source has no test part

# What turns a vector of example numbers into a batch of images, or of (images, labels).
Loader = Callable[[tf.Tensor], tf.data.Dataset]


@dataclasses.dataclass(frozen=True)
class ImageDataset:
    """Images to train on and to test with, as `tf.data` pipelines.

    An element is `(images, labels)`, or `images` where there are no labels: images (batch_size,
    height, width, channels), uint8 in [0, 255] or float32 in [0, 1]; labels int32 (batch_size,).

    The order of epoch k depends on (seed, k) alone. Each pass over `train` is the next epoch, and `fit` of
    a keras_gen model sets which one it is in, so that a resumed run sees the same batches: also through
    `.map`, `.take`, `.batch`, `zip` and the like. A `.shuffle` of your own has its own order, which starts
    anew in each process; after `.cache`, every epoch has the order of the first.

    Args:
        name: What the data is called.
        train: Shuffled; only full batches.
        test: In order; the last batch may be smaller.
        image_shape: (height, width, channels).
        class_names: One for each class, or None without labels.
        num_train: Number of training images.
        num_test: Number of test images.
        batch_size: Images in a batch.
        train_from: Makes the same pipeline as `train`, less its first `n` batches, for a run that
            is resumed in the middle of an epoch.
        train_once: Makes one pass over all training images, in the order of the first epoch; the last
            batch may be smaller.
        num_broken: Image files that were skipped with `skip_broken=True`.
    """

    name: str
    train: tf.data.Dataset
    test: tf.data.Dataset
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...] | None
    num_train: int
    num_test: int
    batch_size: int
    train_from: Callable[..., tf.data.Dataset] = dataclasses.field(repr=False)
    train_once: Callable[[], tf.data.Dataset] = dataclasses.field(repr=False)
    num_broken: int = 0
    unit: ClassVar[str] = "images"

    @property
    def units_per_step(self) -> int:
        """Images in a training batch."""
        return self.batch_size

    @property
    def num_classes(self) -> int | None:
        """Number of classes, or None without labels."""
        return None if self.class_names is None else len(self.class_names)

    @property
    def steps_per_epoch(self) -> int:
        """Number of training batches in an epoch."""
        return self.num_train // self.batch_size

    @checked
    @explain_broken_images()
    def test_images(self, most: Count | None = None) -> tuple[np.ndarray, np.ndarray | None]:
        """The first `most` test images (all by default), and their labels where there are any.

        Raises:
            ValueError: `most` is below 1.
        """
        most = self.num_test if most is None else min(most, self.num_test)
        x, y = self._arrays(self.test.take(-(-most // self.batch_size)))
        return x[:most], None if y is None else y[:most]

    @checked
    def training_chunks(self, most: Count) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """All training images, and their labels where there are any, about `most` at a time.

        In the order of the first epoch; the passes over `train` are not disturbed.

        Raises:
            ValueError: `most` is below 1.
        """
        with explain_broken_images():
            batches = iter(self.train_once())
            while chunk := list(itertools.islice(batches, max(1, most // self.batch_size))):
                yield self._arrays(chunk)

    def _arrays(self, batches: Iterable) -> tuple[np.ndarray, np.ndarray | None]:
        if self.class_names is None:
            return np.concatenate(list(batches)), None
        x, y = zip(*batches, strict=True)
        return np.concatenate(x), np.concatenate(y)


@dataclasses.dataclass(frozen=True)
class Share:
    """One worker's part of each training batch.

    Args:
        part: Which one, from 0.
        parts: How many there are; they divide the batch size.
    """

    part: int = 0
    parts: int = 1

    def __post_init__(self) -> None:
        check("part", self.part, Natural)
        check("parts", self.parts, Count)
        if self.part >= self.parts:
            raise ValueError(f"part must be below parts={self.parts}. Received: {self.part}")


ALL = Share()


def shuffled_batches(
    load: Loader, num_examples: int, batch_size: int, seed: int, skip: int, share: Share
) -> tf.data.Dataset:
    """A pipeline whose k-th pass is a permutation of the examples that (seed, k) determines.

    `set_epoch(k)` on what is returned chooses the next pass's k; without it, passes count up from 0.
    """

    def batches(epoch: tf.Tensor) -> tf.data.Dataset:
        order = order_of_epoch(num_examples, batch_size, seed, epoch, skip, share)
        return load(order) if share == ALL else load(order).rebatch(batch_size // share.parts)

    return keyed_by_epoch(batches, num_examples // batch_size - skip)


def order_of_epoch(
    num_examples: int, batch_size: int, seed: int, epoch: tf.Tensor, skip: int, share: Share
) -> tf.Tensor:
    """The numbers of the examples that fill an epoch's batches, but the first `skip`, in their order.

    Args:
        num_examples: How many there are.
        batch_size: In a batch, over all workers.
        seed: Determines the order, together with the epoch.
        epoch: int64.
        skip: Batches to leave out at the beginning.
        share: Of each batch only this part.
    """
    steps = num_examples // batch_size
    order = permutation(num_examples, seed, epoch)[skip * batch_size : steps * batch_size]
    parts = tf.reshape(order, (steps - skip, share.parts, batch_size // share.parts))
    return tf.reshape(parts[:, share.part], (-1,))


def permutation(num_examples: int, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """The numbers from 0 to num_examples - 1, int64, in the order that (seed, epoch) determines."""
    key = tf.stack([tf.cast(seed, tf.int64), epoch])
    return tf.random.experimental.stateless_shuffle(tf.range(num_examples, dtype=tf.int64), seed=key)


def keyed_by_epoch(batches: Loader, steps: int) -> tf.data.Dataset:
    """A pipeline whose k-th pass is `batches(k)`, of so many steps."""
    with tf.device("CPU:0"):  # tf.data runs there, also where there is a GPU
        next_epoch = tf.Variable(0, dtype=tf.int64, trainable=False)

    def one_epoch(_: tf.Tensor) -> tf.data.Dataset:
        return batches(next_epoch.assign_add(1) - 1)

    dataset = tf.data.Dataset.from_tensors(0).flat_map(one_epoch)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    dataset = with_sharding(dataset.prefetch(2))

    @checked
    def set_epoch(epoch: Natural) -> None:
        next_epoch.assign(epoch)

    dataset.set_epoch = set_epoch
    return dataset


def with_sharding(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Several workers take turns at the examples; there are no files for them to share out."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.with_options(options)


def num_held_out(num_images: int, test_fraction: float) -> int:
    """Test images among all; one at least of each part, if there are two."""
    return min(max(1, round(num_images * test_fraction)), max(1, num_images - 1))


def is_given(value: Any, default: Any) -> bool:
    """Whether an option differs from its default by more than 32-bit rounding."""
    if isinstance(value, float):
        return not math.isclose(value, default, rel_tol=1e-6)
    return value != default


def refuse_test_fraction(name: str, test_fraction: float) -> None:
    """Raises a ValueError if a part is to be held out of data that has a test part."""
    if is_given(test_fraction, TEST_FRACTION):
        raise ValueError(
            f"test_fraction is for images without a test part, and {name} has one: leave it out. "
            f"Received: {test_fraction}"
        )


def array_loader(images: np.ndarray, labels: np.ndarray | None, batch_size: int) -> Loader:
    """Batches of arrays in memory, gathered a whole batch at a time."""
    # On the host even where there is a GPU: tf.data runs there.
    with tf.device("CPU:0"):
        images = tf.constant(images)
        labels = None if labels is None else tf.constant(labels, tf.int32)

    def gather(numbers: tf.Tensor):  # type: ignore[no-untyped-def]
        batch = tf.gather(images, numbers)
        return batch if labels is None else (batch, tf.gather(labels, numbers))

    def load(order: tf.Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(order).batch(batch_size).map(gather)

    return load


def build_dataset(
    name: str,
    train_loader: Loader,
    test_loader: Loader,
    *,
    num_train: int,
    num_test: int,
    batch_size: int,
    seed: int,
    image_shape: tuple[int, int, int],
    class_names: tuple[str, ...] | None,
    num_broken: int = 0,
) -> ImageDataset:
    """Puts the two pipelines together, whatever the examples are loaded from."""
    if num_train < batch_size:
        raise ValueError(
            f"{name} has fewer training images than one batch: expected at least "
            f"batch_size={batch_size} images. Received: {num_train}. Choose a smaller batch_size."
        )

    @checked
    def train_from(step: Natural, share: Share = ALL) -> tf.data.Dataset:
        steps = num_train // batch_size
        if step >= steps:
            raise ValueError(f"step must be below {steps}, the batches of an epoch. Received: {step}")
        if batch_size % share.parts:
            raise ValueError(f"parts must divide batch_size={batch_size}. Received: {share.parts}")
        return shuffled_batches(train_loader, num_train, batch_size, seed, step, share)

    def train_once() -> tf.data.Dataset:
        return train_loader(permutation(num_train, seed, tf.constant(0, tf.int64)))

    num_test_batches = -(-num_test // batch_size)
    test = test_loader(tf.range(num_test, dtype=tf.int64)).prefetch(2)
    test = test.apply(tf.data.experimental.assert_cardinality(num_test_batches))
    return ImageDataset(
        name=name,
        train=train_from(0),
        test=with_sharding(test),
        image_shape=image_shape,
        class_names=class_names,
        num_train=num_train,
        num_test=num_test,
        batch_size=batch_size,
        train_from=train_from,
        train_once=train_once,
        num_broken=num_broken,
    )
