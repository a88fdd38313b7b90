"""The LSTM text generator: what it says, writes, remembers and refuses."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_gen as kg
from keras_gen.tokenizers import END, PADDING, UNKNOWN

SENTENCE = "The quick brown fox jumps over the lazy dog, and nobody minds.\n"


@pytest.fixture(scope="module")
def data() -> kg.TextDataset:
    return kg.load_text([SENTENCE * 60], sequence_length=24, batch_size=16, seed=3)


@pytest.fixture(scope="module")
def words() -> kg.TextDataset:
    texts = [f"{a} {b} {c}" for a in "abc" for b in ("cats", "dogs") for c in ("ran.", "ran away!")] * 6
    return kg.load_text(texts, tokenizer="word", per_document=True, sequence_length=6, batch_size=8)


def build(data: kg.TextDataset, **arguments) -> kg.LSTMTextGenerator:
    arguments = {"embedding_dim": 6, "widths": (12, 8), "dropout": 0.1, "seed": 7, **arguments}
    return kg.LSTMTextGenerator(data.tokenizer, per_document=data.per_document, **arguments)


def compiled(data: kg.TextDataset, **arguments) -> kg.LSTMTextGenerator:
    model = build(data, **arguments)
    # XLA takes seconds to compile; one test has it.
    model.compile(keras.optimizers.Adam(1e-2), steps_per_execution=2, jit_compile=False)
    return model


@pytest.fixture(scope="module")
def trained(data) -> kg.LSTMTextGenerator:
    model = build(data, widths=(48,), embedding_dim=16, dropout=0.0)
    model.compile(model.default_optimizer(1e-2))
    assert model.jit_compile
    model.fit(data.train, epochs=12, verbose=0)
    return model


@pytest.fixture(scope="module")
def sharpened(data) -> kg.LSTMTextGenerator:
    """Untrained, so that many tokens are likely, but not all alike."""
    model = build(data)
    for weight in model.weights:
        weight.assign(3.0 * weight)
    return model


# === Training ===


@pytest.mark.parametrize("tie_weights", (False, True))
def test_it_is_a_sequential_whose_numbers_are_those_of_keras(data, tie_weights):
    model = build(data, tie_weights=tie_weights)
    assert isinstance(model, keras.Sequential)
    size = data.tokenizer.vocabulary_size
    plain = keras.Sequential([keras.Input((None,)), keras.layers.Embedding(size, 6)])
    for width in (12, 8):
        plain.add(keras.layers.LSTM(width, return_sequences=True))
    if tie_weights:
        plain.add(keras.layers.Dense(6))
    plain.add(keras.layers.Dense(size))
    weights = model.get_weights()
    if tie_weights:
        model.layers[-1].bias.assign(np.arange(size) / size)
        weights = [*model.get_weights()[:-1], model.layers[0].get_weights()[0].T, np.arange(size) / size]
    plain.set_weights(weights)
    inputs, targets = next(iter(data.train))
    np.testing.assert_allclose(model(inputs), plain(inputs), rtol=1e-4, atol=1e-6)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(targets, plain(inputs))
    model.compile(jit_compile=False)
    logs = model.evaluate(inputs, targets, batch_size=16, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(float(loss), rel=1e-5)
    assert logs["perplexity"] == pytest.approx(float(np.exp(loss)), rel=1e-5)
    assert logs["bits_per_character"] == pytest.approx(float(loss) / np.log(2), rel=1e-5)


def test_tied_weights_are_one_matrix_product(data):
    """One for each token, and a gradient of each, took 13 GB at 32 x 64 tokens of 5,577 words."""
    model = build(data, tie_weights=True, widths=(6,))
    layer = model.layers[-1]

    def gradients(inputs):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(inputs))
        return tape.gradient(loss, layer.trainable_variables)

    graph = tf.function(gradients).get_concrete_function(tf.TensorSpec((5, 7, 6), tf.float32)).graph
    products = [operation.type for operation in graph.get_operations() if "MatMul" in operation.type]
    assert set(products) == {"MatMul"}


def test_padding_counts_nowhere(words):
    model = compiled(words)
    (inputs, targets), *_ = words.test
    longer = [np.pad(rows, ((0, 0), (0, 5))) for rows in (inputs, targets)]
    logs = [
        model.evaluate(*rows, batch_size=len(inputs), verbose=0, return_dict=True)
        for rows in ((inputs.numpy(), targets.numpy()), longer)
    ]
    for name, value in logs[0].items():
        assert logs[1][name] == pytest.approx(value, rel=1e-5)
    there = targets.numpy() != PADDING
    nats = keras.losses.sparse_categorical_crossentropy(targets, model(inputs), from_logits=True)
    total = nats.numpy()[there].sum()
    assert logs[0]["loss"] == pytest.approx(total / there.sum(), rel=1e-5)
    characters = sum(len(text) for text in model.tokenizer.decode(targets).numpy())
    assert logs[0]["bits_per_character"] == pytest.approx(total / np.log(2) / characters, rel=1e-5)


def test_it_learns_a_text_by_heart(trained, data):
    assert trained.evaluate(data.test, verbose=0, return_dict=True)["perplexity"] < 1.3
    assert trained.generate("The quick", max_tokens=120, temperature=0).startswith(SENTENCE + "The quick")


# === Writing ===


def greedy(model: kg.LSTMTextGenerator, prompt: str, max_tokens: int) -> str:
    """The loop of every tutorial: the whole text through the network for each token."""
    token_ids = model.tokenizer.encode([prompt])[0].numpy().tolist()
    if not token_ids:
        token_ids = model.tokenizer.encode(["\n"])[0].numpy().tolist()  # the start of a line
    written = []
    for _ in range(max_tokens):
        logits = model(np.array([token_ids + written]))[0, -1].numpy()
        logits[[PADDING, UNKNOWN]] = -np.inf
        written.append(int(logits.argmax()))
        if written[-1] == END:
            break
    return prompt + model.tokenizer.decode([written]).numpy()[0].decode()


def test_greedy_text_is_that_of_the_tutorials_loop(sharpened):
    prompts = ["The quick", "d", "", "nobody minds.\nThe"]
    expected = [greedy(sharpened, prompt, 20) for prompt in prompts]
    assert sharpened.generate(prompts, max_tokens=20, temperature=0) == expected
    assert sharpened.generate(prompts[0], max_tokens=20, temperature=0) == expected[0]
    assert sharpened.generate(prompts, max_tokens=20, top_k=1, seed=5) == expected
    assert sharpened.generate(prompts, max_tokens=20, top_p=1e-6, seed=5) == expected


def test_the_same_seed_gives_the_same_text(sharpened):
    def write(**options) -> str:
        return sharpened.generate("The", max_tokens=30, **options)

    assert write(seed=1) == write(seed=1) != write(seed=2)
    assert write() != write()
    assert "The" + "".join(sharpened.stream("The", max_tokens=30, seed=1)) == write(seed=1)


@pytest.mark.parametrize(
    ("top_k", "top_p", "temperature"), ((0, 1.0, 1.0), (0, 1.0, 0.5), (4, 1.0, 1.0), (0, 0.6, 1.0))
)
def test_tokens_are_drawn_by_their_probabilities(sharpened, top_k, top_p, temperature):
    n = 4000
    texts = sharpened.generate(
        ["fox"] * n, max_tokens=1, temperature=temperature, top_k=top_k, top_p=top_p, seed=0
    )
    logits = sharpened(sharpened.tokenizer.encode(["fox"]).to_tensor())[0, -1].numpy() / temperature
    logits[[PADDING, UNKNOWN]] = -np.inf
    order = np.argsort(-logits)
    expected = np.exp(logits - logits.max())
    expected /= expected.sum()
    if top_k:
        expected[order[top_k:]] = 0
    if top_p < 1:
        before = np.cumsum(expected[order]) - expected[order]
        expected[order[before >= top_p]] = 0
    expected /= expected.sum()
    pieces = ["", "", "", *sharpened.tokenizer.vocabulary]
    counts = np.array([sum(text[3:] == piece for text in texts) for piece in pieces])
    counts[[PADDING, UNKNOWN]] = 0
    assert counts.sum() == n
    np.testing.assert_allclose(counts / n, expected, atol=4 * np.sqrt(0.25 / n))
    assert (counts[expected == 0] == 0).all()


def test_it_is_traced_once_whatever_the_lengths(data):
    model = build(data)
    for prompts, max_tokens in ((["The"], 3), (["T", "The quick brown"], 9), ([""], 1)):
        model.generate(prompts, max_tokens=max_tokens)
    assert model._compiled.continued.experimental_get_tracing_count() == 1


def test_a_document_ends_by_itself(words):
    model = build(words, widths=(32,), dropout=0.0)
    model.compile(model.default_optimizer(2e-2), jit_compile=False)
    model.fit(words.train, epochs=25, verbose=0)
    texts = set(model.generate([""] * 200, max_tokens=40, temperature=0.5, seed=0))
    possible = {f"{a} {b} {c}" for a in "abc" for b in ("cats", "dogs") for c in ("ran.", "ran away!")}
    assert texts <= possible and len(texts) > 6
    assert model.generate("a cats", temperature=0) in possible
    assert "".join(model.stream("b", seed=1)) in {text[1:] for text in possible if text[0] == "b"}


def test_it_stops_where_it_is_told(trained):
    text = trained.generate("The quick", max_tokens=80, temperature=0, stop=["lazy", " over"])
    assert text == "The quick brown fox jumps"
    assert trained.generate("over", max_tokens=9, temperature=0, stop="over") == "over the lazy"


def test_unknown_pieces_are_reported(words):
    with pytest.warns(UserWarning, match="does not know ' zebras', ' ski'"):
        text = build(words).generate("a zebras ski", max_tokens=1, seed=0)
    assert text.startswith("a zebras ski")


# === Reading ===


def test_scores_are_sums_of_log_probabilities(sharpened, words):
    texts = ["The fox", "d", "over the lazy dog"]
    logits = sharpened(sharpened.tokenizer.encode(texts[2:]).to_tensor())[0]
    token_ids = sharpened.tokenizer.encode(texts[2:])[0].numpy()
    expected = sum(float(tf.nn.log_softmax(logits[t])[token_ids[t + 1]]) for t in range(len(token_ids) - 1))
    scores = sharpened.score(texts)
    assert scores[2] == pytest.approx(expected, rel=1e-5) and scores[1] == 0
    assert sharpened.score(texts[0]) == pytest.approx(scores[0], rel=1e-5)
    # All documents, of which there are so many here, share the probability of 1.
    model = build(words)
    pieces = [*words.tokenizer.vocabulary, ""]
    first = {piece: model.score(piece) for piece in words.tokenizer.vocabulary}
    table = dict(model.next_token_probabilities("", 99))
    ended = {piece: dict(model.next_token_probabilities(piece, 99))[""] for piece in first}
    for piece in pieces[:-1]:
        assert first[piece] == pytest.approx(np.log(table[piece] * ended[piece]), abs=0.2)


def test_the_table_of_next_tokens(trained):
    table = trained.next_token_probabilities("The quick brown f", 3)
    assert table[0][0] == "o" and table[0][1] > 0.9 and len(table) == 3
    probabilities = [p for _, p in trained.next_token_probabilities("T", 10_000)]
    assert 0.99 < sum(probabilities) < 1  # the rest is padding's and the unknown token's
    assert probabilities == sorted(probabilities, reverse=True)
    assert len(probabilities) == trained.tokenizer.vocabulary_size - 2


# === Serving ===


def test_a_saved_model_takes_and_gives_strings(sharpened, tmp_path):
    sharpened.export(tmp_path / "1")
    served = tf.saved_model.load(str(tmp_path / "1")).signatures
    numbers = {"max_tokens": 12, "top_k": 5, "seed": 4}
    inputs = {name: tf.constant(value) for name, value in numbers.items()}
    inputs |= {"temperature": tf.constant(0.7), "top_p": tf.constant(0.9)}
    prompts = ["The", "", "lazy dog"]
    texts = served["serving_default"](prompts=tf.constant(prompts), **inputs)["texts"].numpy()
    assert [text.decode() for text in texts] == sharpened.generate(
        prompts, temperature=0.7, top_p=0.9, **numbers
    )
    scores = served["score"](texts=tf.constant(prompts))["log_probs"]
    np.testing.assert_allclose(scores, sharpened.score(prompts), rtol=1e-5)


# === Refusals ===


READER = """
import sys
import tensorflow as tf
import tensorflow_text
served = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
options = {"max_tokens": 12, "temperature": 0.8, "top_k": 0, "top_p": 0.9, "seed": 3}
texts = served(prompts=tf.constant(["The quick"]), **{k: tf.constant(v) for k, v in options.items()})
assert "keras_gen" not in sys.modules
sys.stdout.write(texts["texts"].numpy()[0].decode())
"""


@pytest.mark.slow
def test_subwords_are_saved_and_served(tmp_path):
    """Loading a SavedModel needs tensorflow_text, and no keras_gen."""
    data = kg.load_text([SENTENCE * 60], tokenizer="subword", vocabulary_size=60, sequence_length=8)
    model = build(data)
    for weight in model.weights:
        weight.assign(3.0 * weight)
    options = {"max_tokens": 12, "temperature": 0.8, "top_p": 0.9, "seed": 3}
    text = model.generate("The quick", **options)
    assert text == "The quick" + "".join(model.stream("The quick", **options)) and len(text) > 12
    model.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").generate("The quick", **options) == text
    model.export(tmp_path / "1")
    command = [sys.executable, "-c", READER, str(tmp_path / "1")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        ({"embedding_dim": 0}, "embedding_dim must be 1"),
        ({"widths": ()}, "number of widths must be 1"),
        ({"dropout": 1.0}, "dropout must be from 0"),
    ),
)
def test_refuses_impossible_networks(data, arguments, message):
    with pytest.raises(ValueError, match=message):
        build(data, **arguments)


def test_refuses_what_is_no_tokenizer():
    with pytest.raises(ValueError, match="such as load_text.*Received: 'char'"):
        kg.LSTMTextGenerator("char")


def test_refuses_bad_input(data):
    model = compiled(data)
    ids = np.ones((20, 5), int)
    for x, y, message in (
        ([SENTENCE], None, "Expected token ids.*load_text.*Received"),
        (ids, None, "targets must be token ids.*Received: NoneType"),
        (ids / 2, ids, "Received: float64 of shape"),
        (ids[0], ids[0], r"Received: int64 of shape \(5,\)"),
        (ids, ids * 99, "token ids from 0 to 33. Received: from 99 to 99"),
        (ids, ids[:, :4], r"Received: \(20, 5\) and \(20, 4\)"),
        (data.train.take(0), None, "Expected at least one batch. Received"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(x, y, verbose=0)
    with pytest.raises(ValueError, match="val_fd"):
        stopping = keras.callbacks.EarlyStopping("val_fd")
        model.fit(data.train, validation_data=data.test, callbacks=[stopping], verbose=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        ({"max_tokens": 0}, "max_tokens must be 1"),
        ({"temperature": -1}, "temperature must be 0"),
        ({"top_k": -1}, "top_k must be 0"),
        ({"top_p": 0}, "top_p must be more than 0"),
        ({"prompts": []}, r"one string or more. Received: \[\]"),
        ({"prompts": ["a", 3]}, "one string or more"),
    ),
)
def test_refuses_to_write(sharpened, arguments, message):
    with pytest.raises(ValueError, match=message):
        sharpened.generate(**arguments)
