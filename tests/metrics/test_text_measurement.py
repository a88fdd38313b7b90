"""The evaluation of text: against sums by hand, and beside models that count."""

import numpy as np
import pytest

import keras_gen as kg
from keras_gen.metrics import NGramModel, measure
from keras_gen.tokenizers import END

SENTENCE = "The quick brown fox jumps over the lazy dog, and nobody minds.\n"


class Reader:
    """Foretells by the two tokens before, so that rows cut anywhere must give the same."""

    def __init__(self, size: int):
        random = np.random.default_rng(0)
        logits = random.normal(size=(size, size, size))
        self.table = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))

    def token_log_probs(self, token_ids):
        before = np.pad(token_ids, ((0, 0), (1, 0)))[:, :-2]
        return self.table[before, token_ids[:, :-1], token_ids[:, 1:]]


@pytest.mark.parametrize("per_document", (False, True))
@pytest.mark.parametrize("length", (5, 16))
def test_every_token_is_foretold_once_after_all_that_it_needs(per_document, length):
    texts = [SENTENCE[: 7 + i % 50] for i in range(80)]
    data = kg.load_text(texts, sequence_length=length, batch_size=4, per_document=per_document)
    reader = Reader(data.tokenizer.vocabulary_size)
    report = measure(reader, data)
    total, count = 0.0, 0
    token_ids = data.test_ids.tolist()
    for i in range(1, len(token_ids)):
        before = token_ids[i - 2] if i > 1 else 0
        if per_document and token_ids[i - 1] == END:
            before = 0  # a document is entered without what was before it
        total += reader.table[before, token_ids[i - 1], token_ids[i]]
        count += 1
    assert report.results["perplexity"].num_real == count
    assert report["perplexity"] == pytest.approx(np.exp(-total / count), rel=1e-6)
    characters = sum(len(text) for text in data.tokenizer.decode([[i] for i in token_ids[1:]]).numpy())
    assert report["bits_per_character"] == pytest.approx(-total / np.log(2) / characters, rel=1e-6)


def test_counting_models_stand_beside():
    data = kg.load_text([SENTENCE * 60], tokenizer="word", sequence_length=8, batch_size=4)
    size = data.tokenizer.vocabulary_size
    report = measure(Reader(size), data)
    baselines = report.results["perplexity"].baselines
    for name, order in (("unigram", 1), ("trigram", 3)):
        log_probs = NGramModel(order, size).fit(data.train_ids).log_probs(data.test_ids)[1:]
        assert baselines[name] == pytest.approx(np.exp(-log_probs.mean()), rel=1e-9)
    assert baselines["trigram"] < 1.2 < 10 < baselines["unigram"]
    lines = report.table().splitlines()
    assert lines[0].endswith("test tokens of texts")
    assert lines[2].split() == ["metric", "value", "unigram", "trigram", "better"]
    assert report.to_dict()["results"]["perplexity"]["baselines"] == baselines


def test_unknown_tokens_are_told():
    data = kg.load_text(["a b c d " * 50 + "e f " * 3], tokenizer="word", sequence_length=4, batch_size=4)
    report = measure(Reader(data.tokenizer.vocabulary_size), data)
    assert report["unknown_tokens"] == pytest.approx(np.mean(data.test_ids[1:] == 1))
    assert report["unknown_tokens"] > 0


def test_options_of_images_are_refused():
    data = kg.load_text([SENTENCE * 10], sequence_length=8, batch_size=4)
    with pytest.raises(ValueError, match="num and extractor are for images"):
        measure(Reader(data.tokenizer.vocabulary_size), data, num=10)


def test_a_model_and_data_of_different_kinds_are_refused():
    text = kg.load_text([SENTENCE * 10], sequence_length=8, batch_size=4)
    images = kg.load_dataset("fashion_mnist_12k")
    for model, data in (
        (kg.VAE(latent_dim=3, widths=(4,), hidden_units=8), text),
        (Reader(text.tokenizer.vocabulary_size), images),
    ):
        with pytest.raises(
            ValueError, match="measured by data of load_text.*. Received: a .* and a (Text|Image)D"
        ):
            measure(model, data)
