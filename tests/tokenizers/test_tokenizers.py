"""Text -> token ids -> the same text."""

import json
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gen.datasets.text.text_sources import python_docs
from keras_gen.tokenizers import UNKNOWN, CharacterTokenizer, SubwordTokenizer, Tokenizer, WordTokenizer

both = pytest.mark.parametrize("kind", (CharacterTokenizer, WordTokenizer))
all_kinds = pytest.mark.parametrize("kind", (CharacterTokenizer, WordTokenizer, SubwordTokenizer))
ODD = [
    "",
    " ",
    "a",
    "  two  spaces\n\n\tand a tab\n",
    "isn\u2019t \u201cquoted\u201d na\u00efve \u6f22\u5b57 e\u0301 5_a\u00a0b",
    "a.b,c(d)!?",
    "\ufeffa\ufffe\v\u2028b",
]


@all_kinds
def test_pieces_joined_are_the_text(kind):
    texts = [*python_docs(), *ODD]
    tokenizer = kind.adapted(texts)
    decoded = tokenizer.decode(tokenizer.encode(texts)).numpy()
    assert [text.decode() for text in decoded] == texts


@both
def test_a_nul_is_a_character_like_others(kind):
    tokenizer = kind.adapted(["a\0b\0\0"])
    assert tokenizer.vocabulary == ("\0", "a", "b")
    assert tokenizer.encode(["\0a"]).to_list() == [[3, 4]]


@all_kinds
def test_bytes_that_are_not_utf_8_are_unknown(kind):
    tokenizer = kind.adapted(["ab cd " * 20])
    (token_ids,) = tokenizer.encode([b"ab\xff cd\xc3"]).to_list()
    assert token_ids.count(UNKNOWN) == 2
    assert tokenizer.decode([token_ids]).numpy()[0].decode() == "ab\ufffd cd\ufffd"


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
        (lambda: WordTokenizer(["a", "b c"]), "pieces that a WordTokenizer cuts a text into.*'b c'"),
        (lambda: CharacterTokenizer(["a", "bc"]), "pieces that a CharacterTokenizer cuts.*'bc'"),
        (lambda: CharacterTokenizer(["a", ""]), "cuts a text into. Received: ''"),
        (lambda: CharacterTokenizer(["a", 5]), r"vocabulary must be a string, or a list.*\['a', 5\]"),
        (lambda: CharacterTokenizer(["a", "\ud800"]), r"UTF-8 can encode.*lone surrogate '\\ud800'"),
        (lambda: WordTokenizer.adapted("a b"), "texts must be an iterable, each a string.*'a b'"),
        (lambda: WordTokenizer.adapted(["a", b"b"]), "texts must be strings. Received: b'b' at position 1"),
        (lambda: SubwordTokenizer.adapted(["ab", "\ud800"]), "surrogate '.ud800' in the string at .* 1"),
        (lambda: SubwordTokenizer.adapted(["\n"]), "texts must have characters.*only empty lines"),
        (lambda: SubwordTokenizer(["a", "b"], "junk"), "model of SentencePiece's in base64.*'junk'"),
        (lambda: WordTokenizer.adapted(["a b"], 4), "vocabulary_size must be an integer from 5.*: 4"),
        (lambda: WordTokenizer.adapted(["a b"], 9, 1.5), "least_count must be an integer.*: 1.5"),
        (lambda: WordTokenizer.from_config({"words": []}), "missing a required.*Received: words"),
    ),
)
def test_refuses_what_is_no_vocabulary(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_base_is_no_tokenizer():
    with pytest.raises(TypeError, match="as CharacterTokenizer.*Received: the base class"):
        Tokenizer(["a", "b"])


@pytest.mark.parametrize("texts", ("a", b"a", 5, None, [["a"]], ["a", 5], ["\ud800"], tf.constant("a")))
@pytest.mark.parametrize("verb", ("encode", "unknown"))
def test_refuses_what_are_no_texts(verb, texts):
    tokenizer = CharacterTokenizer("ab")
    with pytest.raises(ValueError, match=r"^texts must be a list of strings, \(n,\).* Received: "):
        getattr(tokenizer, verb)(texts)


def test_ids_of_any_kind_are_decoded():
    tokenizer = CharacterTokenizer("ab")
    for token_ids in (
        [[3], [4, 3]],
        tf.ragged.constant([[3], [4, 3]], dtype=tf.int64),
        np.array([[3, 0], [4, 3]], np.uint8),
    ):
        assert tokenizer.decode(token_ids).numpy().tolist() == [b"a", b"ba"]
    assert tokenizer.decode(tokenizer.encode([""]).to_list()).numpy().tolist() == [b""]


@pytest.mark.parametrize(
    ("token_ids", "received"),
    (
        ([[5]], "from 5 to 5"),
        ([[3, -1]], "from -1 to 3"),
        (np.array([[2**63]], np.uint64), "from 9223372036854775808 to"),
        ([[3.0]], r"\[\[3.0\]\]"),
        ([["a"]], r"\[\['a'\]\]"),
        (3, "3"),
        (None, "None"),
    ),
)
def test_refuses_what_are_no_ids(token_ids, received):
    message = rf"^token_ids must be integers \(n, m\) from 0 to 4. Received: {received}"
    with pytest.raises(ValueError, match=message):
        CharacterTokenizer("ab").decode(token_ids)


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
    with pytest.raises(ValueError, match="more than the number of different.*Received: 10 "):
        SubwordTokenizer.adapted(texts, vocabulary_size=10)


def test_subwords_are_learned_from_long_lines_too():
    """SentencePiece leaves out lines of more than 4,192 bytes, silently."""
    vocabulary = SubwordTokenizer.adapted(["low " * 3000, "high"], vocabulary_size=30).vocabulary
    assert "low" in vocabulary


def test_subwords_without_their_packages(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(ImportError, match="package sentencepiece, which is not installed"):
        SubwordTokenizer.adapted(["a b"])
