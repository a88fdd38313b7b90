"""Text -> token ids -> the same text."""

import json
import sys

import keras
import pytest
import tensorflow as tf

from keras_gen.datasets.text_sources import python_docs
from keras_gen.tokenizers import UNKNOWN, CharacterTokenizer, SubwordTokenizer, WordTokenizer

both = pytest.mark.parametrize("kind", (CharacterTokenizer, WordTokenizer))
all_kinds = pytest.mark.parametrize("kind", (CharacterTokenizer, WordTokenizer, SubwordTokenizer))
ODD = [
    "",
    " ",
    "a",
    "  two  spaces\n\n\tand a tab\n",
    "isn\u2019t \u201cquoted\u201d na\u00efve \u6f22\u5b57 e\u0301 5_a\u00a0b",
    "a.b,c(d)!?",
]


@all_kinds
def test_pieces_joined_are_the_text(kind):
    texts = [*python_docs(), *ODD]
    tokenizer = kind.adapted(texts)
    decoded = tokenizer.decode(tokenizer.encode(texts)).numpy()
    assert [text.decode() for text in decoded] == texts


@both
def test_a_whole_batch_of_ids_decodes_without_its_padding(kind):
    texts = ["one two", "three"]
    tokenizer = kind.adapted(texts)
    padded = tokenizer.encode(texts).to_tensor()
    assert tokenizer.decode(padded).numpy().tolist() == [b"one two", b"three"]


@both
def test_the_vocabulary_does_not_depend_on_the_order_of_the_texts(kind):
    texts = python_docs()[:8]
    assert kind.adapted(texts).vocabulary == kind.adapted(texts[::-1]).vocabulary


@all_kinds
def test_a_saved_tokenizer_is_the_same(kind):
    size = 200 if kind is SubwordTokenizer else 40
    tokenizer = kind.adapted(python_docs()[:8], vocabulary_size=size)
    assert tokenizer.vocabulary_size == size
    stored = json.loads(json.dumps(keras.saving.serialize_keras_object(tokenizer)))
    again = keras.saving.deserialize_keras_object(stored)
    texts = python_docs()[:2]
    assert again.encode(texts).to_list() == tokenizer.encode(texts).to_list()


def test_words_and_punctuation_have_ids_of_their_own():
    pieces = WordTokenizer.split(tf.constant(["if (x_1>=2): isn't\n    y"]))[0].numpy().tolist()
    assert pieces == [b"if", b" (", b"x_1", b">", b"=", b"2", b")", b":", b" isn't", b"\n    ", b"y"]


def test_unknown_pieces_are_said_and_shown():
    tokenizer = WordTokenizer.adapted(["a cat and a dog"])
    text = "a cat and a zebra, a zebra"
    assert tokenizer.unknown([text, "a cat"]) == [" zebra", ","]
    token_ids = tokenizer.encode([text])
    assert tf.reduce_sum(tf.cast(token_ids == UNKNOWN, tf.int32)) == 3
    assert tokenizer.decode(token_ids).numpy()[0].decode() == "a cat and a\ufffd\ufffd a\ufffd"


def test_lengths_are_in_characters():
    tokenizer = WordTokenizer(["é", " naïve"])
    assert tokenizer.lengths.numpy().tolist() == [0, 1, 0, 1, 6]


@pytest.mark.parametrize(
    ("make", "message"),
    (
        (lambda: CharacterTokenizer("a"), r"2 pieces or more.*Received: \['a'\]"),
        (lambda: CharacterTokenizer.adapted(["aaaa"]), "2 pieces or more"),
        (lambda: WordTokenizer.adapted([]), r"2 pieces or more.*Received: \[\]"),
        (lambda: WordTokenizer(["a", "b", "a"]), r"Received twice: \['a'\]"),
        (lambda: WordTokenizer.adapted(["a b"], 4), "vocabulary_size must be 5 or more.*Received: 4"),
    ),
)
def test_refuses_what_is_no_vocabulary(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_subwords_are_few_and_long():
    texts = python_docs()
    tokenizer = SubwordTokenizer.adapted(texts, vocabulary_size=1500)
    token_ids = tokenizer.encode(texts)
    assert UNKNOWN not in token_ids.flat_values.numpy()
    characters = sum(map(len, texts))
    assert characters / len(token_ids.flat_values) > 2.5
    lengths = tokenizer.lengths.numpy()
    assert lengths[token_ids.flat_values.numpy()].sum() == characters
    assert tokenizer.unknown(["a \u20ac"]) == ["\u20ac"]
    with pytest.raises(ValueError, match="could not be learned with vocabulary_size=10"):
        SubwordTokenizer.adapted(texts, vocabulary_size=10)


def test_subwords_without_their_packages(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(ImportError, match="package sentencepiece, which is not installed"):
        SubwordTokenizer.adapted(["a b"])
