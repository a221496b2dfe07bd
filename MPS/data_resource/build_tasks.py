"""From public data sets to the task files of phases 1 and 2.

    python MPS/data_resource/build_tasks.py --config configs/tasks.yaml

Takes the answer out of each row, leaves out what cannot be checked, what occurred before and what overlaps with the
evaluation sets (all counted by reason, overlaps listed), and splits the rest by a hash of the question: `bc_share` of
it for phase 1, the rest for phase 2. Nothing depends on the order of the rows but which of two equal questions stays.
"""

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "MPS"), str(ROOT)]

from data_resource.answers import from_field, from_solution  # noqa: E402
from data_resource.sources import (  # noqa: E402
    SUFFIXES,
    HubUnreachable,
    Source,
    local_files,
    number_in,
    rows_of_file,
    rows_of_hub,
    value_at,
)
from pydantic import Field  # noqa: E402

from score import cli  # noqa: E402
from score.contamination import ContaminationSettings, Index, evaluation_files, read_questions, unmatched  # noqa: E402
from score.errors import DataError, SettingsError  # noqa: E402
from score.questions import draw, fingerprint, normalised  # noqa: E402
from score.settings import Strict, load_settings  # noqa: E402

PHASES = ("bc_init", "mps")


class Unusable(Strict):
    """What cannot be checked by comparing an answer. The patterns are regular expressions over the question."""

    longest_answer: int = Field(default=200, gt=0, description="characters")
    answers: list[str] = Field(default=[], description="words that stand where an answer should")
    questions: dict[str, str] = Field(default={}, description="reason: pattern")


class TaskSettings(Strict):
    """`output` is a pattern with `{domain}` and `{phase}` (`bc_init` or `mps`)."""

    seed: int = 42
    bc_share: float = Field(default=0.2, ge=0, le=1)
    output: str = "MPS/data_resource/{domain}_{phase}_seed.jsonl"
    raw: Path = Path("MPS/data_resource/raw")
    evaluation_sets: list[str] = []
    contamination: ContaminationSettings = ContaminationSettings()
    unusable: Unusable = Unusable()
    sources: dict[str, Source]


class LeftOut(Exception):
    """A row that becomes no task, and why."""


def answers_of(row: dict[str, Any], source: Source) -> list[str]:
    """The accepted answers, the first being the canonical one; empty if there are none. Raises `LeftOut`."""
    given = value_at(row, source.answer) if source.answer else None
    if isinstance(given, str):
        given = as_list(given)
    several = given if isinstance(given, list) else [given]
    found = [from_field(text_of(answer)) for answer in several if answer is not None]
    found = [answer for answer in found if answer]
    if not found and source.solution:
        solution = value_at(row, source.solution)
        answer = from_solution(solution) if isinstance(solution, str) else None
        found = [from_field(answer)] if answer else []
    if source.aliases and found:
        found += aliases_in(value_at(row, source.aliases))
    return list(dict.fromkeys(found))


def text_of(answer: Any) -> str:
    """A single answer as a text. Raises `LeftOut` for what only looks like one when it is printed (an object, NaN)."""
    if isinstance(answer, str | int) or (isinstance(answer, float) and math.isfinite(answer)):
        return str(answer)
    raise LeftOut("its answer is no text")


def as_list(text: str) -> list[str] | str:
    """The texts of a JSON list of texts, as a cell of a CSV file holds one; any other text (`[1, 2]`) is an answer as
    it stands. Raises `LeftOut` for a list of texts that is no JSON, such as Python prints."""
    if not re.fullmatch(r"\s*\[\s*(?:['\"].*)?\]\s*", text, re.DOTALL):
        return text
    try:
        given = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        raise LeftOut("its answer is no text") from None
    return given if all(isinstance(one, str) for one in given) else text


def aliases_in(given: Any) -> list[str]:
    """The aliases of a list, or of a text that is a JSON list (as CSV holds one). Raises `LeftOut` for anything else:
    the letters of a text would all be accepted answers."""
    if isinstance(given, str):
        try:
            given = json.loads(given) if given.strip() else None
        except (json.JSONDecodeError, RecursionError):
            raise LeftOut("its aliases are no list") from None
    if given is None:
        return []
    if not isinstance(given, list):
        raise LeftOut("its aliases are no list")
    texts = [text_of(alias).strip() for alias in given if alias is not None]
    return [alias for alias in texts if alias]


