"""Score result files of `inference_api.py` and compare students on the same tasks; or do a whole suite of the paper.

    cd inference && python evaluate.py --results bc=output/bc.jsonl sft=output/sft.jsonl --json t.json --plot t.png
    python evaluate.py --suite math --name SCoRe      (answers what has no answer yet, then scores: a row of the table)

Each row is scored as its benchmark asks: mathematics by rule (text, numbers, math-verify), question answering by token
F1, deep search by the judge. What the rules leave open goes to `endpoints.judge` of the config, and without one, or if
its reply cannot be read, stays unscored: shown in the table, and exit code 3. Row by row the scores lie beside each
result file (`*.scores.jsonl`).
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from score import cli  # noqa: E402

if TYPE_CHECKING:
    from argparse import Namespace

    from configuration import EvaluationSettings
    from scoring import Scored


def arguments() -> Namespace:
    parser = cli.parser(__doc__ or "", "python evaluate.py --results rl=output/rl.jsonl", "evaluate_config.yaml")
    parser.add_argument(
        "--results", nargs="+", default=[], metavar="NAME=PATH",
        help="result files, or folders of them, in table order",
    )  # fmt: skip
    parser.add_argument("--suite", choices=("math", "qa", "deepsearch", "all"), help="run and score these benchmarks")
    parser.add_argument("--name", default="student", help="the suite's row and its folder under `output`")
    parser.add_argument("--score-only", action="store_true", help="with --suite: score what is there, run nothing")
    parser.add_argument("--scorer", choices=("math", "qa", "judge"), help="score every row so, whatever it says")
    parser.add_argument("--judge", action="store_true", help="let the judge score every row too; both are kept")
    parser.add_argument("--json", type=Path, help="write every figure of the table here")
    parser.add_argument("--markdown", type=Path, help="write the paper's table here as Markdown")
    parser.add_argument("--latex", type=Path, help="write the paper's table here as LaTeX")
    parser.add_argument("--plot", type=Path, help="draw the table as a PNG")
    parser.add_argument("--title", default="SCoRe", help="the plot's title")
    parser.add_argument("--note", action="append", default=[], metavar="KEY=VALUE", help="a figure to keep in the JSON")
    options = parser.parse_args()
    if not options.results and not options.suite:
        parser.error("give --results NAME=PATH or --suite")
    return options


def main() -> int:
    options = arguments()

    from configuration import EvaluationSettings
    from report import plot, print_table
    from suites import run_suite
    from tables import paper_table

    from score.errors import SettingsError
    from score.settings import load_settings

    for_inference = [change.removeprefix("inference.") for change in options.set if change.startswith("inference.")]
    own = [change for change in options.set if not change.startswith("inference.")]
    settings = load_settings(EvaluationSettings, options.config, own)
    files: dict[str, list[Path]] = {}
    for pair in options.results:
        name, separator, path = pair.partition("=")
        if not separator:
            raise SettingsError(f"--results {pair!r}: expected NAME=PATH")
        files[name] = result_files(Path(path))
    if options.suite:
        files[options.name] = run_suite(options.suite, options.name, settings, for_inference, not options.score_only)
    report = asyncio.run(evaluate(files, settings, scorer=options.scorer, rejudge=options.judge))
    report["title"] = options.title
    for note in options.note:
        key, _, value = note.partition("=")
        report[key] = json.loads(value)
    print_table(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if options.markdown:
        options.markdown.write_text(paper_table(report, "markdown"), encoding="utf-8")
    if options.latex:
        options.latex.write_text(paper_table(report, "latex"), encoding="utf-8")
    if options.plot:
        plot(report, options.plot)
    unscored = sum(score["unscored"] for students in report["kinds"].values() for score in students.values())
    return 3 if unscored else 0


def result_files(path: Path) -> list[Path]:
    """The result files at a path: itself, or those of a folder (scores and failures are none)."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.glob("*.jsonl") if not file.name.endswith((".scores.jsonl", ".failures.jsonl")))


async def score_files(
    files: dict[str, list[Path]], settings: EvaluationSettings, *, scorer: str | None = None, rejudge: bool = False
) -> dict[str, list[Scored]]:
    """The scored answers of each run, which are also written beside their result files."""
    from scoring import read_results, score_rows

    from score.answers import Equivalence
    from score.judging import Judge
    from score.llm import Endpoint

    rows = {name: {path: read_results(path) for path in paths} for name, paths in files.items()}
    endpoint = Endpoint("judge", settings.endpoints.judge) if settings.endpoints.judge else None
    scored: dict[str, list[Scored]] = {name: [] for name in files}
    with Equivalence(workers=settings.math_workers) as equivalence:
        judge = Judge(equivalence, endpoint)
        for name, paths in rows.items():
            for path, results in paths.items():
                found = await score_rows(
                    results, judge, settings.concurrency, str(path), scorer=scorer, rejudge=rejudge
                )
                lines = (json.dumps(row.as_json(), ensure_ascii=False) + "\n" for row in found)
                path.with_suffix(".scores.jsonl").write_text("".join(lines), encoding="utf-8")
                scored[name] += found
    if endpoint is not None:
        await endpoint.close()
    return scored


async def evaluate(
    files: dict[str, list[Path]], settings: EvaluationSettings, *, scorer: str | None = None, rejudge: bool = False
) -> dict[str, Any]:
    """All figures: `students` (the first kind of task), `kinds` (every kind), `groups` (GAIA's levels and the like),
    `pairs` (paired differences of neighbours in the table), `unanswered` (tasks that failed, by kind of failure)."""
    from figures import compare, summarise

    scored = await score_files(files, settings, scorer=scorer, rejudge=rejudge)
    kinds = sorted_kinds({row.kind for student in scored.values() for row in student})
    by_kind = {
        kind: {name: found for name, rows in scored.items() if (found := [row for row in rows if row.kind == kind])}
        for kind in kinds
    }
    figures = {
        kind: {name: summarise(rows).as_json() | settings.cost(rows) for name, rows in students.items()}
        for kind, students in by_kind.items()
    }
    return {
        "students": figures[kinds[0]],
        "kinds": figures,
        "groups": {
            kind: {
                name: {
                    group: summarise([row for row in rows if row.group == group]).as_json()
                    for group in sorted({row.group for row in rows if row.group is not None})
                }
                for name, rows in students.items()
            }
            for kind, students in by_kind.items()
            if any(row.group is not None for rows in students.values() for row in rows)
        },
        "pairs": [
            {"kind": kind, "first": first, "second": second} | compare(students[first], students[second])
            for kind, students in by_kind.items()
            for first, second in zip(students, list(students)[1:], strict=False)
        ],
        "unanswered": {name: unanswered(paths) for name, paths in files.items()},
    }


def sorted_kinds(kinds: set[str]) -> list[str]:
    """Benchmarks in the order of the paper's table, then the rest; of the miniature the main row comes first."""
    from registry import ORDER

    place = {name: number for number, name in enumerate([*ORDER, "word"])}
    return sorted(kinds, key=lambda kind: (place.get(kind, len(place)), kind))


def unanswered(paths: list[Path]) -> dict[str, int]:
    """How many tasks failed for reasons outside the student, by kind (`tool`, `provider` ...): no answers, no rows."""
    from collections import Counter

    counts: Counter[str] = Counter()
    for path in paths:
        failures = path.with_suffix(".failures.jsonl")
        if failures.is_file():
            counts.update(json.loads(line)["kind"] for line in failures.read_text(encoding="utf-8").splitlines())
    return dict(counts)


if __name__ == "__main__":
    cli.run(main)
