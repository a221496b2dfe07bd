"""The table on the terminal and the plot."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

NAMES = {"bc": "BC", "sft": "SCoRe-SFT", "rl": "SCoRe-RL"}
KINDS = {"word": "word problems", "lookup": "look-up questions", "all": "all tasks"}


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _tokens(mean: float | None) -> str:
    return "unknown" if mean is None else f"{mean:.0f}"


def print_table(report: dict[str, Any]) -> None:
    """One row a student and kind of task, then the paired differences."""
    table = Table(title="accuracy with its 95 % Wilson interval; steps and generated tokens per task")
    for column in ("student", "tasks", "n", "accuracy %", "95 %", "unscored", "steps", "tokens"):
        table.add_column(column, justify="left" if column in ("student", "tasks") else "right")
    for kind, students in report["kinds"].items():
        for name, score in students.items():
            low, high = score["ci95"]
            table.add_row(
                NAMES.get(name, name), KINDS.get(kind, kind), str(score["n"]), _percent(score["accuracy"]),
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
            f"{KINDS.get(pair['kind'], pair['kind'])}: {100 * pair['difference']:+.1f} points, paired 95 % interval "
            f"{100 * low:+.1f} to {100 * high:+.1f} (n = {pair['n']})",
            highlight=False,
        )


def plot(report: dict[str, Any], path: Path) -> None:
    """Accuracy per student as points with their intervals, a panel for each kind of task."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    kinds = report["kinds"]
    figure, axes = pyplot.subplots(1, len(kinds), figsize=(4.2 * len(kinds), 3.8), squeeze=False, layout="constrained")
    for axis, (kind, students) in zip(axes[0], kinds.items(), strict=True):
        for position, score in enumerate(students.values()):
            low, high = score["ci95"]
            accuracy = score["accuracy"]
            axis.bar(position, 100 * accuracy, width=0.6, color=f"C{position}", alpha=0.75)
            axis.errorbar(
                position, 100 * accuracy, yerr=[[100 * (accuracy - low)], [100 * (high - accuracy)]],
                fmt="none", color="black", capsize=5,
            )  # fmt: skip
            axis.annotate(f"{100 * accuracy:.1f}", (position, 100 * high), xytext=(0, 4), textcoords="offset points",
                          ha="center")  # fmt: skip
        axis.set_xticks(range(len(students)), [NAMES.get(name, name) for name in students])
        axis.set_ylim(0, 100)
        axis.set_title(f"{KINDS.get(kind, kind)} (n = {next(iter(students.values()))['n']})")
        axis.set_ylabel("accuracy %, 95 % Wilson interval")
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(report.get("title", "SCoRe"))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
