"""The GPU environments hold everything that RL imports: they are installed as written, without looking for more."""

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOMES = (ROOT, ROOT / "RL")


def file_of(module: str) -> Path | None:
    """Where one of our own modules lies."""
    for home in HOMES:
        path = home.joinpath(*module.split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


def imported(file: Path) -> Iterator[str]:
    """Every module that a file may import, in functions too; of `from a import b` also a.b, which may be one."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def foreign_packages() -> dict[str, str]:
    """What RL imports that is neither ours nor Python's: package -> a file that does. Search back ends are loaded by
    name; `verl_cpu` is for machines without a GPU."""
    waiting = [file for file in (ROOT / "RL").rglob("*.py") if "verl_cpu" not in file.parts]
    waiting += (ROOT / "score" / "search" / "backends").glob("*.py")
    seen, found = set(), {}
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        for module in imported(file):
            names = module.split(".")
            ours = [path for end in range(1, len(names) + 1) if (path := file_of(".".join(names[:end])))]
            waiting += ours
            if not ours and not any((home / names[0]).is_dir() for home in HOMES):
                found.setdefault(names[0], str(file.relative_to(ROOT)))
    return {name: file for name, file in found.items() if name not in sys.stdlib_module_names}


def normalised(name: str) -> str:
    """As PEP 503 compares distributions' names."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("backend", ["sglang", "vllm"])
def test_the_gpu_environment_names_every_package_that_rl_imports(backend: str) -> None:
    lines = (ROOT / f"requirements-rl-{backend}.txt").read_text(encoding="utf-8").splitlines()
    pinned = {normalised(line.split("==")[0]) for line in lines if re.match(r"[\w.-]+==", line)}
    distributions = packages_distributions()
    packages = foreign_packages()
    assert {"verl", "torch", "pydantic", "ddgs"} <= packages.keys()
    missing = {
        name: file
        for name, file in packages.items()
        if not any(normalised(distribution) in pinned for distribution in distributions.get(name, [name]))
    }
    assert not missing
