"""The LSTM text generator: what it says, writes, remembers and refuses."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_gen as kg
from keras_gen.models.base import text_generator
from keras_gen.tokenizers import END, PADDING, UNKNOWN
from keras_gen.utils import memory

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
    assert len(model.compiled_verbs) == 1


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
    with pytest.warns(UserWarning, match="treated as unknown: ' zebras', ' ski'"):
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


@pytest.fixture(scope="module")
def saved(sharpened, tmp_path_factory):
    """`sharpened`, as a server has it."""
    path = tmp_path_factory.mktemp("export") / "1"
    sharpened.export(path)
    return tf.saved_model.load(str(path))


def write(saved, **options) -> list[str]:
    options = {"prompts": ["The"], "max_tokens": 9, "temperature": 1.0, "top_k": 0, "top_p": 1.0} | options
    options = {"seeds": 1} | options
    dtypes = {"prompts": tf.string, "temperature": tf.float32, "top_p": tf.float32}
    n = len(options["prompts"])
    inputs = {
        name: tf.constant(value if isinstance(value, list) else [value] * n, dtypes.get(name, tf.int32))
        for name, value in options.items()
    }
    return saved.signatures["serving_default"](**inputs)["texts"].numpy().tolist()


def test_a_saved_model_takes_and_gives_strings(sharpened, saved):
    served = saved.signatures
    prompts = ["The", "", "lazy dog"]
    options = {
        "max_tokens": [12, 3, 20],
        "temperature": [0.7, 1.0, 0.0],
        "top_k": [5, 0, 1],
        "top_p": [0.9, 1.0, 0.5],
    }
    texts = write(saved, prompts=prompts, seeds=[4, 5, 6], **options)
    alone = [
        sharpened.generate(prompt, seed=4 + i, **{name: values[i] for name, values in options.items()})
        for i, prompt in enumerate(prompts)
    ]
    assert [text.decode() for text in texts] == alone
    scores = served["score"](texts=tf.constant(prompts))["log_probs"]
    np.testing.assert_allclose(scores, sharpened.score(prompts), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"prompts": []}, "prompts must have at least one row"),
        ({"max_tokens": 0}, "max_tokens must be an integer from 1 to .* Received:. .0"),
        ({"max_tokens": -(2**31)}, "max_tokens must be an integer from 1 to .* Received:. .-2147483648"),
        ({"max_tokens": 2**31 - 1}, "at most 134,217,728 tokens together. Received:. .2147483647"),
        ({"prompts": ["a"] * 200, "max_tokens": 10**6}, "134,217,728 tokens.*Received:. .1000000"),
        ({"temperature": float("nan")}, "temperature must be a finite number, 0 or more. Received:. .nan"),
        ({"temperature": float("inf")}, "temperature must be a finite number, 0 or more. Received:. .inf"),
        ({"temperature": -1.0}, "temperature must be a finite number, 0 or more. Received:. .-1"),
        ({"top_k": -1}, "top_k must be an integer from 0 to .* Received:. .-1"),
        ({"top_p": float("nan")}, "top_p must be a number, more than 0, at most 1. Received:. .nan"),
        ({"top_p": 1.5}, "top_p must be a number, more than 0, at most 1. Received:. .1.5"),
        ({"seeds": -1}, "seeds must be 0 or more. Received:. .-1"),
        ({"seeds": [1, 2]}, "seeds must have as many rows as prompts"),
    ),
)
def test_a_saved_model_says_what_it_does_not_take(saved, options, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        write(saved, **options)


def test_extremes_are_well_defined_in_a_saved_model_as_in_python(sharpened, saved):
    likeliest = write(saved, temperature=0.0)
    for options in ({"top_p": 1e-50}, {"top_p": 0.0}, {"top_k": 1}, {"temperature": 1e-45}):
        assert write(saved, **options) == likeliest
    assert sharpened.generate("The", 9, top_p=1e-50, seed=1).encode() == likeliest[0]
    assert write(saved, top_k=2**31 - 1) == write(saved)
    # Never padding, nor what is unknown, however much alike all others are.
    texts = write(saved, prompts=["The"] * 500, temperature=3e38, seeds=list(range(500)))
    assert "\ufffd" not in b"".join(texts).decode() and len(set(texts)) > 400
    assert sharpened.generate("The", 9, temperature=3e38, seed=7).encode() == texts[7]


def test_bytes_that_are_not_utf_8_stay_as_they_are_in_a_prompt(saved):
    (text,) = write(saved, prompts=[b"The\xff\xc3"])
    assert text.startswith(b"The\xff\xc3") and len(text) > 5


def test_texts_without_tokens_have_a_score(sharpened, saved, words):
    served = saved.signatures["score"](texts=tf.constant([""]))["log_probs"]
    assert served.numpy().tolist() == [0.0] == sharpened.score([""]).tolist()
    model = build(words)
    assert model.score("") == pytest.approx(
        np.log(dict(model.next_token_probabilities("", 99))[""]), abs=0.2
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="texts must have at least one row"):
        saved.signatures["score"](texts=tf.constant([], tf.string))


# === Refusals ===


READER = """
import sys
import tensorflow as tf
import tensorflow_text
served = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
options = {"max_tokens": 12, "temperature": 0.8, "top_k": 0, "top_p": 0.9, "seeds": 3}
texts = served(prompts=tf.constant(["The quick"]), **{k: tf.constant([v]) for k, v in options.items()})
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
        ({"embedding_dim": 0}, "embedding_dim must be an integer from 1 .* Received: 0"),
        ({"embedding_dim": 2**31 - 1}, "embedding_dim=2147483647, widths=.12, 8., which takes .* GB"),
        ({"widths": ()}, r"widths must be 1 to 64 integers, each 1 or more. Received: \(\)"),
        ({"dropout": 1.0}, "dropout must be a number from 0 to less than 1. Received: 1.0"),
        ({"tie_weights": "no"}, "tie_weights must be True or False. Received: 'no'"),
        ({"seed": 2**31}, r"seed must be an integer from 0 to 2\*\*31 - 1, or None. Received: 2147483648"),
        ({"dtype": "int32"}, "dtype must be None, 'auto', 'float32'.* Received: 'int32'"),
        ({"name": "\ud800"}, "name must be strings that UTF-8 can encode. Received: the lone surrogate"),
    ),
)
def test_refuses_impossible_networks(data, arguments, message):
    with pytest.raises(ValueError, match=message):
        build(data, **arguments)


