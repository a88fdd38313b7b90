"""How well a model predicts held-out text, compared with n-gram models.

Perplexity depends on what a token is, so it is comparable only between models with the same
tokenizer; bits per character is comparable between all, as long as few tokens are unknown.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from keras_gen.datasets import TextDataset
from keras_gen.metrics.ngram import NGramModel
from keras_gen.metrics.report import Report, Result
from keras_gen.tokenizers import END, PADDING, UNKNOWN

ROWS_AT_ONCE = 32
ORDERS = {"unigram": 1, "trigram": 3}


def measure_text(model: Any, data: TextDataset, seed: int, progress: Callable) -> Report:
    """Perplexity and bits per character of held-out text: see `measure`."""
    start = time.monotonic()
    token_ids, train_ids = np.asarray(data.test_ids), np.asarray(data.train_ids)
    nats = {"model": -held_out_log_probs(model, data, progress)}
    for name, order in ORDERS.items():
        counted = NGramModel(order, data.tokenizer.vocabulary_size).fit(train_ids)
        nats[name] = -counted.log_probs(token_ids)[1:]
    characters = int(data.tokenizer.lengths.numpy()[token_ids[1:]].sum())

    def result(name: str, label: str, values: dict[str, float]) -> Result:
        value = values.pop("model")
        count = len(token_ids) - 1  # nothing predicts the first
        return Result(name, label, value, "lower", "test", count, baselines=values)

    perplexity = {kind: float(np.exp(of_kind.mean())) for kind, of_kind in nats.items()}
    bits = {kind: float(of_kind.sum() / np.log(2) / characters) for kind, of_kind in nats.items()}
    unknown = float(np.mean(token_ids[1:] == UNKNOWN))
    results = [
        result("perplexity", "perplexity", perplexity),
        result("bits_per_character", "bits per character", bits),
        result("unknown_tokens", "part of tokens unknown", {"model": unknown}),
    ]
    named = {found.name: found for found in results}
    return Report(named, data.name, seed, time.monotonic() - start, unit=data.unit)


def held_out_log_probs(model: Any, data: TextDataset, progress: Callable) -> np.ndarray:
    """log p of each token of the held-out text but the first, after those before it, in nats: (n - 1,).

    A row is twice as long as in training, and its first half is only read: what is predicted comes after
    `sequence_length` tokens or more, as far as there are as many in the text, or in the document.
    """
    token_ids = np.asarray(data.test_ids)
    found = np.zeros(len(token_ids))
    rows = list(read_rows(token_ids, data.sequence_length, data.per_document))
    for done in range(0, len(rows), ROWS_AT_ONCE):
        progress("reading", done, len(rows))
        some = rows[done : done + ROWS_AT_ONCE]
        batch = np.full((len(some), 2 * data.sequence_length + 1), PADDING, np.int32)
        for row, (begin, _, stop) in zip(batch, some, strict=True):
            row[: stop - begin] = token_ids[begin:stop]
        log_probs = np.asarray(model.token_log_probs(batch))
        for row, (begin, first, stop) in zip(log_probs, some, strict=True):
            found[first:stop] = row[first - begin - 1 : stop - begin - 1]
    progress("reading", len(rows), len(rows))
    return found[1:]


def read_rows(token_ids: np.ndarray, length: int, per_document: bool) -> Iterator[tuple[int, int, int]]:
    """Where each row begins, which token is the first that it predicts, and before which one it ends."""
    ends = np.flatnonzero(token_ids == END) if per_document else np.array([0, len(token_ids) - 1])
    for beginning, end in itertools.pairwise(ends.tolist()):
        for first in range(beginning + 1, end + 1, length):
            yield max(beginning, first - 1 - length), first, min(first + length, end + 1)
