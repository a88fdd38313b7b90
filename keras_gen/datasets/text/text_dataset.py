"""`load_text`: a file, a folder, recipes, strings or Python's reference -> a `TextDataset`."""

import dataclasses
import os
from collections.abc import Callable, Iterable
from typing import Annotated, ClassVar, Literal

import numpy as np
import tensorflow as tf
from annotated_types import Interval

from keras_gen.datasets.images.image_dataset import ALL, Share
from keras_gen.datasets.text.text_sources import Text, find_text, split_documents, split_running_text
from keras_gen.datasets.text.token_rows import (
    document_rows,
    held_out_windows,
    training_windows,
    write_token_ids,
)
from keras_gen.tokenizers import CharacterTokenizer, SubwordTokenizer, Tokenizer, WordTokenizer
from keras_gen.tokenizers.tokenizer import VocabularySize
from keras_gen.utils.arguments import Count, Natural, Seed, checked
from keras_gen.utils.memory import refuse_beyond_memory

BYTES_PER_TOKEN = 32  # of a batch that is being made

# Words that are there but once are unknown in training, too, so that a model learns what unknown ones are.
TOKENIZERS: dict[str, tuple[type[Tokenizer], dict[str, int]]] = {
    "char": (CharacterTokenizer, {}),
    "word": (WordTokenizer, {"vocabulary_size": 10_000, "least_count": 2}),
    "subword": (SubwordTokenizer, {"vocabulary_size": 2000}),
}


@dataclasses.dataclass(frozen=True)
class TextDataset:
    """Text to train on and to test with, as `tf.data` pipelines of token ids.

    An element is `(inputs, targets)`, int32 (batch_size, sequence_length) each: the target of a token is
    the next one. Where a document ends before the row does, both are padded with id 0.

    Windows of running text lie side by side, and begin elsewhere in each epoch. The order and the beginning
    of epoch k depend on (seed, k) alone. Each pass over `train` is the next epoch, and `fit` of a keras_gen
    model sets which one it is in, also through `.map`, `.take` and the like: see `ImageDataset`.

    Args:
        name: What the text is called.
        train: Shuffled; only full batches.
        test: In order; the last batch may be smaller.
        tokenizer: Between strings and token ids.
        sequence_length: Tokens in a row.
        per_document: Whether a row is a document, and not a window of running text.
        train_ids: The training text's token ids, int32, one document after another, id 2 between them.
        test_ids: The test text's.
        num_train: Number of training windows, or of documents (and parts of those that are too long for a
            row).
        num_test: Number of those to test with.
        batch_size: Rows in a batch.
        train_from: Makes the same pipeline as `train`, less its first `n` batches, for a run that is
            resumed in the middle of an epoch.
        num_incomplete: Recipes that were left out, for want of a title or of directions.
    """

    name: str
    train: tf.data.Dataset
    test: tf.data.Dataset
    tokenizer: Tokenizer
    sequence_length: int
    per_document: bool
    train_ids: np.ndarray = dataclasses.field(repr=False)
    test_ids: np.ndarray = dataclasses.field(repr=False)
    num_train: int
    num_test: int
    batch_size: int
    train_from: Callable[..., tf.data.Dataset] = dataclasses.field(repr=False)
    num_incomplete: int = 0
    unit: ClassVar[str] = "tokens"

    @property
    def units_per_step(self) -> int:
        """Tokens in a training batch."""
        return self.batch_size * self.sequence_length

    @property
    def steps_per_epoch(self) -> int:
        """Number of training batches in an epoch."""
        return self.num_train // self.batch_size


