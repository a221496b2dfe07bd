"""Score result files of `inference_api.py` and compare students on the same tasks; or do a whole suite of the paper.

    cd inference && python evaluate.py --results bc=output/bc.jsonl sft=output/sft.jsonl --json t.json --plot t.png
    python evaluate.py --suite math --name SCoRe      (answers what has no answer yet, then scores: a row of the table)

Each row is scored as its benchmark asks: mathematics by rule (text, numbers, math-verify), question answering by token
F1, deep search by the judge. What the rules leave open goes to `endpoints.judge` of the config, and without one, or if
its reply cannot be read, stays unscored: shown in the table, and exit code 3, as
for a suite of which something could not be answered. Row by row the scores lie beside each
result file (`*.scores.jsonl`).
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from score import cli  # noqa: E402

if TYPE_CHECKING:
    from argparse import Namespace


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
    parser.add_argument(
        "--train",
        nargs="+",
        default=[],
        metavar="FILE",
        help="mark test items that these hold; a table without them",
    )
    parser.add_argument(
        "--scores", type=Path, metavar="FOLDER",
        help="write the scores row by row here, in a folder of each run where files of two runs have one name",
    )  # fmt: skip
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
    from overlap import training_files
    from registry import suite
    from report import plot, print_table, require_places, write_tables
    from suites import run_suite

    from runs import read_runs, report_on, require_judge, score_files
    from score.errors import SettingsError
    from score.settings import load_settings

    for_inference = [change.removeprefix("inference.") for change in options.set if change.startswith("inference.")]
    own = [change for change in options.set if not change.startswith("inference.")]
    settings = load_settings(EvaluationSettings, options.config, own)
    if options.train:
        training_files(options.train)  # says what is wrong with it before anything is run
    require_places(options.json, options.markdown, options.latex, options.plot)
    notes = dict(note.partition("=")[::2] for note in options.note if "=" in note)
    if len(notes) < len(options.note):
        raise SettingsError(f"--note {' --note '.join(options.note)}: expected KEY=VALUE, each key once")
    files, complete = read_runs(options.results), True
    if options.suite and options.name in files:
        raise SettingsError(f"two runs are called {options.name!r}: --name gives the suite's another name")
    if options.suite:
        run_it = not options.score_only
        scorers = {options.scorer} if options.scorer else {benchmark.scorer for benchmark in suite(options.suite)}
        if options.judge or scorers - {"qa"}:
            asyncio.run(require_judge(settings))
        files[options.name], complete = run_suite(options.suite, options.name, settings, for_inference, run_it)
    scored = asyncio.run(
        score_files(files, settings, scorer=options.scorer, rejudge=options.judge, folder=options.scores)
    )
    report = report_on(scored, files, settings, options.train)
    report["title"] = options.title
    report |= {key: noted(value) for key, value in notes.items()}
    print_table(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    write_tables(report, options.markdown, options.latex)
    if options.plot:
        plot(report, options.plot)
    unscored = sum(score["unscored"] for students in report["kinds"].values() for score in students.values())
    return 3 if unscored or not complete else 0


def noted(text: str) -> object:
    """The value of a `--note`: what it says as JSON, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


if __name__ == "__main__":
    cli.run(main)
