"""What the study found: results.json, table.md and study.png from the records of its runs.

    .venv/bin/python runs/study_report.py --output output/study hard=0 hard=1      # runs of this machine
    .venv/bin/python runs/study_report.py --output output/study docs/study/*.json  # records, from wherever

Accuracies are over the word problems of test, differences are paired by task, intervals are 95 %; `pooled` puts the
seeds' tasks together. Its interval is that of these students on other tasks; how far other seeds' students may lie says
the standard error over seeds (`over_seeds`, with two seeds or more). Learning curves are greedy accuracies on 256
validation tasks a seed, from the question.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import stdev
from typing import Any

from study import ARMS, FULL, QUICK, RL_ARMS, generated
from study_record import Record, load, read_run

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "inference")]

from intervals import paired_difference, wilson  # noqa: E402

TITLES = {
    "sft": "SCoRe-SFT, from which all start",
    "sft_longer": "SFT goes on, its own data",
    "sft_all": "SFT goes on, with RL's data too",
    "standard": "SCoRe-RL (`standard`)",
    "sparse_reward": "`sparse_reward`: short horizon, 1 or 0",
    "long_horizon": "`long_horizon`: from the question, key steps",
}


def share(right: str) -> dict[str, Any]:
    """Of a record's string of 1 and 0."""
    count, n = right.count("1"), len(right)
    return {"accuracy": count / n, "ci95": wilson(count, n), "n": n}


def difference(first: str, second: str) -> dict[str, Any]:
    """second - first, task by task."""
    mean, low, high = paired_difference([one == "1" for one in first], [one == "1" for one in second])
    return {"difference": mean, "ci95": (low, high), "n": len(first)}


def by_seed_and_pooled(records: list[Record], first: str, second: str) -> dict[int | str, dict[str, Any]]:
    """Of two arms that all records have, second - first for each seed, and over the tasks of all of them together."""
    each: dict[int | str, dict[str, Any]] = {r.seed: difference(r.right[first], r.right[second]) for r in records}
    pooled = difference(*("".join(record.right[arm] for record in records) for arm in (first, second)))
    if len(each) > 1:
        pooled["over_seeds"] = stdev([one["difference"] for one in each.values()]) / len(each) ** 0.5
    return each | {"pooled": pooled}


def curve(steps: list[dict[str, Any]]) -> list[tuple[float, float]]:
    """(tokens generated until then, accuracy on validation) of the validated steps, step 0 included."""
    return [
        (generated(steps[: number + 1]), step["val_accuracy"])
        for number, step in enumerate(steps)
        if step["val_accuracy"] is not None
    ]


def mean_curve(curves: list[list[tuple[float, float]]]) -> list[tuple[float, float]]:
    """The seeds' curves as one: seeds are validated after the same steps, and at their ends, which for `long_horizon`
    are some steps apart."""
    same = zip(*(points[:-1] for points in curves), strict=False)  # an end may come before another seed's last but one
    return [
        (sum(tokens for tokens, _ in points) / len(points), sum(accuracy for _, accuracy in points) / len(points))
        for points in [*same, tuple(points[-1] for points in curves)]
    ]


def tokens_until_end_of(other: list[tuple[float, float]], points: list[tuple[float, float]]) -> dict[str, float | None]:
    """The tokens until a curve first reaches another one's last accuracy, None if it never does; the other's in all,
    and until it was there first itself (`own`)."""
    of, accuracy = other[-1]
    tokens, own = (next((tokens for tokens, reached in each if reached >= accuracy), None) for each in (points, other))
    return {"accuracy": accuracy, "tokens": tokens, "of": of, "own": own}


