"""How well and how fast answers are compared: rewritings, shifted answers, and plain math-verify beside it.

    python benchmarks/answers.py FOLDER [--shifts N] [--json FILE]

FOLDER holds the benchmark files (`math_500.jsonl`, `hqa.jsonl` ...). Every accepted answer is compared with its own
rewritings, and with the answers of other tasks of its file. The rate counts these comparisons, with two workers; the
ratio is to plain `verify(parse(a), parse(b))`, one pair after the other, over a sample of the same pairs.
"""

import argparse
import asyncio
import json
import logging
import random
import time
from pathlib import Path
from typing import Any

from rewritings import MATHEMATICS, TEXT, formula_rewritings, read_references, shifted_pairs, text_rewritings

from score.answers import Equivalence

SAMPLE = 400  # pairs for plain math-verify
Pair = tuple[str, list[str], str]


def rewritten(tasks: list[tuple[str, list[str]]], mathematics: bool) -> list[tuple[str, Pair]]:
    """(name of the rewriting, (question, [reference], rewritten reference)) for every accepted answer."""
    write = formula_rewritings if mathematics else text_rewritings
    return [
        (name, (question, [reference], text))
        for question, references in tasks
        for reference in references
        for name, text in write(reference).items()
    ]


async def decisions(equivalence: Equivalence, pairs: list[Pair]) -> list[bool | None]:
    async def decide(pair: Pair) -> bool | None:
        question, references, answer = pair
        return (await equivalence.equal(references, answer, question)).equal

    return list(await asyncio.gather(*(decide(pair) for pair in pairs)))


def plain_rate(pairs: list[Pair]) -> float:
    """Comparisons per second of math-verify called for one pair after the other, in this process."""
    from math_verify import parse, verify

    began = time.perf_counter()
    for _, references, answer in pairs:
        verify(parse(f"${references[0]}$"), parse(f"${answer}$"))
    return len(pairs) / (time.perf_counter() - began)


def measure(folder: Path, shifts: int) -> dict[str, Any]:
    """The figures of all files, with every miss."""
    logging.disable(logging.ERROR)
    report: dict[str, Any] = {"files": {}, "missed": [], "confused": []}
    timed: list[Pair] = []
    seconds = 0.0
    with Equivalence(workers=2) as equivalence:
        asyncio.run(equivalence.equal(["x+1"], "1+x"))  # the workers' start is no part of the rate
        for name in (*MATHEMATICS, *TEXT):
            tasks = read_references(folder, name)
            named = rewritten(tasks, name in MATHEMATICS)
            same = [pair for _, pair in named]
            apart = [pair for by in range(1, shifts + 1) for pair in shifted_pairs(tasks, by)]
            began = time.perf_counter()
            equal, different = asyncio.run(decisions(equivalence, same)), asyncio.run(decisions(equivalence, apart))
            seconds += time.perf_counter() - began
            timed += same + apart
            report["files"][name] = {
                "answers": sum(len(references) for _, references in tasks),
                "rewritings": len(same),
                "equal": equal.count(True),
                "shifted": len(apart),
                "different": different.count(False),
                "to the judge": different.count(None),
                "wrongly equal": different.count(True),
            }
            for (how, (_, references, answer)), decision in zip(named, equal, strict=True):
                if decision is not True:
                    report["missed"].append([name, how, references[0], answer, decision])
            for (_, references, answer), decision in zip(apart, different, strict=True):
                if decision:
                    report["confused"].append([name, references, answer])
    report["answers_per_s"] = len(timed) / seconds
    report["plain_math_verify_per_s"] = plain_rate(random.Random(0).sample(timed, SAMPLE))
    report["ratio"] = report["answers_per_s"] / report["plain_math_verify_per_s"]
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shifts", type=int, default=5, help="how many other answers each task is compared with")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    report = measure(arguments.folder, arguments.shifts)
    columns = list(next(iter(report["files"].values())))
    print("| file | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name, row in report["files"].items():
        print(f"| {name} | " + " | ".join(str(value) for value in row.values()) + " |")
    for miss in report["missed"]:
        print("not seen as equal:", *miss, sep=" ¦ ")
    for pair in report["confused"]:
        print("wrongly equal:", *pair, sep=" ¦ ")
    print(f"{report['answers_per_s']:.0f} answers/s, {report['ratio']:.1f} times plain math-verify")
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