def test_refuses_what_is_no_tokenizer():
    with pytest.raises(ValueError, match="such as load_text.*Received: 'char'"):
        kg.LSTMTextGenerator("char")


def batches(dtype, shape=(None, None), change=lambda token_ids: token_ids):
    """Two batches, the second of which is changed, as `tf.data` that knows this much of them."""
    ids = np.arange(40, dtype=dtype).reshape(8, 5) % 30 + 3
    some = [(ids[:4], ids[:4]), (change(ids[4:].copy()), ids[4:])]
    spec = tf.TensorSpec(shape, dtype)
    batches = tf.data.Dataset.from_generator(lambda: iter(some), output_signature=(spec, spec))
    return batches.apply(tf.data.experimental.assert_cardinality(len(some)))


@pytest.fixture(scope="module")
def still(data) -> kg.LSTMTextGenerator:
    """One whose weights stay as they are."""
    model = build(data, widths=(4,), dropout=0.0)
    model.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    return model


@pytest.mark.parametrize(
    ("dtype", "shape"), (("uint8", (None, 5)), ("int64", None), ("uint16", (4, None)), ("int32", (None, 5)))
)
def test_token_ids_of_any_integer_type_are_learned_from(still, dtype, shape):
    history = still.fit(batches(dtype, shape), verbose=0).history
    assert history["loss"] == pytest.approx([still.evaluate(batches("int32"), verbose=0)[0]], rel=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    (
        (lambda ids: ids + 31, "inputs must be token ids from 0 to 33. Received: from .* to 63"),
        (lambda ids: -ids, "inputs must be token ids from 0 to 33. Received: from -"),
        (lambda ids: ids[:, :3], r"expected one shape. Received: \(4, 3\) and \(4, 5\)"),
        (lambda ids: ids[:0], r"inputs must be .* Received: int32 of shape \(0, 5\)"),
    ),
)
def test_a_wrong_batch_is_refused_where_it_comes(still, change, message):
    for x in (batches("int32", change=change), (batch for batch in list(batches("int32", change=change)))):
        with pytest.raises(ValueError, match=message):
            still.fit(x, verbose=0)