def figures(records: list[Record]) -> dict[str, Any]:
    """All figures of one regime; of an arm that only some records have, those of these seeds. Raises `ValueError` where
    the runs differ in their recipe, a seed comes twice, or `standard` is missing."""
    seeds = [record.seed for record in records]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"a seed comes twice: {records[0].regime} {seeds}")
    if other := next((record for record in records if record.recipe != records[0].recipe), None):
        raise ValueError(f"not of one recipe: {records[0].name} {records[0].recipe}, {other.name} {other.recipe}")
    if without := [record.name for record in records if "standard" not in record.right]:
        raise ValueError(f"a record has no scores of standard, to which all is compared: {without}")
    have = {arm: found for arm in ARMS if (found := [record for record in records if arm in record.right])}
    others = [arm for arm in have if arm != "sft"]
    rl_have = {arm: have[arm] for arm in RL_ARMS if arm in have}
    curves = {arm: {record.seed: curve(record.steps[arm]) for record in found} for arm, found in rl_have.items()}
    reached: dict[int | str, dict[str, float | None]] = {}
    if long := curves.get("long_horizon"):
        same = {seed: curves["standard"][seed] for seed in long}
        reached = {seed: tokens_until_end_of(long[seed], same[seed]) for seed in long}
        reached["mean"] = tokens_until_end_of(mean_curve([*long.values()]), mean_curve([*same.values()]))

    def of_steps(arm: str, key: str, count: int | None = None) -> dict[int, float]:
        """The sum over the first `count` steps (the SFT student's validation, step 0, has none of the keys)."""
        last = None if count is None else count + 1
        return {r.seed: sum(step.get(key) or 0.0 for step in r.steps[arm][:last]) for r in rl_have[arm]}

    return {
        "seeds": seeds,
        "recipe": records[0].recipe,
        "made": {
            record.seed: {"revision": record.revision, "date": record.date, "sft_share": record.sft_share}
            for record in records
        },
        "success_from_the_question": {record.seed: share(record.sampled) for record in records},
        "success_in_the_first_4_steps": {
            arm: {seed: total / 4 for seed, total in of_steps(arm, "accuracy", 4).items()} for arm in rl_have
        },
        "arms": {arm: {record.seed: share(record.right[arm]) for record in found} for arm, found in have.items()},
        "minus_sft": {arm: by_seed_and_pooled(have[arm], "sft", arm) for arm in others},
        "standard_minus": {arm: by_seed_and_pooled(have[arm], arm, "standard") for arm in others if arm != "standard"},
        "generated_tokens": {arm: of_steps(arm, "generated_tokens") for arm in rl_have},
        "seconds": {arm: of_steps(arm, "seconds") for arm in rl_have},
        "curves": curves,
        "mean_curves": {arm: mean_curve([*found.values()]) for arm, found in curves.items()},
        "tokens_of_standard_to_reach_long_horizon": reached,
    }


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def in_points(found: dict[str, Any]) -> str:
    low, high = found["ci95"]
    seeds = f", ±{100 * found['over_seeds']:.1f}" if "over_seeds" in found else ""
    return f"{100 * found['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f}{seeds})"


def of_its_tokens(reached: dict[str, Any], whose: str = "tokens") -> str:
    return "100 % and more" if reached[whose] is None else f"{100 * reached[whose] / reached['of']:.0f} %"


def table(regime: str, found: dict[str, Any]) -> list[str]:
    """A regime's table in Markdown."""
    seeds = found["seeds"]
    alone = ", ".join(percent(one["accuracy"]) for one in found["success_from_the_question"].values())
    n = found["arms"]["sft"][seeds[0]]["n"]
    head = [f"seed {seed}" for seed in seeds]
    lines = [
        f"**{regime}**: the SFT student solves {alone} % of validation from the question at temperature 1.",
        f"Test: {n} word problems a seed. Differences in points, pooled, with the 95 % interval over the tasks for",
        "these students and, behind ±, the standard error over the seeds.",
        "",
        "| " + " | ".join(["", *head, "minus SFT", "`standard` minus it", "generated tokens, thousands"]) + " |",
        "|" + "---|" * (len(seeds) + 4),
    ]
    for arm in found["arms"]:
        right = found["arms"][arm]
        cells = [TITLES[arm], *(percent(right[seed]["accuracy"]) if seed in right else "" for seed in seeds)]
        cells.append(in_points(found["minus_sft"][arm]["pooled"]) if arm != "sft" else "")
        cells.append(in_points(found["standard_minus"][arm]["pooled"]) if arm in found["standard_minus"] else "")
        tokens = found["generated_tokens"].get(arm, {})
        cells.append(", ".join(f"{count / 1000:.0f}" for count in tokens.values()))
        lines.append("| " + " | ".join(cells) + " |")
    by_seed = ", ".join(in_points(found["minus_sft"]["standard"][seed]) for seed in seeds)
    lines += ["", f"`standard` minus SFT by seed: {by_seed}."]
    if reached := found["tokens_of_standard_to_reach_long_horizon"]:
        mean = reached["mean"]
        by_seed = ", ".join(of_its_tokens(reached[seed]) for seed in seeds if seed in reached)
        own = ", ".join(of_its_tokens(reached[seed], "own") for seed in seeds if seed in reached)
        lines += [
            f"On validation `standard` reaches `long_horizon`'s last accuracy ({percent(mean['accuracy'])} %) after",
            f"{of_its_tokens(mean)} of its tokens; by seed: {by_seed}. It was there first itself after",
            f"{of_its_tokens(mean, 'own')}; by seed: {own}.",
        ]
    return lines


