"""Base of the tokenizers: a vocabulary, and conversion between strings and ids."""

import collections
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

import numpy as np
import tensorflow as tf
from annotated_types import Interval

from keras_gen.utils.arguments import LARGEST, Count, checked, received
from keras_gen.utils.memory import refuse_beyond_memory

PADDING, UNKNOWN, END = 0, 1, 2  # the ids that stand for no piece of text
# What the three decode to: nothing, Unicode's sign for what is not known, nothing.
SPECIAL = ("", "\N{REPLACEMENT CHARACTER}", "")

BYTES_PER_CHARACTER = 64  # while a text is cut into pieces
LONG = 2**20  # characters of a text that may be too long for the memory

VocabularySize = Annotated[int, Interval(ge=len(SPECIAL) + 2, le=LARGEST)]


class Tokenizer(tf.Module):  # so that a SavedModel keeps its table
    """Base of the tokenizers: a subclass splits a text into pieces.

    The pieces of a text, joined, are the text again. Id 0 is padding, 1 a piece that is not in the
    vocabulary, and 2 the end of a text; the ids of the vocabulary follow.

    Args:
        vocabulary: The pieces, each once; 2 or more.

    Attributes:
        lengths: Characters of each id's piece, int32 (vocabulary_size,).

    Raises:
        ValueError: There are fewer than two, one is there twice, or one is not a piece that this tokenizer
            cuts a text into.
    """

    @checked
    def __init__(self, vocabulary: str | Sequence[str]):
        super().__init__()
        vocabulary = encodable("vocabulary", vocabulary)
        if len(vocabulary) < 2:
            raise ValueError(
                f"A vocabulary must have 2 pieces or more, since one leaves nothing to learn. "
                f"Received: {received(list(vocabulary))}"
            )
        twice = [piece for piece, count in collections.Counter(vocabulary).items() if count > 1]
        if twice:
            raise ValueError(f"A vocabulary must have each piece once. Received twice: {received(twice)}")
        whole = self.are_pieces(vocabulary)
        if not all(whole):
            odd = vocabulary[whole.index(False)]
            raise ValueError(
                f"vocabulary must have pieces that a {type(self).__name__} cuts a text into. "
                f"Received: {received(odd)}"
            )
        self.vocabulary = vocabulary
        self._pieces = tf.constant((*SPECIAL, *vocabulary))
        self.lengths = tf.strings.length(self._pieces, "UTF8_CHAR")
        ids = tf.range(len(vocabulary)) + len(SPECIAL)
        entries = tf.lookup.KeyValueTensorInitializer(tf.constant(vocabulary), ids)
        self._ids = tf.lookup.StaticHashTable(entries, UNKNOWN)

    @classmethod
    @checked
    def adapted(
        cls, texts: Iterable[str], vocabulary_size: VocabularySize | None = None, least_count: Count = 1
    ) -> "Tokenizer":
        """A tokenizer with the most frequent pieces of some texts.

        Args:
            texts: The texts, which are read once.
            vocabulary_size: Maximum number of ids, including the three special ones, 5 or more; unlimited
                by default.
            least_count: Leave out pieces that occur less often; 1 or more.

        Raises:
            ValueError: The texts have fewer than two different pieces, one is not a string, or a number is
                out of range.
        """
        counts: collections.Counter[bytes] = collections.Counter()
        for text in each_encodable("texts", texts):
            counts.update(cls.split(tf.constant([text])).flat_values.numpy().tolist())
        # The commonest first; of two as common, the first in the alphabet, whatever the order of the texts.
        common = [piece for piece, count in counts.items() if count >= least_count]
        ranked = sorted(common, key=lambda piece: (-counts[piece], piece))
        most = None if vocabulary_size is None else vocabulary_size - len(SPECIAL)
        return cls([piece.decode() for piece in ranked[:most]])

    @property
    def vocabulary_size(self) -> int:
        """Number of ids."""
        return len(SPECIAL) + len(self.vocabulary)

    @staticmethod
    def split(texts: tf.Tensor) -> tf.RaggedTensor:
        """`pieces`, if they do not depend on the vocabulary."""
        raise TypeError(
            "A tokenizer must say how it cuts a text into pieces, as CharacterTokenizer, WordTokenizer and "
            "SubwordTokenizer do. Received: the base class, Tokenizer"
        )

    def pieces(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Strings (n,) -> their pieces, which joined are the string again."""
        return self.split(texts)

    def are_pieces(self, vocabulary: Sequence[str]) -> list[bool]:
        """Whether each of some strings is a single piece."""
        return (self.split(tf.constant(vocabulary)).row_lengths() == 1).numpy().tolist()

    def encode(self, texts: Any) -> tf.RaggedTensor:
        """Strings (n,) -> the ids of their pieces, int32 (n, None).

        Raises:
            ValueError: These are not strings (n,).
        """
        return tf.ragged.map_flat_values(self._ids.lookup, self.pieces(string_tensor(texts)))

    def decode(self, token_ids: Any) -> tf.Tensor:
        """Ids (n, m), or rows of different lengths -> strings (n,).

        Raises:
            ValueError: These are not integers, or one is not an id of this tokenizer.
        """
        pieces = tf.gather(self._pieces, self.id_tensor(token_ids))
        return tf.strings.reduce_join(pieces, axis=-1)

    def id_tensor(self, token_ids: Any) -> tf.Tensor | tf.RaggedTensor:
        """Ids as a tensor, ragged if rows have different lengths."""
        expected = f"token_ids must be integers (n, m) from 0 to {self.vocabulary_size - 1}"
        try:
            make = tf.ragged.constant if isinstance(token_ids, (list, tuple)) else tf.convert_to_tensor
            ids = token_ids if isinstance(token_ids, tf.RaggedTensor) else make(token_ids)
        except Exception:  # whatever TensorFlow raises
            raise ValueError(f"{expected}. Received: {received(token_ids)}") from None
        flat = ids.flat_values if isinstance(ids, tf.RaggedTensor) else ids
        values = flat.numpy() if hasattr(flat, "numpy") else np.zeros(0)  # a graph's are a model's own
        if ids.shape.rank == 0 or not (flat.dtype.is_integer or flat.shape.num_elements() == 0):
            raise ValueError(f"{expected}. Received: {received(token_ids)}")
        if values.size and not 0 <= values.min() <= values.max() < self.vocabulary_size:
            raise ValueError(f"{expected}. Received: from {values.min()} to {values.max()}")
        return ids if flat.dtype in (tf.int32, tf.int64) else tf.cast(ids, tf.int64)

    def unknown(self, texts: Any) -> list[str]:
        """Pieces of strings (n,) that are not in the vocabulary, each once, in order of appearance.

        Raises:
            ValueError: These are not strings (n,).
        """
        pieces = self.pieces(string_tensor(texts)).flat_values
        known = self._ids.lookup(pieces) != UNKNOWN
        return list(dict.fromkeys(piece.decode() for piece in tf.boolean_mask(pieces, ~known).numpy()))

    def get_config(self) -> dict:
        return {"vocabulary": self.vocabulary}

    @classmethod
    def from_config(cls, config: dict) -> "Tokenizer":
        try:
            return cls(**config)
        except TypeError as error:  # which Keras would bury under the whole config
            raise ValueError(str(error)) from None


def encodable(name: str, texts: Iterable[Any]) -> tuple[str, ...]:
    """The strings, if UTF-8 can encode all of them."""
    return tuple(each_encodable(name, texts))


def each_encodable(name: str, texts: Iterable[Any]) -> Iterator[str]:
    """Yields strings, if UTF-8 can encode them.

    Args:
        name: The name of the argument in errors.
        texts: An iterable of strings.

    Raises:
        ValueError: One is not a string, has a lone surrogate, half of a character in UTF-16, or is too long
            for the memory.
    """
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"{name} must be strings. Received: {received(text)} at position {number}")
        refuse_too_long(len(text))
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{name} must be strings that UTF-8 can encode. Received: the lone surrogate "
                f"{text[error.start]!r} in the string at position {number}"
            ) from None
        yield str(text)


def refuse_too_long(num_characters: int) -> None:
    """Raises a ValueError if there is not enough memory to split a text."""
    if num_characters > LONG:
        text = f"a text of {num_characters:,} characters"
        refuse_beyond_memory(BYTES_PER_CHARACTER * num_characters, text, "Pass it in parts.")


def string_tensor(texts: Any) -> tf.Tensor:
    """Strings (n,) as a tensor.

    Raises:
        ValueError: These are not strings (n,), or they are too long for the memory.
    """
    if isinstance(texts, (list, tuple)):
        refuse_too_long(sum(len(text) for text in texts if isinstance(text, (str, bytes))))
    try:
        found = tf.convert_to_tensor(texts, tf.string)
    except Exception:  # whatever TensorFlow raises
        found = None
    if found is None or found.shape.rank not in (1, None):
        raise ValueError(
            f"texts must be a list of strings, (n,), that UTF-8 can encode. Received: {received(texts)}"
        )
    return found
