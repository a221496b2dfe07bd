"""What a study found: results.json, table.md and study.png from the folders of its runs.

    .venv/bin/python runs/study_report.py --name study --output output/study hard=0 hard=1 hard=2

Accuracies are over the word problems of test, differences are paired by task, intervals are 95 %; `pooled` puts the
seeds' tasks together. Learning curves are greedy accuracies on 256 validation tasks a seed, from the question.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from study import ARMS, RL_ARMS, generated, read_lines, read_metrics, run_folder

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "inference")]

from intervals import paired_difference, wilson  # noqa: E402

Right = dict[str, bool]  # task: answered rightly
TITLES = {
    "sft": "SCoRe-SFT, from which all start",
    "sft_longer": "SFT goes on, its own data",
    "sft_all": "SFT goes on, with RL's data too",
    "standard": "SCoRe-RL (`standard`)",
    "sparse_reward": "`sparse_reward`: short horizon, 1 or 0",
    "long_horizon": "`long_horizon`: from the question, key steps",
}


def read_scores(path: Path, kind: str = "word") -> Right:
    """The verdicts of a scores file (inference/evaluate.py). Raises `ValueError` for a task without."""
    found = {row["id"]: row["correct"] for row in read_lines(path) if row["kind"] == kind}
    if open_ones := [task for task, correct in found.items() if correct is None]:
        raise ValueError(f"{path}: {len(open_ones)} tasks are unscored, as {open_ones[0]}")
    return found


def share(right: Right) -> dict[str, Any]:
    values = list(right.values())
    return {"accuracy": sum(values) / len(values), "ci95": wilson(sum(values), len(values)), "n": len(values)}


def difference(pairs: list[tuple[Right, Right]]) -> dict[str, Any]:
    """second - first over the tasks of all pairs together."""
    both = [(first[task], second[task]) for first, second in pairs for task in first]
    mean, low, high = paired_difference([first for first, _ in both], [second for _, second in both])
    return {"difference": mean, "ci95": (low, high), "n": len(both)}


def by_seed_and_pooled(first: dict[int, Right], second: dict[int, Right]) -> dict[int | str, dict[str, Any]]:
    """second - first for each seed, and over the tasks of all of them together."""
    pairs = {seed: (first[seed], second[seed]) for seed in first}
    return {seed: difference([pair]) for seed, pair in pairs.items()} | {"pooled": difference(list(pairs.values()))}


def curve(folder: Path) -> list[tuple[float, float]]:
    """(tokens generated until then, accuracy on validation) of the validated steps, step 0 included."""
    steps = read_metrics(folder)
    return [
        (generated(steps[: number + 1]), step["val_accuracy"])
        for number, step in enumerate(steps)
        if step["val_accuracy"] is not None
    ]


def mean_curve(curves: list[list[tuple[float, float]]]) -> list[tuple[float, float]]:
    """The seeds' curves as one: seeds are validated after the same steps."""
    return [
        (sum(tokens for tokens, _ in points) / len(points), sum(accuracy for _, accuracy in points) / len(points))
        for points in zip(*curves, strict=True)
    ]


def tokens_until(points: list[tuple[float, float]], accuracy: float) -> float | None:
    """Tokens until a curve first reaches an accuracy; None if it never does."""
    return next((tokens for tokens, reached in points if reached >= accuracy), None)


