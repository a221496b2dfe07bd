"""The paper's table: a row a run, a column a benchmark, and the mean of the columns; as Markdown and as LaTeX."""

from typing import Any, Literal

from registry import ORDER, find

Form = Literal["markdown", "latex"]


def column_title(kind: str) -> str:
    return find(kind).title if kind in ORDER else kind


def averages(report: dict[str, Any]) -> dict[str, float | None]:
    """The unweighted mean of each run's columns; None for a run that has not all of them: it would mislead."""
    kinds = report["kinds"].values()
    runs = dict.fromkeys(name for students in kinds for name in students)
    return {
        run: sum(students[run]["score"] for students in kinds) / len(kinds) if all(run in s for s in kinds) else None
        for run in runs
    }


def without_overlap(report: dict[str, Any]) -> dict[str, Any]:
    """The report's tables without the test items that the training files hold (`--train`)."""
    kinds = {
        kind: {run: score for run, score in students.items() if score is not None}
        for kind, students in report["kinds_without"].items()
    }
    return report | {"kinds": {kind: students for kind, students in kinds.items() if students}}


def paper_table(report: dict[str, Any], form: Form) -> str:
    """The table of a report in percent, each with half the width of its 95 % interval. The best of a column is bold."""
    kinds, means = report["kinds"], averages(report)
    best = {kind: max(s["score"] for s in students.values()) for kind, students in kinds.items() if len(students) > 1}
    header = ["", *(column_title(kind) + _unit(students) for kind, students in kinds.items()), "Avg."]
    rows = []
    for run, mean in means.items():
        cells = [run]
        for kind, students in kinds.items():
            score = students.get(run)
            cells.append("–" if score is None else _cell(score, score["score"] == best.get(kind), form))
        cells.append("–" if mean is None else f"{100 * mean:.1f}")
        rows.append(cells)
    if form == "markdown":
        lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)
    body = [" & ".join(_escaped(cell) for cell in line) + r" \\" for line in [header, *rows]]
    columns = "l" + "c" * (len(header) - 1)
    return "\n".join(
        [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", body[0], r"\midrule", *body[1:], r"\bottomrule",
         r"\end{tabular}", ""]
    )  # fmt: skip


def _unit(students: dict[str, Any]) -> str:
    return " (F1)" if any(score["metric"] == "f1" for score in students.values()) else ""


def _cell(score: dict[str, Any], best: bool, form: Form) -> str:
    low, high = score["ci95"]
    value, half = f"{100 * score['score']:.1f}", f"{50 * (high - low):.1f}"
    unscored = f", {score['unscored']} unscored" if score["unscored"] else ""
    if form == "latex":
        return (rf"\textbf{{{value}}}" if best else value) + rf"$_{{\pm {half}}}$" + unscored
    return (f"**{value}**" if best else value) + f" ± {half}" + unscored


def _escaped(cell: str) -> str:
    return cell.replace("_", r"\_") if "$_" not in cell else cell
