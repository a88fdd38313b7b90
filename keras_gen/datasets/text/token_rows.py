"""Token ids on disk, and the rows of a batch that are cut from them."""

import tempfile
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from keras_gen.datasets.images.image_dataset import Share, keyed_by_epoch, order_of_epoch, with_sharding
from keras_gen.datasets.text.text_sources import Text
from keras_gen.tokenizers import END, PADDING, Tokenizer


def write_token_ids(tokenizer: Tokenizer, text: Text, ends: bool) -> np.ndarray:
    """The ids of a text, int32, with id 2 between documents, and with `ends`, at both ends, too.

    They are in a temporary file, mapped into memory, which is gone when the array is.
    """
    with tempfile.TemporaryFile() as file:
        for token_ids in encoded(tokenizer, text, ends):
            file.write(token_ids.astype(np.int32).tobytes())
        file.flush()
        return np.memmap(file, np.int32, "r") if file.tell() else np.zeros(0, np.int32)


def encoded(tokenizer: Tokenizer, text: Text, ends: bool) -> Iterator[np.ndarray]:
    end = np.array([END])
    if ends:
        yield end
    last = None
    for number, piece in text():
        if last not in (None, number):
            yield end
        last = number
        yield tokenizer.encode([piece]).flat_values.numpy()
    if ends:
        yield end


class TokenRows:
    """Where rows for batches begin and end in a text's token ids.

    Args:
        token_ids: int32 (n,).
        starts: int64 (m,), where each row begins.
        stops: int64 (m,), before which each row ends, if it is not full before.
        sequence_length: A row has this many tokens and the one after, which is the last's target.
        shifts: In each epoch, all rows begin later by the same random number below this one.
    """

    def __init__(
        self,
        token_ids: np.ndarray,
        starts: np.ndarray,
        stops: np.ndarray,
        sequence_length: int,
        shifts: int = 1,
    ):
        self.token_ids = token_ids
        self.starts = starts
        self.stops = stops
        self.sequence_length = sequence_length
        self.shifts = shifts

    def __len__(self) -> int:
        return len(self.starts)

    def shuffled(self, batch_size: int, seed: int, skip: int, share: Share) -> tf.data.Dataset:
        """Full batches of rows, but for the first `skip`; (seed, k) determines the order of epoch k."""

        def batches(epoch: tf.Tensor) -> tf.data.Dataset:
            key = tf.stack([tf.cast(seed, tf.int64), epoch])
            shift = tf.random.stateless_uniform((), key, 0, self.shifts, tf.int64)
            order = order_of_epoch(len(self), batch_size, seed, epoch, skip, share)
            return self.batches(order, batch_size // share.parts, shift)

        return keyed_by_epoch(batches, len(self) // batch_size - skip)

    def in_order(self, batch_size: int) -> tf.data.Dataset:
        """Batches of all rows in their order; the last may be smaller."""
        order = tf.range(len(self), dtype=tf.int64)
        dataset = self.batches(order, batch_size, tf.constant(0, tf.int64)).prefetch(2)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(-(-len(self) // batch_size)))
        return with_sharding(dataset)

    def batches(self, order: tf.Tensor, batch_size: int, shift: tf.Tensor) -> tf.data.Dataset:
        def gather(numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            rows = tf.numpy_function(self.gather, [numbers, shift], tf.int32, stateful=False)
            rows = tf.ensure_shape(rows, (None, self.sequence_length + 1))
            return rows[:, :-1], rows[:, 1:]

        return tf.data.Dataset.from_tensor_slices(order).batch(batch_size).map(gather)

    def gather(self, numbers: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """Rows by their numbers, int32 (len(numbers), sequence_length + 1), padded after their ends."""
        places = self.starts[numbers, None] + shift + np.arange(self.sequence_length + 1)
        there = places < self.stops[numbers, None]
        return np.where(there, self.token_ids[np.where(there, places, 0)], PADDING).astype(np.int32)


def training_windows(token_ids: np.ndarray, sequence_length: int) -> TokenRows:
    """Full windows, side by side, with room to begin elsewhere in each epoch."""
    number = max(1, len(token_ids) // sequence_length - 1)
    starts = np.arange(number) * sequence_length
    room = len(token_ids) - number * sequence_length  # at least 1, for the last target
    stops = np.full(number, len(token_ids))
    return TokenRows(token_ids, starts, stops, sequence_length, min(room, sequence_length))


def held_out_windows(token_ids: np.ndarray, sequence_length: int) -> TokenRows:
    """Windows in which each token but the first is a target once."""
    starts = np.arange(0, len(token_ids) - 1, sequence_length)
    return TokenRows(token_ids, starts, np.full(len(starts), len(token_ids)), sequence_length)


def document_rows(token_ids: np.ndarray, sequence_length: int) -> TokenRows:
    """A row for each document, its first and last id the 2; more for one that is too long for a row."""
    ends = np.flatnonzero(token_ids == END)
    starts, stops = ends[:-1], ends[1:] + 1
    parts = -(-(stops - starts - 1) // sequence_length)
    part = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    starts, stops = np.repeat(starts, parts) + part * sequence_length, np.repeat(stops, parts)
    return TokenRows(token_ids, starts, stops, sequence_length)
