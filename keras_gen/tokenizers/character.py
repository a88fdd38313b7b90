"""Character tokenizer: a small vocabulary that can spell everything."""

import keras
import tensorflow as tf

from keras_gen.tokenizers.tokenizer import Tokenizer


@keras.saving.register_keras_serializable("keras_gen")
class CharacterTokenizer(Tokenizer):
    """Splits a text into characters (Unicode code points).

    Args:
        vocabulary: The characters, each once; 2 or more.

    Raises:
        ValueError: There are fewer than two, one is there twice, or one is not one character.

    Example:

    >>> tokenizer = CharacterTokenizer.adapted(["banana"])
    >>> tokenizer.vocabulary
    ('a', 'n', 'b')
    >>> tokenizer.encode(["nab", "ban!"]).to_list()  # "!" is unknown
    [[4, 3, 5], [5, 3, 4, 1]]
    >>> tokenizer.decode([[5, 3, 4, 3]]).numpy()[0].decode()
    'bana'
    """

    @staticmethod
    def split(texts: tf.Tensor) -> tf.RaggedTensor:
        return tf.strings.unicode_split(texts, "UTF-8")
