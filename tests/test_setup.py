"""What a newcomer types: README, setup.cfg and win_env.yml agree."""

import argparse
import configparser
import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest
import tensorflow as tf
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement

from keras_gen.serving import presets

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def requirements(text: str) -> list[Requirement]:
    lines = (line.strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_win_env_has_what_setup_cfg_asks_for(setup):
    environment = yaml.safe_load((ROOT / "win_env.yml").read_text())
    assert environment["name"] == "gen"
    assert "python=3.11" in environment["dependencies"]
    (pip,) = (item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert pip[-1] == "--editable ."
    on_windows = {"python_version": "3.11", "sys_platform": "win32", "platform_system": "Windows"}
    expected = []
    for requirement in requirements(setup["options"]["install_requires"]):
        if requirement.marker is None or Marker(str(requirement.marker)).evaluate(on_windows):
            requirement.marker = None
            expected.append(str(requirement))
    assert [str(Requirement(line)) for line in pip[:-1]] == expected


def test_every_dependency_has_a_lower_bound(setup):
    texts = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    for text in texts:
        for requirement in requirements(text):
            own = requirement.name == "keras_gen" or requirement.name.startswith("types-")
            assert own or ">=" in str(requirement.specifier), requirement


def test_python_versions(setup):
    assert setup["options"]["python_requires"] == ">=3.10, <3.14"
    for minor in range(10, 14):
        assert f"Python :: 3.{minor}" in setup["metadata"]["classifiers"]


def test_ci_runs_the_readmes_commands():
    """CI takes the two commands from the README itself, so that they cannot drift apart."""
    expected = {"1": "keras-gen train vae", "2": 'python -m pytest -q -n auto -m "not slow"'}
    for number, command in expected.items():
        printed = subprocess.run(
            [sys.executable, ROOT / ".ci" / "readme_commands.py", ROOT / "README.md", number],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert command in printed and printed.endswith("\n")
    assert "pytest -q -n auto -m slow" in (ROOT / ".ci" / "run").read_text()


def test_top_level_is_what_the_owner_fixed():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    if not tracked:
        pytest.skip("not a git checkout")
    top = {path.split("/")[0] for path in tracked if not path.startswith(".")}
    expected = [
        "setup.cfg",
        "setup.py",
        "keras_gen",
        "scripts",
        "tests",
        "README.md",
        "win_env.yml",
        "LICENSE",
    ]
    assert top == set(expected)


def test_readme_names_options_and_files_that_exist():
    readme = (ROOT / "README.md").read_text()
    for path in re.findall(r"`((?:scripts|keras_gen|tests)/[\w./]+)`", readme):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\]\(([\w./]+)\)", readme):
        assert (ROOT / path).exists(), path


def script(name: str, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module(name)


def test_text_is_reproduced_without_options_of_images(monkeypatch):
    reproduce = script("reproduce", monkeypatch)
    arguments = argparse.Namespace(data_dir="here")
    assert reproduce.data_options("lstm", arguments) == {}
    assert reproduce.data_options("cdiffusion", arguments) == {"data_dir": "here"}


def test_the_network_that_diffusion_models_are_compared_with_can_be_built(monkeypatch):
    network = script("keras_io_diffusion", monkeypatch).build_network((28, 28, 1))
    assert network.output_shape == (None, 28, 28, 1)


def test_readmes_tables_are_those_of_the_results_file(monkeypatch):
    """What scripts/reproduce.py wrote, and nobody changed by hand."""
    reproduce = script("reproduce", monkeypatch)
    rows = json.loads((ROOT / ".readme" / "results.json").read_text())
    shown = (ROOT / "README.md").read_text().split(reproduce.START)[1].split(reproduce.END)[0]
    assert shown.strip() == reproduce.tables(rows)
    for name, row in rows.items():
        if preset := presets.find_preset(f"{name}_{reproduce.full_name(name)}"):
            card = json.loads((preset / "card.json").read_text())
            assert row["metrics"] == card["metrics"], "not those that `keras-gen list presets` prints"
        if "floor" in row:
            assert (ROOT / ".readme" / f"{name}.png").exists()
            card = json.loads((ROOT / "keras_gen/metrics/assets/fashion_mnist.json").read_text())
            assert row["extractor_sha256"] == card["sha256_of_weights"], "measured with another extractor"


@pytest.mark.parametrize(
    ("owner", "name"),
    (
        (keras.Model, "_maybe_symbolic_build"),  # models/base_model.py overrides it
        (keras.Model, "_flatten_layers"),  # models/checks.py
        (keras.optimizers.Adam, "_get_variable_index"),  # optimizers.py
        (tf.data.Dataset.range(1), "_inputs"),  # datasets/epochs.py
    ),
)
def test_private_names_that_the_package_uses_exist(owner, name):
    """An override of a method that is gone would do nothing, silently."""
    assert hasattr(owner, name)


@pytest.mark.slow
@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="oneDNN is x86's")
@pytest.mark.parametrize("asked", (None, "0"))
def test_tensorflow_computes_with_onednn_unless_told_not_to(asked):
    """By what TensorFlow says at its start; left to itself, it asks for AVX-512 VNNI first."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"}
    environment.pop("TF_ENABLE_ONEDNN_OPTS", None)
    if asked:
        environment["TF_ENABLE_ONEDNN_OPTS"] = asked
    command = [sys.executable, "-c", "import keras_gen, tensorflow"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ("oneDNN custom operations are on" in done.stderr) == (asked is None)
