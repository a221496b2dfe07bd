"""Write the miniature world: tasks in four splits, the expert's answer key and the encyclopedia.

    python -m score.miniature.world --seed 0 --output output/miniature/world
    python -m score.miniature.world --seed 1 --output /tmp/world --sizes bc=500 test=200
    python -m score.miniature.world --seed 1 --output /tmp/world --regime hard

Files: `bc.jsonl`, `mps.jsonl`, `validation.jsonl`, `test.jsonl` (tasks), `answer_key.jsonl` (all tasks with their plan
and steps; for the expert only) and `encyclopedia.jsonl` (title, text). The same seed gives the same bytes.

No question occurs twice. No composition of two or more operations that occurs in bc or mps occurs in validation or
test, so test measures generalisation. Cold-start tasks (bc) are shorter and use only a part of the phrasings. The
regime says how long the other splits' word problems are: 2 to 5 operations (easy) or 6 to 8 (hard).
"""

import argparse
import json
import random
from collections.abc import Iterable
from pathlib import Path

from score.miniature.encyclopedia import encyclopedia, lookup_question
from score.miniature.words import Problem, WordSettings, word_problem

SIZES = {"bc": 3600, "mps": 1440, "validation": 440, "test": 1120}
# Few in training: a student of this size learns to copy long names slowly, and what it cannot learn yet drowns the
# gradient of what it can (with a tenth of look-ups, copying numbers had not started after 1,200 updates).
LOOKUP_SHARES = {"bc": 0.04, "mps": 0.04, "validation": 0.1, "test": 0.1}
# Relative frequencies of 1, 2, … operations, of the cold start and of the other splits. The hard cold start has seen a
# few long problems: a student that has seen none stops after the fifth sentence.
LENGTHS = {
    "easy": ((0.25, 0.35, 0.25, 0.1, 0.05), (0, 0.4, 0.3, 0.2, 0.1)),
    "hard": ((0.3, 0.3, 0.15, 0.08, 0.05, 0.05, 0.04, 0.03), (0, 0, 0, 0, 0, 0.4, 0.35, 0.25)),
}
HOPS = {"bc": (0.6, 0.4, 0), "mps": (0.3, 0.4, 0.3), "validation": (0, 0.5, 0.5), "test": (0, 0.5, 0.5)}


def word_settings(regime: str, split: str) -> WordSettings:
    """How hard a split's word problems are. Raises KeyError for another regime than easy and hard."""
    short, long = LENGTHS[regime]
    if split == "bc":
        return WordSettings(lengths=short, phrasings=0.5, distractors=0.1, held_out=False)
    return WordSettings(lengths=long, phrasings=1.0, distractors=0.15, held_out=split in ("validation", "test"))


def make_world(
    seed: int, sizes: dict[str, int], regime: str = "easy"
) -> tuple[dict[str, list[Problem]], list[Problem]]:
    """The tasks of each split with their solutions, and the articles.

    sizes: tasks per split, `LOOKUP_SHARES` of them (rounded) look-up questions. Missing splits take the default size.
    """
    articles = encyclopedia(random.Random(f"{seed} encyclopedia"))
    seen: set[str] = set()
    splits: dict[str, list[Problem]] = {}
    for split, size in {**SIZES, **sizes}.items():
        rng = random.Random(f"{seed} {split}")
        words = word_settings(regime, split)
        lookups = round(size * LOOKUP_SHARES[split])
        problems: list[Problem] = []
        while len(problems) < size:
            if len(problems) < size - lookups:
                problem = word_problem(words, rng)
            else:
                problem = lookup_question(articles, HOPS[split], words.held_out, rng)
            if problem["question"] not in seen:
                seen.add(problem["question"])
                problems.append(problem)
        rng.shuffle(problems)
        splits[split] = [{"id": f"{split}-{number:05d}", **problem} for number, problem in enumerate(problems)]
    return splits, [{"title": a.title, "text": a.text} for a in articles.values()]


def _write(path: Path, rows: Iterable[Problem]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def write_world(output: Path, seed: int, sizes: dict[str, int], regime: str = "easy") -> dict[str, int]:
    """Write all files into the folder `output`; returns the number of lines of each."""
    splits, articles = make_world(seed, sizes, regime)
    output.mkdir(parents=True, exist_ok=True)
    files: dict[str, list[Problem]] = {}
    for split, problems in splits.items():
        files[f"{split}.jsonl"] = [
            {
                "id": p["id"],
                "question": p["question"],
                "true_answer": p["true_answer"],
                "kind": p["kind"],
                "steps": len(p["operations"]),
                "operations": p["operations"],
            }
            for p in problems
        ]
    key = ("id", "question", "true_answer", "kind", "plan", "steps")
    files["answer_key.jsonl"] = [{k: p[k] for k in key} for problems in splits.values() for p in problems]
    files["encyclopedia.jsonl"] = articles
    for name, rows in files.items():
        _write(output / name, rows)
    return {name: len(rows) for name, rows in files.items()}


def _size(text: str) -> tuple[str, int]:
    split, _, number = text.partition("=")
    if split not in SIZES or not number.isdigit() or int(number) < 10:
        raise argparse.ArgumentTypeError(
            f"expected one of {', '.join(SIZES)} with a number from 10, as test=1120: {text}"
        )
    return split, int(number)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help="folder for the files")
    parser.add_argument("--sizes", type=_size, nargs="*", default=[], metavar="SPLIT=N", help=f"default: {SIZES}")
    parser.add_argument("--regime", choices=tuple(LENGTHS), default="easy")
    arguments = parser.parse_args()
    sizes = dict(arguments.sizes)
    for name, lines in write_world(arguments.output, arguments.seed, sizes, arguments.regime).items():
        print(f"{arguments.output / name}: {lines}")


if __name__ == "__main__":
    main()