def test_refuses_bad_input(data):
    model = compiled(data)
    ids = np.ones((20, 5), int)
    for x, y, message in (
        ([SENTENCE], None, "Expected token ids.*load_text.*Received"),
        (ids, None, "targets must be token ids.*Received: None"),
        (ids, ids * 0, "targets must have tokens that are not padding. Received: only the id 0"),
        (tf.ragged.constant([[3, 4], [5]]), None, "inputs must be .*Received: a RaggedTensor.*to_tensor"),
        (tf.sparse.from_dense(ids), ids, "inputs must be .*Received: a SparseTensor.*to_tensor"),
        (ids / 2, ids, "Received: float64 of shape"),
        (ids[0], ids[0], r"Received: int64 of shape \(5,\)"),
        (ids, ids * 99, "token ids from 0 to 33. Received: from 99 to 99"),
        (ids, ids[:, :4], r"Received: \(20, 5\) and \(20, 4\)"),
        (data.train.take(0), None, "Expected at least one batch. Received"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(x, y, verbose=0)
    with pytest.raises(ValueError, match=r"Received: int64 of shape \(20, 5, 1\)"):
        model.predict(ids[..., None])
    with pytest.raises(ValueError, match="val_fd"):
        stopping = keras.callbacks.EarlyStopping("val_fd")
        model.fit(data.train, validation_data=data.test, callbacks=[stopping], verbose=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        ({"max_tokens": 0}, "max_tokens must be an integer from 1 .* Received: 0"),
        ({"max_tokens": 2**31 - 1}, "max_tokens=2147483647 for 1 texts, which takes .* GB|134,217,728 tok"),
        ({"temperature": -1}, "temperature must be a finite number, 0 or more. Received: -1"),
        ({"temperature": float("inf")}, "temperature must be a finite number, 0 or more. Received: inf"),
        ({"top_k": -1}, r"top_k must be an integer from 0 to 2\*\*31 - 1. Received: -1"),
        ({"top_k": 2**31}, r"top_k must be an integer from 0 to 2\*\*31 - 1. Received: 2147483648"),
        ({"top_p": 0}, "top_p must be a number, more than 0, at most 1. Received: 0"),
        ({"seed": 2**31}, r"seed must be an integer from 0 to 2\*\*31 - 1, or None. Received: 2147483648"),
        ({"prompts": []}, r"prompts must be one string or more. Received: \[\]"),
        ({"prompts": ["a", 3]}, r"prompts must be a string, or a list .* Received: \['a', 3\]"),
        ({"prompts": ["a", "\ud800"]}, r"lone surrogate '\\ud800' in the string at position 1"),
        ({"stop": 3}, "stop must be a string of one character.*, or a list or tuple.* Received: 3"),
        ({"stop": ["a", ""]}, "stop must be a string of one character or more.* Received: ..a', ''"),
    ),
)
def test_refuses_to_write(sharpened, arguments, message):
    with pytest.raises(ValueError, match=message):
        sharpened.generate(**arguments)


def test_a_stream_checks_its_arguments_at_once(sharpened):
    for arguments in ({"prompt": ["a"]}, {"prompt": "\ud800"}, {"max_tokens": 0}, {"seed": 2**31}):
        with pytest.raises(ValueError, match=" must be .* Received: "):
            sharpened.stream(**arguments)


def test_other_verbs_refuse_what_is_no_text(sharpened):
    for refused in (
        lambda: sharpened.score([]),
        lambda: sharpened.score(b"a"),
        lambda: sharpened.next_token_probabilities(["a"]),
        lambda: sharpened.next_token_probabilities("a", 0),
        lambda: sharpened.token_log_probs([[99]]),
        lambda: sharpened.token_log_probs([3, 4]),
    ):
        with pytest.raises(ValueError, match=" must be .* Received: "):
            refused()


def test_what_would_not_fit_is_refused_before(sharpened, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 10**6)
    with pytest.raises(ValueError, match="max_tokens=9000 for 2 texts, which takes .* Write fewer tokens"):
        sharpened.generate(["a", "b"], max_tokens=9000)
    with pytest.raises(ValueError, match="a text of 9000 tokens, which takes .* Score it in parts"):
        sharpened.score("a" * 9000)
    with pytest.raises(ValueError, match="a text of 2,000,000 characters, which takes .* Pass it in parts"):
        sharpened.next_token_probabilities("a" * 2_000_000)


def test_scores_are_the_same_in_parts(sharpened, monkeypatch):
    texts = ["The fox", "", "over the lazy dog"] * 3
    whole = sharpened.score(texts)
    monkeypatch.setattr(text_generator, "MOST_LOGITS", 19 * 2 * sharpened.tokenizer.vocabulary_size)
    np.testing.assert_allclose(sharpened.score(texts), whole, rtol=1e-6)


def test_the_warning_of_unknown_pieces_is_short_and_names_the_callers_line(sharpened):
    with pytest.warns(UserWarning, match="unknown: .* and 980 more\\.") as warned:
        sharpened.generate("".join(map(chr, range(0x3000, 0x3000 + 990))), max_tokens=1, seed=0)
    assert warned[0].filename == __file__


def test_damaged_weights_are_named(data):
    model = build(data)
    model.layers[0].set_weights([np.full_like(model.layers[0].get_weights()[0], np.nan)])
    for write_some in (model.generate, lambda prompt: list(model.stream(prompt))):
        with pytest.raises(ValueError, match="computes NaN or infinity.*have diverged.*Received: NaN"):
            write_some("The")


def test_an_edited_file_says_what_is_wrong(data):
    config = build(data).get_config()
    for change, message in (
        ({"tokenizer": None}, "tokenizer must be a keras_gen.tokenizers.Tokenizer.*Received: None"),
        ({"tokenizer": 5}, "must be as its get_config made it|tokenizer must be"),
        ({"dtype": 5}, "must be as its get_config made it|dtype must be"),
        ({"widths": "12"}, "widths must be 1 to 64 integers.*Received: '12'"),
        ({"heads": 8}, "unexpected keyword argument 'heads'"),
    ):
        with pytest.raises(ValueError, match=message):
            kg.LSTMTextGenerator.from_config({**config, **change})
    config["tokenizer"]["config"]["vocabulary"] = ["a", 5]
    with pytest.raises(ValueError, match="vocabulary must be a string, or a list"):
        kg.LSTMTextGenerator.from_config(config)
    config["tokenizer"] |= {"class_name": "Foo", "registered_name": "keras_gen>Foo"}
    with pytest.raises(ValueError, match="as its get_config made it.*Foo"):
        kg.LSTMTextGenerator.from_config(config)
    del config["tokenizer"]
    with pytest.raises(ValueError, match="as its get_config made it.*KeyError: 'tokenizer'"):
        kg.LSTMTextGenerator.from_config(config)
