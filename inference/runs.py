"""Runs and their result files: from `NAME=PATH` on a command line to scored answers and the report of all figures."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configuration import EvaluationSettings
from figures import compare, pairs_of, summarise
from overlap import contaminated, without
from registry import ORDER
from scoring import Scored, kind_of, read_results, sample_of, score_rows, scorer_of

from score.answers import Equivalence
from score.errors import DataError, SettingsError
from score.journal import as_line, failures_path, rows_of
from score.judging import Judge
from score.ledger import Entries, add_entries, ledger_path, money, read_ledger, read_prices, tokens
from score.llm import Endpoint
from score.shards import shards_beside
from score.verdicts import Verdicts

BESIDE = (".scores.jsonl", ".failures.jsonl", ".tasks.jsonl")  # what lies beside result files
Runs = dict[str, list[Path]]  # a run's name -> its result files
ByKind = dict[str, dict[str, list[Scored]]]  # kind of task -> run -> its answers


def read_runs(arguments: Sequence[str], *, names_needed: bool = True) -> Runs:
    """The runs of `NAME=PATH` arguments; without names a run is called as its file or folder.

    Raises `SettingsError`.
    """
    runs: Runs = {}
    for argument in arguments:
        name, separator, path = argument.rpartition("=")
        if names_needed and not separator:
            raise SettingsError(f"--results {argument!r}: expected NAME=PATH")
        name = name or (Path(path).name if Path(path).is_dir() else Path(path).stem)
        if name in runs:
            raise SettingsError(f"two runs are called {name!r}: name them with NAME=PATH")
        runs[name] = result_files(Path(path))
    return runs


def result_files(path: Path) -> list[Path]:
    """The result files at a path: itself, or those of a folder. What lies beside them is none, nor are shards that
    lie beside the file they were merged into. Raises `DataError`."""
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.glob("*.jsonl") if not file.name.endswith(BESIDE))
    merged = {name for file in files for name, _ in shards_beside(file)}
    if not files:
        raise DataError(f"folder {path} holds no result file; run inference_api.py first")
    return [file for file in files if file.name not in merged]


def refuse_repeated(rows: dict[Path, list[dict[str, Any]]]) -> None:
    """Raises `DataError` where a run holds an answer twice: every figure would count it twice."""
    holder: dict[tuple[str, str, int], Path] = {}
    for path, results in rows.items():
        for row in results:
            if "id" not in row:
                continue  # scoring says what is wrong with it
            kind, task, sample = key = (kind_of(row), str(row["id"]), sample_of(row))
            if key in holder:
                raise DataError(
                    f"{kind}: task {task!r}, sample {sample} is in {holder[key]} and in {path}: each answer counts "
                    "once; leave one of them out, or give tasks that are not the same other ids or another `kind`"
                )
            holder[key] = path


def score_paths(files: Runs, folder: Path | None) -> dict[str, dict[Path, Path]]:
    """Where the scores of each run's result files go: beside them, or into `folder`, there in a folder of each run
    where two of the files have one name."""
    names = Counter(path.stem for paths in files.values() for path in paths)
    apart = any(count > 1 for count in names.values())
    return {
        run: {
            path: (path.parent if folder is None else folder / run if apart else folder) / f"{path.stem}.scores.jsonl"
            for path in paths
        }
        for run, paths in files.items()
    }


def judge_endpoint(settings: EvaluationSettings) -> Endpoint | None:
    """The judge's endpoint, None where none is configured. Raises `SettingsError` that names what is missing of it."""
    if settings.endpoints.judge is None:
        return None
    try:
        return Endpoint("judge", settings.endpoints.judge)
    except SettingsError as error:
        raise SettingsError(
            f"{error}; or leave what the rules cannot decide unscored: --set endpoints.judge=null"
        ) from None


async def require_judge(settings: EvaluationSettings) -> None:
    """Raises `SettingsError` where a judge is configured whose address or key is missing: before hours of inference."""
    if (endpoint := judge_endpoint(settings)) is not None:
        await endpoint.close()


