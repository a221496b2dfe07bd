"""The table on the terminal and in files, and the plot."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from registry import ORDER
from rich.console import Console
from rich.table import Table
from tables import Form, column_title, paper_table, without_overlap

from score.errors import SettingsError

NAMES = {"bc": "BC", "sft": "SCoRe-SFT", "rl": "SCoRe-RL"}
KINDS = {"word": "word problems", "lookup": "look-up questions", "all": "all tasks"}


def _kind(kind: str) -> str:
    return KINDS.get(kind) or column_title(kind)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _score(score: dict[str, Any]) -> str:
    return _percent(score["score"]) + (" F1" if score["metric"] == "f1" else "")


def _tokens(mean: float | None) -> str:
    return "unknown" if mean is None else f"{mean:.0f}"


def print_table(report: dict[str, Any]) -> None:
    """One row a student and kind of task, then the paired differences."""
    scores = [score for students in report["kinds"].values() for score in students.values()]
    plain = all(score["metric"] == "accuracy" and score["rows"] == score["n"] for score in scores)
    what = "accuracy with its 95 % Wilson interval" if plain else "score with its 95 % interval (F1: bootstrap)"
    table = Table(title=f"{what}; steps and generated tokens per task")
    for column in ("student", "tasks", "n", "accuracy %", "95 %", "unscored", "steps", "tokens"):
        table.add_column(column, justify="left" if column in ("student", "tasks") else "right")
    for kind, students in report["kinds"].items():
        for name, score in students.items():
            low, high = score["ci95"]
            table.add_row(
                NAMES.get(name, name), _kind(kind), str(score["n"]), _score(score),
                f"[{_percent(low)}, {_percent(high)}]".replace("[", r"\["), str(score["unscored"]),
                f"{score['steps_per_task']:.1f}", _tokens(score["tokens_per_task"]),
            )  # fmt: skip
        table.add_section()
    console = Console(width=110)
    console.print(table)
    for pair in report["pairs"]:
        low, high = pair["ci95"]
        console.print(
            f"{NAMES.get(pair['second'], pair['second'])} - {NAMES.get(pair['first'], pair['first'])} on "
            f"{_kind(pair['kind'])}: {100 * pair['difference']:+.1f} points, paired 95 % interval "
            f"{100 * low:+.1f} to {100 * high:+.1f} ({_over(pair)})",
            highlight=False,
        )

    for line in details(report):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if len(report["kinds"]) > 1 and set(report["kinds"]) <= set(ORDER):
        console.print(paper_table(report, "markdown"), highlight=False, markup=False, soft_wrap=True)

    for pattern in report.get("train_unmatched", []):
        console.print(f"--train: no file matches {pattern}", highlight=False, markup=False)
    for kind, found in report.get("overlapping", {}).items():
        console.print(f"{_kind(kind)}: {len(found)} test items overlap with the training files", highlight=False)
    if report.get("overlapping"):
        console.print("without them:\n" + paper_table(without_overlap(report), "markdown"), soft_wrap=True)


def _over(pair: dict[str, Any]) -> str:
    left_out = pair["left_out"]
    return f"n = {pair['n']}" + (f"; without {left_out} unscored in one, wrong in the table" if left_out else "")


def print_comparison(report: dict[str, Any]) -> None:
    """The paper's table, then a row a pair of runs and kind of task."""
    console = Console(width=130)
    console.print(paper_table(report, "markdown"), highlight=False, markup=False, soft_wrap=True)
    table = Table(title=f"against {NAMES.get(next(iter(report['unanswered'])), next(iter(report['unanswered'])))}")
    for column in ("run", "tasks", "n", "difference", "95 % (paired bootstrap)", "wins", "losses", "McNemar p"):
        table.add_column(column, justify="left" if column in ("run", "tasks") else "right")
    for pair in report["pairs"]:
        low, high = pair["bootstrap95"]
        table.add_row(
            NAMES.get(pair["second"], pair["second"]), _kind(pair["kind"]), _over(pair).removeprefix("n = "),
            f"{100 * pair['difference']:+.1f}", f"{100 * low:+.1f} to {100 * high:+.1f}", str(pair["wins"]),
            str(pair["losses"]), f"{pair['mcnemar_p']:.3g}",
        )  # fmt: skip
    console.print(table)
    for line in details(report):
        console.print(line, highlight=False, markup=False)


def require_places(*paths: Path | None) -> None:
    """Make the folders of the files that are asked for. Raises `SettingsError` for a file that cannot be written:
    before the work, not after it."""
    for path in paths:
        if path is None:
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"{path} cannot be written: {error}") from None
        if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
            reason = "it is a folder" if path.is_dir() else "permission denied"
            raise SettingsError(f"{path} cannot be written: {reason}")