def task_of(row: dict[str, Any], name: str, source: Source, unusable: Unusable) -> dict[str, Any]:
    """The task that a row becomes. Raises `LeftOut`."""
    question = value_at(row, source.question)
    if not isinstance(question, str) or not question.strip():
        raise LeftOut("no question")
    for fields, kept in ((source.only, True), (source.without, False)):
        for field, values in fields.items():
            if (value_at(row, field) in values) is not kept:
                raise LeftOut(f"{field} is none of those asked for" if kept else f"{field} is {value_at(row, field)!r}")
    if source.difficulty:
        level = number_in(value_at(row, source.difficulty.field))
        if level is None or not source.difficulty.least <= level <= source.difficulty.most:
            raise LeftOut("difficulty")
    for reason, pattern in unusable.questions.items():
        if re.search(pattern, question):
            raise LeftOut(reason)
    accepted = answers_of(row, source)
    if not accepted:
        raise LeftOut("no answer found")
    if normalised(accepted[0]) in unusable.answers:
        raise LeftOut("the answer says that there is none")
    if len(accepted[0]) > unusable.longest_answer:
        raise LeftOut("answer too long to be compared")
    own = value_at(row, source.id) if source.id else None
    return {
        "id": str(own) if own is not None else f"{name}-{fingerprint(question).hex()[:12]}",
        "question": question.strip(),
        "true_answer": accepted[0] if len(accepted) == 1 else accepted,
        "source": name,
        **{field: value_at(row, field) for field in source.keep if value_at(row, field) is not None},
    }


def rows_of(name: str, source: Source, raw: Path) -> Iterator[dict[str, Any]]:
    """The rows of a source's files, else of the hub. Raises `SettingsError` where there is neither."""
    files = local_files(name, source, raw)
    if not files and not source.hub:
        formats = ", ".join(SUFFIXES)
        raise SettingsError(
            f"sources.{name}: no file of the formats {formats} under {raw / name}/ (looked from {Path.cwd()}), and no "
            f"`hub`; put files there, or set sources.{name}.files or sources.{name}.hub"
        )
    if not files:
        yield from rows_of_hub(source)
    for path in files:
        yield from rows_of_file(path, source.columns())


def what_to_fetch(settings: TaskSettings, names: list[str], why: str) -> str:
    """Where the files go that the hub did not give."""
    lines = [
        f"the Hugging Face hub cannot be reached ({why}).",
        "Fetch these elsewhere, as JSONL, JSON, parquet or CSV:",
    ]
    for name in names:
        source = settings.sources[name]
        if source.hub and not local_files(name, source, settings.raw):
            subsets = f", subsets {' '.join(source.subsets)}" if source.subsets else ""
            lines.append(f"  {source.hub} (split {source.split}{subsets}) -> {settings.raw / name}/")
    return "\n".join([*lines, "or name files in sources.<name>.files, or leave sources out: --sources NAME ..."])


