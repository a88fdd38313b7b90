"""The architecture as a test: imports point one way, and only the command prints."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "keras_gen"

# Each part, and those that it may import beside itself.
ALLOWED = {
    "utils": set(),
    "losses": {"utils"},
    "layers": {"utils"},
    "optimizers": {"utils"},
    "tokenizers": {"utils"},
    "datasets": {"utils", "tokenizers"},
    "serving": {"utils"},
    "models": {"utils", "losses", "layers", "optimizers", "tokenizers", "datasets", "serving"},
    "metrics": {"utils", "losses", "tokenizers", "datasets"},
    "callbacks": {"utils", "tokenizers", "datasets", "metrics"},
    "recipes": {"utils"},
    "runs": {"utils", "tokenizers", "datasets", "serving", "models", "metrics", "callbacks", "recipes"},
    "commands": {"utils", "datasets", "serving", "models", "callbacks", "recipes", "runs"},
    "__main__": {"commands"},
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
    if part != "__init__":  # the public list, which imports everything
        assert part in ALLOWED, f"a new part: say in {Path(__file__).name} what it may import"
        assert imported_parts(path) <= ALLOWED[part] | {part}
    calls = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    prints = [call for call in calls if isinstance(call, ast.Name) and call.id == "print"]
    assert part == "commands" or not prints
