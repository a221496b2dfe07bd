"""Score result files of `inference_api.py` and compare students on the same tasks.

    cd inference && python evaluate.py --results bc=output/bc.jsonl sft=output/sft.jsonl --json t.json --plot t.png

Rules decide first (text, numbers, math-verify); what they leave open goes to `endpoints.judge` of the config, and
without one, or if its reply cannot be read, stays unscored: shown in the table, and exit code 3.
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
    from configuration import EvaluationSettings


def main() -> int:
    parser = cli.parser(__doc__ or "", "python evaluate.py --results rl=output/rl.jsonl", "evaluate_config.yaml")
    parser.add_argument("--results", nargs="+", required=True, metavar="NAME=FILE", help="result files, in table order")
    parser.add_argument("--json", type=Path, help="write every figure of the table here")
    parser.add_argument("--plot", type=Path, help="draw the table as a PNG")
    parser.add_argument("--title", default="SCoRe", help="the plot's title")
    parser.add_argument("--note", action="append", default=[], metavar="KEY=VALUE", help="a figure to keep in the JSON")
    options = parser.parse_args()

    from configuration import EvaluationSettings
    from report import plot, print_table

    from score.errors import SettingsError
    from score.settings import load_settings

    settings = load_settings(EvaluationSettings, options.config, options.set)
    files = {}
    for pair in options.results:
        name, separator, path = pair.partition("=")
        if not separator:
            raise SettingsError(f"--results {pair!r}: expected NAME=FILE")
        files[name] = Path(path)
    report = asyncio.run(evaluate(files, settings))
    report["title"] = options.title
    for note in options.note:
        key, _, value = note.partition("=")
        report[key] = json.loads(value)
    print_table(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if options.plot:
        plot(report, options.plot)
    unscored = sum(score["unscored"] for students in report["kinds"].values() for score in students.values())
    return 3 if unscored else 0


async def evaluate(files: dict[str, Path], settings: EvaluationSettings) -> dict[str, Any]:
    """All figures: `students` (the first kind of task), `kinds` (every kind), `pairs` (paired differences)."""
    from scoring import compare, read_results, score_rows, summarise

    from score.answers import Equivalence
    from score.judging import Judge
    from score.llm import Endpoint

    rows = {name: read_results(path) for name, path in files.items()}
    endpoint = Endpoint("judge", settings.endpoints.judge) if settings.endpoints.judge else None
    scored = {}
    with Equivalence() as equivalence:
        judge = Judge(equivalence, endpoint)
        for name, path in files.items():
            scored[name] = await score_rows(rows[name], judge, settings.concurrency, str(path))
    if endpoint is not None:
        await endpoint.close()
    found = {row.kind for student in scored.values() for row in student}
    kinds = sorted(found, key=lambda kind: (kind != "word", kind))  # the main row first
    by_kind = {
        kind: {name: [row for row in student if row.kind == kind] for name, student in scored.items()} for kind in kinds
    }
    names = list(files)
    return {
        "students": {name: summarise(student).as_json() for name, student in by_kind[kinds[0]].items()},
        "kinds": {
            kind: {name: summarise(rows).as_json() for name, rows in students.items()}
            for kind, students in by_kind.items()
        },
        "pairs": [
            {"kind": kind, "first": first, "second": second} | compare(by_kind[kind][first], by_kind[kind][second])
            for kind in kinds
            for first, second in zip(names, names[1:], strict=False)
        ],
    }


if __name__ == "__main__":
    cli.run(main)
