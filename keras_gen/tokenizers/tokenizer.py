"""What every tokenizer has in common: a vocabulary, and the way from strings to ids and back."""

import collections
from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

PADDING, UNKNOWN, END = 0, 1, 2  # the ids that stand for no piece of text
# What the three decode to: nothing, Unicode's sign for what is not known, nothing.
SPECIAL = ("", "\N{REPLACEMENT CHARACTER}", "")


class Tokenizer(tf.Module):  # so that a SavedModel keeps its table
    """Base of the tokenizers: a subclass says how a text is cut into pieces.

    The pieces of a text, joined, are the text again. Id 0 is padding, 1 a piece that the vocabulary
    does not have, and 2 the end of a text; the ids of the vocabulary follow.

    Args:
        vocabulary: The pieces, each once; 2 or more.

    Attributes:
        lengths: Characters of each id's piece, int32 (vocabulary_size,).

    Raises:
        ValueError: There are fewer than two, or one is there twice.
    """

    def __init__(self, vocabulary: Sequence[str]):
        super().__init__()
        vocabulary = tuple(vocabulary)
        if len(vocabulary) < 2:
            raise ValueError(
                f"A vocabulary must have 2 pieces or more, since one leaves nothing to learn. "
                f"Received: {list(vocabulary)}"
            )
        twice = [piece for piece, count in collections.Counter(vocabulary).items() if count > 1]
        if twice:
            raise ValueError(f"A vocabulary must have each piece once. Received twice: {twice[:5]}")
        self.vocabulary = vocabulary
        self._pieces = tf.constant((*SPECIAL, *vocabulary))
        self.lengths = tf.strings.length(self._pieces, "UTF8_CHAR")
        ids = tf.range(len(vocabulary)) + len(SPECIAL)
        entries = tf.lookup.KeyValueTensorInitializer(tf.constant(vocabulary), ids)
        self._ids = tf.lookup.StaticHashTable(entries, UNKNOWN)

    @classmethod
    def adapted(
        cls, texts: Iterable[str], vocabulary_size: int | None = None, least_count: int = 1
    ) -> "Tokenizer":
        """The tokenizer that has the commonest pieces of some texts.

        Args:
            texts: Read once, one after another.
            vocabulary_size: How many ids there are at most, the first three included; by default as many
                as it takes.
            least_count: Leave out pieces that are rarer.

        Raises:
            ValueError: The texts have fewer than two different pieces, or `vocabulary_size` is less than 5.
        """
        if vocabulary_size is not None and vocabulary_size < len(SPECIAL) + 2:
            raise ValueError(
                f"vocabulary_size must be {len(SPECIAL) + 2} or more: {len(SPECIAL)} ids stand for no "
                f"piece. Received: {vocabulary_size}"
            )
        counts: collections.Counter[bytes] = collections.Counter()
        for text in texts:
            counts.update(cls.split(tf.constant([text])).flat_values.numpy().tolist())
        # The commonest first; of two as common, the first in the alphabet, whatever the order of the texts.
        common = [piece for piece, count in counts.items() if count >= least_count]
        ranked = sorted(common, key=lambda piece: (-counts[piece], piece))
        most = None if vocabulary_size is None else vocabulary_size - len(SPECIAL)
        return cls([piece.decode() for piece in ranked[:most]])

    @property
    def vocabulary_size(self) -> int:
        """How many ids there are."""
        return len(SPECIAL) + len(self.vocabulary)

    @staticmethod
    def split(texts: tf.Tensor) -> tf.RaggedTensor:
        """`pieces`, where they do not depend on the vocabulary."""
        raise NotImplementedError

    def pieces(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Strings (n,) -> the pieces of each, which joined are the string again."""
        return self.split(texts)

    def encode(self, texts: Any) -> tf.RaggedTensor:
        """Strings (n,) -> the ids of each one's pieces, int32 (n, None)."""
        pieces = self.pieces(tf.convert_to_tensor(texts, tf.string))
        return tf.ragged.map_flat_values(self._ids.lookup, pieces)

    def decode(self, token_ids: Any) -> tf.Tensor:
        """Ids (n, m), or ragged -> strings (n,)."""
        pieces = tf.gather(self._pieces, token_ids)
        return tf.strings.reduce_join(pieces, axis=-1)

    def unknown(self, texts: Any) -> list[str]:
        """The pieces of strings (n,) that the vocabulary does not have, each once, in their order."""
        pieces = self.pieces(tf.convert_to_tensor(texts, tf.string)).flat_values
        known = self._ids.lookup(pieces) != UNKNOWN
        return list(dict.fromkeys(piece.decode() for piece in tf.boolean_mask(pieces, ~known).numpy()))

    def get_config(self) -> dict:
        return {"vocabulary": self.vocabulary}

    @classmethod
    def from_config(cls, config: dict) -> "Tokenizer":
        return cls(**config)
