"""Words: short sequences that make sense sooner, of words that are common enough."""

import keras
import tensorflow as tf

from keras_gen.tokenizers.tokenizer import Tokenizer

# A word, or one other character, with the space before it; or what space is left. U+2019 is a printed
# apostrophe.
PIECE = r"( ?[\pL\pM\pN_]+(?:['\x{2019}][\pL]+)?| ?[^\s\pL\pM\pN_]|\s+)"
SEPARATOR = "\0"


@keras.saving.register_keras_serializable("keras_gen")
class WordTokenizer(Tokenizer):
    """Cuts a text into words and punctuation, each with the space before it.

    So the pieces, joined, are the text again, with its line breaks and its indentation; but for the
    character NUL, which no text should have.

    Args:
        vocabulary: The pieces, each once; 2 or more.

    Raises:
        ValueError: There are fewer than two, or one is there twice.

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
        marked = tf.strings.regex_replace(texts, PIECE, rf"\1{SEPARATOR}")
        pieces = tf.strings.split(marked, SEPARATOR)
        return pieces[:, :-1]  # what follows the last separator is nothing