def read_regime(name: str, regime: str, seeds: list[int]) -> dict[str, Any]:
    """All figures of one regime."""
    folders = {seed: run_folder(regime, seed) for seed in seeds}
    right = {
        arm: {
            seed: read_scores(folder / f"scores_{name}" / f"{name}_{arm}_test.scores.jsonl")
            for seed, folder in folders.items()
        }
        for arm in ARMS
    }
    sampled = {s: read_scores(f / f"scores_{name}" / f"{name}_sampled.scores.jsonl") for s, f in folders.items()}
    metrics = {arm: {s: read_metrics(f / f"rl_{name}_{arm}") for s, f in folders.items()} for arm in RL_ARMS}
    curves = {arm: {s: curve(f / f"rl_{name}_{arm}") for s, f in folders.items()} for arm in RL_ARMS}
    means = {arm: mean_curve(list(curves[arm].values())) for arm in RL_ARMS}
    goal = means["long_horizon"][-1]
    reached = tokens_until(means["standard"], goal[1])
    return {
        "seeds": seeds,
        "success_from_the_question": {s: share(r) for s, r in sampled.items()},
        "success_in_the_first_4_steps": {
            arm: {
                s: sum(step.get("accuracy", 0) for step in rows if 1 <= step["step"] <= 4) / 4 for s, rows in m.items()
            }
            for arm, m in metrics.items()
        },
        "arms": {arm: {s: share(r) for s, r in by_seed.items()} for arm, by_seed in right.items()},
        "minus_sft": {arm: by_seed_and_pooled(right["sft"], right[arm]) for arm in ARMS if arm != "sft"},
        "standard_minus": {
            arm: by_seed_and_pooled(right[arm], right["standard"]) for arm in ARMS if arm not in ("sft", "standard")
        },
        "generated_tokens": {arm: {s: generated(rows) for s, rows in m.items()} for arm, m in metrics.items()},
        "seconds": {
            arm: {s: sum(step.get("seconds", 0.0) for step in rows) for s, rows in m.items()}
            for arm, m in metrics.items()
        },
        "curves": curves,
        "mean_curves": means,
        "tokens_of_standard_to_reach_long_horizon": {"accuracy": goal[1], "tokens": reached, "of": goal[0]},
    }


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def in_points(found: dict[str, Any]) -> str:
    low, high = found["ci95"]
    return f"{100 * found['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def table(regime: str, found: dict[str, Any]) -> list[str]:
    """A regime's table in Markdown."""
    seeds = found["seeds"]
    alone = ", ".join(percent(one["accuracy"]) for one in found["success_from_the_question"].values())
    n = found["arms"]["sft"][seeds[0]]["n"]
    head = [f"seed {seed}" for seed in seeds]
    lines = [
        f"**{regime}**: the SFT student solves {alone} % of validation from the question at temperature 1.",
        f"Test: {n} word problems a seed; differences in points, pooled.",
        "",
        "| " + " | ".join(["", *head, "minus SFT", "`standard` minus it", "generated tokens, thousands"]) + " |",
        "|" + "---|" * (len(seeds) + 4),
    ]
    for arm in ARMS:
        cells = [TITLES[arm], *(percent(found["arms"][arm][seed]["accuracy"]) for seed in seeds)]
        cells.append(in_points(found["minus_sft"][arm]["pooled"]) if arm != "sft" else "")
        cells.append(in_points(found["standard_minus"][arm]["pooled"]) if arm in found["standard_minus"] else "")
        tokens = found["generated_tokens"].get(arm, {})
        cells.append(", ".join(f"{count / 1000:.0f}" for count in tokens.values()))
        lines.append("| " + " | ".join(cells) + " |")
    by_seed = ", ".join(in_points(found["minus_sft"]["standard"][seed]) for seed in seeds)
    goal = found["tokens_of_standard_to_reach_long_horizon"]
    when = f"after {100 * goal['tokens'] / goal['of']:.0f} % of its tokens" if goal["tokens"] is not None else "never"
    return [
        *lines,
        "",
        f"`standard` minus SFT by seed: {by_seed}. On validation `standard` reaches `long_horizon`'s last accuracy "
        f"({percent(goal['accuracy'])} %) {when}.",
    ]


def plot(results: dict[str, Any], path: Path) -> None:
    """Learning curves above, paired differences to SFT below; a column for each regime."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        2, len(results), figsize=(5.2 * len(results), 7.6), squeeze=False, layout="constrained"
    )
    for column, (regime, found) in enumerate(results.items()):
        above, below = axes[0][column], axes[1][column]
        for number, arm in enumerate(RL_ARMS):
            for seed_points in found["curves"][arm].values():
                above.plot(
                    *zip(*((t / 1000, 100 * a) for t, a in seed_points), strict=True), color=f"C{number}", alpha=0.25
                )
            mean = [(t / 1000, 100 * a) for t, a in found["mean_curves"][arm]]
            above.plot(*zip(*mean, strict=True), color=f"C{number}", linewidth=2.2, marker="o", markersize=4, label=arm)
        above.set_title(f"{regime}: learning curves, mean (thin: seeds {', '.join(map(str, found['seeds']))})")
        above.set_xlabel("tokens generated in training, thousands")
        above.set_ylabel("greedy accuracy on validation, %")
        above.legend(frameon=False)
        names = [arm for arm in ARMS if arm != "sft"]
        for row, arm in enumerate(names):
            pooled = found["minus_sft"][arm]["pooled"]
            low, high = pooled["ci95"]
            below.plot([100 * low, 100 * high], [row, row], color="black", linewidth=2)
            below.plot(100 * pooled["difference"], row, "o", color="black")
            each = [100 * found["minus_sft"][arm][seed]["difference"] for seed in found["seeds"]]
            below.plot(each, [row] * len(each), "|", color="grey", markersize=12)
        below.set_yticks(range(len(names)), names)
        below.invert_yaxis()
        below.axvline(0, color="grey", linewidth=0.8)
        below.set_title(f"{regime}: test accuracy minus SFT, points")
        below.set_xlabel("pooled with 95 % interval; bars: each seed")
        for axis in (above, below):
            axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="study", help="study, or quick")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("runs", nargs="+", metavar="REGIME=SEED")
    options = parser.parse_args()
    seeds: dict[str, list[int]] = {}
    for run in options.runs:
        regime, _, seed = run.partition("=")
        seeds.setdefault(regime, []).append(int(seed))
    results = {regime: read_regime(options.name, regime, chosen) for regime, chosen in seeds.items()}
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    lines = [line for regime, found in results.items() for line in [*table(regime, found), ""]]
    (options.output / "table.md").write_text("\n".join(lines), encoding="utf-8")
    plot(results, options.output / "study.png")
    print("\n".join(lines))
    print(f"{options.output}: results.json, table.md, study.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