class Builder:
    """Writes the task files; memory holds a fingerprint and an id for each task, and the evaluation sets' index."""

    def __init__(self, settings: TaskSettings, files: ExitStack):
        self.settings = settings
        self.evaluation = evaluation_files(settings.evaluation_sets)
        self._index = Index(read_questions(self.evaluation), settings.contamination)
        self._seen: dict[bytes, str] = {}
        self._ids: set[str] = set()
        self._files, self._open = files, dict[Path, IO[str]]()
        self.counts: dict[str, Counter[str]] = {}

    def path(self, domain: str, phase: str) -> Path:
        return Path(self.settings.output.format(domain=domain, phase=phase))

    def add(self, name: str) -> None:
        """Everything of one source."""
        source = self.settings.sources[name]
        counts = self.counts.setdefault(name, Counter())
        for row in rows_of(name, source, self.settings.raw):
            counts["rows"] += 1
            try:
                task = task_of(row, name, source, self.settings.unusable)
                phase = self._place(task, source)
            except LeftOut as reason:
                counts[f"left out: {reason}"] += 1
            else:
                counts[phase] += 1
                self._write(self.path(source.domain, phase), task)

    def _place(self, task: dict[str, Any], source: Source) -> str:
        question, seed = task["question"], self.settings.seed
        plain = normalised(question)
        if draw(plain, "share", seed) >= source.share:
            raise LeftOut("beyond the share")
        key = fingerprint(question)
        if key in self._seen:
            raise LeftOut(f"occurred before in {self._seen[key]}")
        overlap = self._index.find(question)
        if overlap is not None:
            self._write(
                self.path(source.domain, "contaminated"), {"id": task["id"], "source": task["source"], **overlap.row()}
            )
            raise LeftOut(f"overlaps with evaluation ({overlap.how})")
        if task["id"] in self._ids:
            task["id"] = f"{task['source']}-{key.hex()[:12]}"
        self._ids.add(task["id"])
        self._seen[key] = task["source"]
        return PHASES[0] if draw(plain, "bc or mps", seed) < self.settings.bc_share else PHASES[1]

    def _write(self, path: Path, row: dict[str, Any]) -> None:
        if path not in self._open:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open[path] = self._files.enter_context(open(f"{path}.part", "w", encoding="utf-8"))
        self._open[path].write(json.dumps(row, ensure_ascii=False) + "\n")

    def finish(self) -> list[Path]:
        """Give the files their names. Raises `DataError` if no task was found."""
        self._files.close()
        if not any(counts[phase] for counts in self.counts.values() for phase in PHASES):
            raise DataError(f"no task was found ({ {name: dict(counts) for name, counts in self.counts.items()} })")
        for path in self._open:
            Path(f"{path}.part").replace(path)
        return list(self._open)


def table(counts: dict[str, Counter[str]]) -> str:
    """One block a source: rows, tasks of each phase, and what was left out why."""
    lines = []
    for name, found in counts.items():
        lines.append(f"{name}: {found['rows']} rows -> {found[PHASES[0]]} for phase 1, {found[PHASES[1]]} for phase 2")
        reasons = [(what, count) for what, count in found.most_common() if what.startswith("left out")]
        lines += [f"  {count:>7} {what}" for what, count in reasons]
    return "\n".join(lines)


def main() -> int:
    example = "python MPS/data_resource/build_tasks.py --config configs/tasks.yaml --sources gsm8k math"
    parser = cli.parser(__doc__ or "", example, str(ROOT / "configs" / "tasks.yaml"))
    parser.add_argument("--sources", nargs="+", metavar="NAME", help="only these of the config")
    parser.add_argument("--seed", type=int, help="decides which tasks are phase 1's")
    options = parser.parse_args()
    seed = [] if options.seed is None else [f"seed={options.seed}"]
    settings = load_settings(TaskSettings, options.config, [*options.set, *seed])
    names = options.sources or list(settings.sources)
    unknown = [name for name in names if name not in settings.sources]
    if unknown:
        raise SettingsError(f"--sources {' '.join(unknown)}: the config knows {', '.join(settings.sources)}")
    with ExitStack() as files:
        builder = Builder(settings, files)
        for name in names:
            print(f"reading {name}", file=sys.stderr)
            try:
                builder.add(name)
            except HubUnreachable as error:
                raise DataError(what_to_fetch(settings, names, str(error))) from None
        written = builder.finish()
    from score.manifest import write_manifest

    inputs = [path for name in names for path in local_files(name, settings.sources[name], settings.raw)]
    for path in written:
        write_manifest(path, settings, builder.counts, inputs=[*inputs, *builder.evaluation])
    print(table(builder.counts))
    print("written: " + ", ".join(map(str, written)))
    if not builder.evaluation:
        print("not checked against evaluation sets: none found (see evaluation_sets in the config)")
    for pattern in unmatched(settings.evaluation_sets):
        print(f"evaluation_sets: no file matches {pattern}")
    return 0


if __name__ == "__main__":
    cli.run(main)
