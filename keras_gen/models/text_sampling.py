"""How the next token is chosen among the likely ones."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_gen.models import checks
from keras_gen.tokenizers import PADDING, UNKNOWN

NEVER = -1e9  # the logit of what is not to be written


@dataclasses.dataclass
class Sampling:
    """How a token is chosen: see `TextGenerator.generate`."""

    temperature: tf.Tensor
    top_k: tf.Tensor
    top_p: tf.Tensor

    def choose(self, logits: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """Logits (n, v) -> token ids, int32 (n,), by the noise of a key."""
        never = tf.one_hot([PADDING, UNKNOWN], logits.shape[1], NEVER)
        logits += tf.reduce_sum(never, axis=0)
        likeliest = tf.argmax(logits, axis=1, output_type=tf.int32)
        logits /= tf.maximum(self.temperature, 1e-6)
        logits = tf.cond(self.top_k > 0, lambda: self.of_top_k(logits), lambda: logits)
        logits = tf.cond(self.top_p < 1, lambda: self.of_top_p(logits), lambda: logits)
        drawn = tf.random.stateless_categorical(logits, 1, key, tf.int32)[:, 0]
        return tf.where(self.temperature > 0, drawn, likeliest)

    def of_top_k(self, logits: tf.Tensor) -> tf.Tensor:
        least = tf.math.top_k(logits, tf.minimum(self.top_k, logits.shape[1])).values[:, -1:]
        return tf.where(logits < least, NEVER, logits)

    def of_top_p(self, logits: tf.Tensor) -> tf.Tensor:
        """The likeliest token, and all others before which less than `top_p` has come."""
        ordered = tf.sort(logits, axis=1, direction="DESCENDING")
        before = tf.cumsum(tf.nn.softmax(ordered), axis=1, exclusive=True)
        least = tf.reduce_min(tf.where(before < self.top_p, ordered, np.inf), axis=1, keepdims=True)
        return tf.where(logits < least, NEVER, logits)


def check_sampling(max_tokens: int, temperature: float, top_k: int, top_p: float) -> None:
    checks.integer("max_tokens", max_tokens, 1)
    checks.at_least("temperature", temperature, 0)
    checks.integer("top_k", top_k, 0)
    checks.share("top_p", top_p)


def cut_at(text: str, stops: Sequence[str]) -> str:
    """The text before the first of some strings."""
    places = [place for place in (text.find(stop) for stop in stops) if place >= 0]
    return text[: min(places, default=len(text))]
