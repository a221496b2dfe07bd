"""Write what the miniature's student is pre-trained on: rows of random words, to be said back.

    python -m score.miniature.copying --world output/miniature/world --output output/miniature/copying --seed 0

A real student comes pre-trained and can quote its question. A million random weights cannot: in the cold start alone
they learn phrases by heart instead of copying them, with one seed in three for good. Here every sentence is drawn
anew from the words of the training questions and of the encyclopedia, so that copying is all there is to learn: nothing
in it says what a sentence means, and no task is solved.
"""

import argparse
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

from score.cli import run
from score.errors import DataError
from score.miniature.words import ORDINALS

DATASET = "miniature_copying"
ROWS = 12_800  # 1,600 training steps of 8
WORDS_A_SENTENCE = (2, 5)
# Share of the texts made of the encyclopedia's many names. Few, because with all words drawn alike (650 instead of 129)
# copying came after 900 steps instead of 550 (seed 2).
TITLES = 0.15
NUMBERS = 0.6  # share of the sentences with a number
LARGEST_NUMBER = 999
_WORD = re.compile(r"[^\W\d_]+")


def vocabulary(world: Path, names: tuple[str, ...], field: str) -> list[str]:
    """The distinct words of one field of some of the world's files, sorted. Raises `DataError`."""
    words: set[str] = set()
    for name in names:
        path = world / f"{name}.jsonl"
        if not path.is_file():
            raise DataError(f"{path} does not exist: make the world first (python -m score.miniature.world)")
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                words.update(_WORD.findall(json.loads(line)[field]))
    return sorted(words - set(ORDINALS))


def texts(questions: list[str], titles: list[str], rng: random.Random) -> Iterator[str]:
    """Texts of one to four sentences without end; each sentence has an ordinal, random words and often a number.

    questions, titles: the words that a text may be made of; a text takes all of its words from one of the two.
    """
    while True:
        words = titles if rng.random() < TITLES else questions
        sentences = []
        for ordinal in ORDINALS[: rng.randint(1, 4)]:
            chosen = rng.sample(words, rng.randint(*WORDS_A_SENTENCE))
            if rng.random() < NUMBERS:
                chosen[rng.randrange(len(chosen))] = str(rng.randint(2, LARGEST_NUMBER))
            sentences.append(f"{ordinal} {' '.join(chosen)}.")
        yield " ".join(sentences)


def write_copying(world: Path, output: Path, seed: int) -> Path:
    """Write `copying.json` (ShareGPT) and the `dataset_info.json` that names it into the folder `output`."""
    questions, titles = vocabulary(world, ("bc", "mps"), "question"), vocabulary(world, ("encyclopedia",), "title")
    source = texts(questions, titles, random.Random(f"{seed} copying"))
    rows = []
    for _, text in zip(range(ROWS), source, strict=False):
        rows.append({"conversations": [{"from": "human", "value": text}, {"from": "gpt", "value": text}]})
    output.mkdir(parents=True, exist_ok=True)
    path = output / "copying.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    entry = {"file_name": path.name, "formatting": "sharegpt", "columns": {"messages": "conversations"}}
    (output / "dataset_info.json").write_text(json.dumps({DATASET: entry}, indent=2) + "\n", encoding="utf-8")
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=Path, required=True, help="folder written by score.miniature.world")
    parser.add_argument("--output", type=Path, required=True, help="folder for the data set")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(f"{write_copying(arguments.world, arguments.output, arguments.seed)}: {ROWS} texts")
    return 0


if __name__ == "__main__":
    run(main)