async def score_files(
    files: Runs,
    settings: EvaluationSettings,
    *,
    scorer: str | None = None,
    rejudge: bool = False,
    folder: Path | None = None,
) -> dict[str, list[Scored]]:
    """The scored answers of each run. They are also written to `*.scores.jsonl` beside their result files, or in
    `folder` (`score_paths`). Raises `DataError` for files that are no results and for a run that holds an answer
    twice."""
    rows = {name: {path: read_results(path) for path in paths} for name, paths in files.items()}
    written = score_paths(files, folder)
    for own in rows.values():
        refuse_repeated(own)
    asks = rejudge or any(
        (scorer or scorer_of(row)) != "qa" for own in rows.values() for rs in own.values() for row in rs
    )
    endpoint = judge_endpoint(settings) if asks else None
    scored: dict[str, list[Scored]] = {name: [] for name in files}
    with Equivalence(workers=settings.math_workers) as equivalence:
        verdicts = Verdicts(settings.verdicts) if endpoint is not None and settings.verdicts else None
        judge = Judge(equivalence, endpoint, verdicts=verdicts)
        for name, paths in rows.items():
            for path, results in paths.items():
                found = await score_rows(
                    results, judge, settings.concurrency, str(path), scorer=scorer, rejudge=rejudge
                )
                scores = written[name][path]
                try:
                    scores.parent.mkdir(parents=True, exist_ok=True)
                    scores.write_bytes(b"".join(as_line(row.as_json()) for row in found))
                except OSError as error:
                    raise SettingsError(f"{scores} cannot be written ({error}): give --scores FOLDER") from None
                scored[name] += found
    if verdicts is not None:
        print(
            f"judge: {judge.costs.questions} questions, {judge.costs.calls} asked now, the rest in {settings.verdicts}"
        )
        verdicts.close()
    if endpoint is not None:
        await endpoint.close()
    return scored


def grouped(scored: dict[str, list[Scored]]) -> ByKind:
    """The answers by kind of task: benchmarks in the order of the paper's table, then the rest; of the miniature the
    main row comes first."""
    place = {name: number for number, name in enumerate([*ORDER, "word"])}
    found = {row.kind for rows in scored.values() for row in rows}
    kinds = sorted(found, key=lambda kind: (place.get(kind, len(place)), kind))
    return {
        kind: {name: own for name, rows in scored.items() if (own := [row for row in rows if row.kind == kind])}
        for kind in kinds
    }


def report_on(
    scored: dict[str, list[Scored]], files: Runs, settings: EvaluationSettings, train: Sequence[str] = ()
) -> dict[str, Any]:
    """All figures: `students` (the first kind of task), `kinds` (every kind), `groups` (GAIA's levels and the like),
    `pairs` (paired differences of neighbours in the table), `unanswered` (tasks that failed, by kind of failure),
    `costs` (of each run, as its ledgers know); with `train` also what overlaps and the figures without it."""
    by_kind = grouped(scored)
    figures = {
        kind: {name: summarise(rows).as_json() for name, rows in students.items()} for kind, students in by_kind.items()
    }
    report: dict[str, Any] = {
        "students": next(iter(figures.values())),
        "kinds": figures,
        "groups": {
            kind: {name: _groups(rows) for name, rows in students.items()}
            for kind, students in by_kind.items()
            if any(row.group is not None for rows in students.values() for row in rows)
        },
        "pairs": [
            {"kind": kind, "first": first, "second": second} | compare(students[first], students[second])
            for kind, students in by_kind.items()
            for first, second in zip(students, list(students)[1:], strict=False)
            if pairs_of(students[first], students[second])
        ],
        "unanswered": {name: unanswered(paths) for name, paths in files.items()},
        "costs": {name: cost(paths, settings.prices) for name, paths in files.items()},
    }
    if train:
        questions = {(row.kind, row.id): row.question for rows in scored.values() for row in rows}
        report |= without(by_kind, contaminated(questions, train), train)
    return report


def _groups(rows: list[Scored]) -> dict[str, Any]:
    groups = sorted({row.group for row in rows if row.group is not None})
    return {group: summarise([row for row in rows if row.group == group]).as_json() for group in groups}


def unanswered(paths: list[Path]) -> dict[str, int]:
    """How many tasks failed for reasons outside the student, by kind (`tool`, `provider` ...): no answers, no rows."""
    counts: Counter[str] = Counter()
    for path in paths:
        counts.update(row["kind"] for _, row in rows_of(failures_path(path), skip_torn=True))
    return dict(counts)


def cost(paths: list[Path], prices: Path) -> dict[str, Any]:
    """What a run has cost in all, failed tasks included: `tokens` and `money`, None where they are not known."""
    spent: Entries = {}
    for path in paths:
        entries, _ = read_ledger(ledger_path(path))
        add_entries(spent, entries)
    table = read_prices(prices)
    if not spent:
        return {"tokens": None, "money": None, "currency": table.currency}
    return {"tokens": tokens(spent.values()), "money": money(spent, table), "currency": table.currency}