def write_tables(report: dict[str, Any], markdown: Path | None, latex: Path | None) -> None:
    """The paper's table into files; with `--train` also the one without overlapping items."""
    forms: dict[Form, Path | None] = {"markdown": markdown, "latex": latex}
    for form, path in forms.items():
        if path is not None:
            text = paper_table(report, form)
            if "overlapping" in report:
                text += f"\nWithout the test items that overlap with {', '.join(report['train'])}:\n\n"
                text += paper_table(without_overlap(report), form)
            path.write_text(text, encoding="utf-8")


def details(report: dict[str, Any]) -> list[str]:
    """What the table has no column for: samples and pass@k, exact match, the judge beside the scorer, where answers
    went wrong, and what was never answered."""
    lines = []
    for kind, students in report["kinds"].items():
        for name, score in students.items():
            parts = []
            if score["rows"] > score["n"]:
                most = max(score["pass_at"], key=int)
                parts.append(f"{score['rows']} answers, pass@{most} {_percent(score['pass_at'][most])} %")
            if score["metric"] == "f1":
                parts.append(f"exact match {_percent(score['accuracy'])} %")
            if score["judge"]:
                judge = score["judge"]
                parts.append(
                    f"judge {_percent(judge['accuracy'])} % (only it says right: {judge['only_judge_right']}, "
                    f"only the scorer does: {judge['only_scorer_right']}, unscored: {judge['unscored']})"
                )
            if score["recorded"]:
                parts.append(
                    "of {n} recorded verdicts {same} same, {differ} differ, {open} open".format(**score["recorded"])
                )
            if score["tries_per_task"] > 1:
                parts.append(
                    f"{score['tries_per_task']:.2f} tries a task, their last {_percent(score['score_of_last_try'])} %"
                )
            parts += [f"{category} {count}" for category, count in sorted(score["failed"].items())]
            lines += [f"{NAMES.get(name, name)} on {_kind(kind)}: {', '.join(parts)}"] if parts else []
    for kind, students in report["groups"].items():
        for name, groups in students.items():
            shares = ", ".join(f"{group}: {_score(score)} (n = {score['n']})" for group, score in groups.items())
            lines.append(f"{NAMES.get(name, name)} on {_kind(kind)} by group: {shares}")
    for name, spent in report["costs"].items():
        if spent["money"] is not None:
            lines.append(f"{NAMES.get(name, name)}: cost {spent['money']:.2f} {spent['currency']} in all")
    for name, counts in report["unanswered"].items():
        if counts:
            listed = ", ".join(f"{kind} {count}" for kind, count in counts.items())
            lines.append(f"{NAMES.get(name, name)}: tasks that failed for other reasons and are in no figure: {listed}")
    return lines


def axis_label(scores: Iterable[dict[str, Any]]) -> str:
    """What a panel of the plot shows, and which intervals (`intervals.py`)."""
    kinds = {
        ("F1", "bootstrap")
        if score["metric"] == "f1"
        else ("accuracy", "Wilson" if score["rows"] == score["n"] else "clustered by task")
        for score in scores
    }
    metrics, intervals = (" or ".join(sorted(set(names))) for names in zip(*kinds, strict=True))
    return f"{metrics} %, 95 % interval ({intervals})"


def plot(report: dict[str, Any], path: Path) -> None:
    """The score of each student as a bar with its interval, a panel for each kind of task."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    kinds = report["kinds"]
    figure, axes = pyplot.subplots(1, len(kinds), figsize=(4.2 * len(kinds), 3.8), squeeze=False, layout="constrained")
    for axis, (kind, students) in zip(axes[0], kinds.items(), strict=True):
        for position, score in enumerate(students.values()):
            low, high = score["ci95"]
            accuracy = score["score"]
            axis.bar(position, 100 * accuracy, width=0.6, color=f"C{position}", alpha=0.75)
            axis.errorbar(
                position, 100 * accuracy,
                yerr=[[100 * max(0.0, accuracy - low)], [100 * max(0.0, high - accuracy)]],  # the noise of floats
                fmt="none", color="black", capsize=5,
            )  # fmt: skip
            axis.annotate(f"{100 * accuracy:.1f}", (position, 100 * high), xytext=(0, 4), textcoords="offset points",
                          ha="center")  # fmt: skip
        axis.set_xticks(range(len(students)), [NAMES.get(name, name) for name in students])
        axis.set_ylim(0, 100)
        axis.set_title(f"{_kind(kind)} (n = {next(iter(students.values()))['n']})")
        axis.set_ylabel(axis_label(students.values()))
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(report.get("title", "SCoRe"))
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
