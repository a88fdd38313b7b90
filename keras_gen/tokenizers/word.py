"""Word tokenizer: short sequences, and words that are frequent enough."""

import keras
import tensorflow as tf

from keras_gen.tokenizers.tokenizer import Tokenizer

# A word, or one other character, with the space before it; or what space is left. U+2019 is a printed
# apostrophe.
PIECE = r"( ?[\pL\pM\pN_]+(?:['\x{2019}][\pL]+)?| ?[^\s\pL\pM\pN_]|\s+)"
SEPARATOR = b"\xff"  # a byte that UTF-8 does not have


@keras.saving.register_keras_serializable("keras_gen")
class WordTokenizer(Tokenizer):
    """Splits a text into words and punctuation, each with the space before it.

    The pieces, joined, are the text again, including line breaks and indentation.

    Args:
        vocabulary: The pieces, each once; 2 or more.

    Raises:
        ValueError: There are fewer than two, one is there twice, or one is not one piece.

    Example:

    >>> tokenizer = WordTokenizer.adapted(["The cat sat. The cat didn't."])
    >>> tokenizer.vocabulary
    (' cat', '.', ' The', " didn't", ' sat', 'The')
    >>> token_ids = tokenizer.encode(["The dog sat."])
    >>> token_ids.to_list(), tokenizer.unknown(["The dog sat."])
    ([[8, 1, 7, 4]], [' dog'])
    """

    @staticmethod
    def split(texts: tf.Tensor) -> tf.RaggedTensor:
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")  # replaces what is not UTF-8
        marked = tf.strings.regex_replace(texts, PIECE, rb"\1" + SEPARATOR)
        pieces = tf.strings.split(marked, SEPARATOR)
        return pieces[:, :-1]  # what follows the last separator is nothing
