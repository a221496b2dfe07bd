"""Two or more runs side by side on the same tasks: who wins where, and how sure the difference is.

    cd inference && python compare.py output/BC output/SCoRe
    python compare.py bc=output/bc.jsonl rl=output/rl.jsonl --list wins.jsonl --latex table.tex

The first run is the baseline of all others. For each kind of task: the difference with its paired bootstrap interval,
wins and losses, and the exact McNemar test over each task's first answer. Runs whose tasks, sampling or limits differ
are compared all the same, with a warning that names the difference.
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
    from runs import ByKind


def main() -> int:
    example = "python compare.py bc=output/bc.jsonl rl=output/rl.jsonl --markdown table.md"
    parser = cli.parser(__doc__ or "", example, "evaluate_config.yaml")
    parser.add_argument("runs", nargs="+", metavar="[NAME=]PATH", help="result files or folders; the first is compared")
    parser.add_argument("--scorer", choices=("math", "qa", "judge"), help="score every row so, whatever it says")
    parser.add_argument(
        "--scores", type=Path, metavar="FOLDER",
        help="write the scores row by row here, in a folder of each run where files of two runs have one name",
    )  # fmt: skip
    parser.add_argument("--list", type=Path, help="write the tasks that only one of two runs got right here (JSONL)")
    parser.add_argument("--json", type=Path, help="write every figure here")
    parser.add_argument("--markdown", type=Path, help="write the paper's table here as Markdown")
    parser.add_argument("--latex", type=Path, help="write the paper's table here as LaTeX")
    options = parser.parse_args()
    if len(options.runs) < 2:
        parser.error("name two runs or more")

    from comparability import warnings
    from configuration import EvaluationSettings
    from figures import compare, pairs_of
    from report import print_comparison, require_places, write_tables

    from runs import grouped, read_runs, report_on, score_files
    from score.journal import as_line
    from score.settings import load_settings

    settings = load_settings(EvaluationSettings, options.config, options.set)
    require_places(options.json, options.markdown, options.latex, options.list)
    runs = read_runs(options.runs, names_needed=False)
    scored = asyncio.run(score_files(runs, settings, scorer=options.scorer, folder=options.scores))
    by_kind = grouped(scored)
    report = report_on(scored, runs, settings)
    first, *others = runs
    report["pairs"] = [
        {"kind": kind, "first": first, "second": other} | compare(students[first], students[other])
        for kind, students in by_kind.items()
        for other in others
        if first in students and other in students and pairs_of(students[first], students[other])
    ]
    report["warnings"] = warnings(by_kind, runs)
    for warning in report["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    print_comparison(report)
    write_tables(report, options.markdown, options.latex)
    if options.list:
        options.list.write_bytes(b"".join(as_line(row) for row in discordant(by_kind, first, others)))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def discordant(by_kind: ByKind, first: str, others: list[str]) -> list[dict[str, Any]]:
    """A row for each task whose first answer only one of two runs got right; `outcome` is the other run's."""
    from figures import pairs_of

    found = []
    for kind, students in by_kind.items():
        for other in others:
            if first not in students or other not in students:
                continue
            for before, after in pairs_of(students[first], students[other]):
                left, right = before[0], after[0]
                if left.correct != right.correct:
                    found.append(
                        {
                            "kind": kind,
                            "id": left.id,
                            "outcome": f"{other} {'wins' if right.correct else 'loses'}",
                            "question": left.question,
                            "true_answer": list(left.references),
                            first: {"answer": left.answer, "by": left.by},
                            other: {"answer": right.answer, "by": right.by},
                        }
                    )
    return found


if __name__ == "__main__":
    cli.run(main)
