"""The architecture as a test: imports point one way, and only the command prints."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "keras_gen"

USED_BY_RUNS = {
    "arguments",
    "callbacks",
    "datasets",
    "files",
    "hardware",
    "loading",
    "models",
    "recipes",
    "records",
}

# Each part may import those before it (and of its own level only itself).
ALLOWED = {
    "arguments": set(),
    "arrays": {"arguments"},
    "files": set(),
    "memory": set(),
    "records": {"arguments", "files"},
    "losses": {"arguments"},
    "layers": {"arguments", "devices", "memory"},
    "optimizers": {"arguments"},
    "hardware": {"arguments"},
    "devices": {"arguments", "hardware"},
    "images": {"arguments", "arrays", "files", "memory"},
    "tensorboard": {"arguments", "files"},
    "tokenizers": {"arguments", "memory"},
    "datasets": {"arguments", "files", "images", "memory", "records", "tokenizers"},
    "exporting": {"arguments", "files"},
    "presets": {"arguments", "files", "hardware", "images", "records"},
    "models": {
        "arguments",
        "arrays",
        "memory",
        "datasets",
        "devices",
        "exporting",
        "files",
        "layers",
        "losses",
        "optimizers",
        "presets",
        "tokenizers",
    },
    "metrics": {"arguments", "arrays", "datasets", "files", "images", "memory", "tokenizers"},
    "callbacks": {
        "memory",
        "arguments",
        "arrays",
        "datasets",
        "files",
        "images",
        "hardware",
        "metrics",
        "tensorboard",
    },
    "distribution": {"records"},
    "locks": {"files"},
    "recipes": {"arguments"},
    "checkpoints": {"arguments", "callbacks", "files", "records"},
    "loading": {"arguments", "checkpoints", "files", "records", "datasets", "models", "presets"},
    "tracking": {"arguments", "files", "records", "tensorboard"},
    "building": {"datasets", "devices", "models", "recipes"},
    "watching": {"building", "callbacks", "datasets", "models", "tokenizers"},
    "fitting": {"building", "datasets", "distribution"},
    "planning": {"arguments", "building", "callbacks", "checkpoints", "fitting", "models", "watching"},
    "training": USED_BY_RUNS
    | {"building", "checkpoints", "devices", "distribution", "fitting", "locks", "planning", "tracking"}
    | {"presets", "tensorboard", "watching"},
    "parsing": {"arguments"},
    "reporting": {"parsing"},
    "sampling": {"arguments", "files", "images", "memory", "models", "parsing"},
    "evaluating": {
        "arguments",
        "records",
        "building",
        "datasets",
        "files",
        "images",
        "loading",
        "memory",
        "metrics",
        "models",
        "parsing",
        "presets",
    }
    | {"tensorboard"},
    "train_options": {"arguments", "datasets", "models", "parsing", "recipes", "records", "training"},
    "cli": USED_BY_RUNS
    | {"building", "evaluating", "exporting", "parsing", "presets", "reporting", "sampling"}
    | {"train_options", "training"},
    "__main__": {"cli"},
    "__init__": {
        "callbacks",
        "datasets",
        "hardware",
        "layers",
        "loading",
        "losses",
        "metrics",
        "models",
        "optimizers",
        "tokenizers",
    },
}


def imported_parts(path: Path) -> set[str]:
    """The parts of keras_gen that a file imports, wherever in the file."""
    parts = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "keras_gen":
            names = node.module.split(".")[1:2] or [alias.name for alias in node.names]
            parts.update(name for name in names if not name.startswith("__"))
        elif isinstance(node, ast.Import):
            parts.update(a.name.split(".")[1] for a in node.names if a.name.startswith("keras_gen."))
    return parts


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way_and_only_the_command_prints(path):
    part = path.relative_to(ROOT).parts[0].removesuffix(".py")
    assert part in ALLOWED, f"a new part: say in {Path(__file__).name} what it may import"
    assert imported_parts(path) <= ALLOWED[part] | {part}
    calls = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    prints = [call for call in calls if isinstance(call, ast.Name) and call.id == "print"]
    assert part == "cli" or not prints
