"""How the next token is chosen among the likely ones."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_gen.serving.assertions import asserted
from keras_gen.tokenizers import PADDING, UNKNOWN

NOT_FINITE = "The model's logits are not finite: its weights are damaged, or its training has diverged"


@dataclasses.dataclass
class Sampling:
    """How a token is chosen: see `TextGenerator.generate`."""

    temperature: tf.Tensor
    top_k: tf.Tensor
    top_p: tf.Tensor

    def asserted(self) -> "Sampling":
        """The same, where all numbers are in their ranges."""
        temperature, top_k, top_p = self.temperature, self.top_k, self.top_p
        is_finite = tf.math.is_finite(temperature)
        return Sampling(
            asserted(
                "temperature must be a finite number, 0 or more",
                is_finite & (temperature >= 0),
                temperature,
            ),
            asserted("top_k must be 0 or more", top_k >= 0, top_k),
            # What is more than 0 in a request may be 0 in float32.
            asserted("top_p must be from 0 to 1", (top_p >= 0) & (top_p <= 1), top_p),
        )

    def choose(self, logits: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """Logits (n, v) -> token ids, int32 (n,), by the noise of a key."""
        logits = tf.debugging.check_numerics(logits, NOT_FINITE)
        special = tf.reduce_max(tf.one_hot([PADDING, UNKNOWN], logits.shape[1]), axis=0)
        logits = tf.where(special > 0, -np.inf, logits)
        likeliest = tf.argmax(logits, axis=1, output_type=tf.int32)
        # From the likeliest on, so that no temperature makes of them what float32 does not have.
        logits -= tf.reduce_max(logits, axis=1, keepdims=True)
        logits /= tf.maximum(self.temperature, 1e-6)
        logits = tf.cond(self.top_k > 0, lambda: self.of_top_k(logits), lambda: logits)
        logits = tf.cond(self.top_p < 1, lambda: self.of_top_p(logits), lambda: logits)
        drawn = tf.random.stateless_categorical(logits, 1, key, tf.int32)[:, 0]
        return tf.where(self.temperature > 0, drawn, likeliest)

    def of_top_k(self, logits: tf.Tensor) -> tf.Tensor:
        least = tf.math.top_k(logits, tf.minimum(self.top_k, logits.shape[1])).values[:, -1:]
        return tf.where(logits < least, -np.inf, logits)

    def of_top_p(self, logits: tf.Tensor) -> tf.Tensor:
        """The likeliest token, and all others before which less than `top_p` has come."""
        ordered = tf.sort(logits, axis=1, direction="DESCENDING")
        before = tf.cumsum(tf.nn.softmax(ordered), axis=1, exclusive=True)
        is_first = tf.range(tf.shape(logits)[1]) == 0
        chosen = tf.where(is_first | (before < self.top_p), ordered, np.inf)
        least = tf.reduce_min(chosen, axis=1, keepdims=True)
        return tf.where(logits < least, -np.inf, logits)


def cut_at(text: str, stops: Sequence[str]) -> str:
    """The text before the first of some strings."""
    places = [place for place in (text.find(stop) for stop in stops) if place >= 0]
    return text[: min(places, default=len(text))]
