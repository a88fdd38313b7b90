"""How long things take, for the benchmarks."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable


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
