"""Checks what only a machine with a GPU can show, and prints it as one table.

    python scripts/check_gpu.py [--tests] [--cpu] [--quick]

Training speed on random data: with and without XLA, in each number format, at two batch sizes, and with
Keras' own LSTM (cuDNN's on a GPU); whether two deterministic runs end with the same weights; the memory
that the first operation takes; with --tests, whether the fast tests pass. It needs an idle GPU and half an
hour.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_gen as kg
from keras_gen.recipes import RECIPES
from keras_gen.utils.hardware import gpu_advice, gpu_info, hardware_info
from timing import seconds_of

QUICK = "--quick" in sys.argv
NAMES = ("vae", "lstm") if QUICK else ("vae", "gan", "lstm")
BATCHES = (4,) if QUICK else (32, 256)
POLICIES = ("mixed_float16",) if QUICK else ("float32", "mixed_bfloat16", "mixed_float16")
STEPS = LENGTH = 16 if QUICK else 128
VOCABULARY = 100
WHAT_TO_DO = """Put all of this into an issue: it decides what compile() chooses on such a GPU. Until then,
choose what is fastest here: compile(jit_compile=...), dtype=... (keras-gen train: --dtype-policy)."""
Measured = Iterator[tuple[str, str, Any]]  # row and column of the table, and what stands there


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tests", action="store_true", help="also run the fast tests")
    parser.add_argument("--cpu", action="store_true", help="measure the CPU instead")
    parser.add_argument("--quick", action="store_true", help="few, tiny models: to try this script")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        for found in PARTS[arguments.part]():
            print(json.dumps(found), flush=True)
        return 0
    if arguments.cpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    info = hardware_info()
    if not arguments.cpu and not info["tensorflow_gpus"]:
        print(f"TensorFlow sees no GPU: {gpu_advice(info) or '--cpu measures the CPU'}", file=sys.stderr)
        return 1
    table: dict[str, dict[str, Any]] = {}
    for part in PARTS:
        for row, column, value in measured_apart(part):
            table.setdefault(row, {})[column] = value
            print(f"{row}, {column}: {shown(value)}", file=sys.stderr, flush=True)
    if arguments.tests:
        command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow"]
        tests = subprocess.run(command, cwd=Path(__file__).parents[1], check=False)
        table["fast tests"] = {"answer": "failed, see above" if tests.returncode else "passed"}
    print(report(info, table))
    return 0


def measured_apart(part: str) -> Measured:
    """What a process of its own measures: XLA can abort it."""
    command = [sys.executable, __file__, "--part", part, *(["--quick"] if QUICK else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            with contextlib.suppress(ValueError):  # a line of a library's
                row, column, value = json.loads(line)
                yield row, column, value
    if process.returncode:
        yield part, "answer", f"ended early, with exit status {process.returncode}"


# === What is measured ===


def without_xla() -> Measured:
    import tensorflow as tf

    before = gpu_info() or []
    tf.ones((8, 8)) @ tf.ones((8, 8))
    taken = sum(gpu["memory_used_mib"] for gpu in gpu_info() or [])
    taken -= sum(gpu["memory_used_mib"] for gpu in before)
    yield "memory that the first operation takes", "answer", f"{taken:,} MiB"
    yield from speeds(xla=False)
    tf.config.experimental.enable_op_determinism()  # last, for it is slower
    for name in NAMES:
        yield f"{name}, two deterministic runs", "answer", attempt(same_twice, name)


PARTS: dict[str, Callable] = {"without XLA": without_xla, "with XLA": lambda: speeds(xla=True)}


def speeds(xla: bool) -> Measured:
    """Images or tokens per second."""
    makers: dict[str, Callable] = dict.fromkeys(NAMES, build)
    if not xla:  # with which Keras leaves cuDNN out
        makers["lstm of Keras' layers"] = keras_lstm
    for name, make in makers.items():
        for batch in BATCHES:
            for policy in POLICIES:
                column = policy.removeprefix("mixed_") + (" XLA" if xla else "")
                value = attempt(training_speed, make, name.split()[0], policy, xla, batch)
                yield f"{name}, batch {batch}", column, value


def attempt(measure: Callable, *arguments: Any) -> Any:
    """What `measure` returns, or its error's first line, since one failure is a finding too."""
    try:
        return measure(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0][:80]


