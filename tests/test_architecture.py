"""The walls of ARCHITECTURE.md, read off the imports of every file."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PHASES = ("MPS", "RL", "inference")
TRAINERS = {"verl": {"RL"}, "llamafactory": set()}


def imports(path: Path) -> set[str]:
    """The modules that a file imports anywhere, as dotted names."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


def own_modules(folder: str) -> set[str]:
    """The names under which a phase's scripts import each other."""
    return {path.stem for path in (ROOT / folder).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}


FILES = [path for folder in ("score", *PHASES) for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_wall_is_crossed(path: Path) -> None:
    place = path.relative_to(ROOT).parts[0]
    imported = imports(path)
    roots = {name.split(".")[0] for name in imported}
    for phase in PHASES:
        if phase != place:
            strangers = own_modules(phase) - (own_modules(place) if place in PHASES else set())
            assert phase not in roots and not roots & strangers, f"{place} imports {phase}"
    for trainer, allowed in TRAINERS.items():
        assert trainer not in roots or place in allowed, f"{trainer} is imported in {place}"
    if "miniature" not in path.parts:
        assert not any(name.startswith("score.miniature") for name in imported), (
            "only tests and runs/ know the miniature"
        )
