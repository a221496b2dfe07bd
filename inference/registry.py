"""The registry of benchmarks: one YAML a benchmark in `benchmarks/`; your own may lie anywhere.

A YAML says where the tasks come from (the Hugging Face hub, or a file), which of its keys hold what, and who scores.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from score.errors import SettingsError
from score.settings import Strict, load_settings

FOLDER = Path(__file__).parent / "benchmarks"
SUITES = ("math", "qa", "deepsearch")
ORDER = ("math500", "aime24", "aime25", "olymmath", "hotpotqa", "2wikimultihopqa", "musique", "bamboogle",
         "gaia", "hle", "webwalkerqa", "xbench")  # fmt: skip
Key = str | list[str]  # a key, `outer.inner` for nested ones; of a list the first that a row has


class Answer(Strict):
    """The reference stands behind the last `after` in the value of `key`, as GSM8K writes `... #### 18`."""

    key: Key
    after: str


class Fields(Strict):
    """Which keys of a row hold what. Without `id` tasks are numbered; `group` splits the figures (GAIA's levels)."""

    question: Key = "question"
    true_answer: Key | Answer = "true_answer"
    id: Key | None = None
    group: Key | None = None


class Encryption(Strict):
    """`fields` are base64 of the text, XORed with the row's own `key` over and over (xbench's evaluation code)."""

    fields: list[str]
    key: str


class Benchmark(Strict):
    """One benchmark. `size` is how many tasks the paper takes: a hub split that has more is sampled with a fixed seed.

    `file` is the name in the `data` folder, tried before the hub; `where` keeps rows whose keys have these values.
    """

    name: str = ""
    title: str = ""
    suite: Literal["math", "qa", "deepsearch", "own"] = "own"
    scorer: Literal["math", "qa", "judge"] = "math"
    fields: Fields = Fields()
    file: Path | None = None
    hub: str | None = None
    config: str | list[str] | None = None
    split: str = "test"
    size: int | None = Field(default=None, gt=0)
    where: dict[str, str | int | None] = {}
    encrypted: Encryption | None = None
    licence: str = "unknown"
    gated: bool = False
    note: str = ""

    @property
    def made_for_search(self) -> bool:
        """Does the paper answer it with `web_search`?"""
        return self.suite in ("qa", "deepsearch")


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def is_benchmark(tasks: Path) -> bool:
    """Whether the `tasks` setting names a benchmark (by name or YAML) rather than a task file."""
    return tasks.suffix in (".yaml", ".yml") or not (tasks.suffix or tasks.parent.name)


def find(name: str) -> Benchmark:
    """The benchmark of that name, or of that YAML. Raises `SettingsError` with the names that exist."""
    path = Path(name) if Path(name).suffix in (".yaml", ".yml") else FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise SettingsError(f"there is no benchmark {name!r} ({path}); there are {', '.join(names())}")
    found = load_settings(Benchmark, path)
    file = found.file
    if file is not None and (path.parent / file).is_file():
        file = path.parent / file  # beside its own YAML
    changes = {"name": found.name or path.stem, "title": found.title or found.name or path.stem, "file": file}
    return found.model_copy(update=changes)


def suite(name: str) -> list[Benchmark]:
    """The benchmarks of a suite (`all`: of the three), in the order of the paper's table."""
    wanted = SUITES if name == "all" else (name,)
    return [found for found in map(find, ORDER) if found.suite in wanted]
