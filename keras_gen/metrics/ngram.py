"""An n-gram model: how well the last few tokens of a text predict the next one."""

from typing import Annotated, NamedTuple

import numpy as np
from annotated_types import Interval
from numpy.typing import ArrayLike

from keras_gen.utils.arguments import Count, checked
from keras_gen.utils.arrays import numbers


class NGramModel:
    """An n-gram model with interpolated Kneser-Ney smoothing.

    p(token | context) = (count - d) / (count of the context)
                       + (d * kinds after the context / count of the context) * p(token | shorter context)

    For shorter contexts, a count is of the different tokens that stood before [1]; d is n1 / (n1 + 2 n2),
    of the n1 n-grams with a count of 1 and the n2 with 2 [2]. Below single tokens is the uniform
    distribution, so that nothing is impossible.

    Args:
        order: Length of the n-grams, 1 or more: 1 is a unigram model, 3 a trigram model.
        vocabulary_size: Number of token ids, from 1 to 2**31.

    Raises:
        ValueError: A number is out of range.

    References:
        1. Kneser & Ney 1995, Improved Backing-off for M-gram Language Modeling, ICASSP.
        2. Chen & Goodman 1999, An Empirical Study of Smoothing Techniques for Language Modeling.

    Example:

    >>> model = NGramModel(order=2, vocabulary_size=4).fit([1, 2, 3, 1, 2, 1, 2, 3])
    >>> print(np.exp(model.log_probs([1, 2, 3, 3])).round(2))  # a 2 always came after the 1
    [0.47 0.87 0.57 0.11]
    """

    @checked
    def __init__(self, order: Count, vocabulary_size: Annotated[int, Interval(ge=1, le=2**31)]):
        self.order = order
        self.vocabulary_size = vocabulary_size
        self._levels: list[_Level] = []

    @checked
    def fit(self, token_ids: ArrayLike) -> "NGramModel":
        """Counts the n-grams of a text, integers (n,), of at least `order` tokens; returns the model.

        Raises:
            ValueError: The text is shorter, or a token id is out of range.
        """
        token_ids = self._checked(token_ids)
        if len(token_ids) < self.order:
            raise ValueError(
                f"token_ids must be {self.order:,} or more, the order of the n-grams. "
                f"Received: {len(token_ids):,}"
            )
        # An n-gram has a number, its place among the sorted ones of its length; n + 1 tokens are
        # then the number of the first n and a token, whatever n is.
        contexts = np.zeros(len(token_ids), np.int64)
        grams: list[np.ndarray] = []
        counts: list[np.ndarray] = []
        for length in range(1, self.order + 1):
            keys = contexts[: len(token_ids) - length + 1] * self.vocabulary_size + token_ids[length - 1 :]
            seen, first, numbers, count = np.unique(
                keys, return_index=True, return_inverse=True, return_counts=True
            )
            if length > 1:  # `contexts` are the numbers of the n-grams that are shorter by one
                counts[-1] = np.bincount(contexts[first + 1], minlength=len(grams[-1]))
            grams.append(seen)
            counts.append(count)
            contexts = numbers
        self._levels = [
            _Level.made(seen, count, self.vocabulary_size)
            for seen, count in zip(grams, counts, strict=True)
        ]
        return self

    @checked
    def log_probs(self, token_ids: ArrayLike) -> np.ndarray:
        """log p of each token of a text, integers (n,), given those before it, in nats: float64 (n,).

        Raises:
            ValueError: A token id is out of range, or `fit` was not called before.
        """
        if not self._levels:
            raise ValueError(
                "An NGramModel must be fitted to a text before. Received: log_probs before fit"
            )
        token_ids = self._checked(token_ids)
        probabilities = np.full(len(token_ids), 1 / self.vocabulary_size)
        contexts = np.zeros(len(token_ids), np.int64)  # what is before each token; -1 where never seen
        for level in self._levels:
            numbers = level.find(contexts, token_ids, self.vocabulary_size)
            probabilities = level.interpolate(contexts, numbers, probabilities)
            contexts = np.concatenate(([-1], numbers[:-1]))
        return np.log(probabilities)

    def _checked(self, token_ids: ArrayLike) -> np.ndarray:
        array = numbers("token_ids", token_ids, "n")
        if array.dtype.kind == "f" or array.min() < 0 or array.max() >= self.vocabulary_size:
            raise ValueError(
                f"token_ids must be integers from 0 to {self.vocabulary_size - 1}. "
                f"Received: {array.dtype} from {array.min()} to {array.max()}"
            )
        return array.astype(np.int64)


class _Level(NamedTuple):
    """The n-grams of one length."""

    seen: np.ndarray  # sorted: the number of what is before the last token, times the vocabulary, plus it
    counts: np.ndarray
    discount: float
    totals: np.ndarray  # counts after each context
    kinds: np.ndarray  # different tokens after each context

    @classmethod
    def made(cls, seen: np.ndarray, counts: np.ndarray, vocabulary_size: int) -> "_Level":
        once, twice = np.sum(counts == 1), np.sum(counts == 2)
        discount = once / (once + 2 * twice) if once else 0.5
        contexts = seen // vocabulary_size
        return cls(seen, counts, discount, np.bincount(contexts, counts), np.bincount(contexts, counts > 0))

    def find(self, contexts: np.ndarray, token_ids: np.ndarray, vocabulary_size: int) -> np.ndarray:
        """The numbers of the n-grams that end at each token; -1 for unseen ones."""
        keys = contexts * vocabulary_size + token_ids
        places = np.minimum(np.searchsorted(self.seen, keys), len(self.seen) - 1)
        return np.where((contexts >= 0) & (self.seen[places] == keys), places, -1)

    def interpolate(self, contexts: np.ndarray, numbers: np.ndarray, shorter: np.ndarray) -> np.ndarray:
        """Probabilities of the tokens, given those for contexts that are shorter by one."""
        # The last n-gram of a text, if it is there but once, is a context that nothing followed.
        inside = (contexts >= 0) & (contexts < len(self.totals))
        context = np.where(inside, contexts, 0)
        known = inside & (self.totals[context] > 0)
        total = np.where(known, self.totals[context], 1)
        counts = np.where(numbers >= 0, self.counts[numbers], 0)
        own = np.maximum(counts - self.discount, 0) / total
        return np.where(known, own + self.discount * self.kinds[context] / total * shorter, shorter)
