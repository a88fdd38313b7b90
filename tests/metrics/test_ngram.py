import collections

import numpy as np
import pytest

from keras_gen.metrics import NGramModel

V = 6


@pytest.fixture(scope="module")
def text() -> np.ndarray:
    """A text with structure: each token depends on the two before it, mostly."""
    random = np.random.default_rng(0)
    token_ids = [0, 1]
    for _ in range(600):
        token_ids.append(
            int(random.integers(V - 1)) if random.random() < 0.3 else sum(token_ids[-2:]) % (V - 1)
        )
    return np.array(token_ids)


def by_dictionaries(text: list[int], context: tuple, token: int, top: bool = True) -> float:
    """Kneser and Ney's formula, word for word, on n-grams that are tuples."""
    length = len(context) + 1
    counts = collections.Counter(tuple(text[i : i + length]) for i in range(len(text) - length + 1))
    if not top:
        longer = {tuple(text[i : i + length + 1]) for i in range(len(text) - length)}
        counts = collections.Counter(gram[1:] for gram in longer)
    number = collections.Counter(counts.values())
    d = number[1] / (number[1] + 2 * number[2]) if number[1] else 0.5
    after = {gram: count for gram, count in counts.items() if gram[:-1] == context}
    shorter = by_dictionaries(text, context[1:], token, False) if context else 1 / V
    if not after:
        return shorter
    own = max(after.get((*context, token), 0) - d, 0)
    return (own + d * len(after) * shorter) / sum(after.values())


@pytest.mark.parametrize("order", (1, 2, 3, 4))
def test_probabilities_are_those_of_the_formula(order, text):
    model = NGramModel(order, V).fit(text)
    random = np.random.default_rng(1)
    unseen = random.integers(0, V, 30)
    found = np.exp(model.log_probs(unseen))
    for i, token in enumerate(unseen.tolist()):
        context = tuple(unseen[max(0, i - order + 1) : i].tolist())
        expected = by_dictionaries(text.tolist(), context, token, top=len(context) == order - 1)
        assert found[i] == pytest.approx(expected, rel=1e-9), i


@pytest.mark.parametrize("order", (1, 2, 3, 5))
def test_probabilities_of_all_tokens_add_up_to_one(order, text):
    model = NGramModel(order, V).fit(text)
    for context in ([], [0], [1, 2], [5, 5], [3, 1, 4, 1]):
        total = sum(np.exp(model.log_probs([*context, token])[-1]) for token in range(V))
        assert total == pytest.approx(1, rel=1e-9), context


def test_a_longer_context_foretells_more(text):
    train, held_out = text[:500], text[500:]
    bits = [-NGramModel(n, V).fit(train).log_probs(held_out).mean() / np.log(2) for n in (1, 2, 3)]
    assert bits[0] == pytest.approx(np.log2(V - 1), abs=0.05)
    assert bits[2] < 0.85 * bits[0]


def test_refusals():
    with pytest.raises(ValueError, match="order must be an integer from 1"):
        NGramModel(0, V)
    with pytest.raises(ValueError, match="token_ids must be 3 or more, .* Received: 2"):
        NGramModel(3, V).fit([1, 2])
    for bad in ([1, 2, V], [1, 2, -1], [1.0, 2.0, 3.0]):
        with pytest.raises(ValueError, match="token_ids must be integers from 0 to 5. Received: .*"):
            NGramModel(1, V).fit(bad)
    with pytest.raises(ValueError, match="must be fitted to a text before"):
        NGramModel(1, V).log_probs([1])


def test_a_text_whose_end_was_never_seen_before():
    model = NGramModel(2, 5).fit([1, 2, 1, 2, 4])
    for token in (0, 4):  # nothing followed the 4: what follows it now is as likely as anywhere
        assert np.isfinite(model.log_probs([4, token])).all()
    total = sum(np.exp(model.log_probs([4, token])[-1]) for token in range(5))
    assert total == pytest.approx(1, rel=1e-9)