@checked
def load_text(
    source: str | os.PathLike | Iterable[str] = "python_docs",
    *,
    tokenizer: Literal["char", "word", "subword"] | Tokenizer = "char",
    vocabulary_size: VocabularySize | None = None,
    sequence_length: Count = 128,
    per_document: bool = False,
    batch_size: Count = 64,
    seed: Seed = 0,
    test_fraction: Annotated[float, Interval(gt=0, lt=1)] = 0.1,
    encoding: str = "utf-8",
) -> TextDataset:
    """Loads text to train on and to test with.

    Files are streamed and token ids are kept in a temporary file, so neither needs to fit into memory.

    Args:
        source: `"python_docs"`, the language reference that comes with Python (half a megabyte, needs no
            network); the path of a .txt file, of a folder of .txt files, or of a .json file of recipes in
            Epicurious' format (a list of objects with `title` and `directions`); or a list of strings, one
            for each document.
        tokenizer: `"char"`, `"word"` or `"subword"`, adapted to the training text; or an existing one.
        vocabulary_size: Maximum number of token ids, for the most frequent pieces. By default: all
            characters, 2,000 subwords, or 10,000 words that occur at least twice. All other pieces are
            unknown.
        sequence_length: Tokens in a row of a batch, 1 or more.
        per_document: Make each document one padded row that starts with its first token; otherwise, the
            documents are joined and cut into windows.
        batch_size: Rows in a batch. Training skips the last, smaller batch of an epoch.
        seed: With the number of the epoch, it determines the order of the rows and where windows start.
        test_fraction: Fraction of the text, or of the documents, to hold out for testing, at the end.
        encoding: Encoding of the files.

    Returns:
        A `TextDataset`.

    Raises:
        ImportError: The packages of the subword tokenizer are not installed.
        ValueError: An argument has the wrong type or is out of range; the source does not exist; a file is
            empty, cannot be read, or has another encoding (the message says where); a .json file has
            another structure; the text is shorter than a window, has fewer than two different pieces, or
            fewer rows than a batch; or a batch would not fit into memory.

    Example:

    >>> import keras_gen as kg
    >>> data = kg.load_text(["to be or not to be"] * 100, sequence_length=8, batch_size=4)
    >>> inputs, targets = next(iter(data.test))
    >>> print(data.tokenizer.decode(inputs)[0].numpy().decode(), "->", targets.shape)
    to be or -> (4, 8)
    """
    refuse_beyond_memory(
        BYTES_PER_TOKEN * batch_size * (sequence_length + 1),
        f"batch_size={batch_size} and sequence_length={sequence_length}",
        "Choose smaller ones.",
    )
    name, text, num_incomplete = find_text(source, encoding)
    split = split_documents if per_document else split_running_text
    train_text, test_text = split(name, text, test_fraction)
    if isinstance(tokenizer, str):
        tokenizer = make_tokenizer(tokenizer, vocabulary_size, name, train_text)
    elif vocabulary_size is not None:
        raise ValueError(f"vocabulary_size is the tokenizer's own. Received: {vocabulary_size}")
    train_ids = write_token_ids(tokenizer, train_text, ends=per_document)
    test_ids = write_token_ids(tokenizer, test_text, ends=per_document)
    if per_document:
        train_rows, test_rows = [document_rows(ids, sequence_length) for ids in (train_ids, test_ids)]
    else:
        refuse_shorter_than_a_window(name, sequence_length, training=train_ids, test=test_ids)
        train_rows = training_windows(train_ids, sequence_length)
        test_rows = held_out_windows(test_ids, sequence_length)
    if len(train_rows) < batch_size:
        raise ValueError(
            f"{name} has fewer rows to train on than one batch: expected at least batch_size={batch_size} "
            f"rows of {sequence_length} tokens. Received: {len(train_rows)}. Choose a smaller batch_size "
            "or sequence_length."
        )

    @checked
    def train_from(step: Natural, share: Share = ALL) -> tf.data.Dataset:
        steps = len(train_rows) // batch_size
        if step > steps:
            raise ValueError(f"step must be at most the {steps} of an epoch. Received: {step}")
        return train_rows.shuffled(batch_size, seed, step, share)

    return TextDataset(
        name=name,
        train=train_from(0),
        test=test_rows.in_order(batch_size),
        tokenizer=tokenizer,
        sequence_length=sequence_length,
        per_document=per_document,
        train_ids=train_ids,
        test_ids=test_ids,
        num_train=len(train_rows),
        num_test=len(test_rows),
        batch_size=batch_size,
        train_from=train_from,
        num_incomplete=num_incomplete,
    )


def make_tokenizer(kind: str, vocabulary_size: int | None, name: str, text: Text) -> Tokenizer:
    """A tokenizer for a text, by its name."""
    made_by, options = TOKENIZERS[kind]
    if vocabulary_size is not None:
        options = {**options, "vocabulary_size": vocabulary_size}
    try:
        return made_by.adapted((piece for _, piece in text()), **options)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def refuse_shorter_than_a_window(name: str, sequence_length: int, **parts: np.ndarray) -> None:
    for part, token_ids in parts.items():
        if len(token_ids) <= sequence_length:
            raise ValueError(
                f"{name}: the {part} text is shorter than one window: expected more than "
                f"sequence_length={sequence_length} tokens. Received: {len(token_ids)}. Choose a smaller "
                "sequence_length, or more text."
            )
