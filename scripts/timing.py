"""How long things take, and how much work they are, for the benchmarks."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf


def seconds_of(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def process_seconds(code: str, repeats: int = 3) -> float:
    """Median wall seconds of a fresh Python that runs `code`."""
    command = [sys.executable, "-c", code]
    runs = [
        seconds_of(lambda: subprocess.run(command, check=True, capture_output=True)) for _ in range(repeats)
    ]
    return statistics.median(runs)


def take_turns(first: Callable, second: Callable, seconds: float) -> tuple[float, float, float]:
    """Runs the two in turn for so long; median seconds of each, and the median of first / second."""
    times: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        times.append((seconds_of(first), seconds_of(second)))
    ratios = [a / b for a, b in times]
    medians = [statistics.median(column) for column in zip(*times, strict=True)]
    return medians[0], medians[1], statistics.median(ratios)


def multiplications(network: keras.Model) -> int:
    """Multiply-adds of one forward pass for one image, in its convolutions and dense layers."""
    total = 0
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2DTranspose):
            total += layer.kernel.shape.num_elements() * np.prod(layer.input.shape[1:3])
        elif isinstance(layer, keras.layers.Conv2D):
            total += layer.kernel.shape.num_elements() * np.prod(layer.output.shape[1:3])
        elif isinstance(layer, keras.layers.Dense):
            total += layer.kernel.shape.num_elements()
    return int(total)


def matrix_product_rate(dtype: str, size: int = 2048) -> float:
    """FLOP/s of a large matrix product: the best of a few."""
    a = tf.cast(tf.random.normal((size, size)), dtype)
    product = tf.function(lambda: tf.matmul(a, a))
    product()
    return 2 * size**3 / min(seconds_of(lambda: product().numpy()) for _ in range(8))
