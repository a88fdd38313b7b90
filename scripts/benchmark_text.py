"""The text generator's part of `benchmark.py`: `python scripts/benchmark.py --model lstm`."""

import os
import pty
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras_gen as kg
from timing import process_seconds, take_turns

import keras
import numpy as np

VOCABULARY, UNITS = 10_000, 128
BATCH_SIZE, LENGTH = 64, 128


def plain_copy(model: kg.LSTMTextGenerator) -> keras.Sequential:
    """The same network as the tutorials write it, of Keras' own layers and with the same weights."""
    size = model.tokenizer.vocabulary_size
    plain = keras.Sequential([keras.Input((None,)), keras.layers.Embedding(size, model.embedding_dim)])
    for width in model.widths:
        plain.add(keras.layers.LSTM(width, return_sequences=True))
        if model.dropout:
            plain.add(keras.layers.Dropout(model.dropout))
    plain.add(keras.layers.Dense(size))
    plain.set_weights(model.get_weights())
    return plain


# === Writing ===


def predict_loop(plain: keras.Sequential, prompt: list[int], max_tokens: int) -> None:
    """The loop of the tutorials: the text so far through `model.predict`, for each token."""
    random = np.random.default_rng(0)
    token_ids = list(prompt)
    for _ in range(max_tokens):
        logits = plain.predict(np.array([token_ids]), verbose=0)[0, -1].astype("float64")
        probabilities = np.exp(logits - logits.max())
        token_ids.append(int(random.choice(len(logits), p=probabilities / probabilities.sum())))


def writing_speed(seconds: float) -> None:
    words = [f" w{number}" for number in range(VOCABULARY - 3)]
    model = kg.LSTMTextGenerator(kg.tokenizers.WordTokenizer(words), UNITS, (UNITS,), seed=0)
    plain = plain_copy(model)
    prompt = words[0] + words[1]
    token_ids = model.tokenizer.encode([prompt])[0].numpy().tolist()
    few, many = 20, 400

    def write(num: int, max_tokens: int) -> Callable[[], object]:
        return lambda: model.generate([prompt] * num, max_tokens, seed=0)

    def loop() -> None:
        predict_loop(plain, token_ids, few)

    loop()
    write(1, many)()
    for num in (1, 32):
        theirs, ours, ratio = take_turns(loop, write(num, many), seconds / 4)
        print(f"generate, {num:2} at once       {num * many / ours:8,.0f} tokens/s")
        print(f"a loop of model.predict    {few / theirs:8,.1f} tokens/s")
        print(f"ratio                      {ratio * num * many / few:8,.0f} times as fast")
    short, long, ratio = take_turns(write(1, many), write(1, 10 * many), seconds / 4)
    print(f"{many:5} tokens in one text    {1e3 * short / many:8.3f} ms/token")
    print(f"{10 * many:5} tokens in one text    {1e3 * long / (10 * many):8.3f} ms/token")


# === Training ===


def training_speed(seconds: float) -> None:
    data = kg.load_text("python_docs", sequence_length=LENGTH, batch_size=BATCH_SIZE)
    model = kg.LSTMTextGenerator(data.tokenizer, seed=0)
    model.compile()
    plain = plain_copy(model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    plain.compile(keras.optimizers.Adam(3e-3, global_clipnorm=1.0), loss)
    batches = data.train.take(32).cache()

    def ours() -> None:
        model.fit(batches, verbose=0)

    def theirs() -> None:
        plain.fit(batches, shuffle=False, verbose=0)

    ours()
    theirs()
    plain_seconds, our_seconds, ratio = take_turns(theirs, ours, seconds)
    tokens = 32 * data.units_per_step
    print(f"training                   {tokens / our_seconds:8,.0f} tokens/s")
    print(f"plain Keras fit            {tokens / plain_seconds:8,.0f} tokens/s")
    print(f"ratio to the plain fit     {ratio:8.2f} times as fast")


# === Starting ===


def first_token() -> float:
    """Seconds from typing `keras-gen sample` to the first token after the prompt."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        text = kg.load_text("python_docs")
        kg.LSTMTextGenerator(text.tokenizer, seed=0).save(path)
        command = [Path(sys.executable).parent / "keras-gen", "sample", path, "--prompt", "The"]
        terminal, its_end = pty.openpty()
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=its_end, stderr=subprocess.DEVNULL)
        received = b""
        while len(received) <= len("The"):
            received += os.read(terminal, 100)
        taken = time.perf_counter() - start
        process.terminate()
        process.wait()
        os.close(terminal)
        os.close(its_end)
        return taken


def main(seconds: float) -> None:
    """Prints all figures."""
    print(f"import tensorflow          {process_seconds('import tensorflow'):8.2f} s")
    print(f"first token of a command   {statistics.median(first_token() for _ in range(3)):8.2f} s")
    writing_speed(seconds)
    training_speed(seconds)