def build(name: str, policy: str) -> Any:
    """The recipe's model, or a tiny one."""
    recipe = RECIPES[name]
    options = dict(recipe.smoke if QUICK else recipe.hyperparameters)
    if name == "lstm":
        options["tokenizer"] = kg.tokenizers.CharacterTokenizer([chr(k + 48) for k in range(VOCABULARY)])
    return getattr(kg.models, recipe.model)(**options, seed=0, dtype=policy)


def keras_lstm(name: str, policy: str) -> Any:
    """The text generator's layers as Keras has them, compiled."""
    import keras

    own = build(name, policy)
    model = keras.Sequential([keras.Input((None,), dtype="int32")])
    model.add(keras.layers.Embedding(VOCABULARY, own.embedding_dim, dtype=policy))
    for width in own.widths:
        model.add(keras.layers.LSTM(width, return_sequences=True, dtype=policy))
    model.add(keras.layers.Dense(VOCABULARY, dtype="float32"))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, jit_compile=False, steps_per_execution=16)
    return model


def training_speed(make: Callable, name: str, policy: str, xla: bool, batch: int) -> float:
    """Images or tokens per second of `fit`, after a first call that compiles."""
    model, data = make(name, policy), random_batches(name, batch)
    if make is build:
        model.compile(jit_compile=xla)
    model.fit(data, shuffle=False, verbose=0)
    times = [seconds_of(lambda: model.fit(data, shuffle=False, verbose=0)) for _ in range(3)]
    return STEPS * batch * (LENGTH if name == "lstm" else 1) / statistics.median(times)


def same_twice(name: str) -> str:
    """Whether two runs from one seed end with the same weights, bit for bit."""
    runs = []
    for _ in range(2):
        model = build(name, "float32")
        model.compile(jit_compile=False)
        model.fit(random_batches(name, BATCHES[0]), verbose=0)
        runs.append([weight.tobytes() for weight in model.get_weights()])
    return "the same weights" if runs[0] == runs[1] else "different weights"


def random_batches(name: str, batch: int) -> Any:
    """`STEPS` times the same images (batch, 28, 28, 1), or the same tokens and targets (batch, LENGTH)."""
    import numpy as np
    import tensorflow as tf

    random = np.random.default_rng(0)
    x: Any = random.integers(256, size=(batch, 28, 28, 1), dtype=np.uint8)
    if name == "lstm":
        x = tuple(random.integers(4, VOCABULARY, size=(2, batch, LENGTH), dtype=np.int32))
    return tf.data.Dataset.from_tensors(x).repeat(STEPS).prefetch(2)


def report(info: dict[str, Any], table: dict[str, dict[str, Any]]) -> str:
    measured = {name: row for name, row in table.items() if "answer" not in row}
    columns = list(dict.fromkeys(key for row in measured.values() for key in row))
    rows = [["images/s or tokens/s", *columns]]
    rows += [[name, *[shown(row.get(key, "")) for key in columns]] for name, row in measured.items()]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    devices = [f"{gpu['name']} {gpu['compute_capability']}" for gpu in info["tensorflow_gpu_details"]]
    versions = [f"TensorFlow {info['tensorflow']}", f"Keras {info['keras']}", f"keras_gen {kg.__version__}"]
    lines = [", ".join([*(devices or [info["cpu"]["name"]]), *versions])]
    lines += ["  ".join(map(str.rjust, row, widths)).rstrip() for row in rows]
    lines += [f"{name}: {row['answer']}" for name, row in table.items() if "answer" in row]
    return "\n".join(["", *lines, WHAT_TO_DO])


def shown(value: Any) -> str:
    return f"{value:,.0f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
