"""Text -> token ids -> text, inside TensorFlow's graph, so that a saved model takes and gives strings."""

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
