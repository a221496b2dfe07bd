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


# What opens connections to the world, and who may (data sources ask the hub through `datasets`, and name its errors).
NETWORK = {"httpx", "openai", "requests", "urllib", "http", "aiohttp", "ddgs"}
MAY_CONNECT = {"score/llm", "score/search", "MPS/data_resource/sources.py"}

# Ways to run code or to start what runs it, and who may: the manifest asks git, the judge of mathematics and the export
# of checkpoints start programs of this project; none of them sees a model's code.
STARTERS = {
    "subprocess",
    "multiprocessing",
    "pty",
    "code",
    "concurrent.futures.process",
    "score.interpreter.inside",
}
MAY_START = {"score/interpreter", "score/manifest.py", "score/answers/mathematics.py", "RL/export_checkpoint.py"}
RUNNERS = {"exec", "eval", "os.system", "os.popen", "os.fork", "os.posix_spawn", "asyncio.create_subprocess_exec",
           "asyncio.create_subprocess_shell"}  # fmt: skip

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


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_models_and_searches_talk_to_the_network(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    if place.startswith("score/interpreter/attacks/"):
        return  # the self-check tries to get out
    if not any(place == allowed or place.startswith(f"{allowed}/") for allowed in MAY_CONNECT):
        used = {name for name in imports(path) if name.split(".")[0] in NETWORK and name != "urllib.parse"}
        assert not used, f"{sorted(used)}: only score/llm and score/search talk to the network"


def calls(path: Path) -> set[str]:
    """What a file calls by a plain or dotted name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_interpreter_runs_code_that_a_model_wrote(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    if not any(place == allowed or place.startswith(f"{allowed}/") for allowed in MAY_START):
        assert not imports(path) & STARTERS, "starts processes"
        assert not calls(path) & RUNNERS, "runs code"


@pytest.mark.parametrize("path", ["MPS/generation.py", "RL/workbench.py", "inference/inference_api.py"])
def test_every_phase_that_runs_steps_uses_the_interpreter(path: str) -> None:
    assert "score.interpreter" in imports(ROOT / path) and "Interpreter" in calls(ROOT / path)
