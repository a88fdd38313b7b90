"""The script for machines with a GPU, tried on the CPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "check_gpu.py"
NO_GPU = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}


def run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, SCRIPT, *arguments]
    return subprocess.run(command, env=NO_GPU, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_without_a_gpu_it_says_so():
    done = run()
    assert done.returncode == 1 and done.stdout == ""
    assert "TensorFlow sees no GPU" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_the_table_of_the_cpu():
    done = run("--cpu", "--quick")
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.strip().splitlines()]
    assert lines[1].split() == ["images/s", "or", "tokens/s", "float16", "float16", "XLA"]
    for line, name in zip(lines[2:4], ("vae", "lstm"), strict=True):
        label, speed, with_xla = line.rsplit(maxsplit=2)
        assert label == f"{name}, batch 4"
        assert min(float(number.replace(",", "")) for number in (speed, with_xla)) > 0
    assert lines[4].startswith("lstm of Keras' layers, batch 4")
    assert lines[6:8] == [f"{name}, two deterministic runs: the same weights" for name in ("vae", "lstm")]
