"""Tokenizers: text -> token ids -> text, in TensorFlow graphs, so that SavedModels work on strings."""

from keras_gen.tokenizers.character import CharacterTokenizer
from keras_gen.tokenizers.subword import SubwordTokenizer
from keras_gen.tokenizers.tokenizer import END, PADDING, UNKNOWN, Tokenizer
from keras_gen.tokenizers.word import WordTokenizer

__all__ = [
    "END",
    "PADDING",
    "UNKNOWN",
    "CharacterTokenizer",
    "SubwordTokenizer",
    "Tokenizer",
    "WordTokenizer",
]