def named(seeds: list[int]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def label(arm: str, have: list[int], seeds: list[int]) -> str:
    """An arm that only some seeds have says which: its mean is not to be held against the others'."""
    return arm if have == seeds else f"{arm} ({named(have)})"


def plot(results: dict[str, Any], path: Path) -> None:
    """Learning curves above, paired differences to SFT below; a column for each regime."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        2, len(results), figsize=(5.8 * len(results), 7.6), squeeze=False, layout="constrained"
    )
    for column, (regime, found) in enumerate(results.items()):
        above, below = axes[0][column], axes[1][column]
        of = f"{regime}, {named(found['seeds'])}"
        for number, arm in enumerate(found["curves"]):
            for seed_points in found["curves"][arm].values():
                above.plot(
                    *zip(*((t / 1000, 100 * a) for t, a in seed_points), strict=True), color=f"C{number}", alpha=0.25
                )
            mean = [(t / 1000, 100 * a) for t, a in found["mean_curves"][arm]]
            name = label(arm, list(found["curves"][arm]), found["seeds"])
            above.plot(
                *zip(*mean, strict=True), color=f"C{number}", linewidth=2.2, marker="o", markersize=4, label=name
            )
        above.set_title(f"{of}: learning curves, mean (thin: each)")
        above.set_xlabel("tokens generated in training, thousands")
        above.set_ylabel("greedy accuracy on validation, %")
        above.legend(frameon=False)
        names = list(found["minus_sft"])
        for row, arm in enumerate(names):
            pooled = found["minus_sft"][arm]["pooled"]
            low, high = pooled["ci95"]
            below.plot([100 * low, 100 * high], [row, row], color="black", linewidth=2)
            below.plot(100 * pooled["difference"], row, "o", color="black")
            each = [100 * one["difference"] for seed, one in found["minus_sft"][arm].items() if seed != "pooled"]
            below.plot(each, [row] * len(each), "|", color="grey", markersize=12)
        labels = [label(arm, list(found["arms"][arm]), found["seeds"]) for arm in names]
        below.set_yticks(range(len(names)), labels)
        below.invert_yaxis()
        below.axvline(0, color="grey", linewidth=0.8)
        below.set_title(f"{of}: test accuracy minus SFT, points")
        below.set_xlabel("pooled with 95 % interval; bars: each seed")
        for axis in (above, below):
            axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the runs are those of study.py --quick")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("runs", nargs="+", metavar="REGIME=SEED|RECORD.json")
    options = parser.parse_args()
    records: dict[str, list[Record]] = {}
    for run in options.runs:
        if run.endswith(".json"):
            record = load(Path(run))
        else:
            regime, _, seed = run.partition("=")
            record = read_run(QUICK if options.quick else FULL, regime, int(seed))
            record.save(options.output / "records")
        records.setdefault(record.regime, []).append(record)
    results = {regime: figures(found) for regime, found in records.items()}
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
