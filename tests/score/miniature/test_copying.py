"""What the student is pre-trained on: texts to say back, and nothing of a task."""

import json
from pathlib import Path

import pytest

from score.errors import DataError
from score.miniature.copying import DATASET, write_copying
from score.miniature.words import ORDINALS
from score.miniature.world import write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, 0, {"bc": 200, "mps": 200, "validation": 20, "test": 20})
    return folder


def conversations(path: Path) -> list[tuple[str, str]]:
    rows = [row["conversations"] for row in json.loads(path.read_text(encoding="utf-8"))]
    return [(human["value"], gpt["value"]) for human, gpt in rows]


def test_every_reply_says_its_text_back_and_llamafactory_finds_the_file(world: Path, tmp_path: Path) -> None:
    path = write_copying(world, tmp_path, seed=0)
    pairs = conversations(path)
    assert all(text == reply and text.startswith(ORDINALS[0]) for text, reply in pairs)
    assert len({text for text, _ in pairs}) > 0.99 * len(pairs), "texts come again: they could be learned by heart"
    info = json.loads((tmp_path / "dataset_info.json").read_text(encoding="utf-8"))
    assert (tmp_path / info[DATASET]["file_name"]) == path


def test_no_sentence_of_a_task_occurs(world: Path, tmp_path: Path) -> None:
    said = {
        sentence for text, _ in conversations(write_copying(world, tmp_path, seed=0)) for sentence in text.split(". ")
    }
    for split in ("bc", "mps", "validation", "test"):
        for line in (world / f"{split}.jsonl").read_text(encoding="utf-8").splitlines():
            # A sentence of three words or fewer may come about by chance; it says no operation's meaning either way.
            sentences = [s for s in json.loads(line)["question"].split(". ") if len(s.split()) > 3]
            assert not said & set(sentences)


def test_a_seed_gives_the_same_bytes(world: Path, tmp_path: Path) -> None:
    texts = [write_copying(world, tmp_path / name, seed).read_bytes() for name, seed in (("a", 3), ("b", 3), ("c", 4))]
    assert texts[0] == texts[1] != texts[2]


def test_a_missing_world_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"score\.miniature\.world"):
        write_copying(tmp_path / "nowhere", tmp_path, seed=0)
