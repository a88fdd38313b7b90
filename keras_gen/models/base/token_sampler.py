"""Sampling of the next token from logits."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_gen.layers.keyed_noise import keyed_uniform
from keras_gen.models.base.verbs import DIVERGED
from keras_gen.tokenizers import PADDING, UNKNOWN

BLOCK = 256  # tokens whose noise is drawn together


def token_noise(keys: tf.Tensor, blocks: tf.Tensor) -> tf.Tensor:
    """Uniform noise for some blocks of tokens of each text.

    Args:
        keys: (seed, example) of each text, integers (n, 2).
        blocks: Block numbers, integers (m,): block b has the tokens from b * BLOCK on, counted from the end
            of the prompt.

    Returns:
        float32 (n, m * BLOCK). A token's noise depends on the text's key and the token's place alone.
    """
    noise = tf.map_fn(
        lambda block: keyed_uniform(keys, (BLOCK,), block), blocks, fn_output_signature=tf.float32
    )
    return tf.reshape(tf.transpose(noise, (1, 0, 2)), (tf.shape(keys)[0], -1))


@dataclasses.dataclass
class TokenSampler:
    """Samples one token for each of n texts: see `TextGenerator.generate`.

    Args:
        temperature: float32 (n,).
        top_k: int32 (n,), 0 for all tokens.
        top_p: float32 (n,).
    """

    temperature: tf.Tensor
    top_k: tf.Tensor
    top_p: tf.Tensor

    def choose(self, logits: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """Logits (n, v) and uniform noise (n,) -> token ids, int32 (n,)."""
        logits = tf.debugging.check_numerics(logits, DIVERGED)
        special = tf.reduce_max(tf.one_hot([PADDING, UNKNOWN], logits.shape[1]), axis=0)
        logits = tf.where(special > 0, -np.inf, logits)
        likeliest = tf.argmax(logits, axis=1, output_type=tf.int32)
        # Relative to the largest, so that no temperature overflows float32.
        logits -= tf.reduce_max(logits, axis=1, keepdims=True)
        logits /= tf.maximum(self.temperature, 1e-6)[:, tf.newaxis]
        restricted = tf.reduce_any((self.top_k > 0) | (self.top_p < 1))
        logits = tf.cond(restricted, lambda: self.keep_top(logits), lambda: logits)
        return tf.where(self.temperature > 0, draw(logits, noise), likeliest)

    def keep_top(self, logits: tf.Tensor) -> tf.Tensor:
        logits = tf.cond(tf.reduce_any(self.top_k > 0), lambda: self.keep_top_k(logits), lambda: logits)
        return tf.cond(tf.reduce_any(self.top_p < 1), lambda: self.keep_top_p(logits), lambda: logits)

    def keep_top_k(self, logits: tf.Tensor) -> tf.Tensor:
        most = tf.minimum(tf.reduce_max(self.top_k), logits.shape[1])
        ordered = tf.math.top_k(logits, most).values
        places = tf.clip_by_value(self.top_k - 1, 0, most - 1)
        least = tf.gather(ordered, places[:, tf.newaxis], batch_dims=1)
        return tf.where((self.top_k[:, tf.newaxis] > 0) & (logits < least), -np.inf, logits)

    def keep_top_p(self, logits: tf.Tensor) -> tf.Tensor:
        """Keeps the most likely token, and all others that less than `top_p` of the probability comes
        before.
        """
        ordered = tf.sort(logits, axis=1, direction="DESCENDING")
        before = tf.cumsum(tf.nn.softmax(ordered), axis=1, exclusive=True)
        is_first = tf.range(tf.shape(logits)[1]) == 0
        top_p = self.top_p[:, tf.newaxis]
        kept = tf.where(is_first | (before < top_p), ordered, np.inf)
        least = tf.reduce_min(kept, axis=1, keepdims=True)
        return tf.where((top_p < 1) & (logits < least), -np.inf, logits)


def draw(logits: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """Samples token ids, int32 (n,), by inverting the distribution.

    Args:
        logits: (n, v), the largest of each row 0.
        noise: Uniform in [0, 1), (n,).
    """
    cumulated = tf.cumsum(tf.exp(logits), axis=1)
    # Noise is at most 1 - 2**-23, so that this is less than the total, which the last token of some
    # probability reaches: none after it is chosen.
    threshold = noise[:, tf.newaxis] * cumulated[:, -1:]
    return tf.reduce_sum(tf.cast(cumulated <= threshold, tf.int32), axis=1)


def cut_at(text: str, stops: Sequence[str]) -> str:
    """The text before the first occurrence of some strings."""
    places = [place for place in (text.find(stop) for stop in stops) if place >= 0]
    return text[: min(places, default=len(text))]
