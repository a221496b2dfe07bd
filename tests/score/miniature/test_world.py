"""The generated world: reproducible, disjoint, exact, and its answer key runs."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from score.miniature.composition import is_held_out
from score.miniature.encyclopedia import RELATIONS
from score.miniature.operations import OPERATIONS
from score.miniature.words import usable
from score.miniature.world import LOOKUP_SHARES, make_world, word_settings, write_world
from score.tasks import read_tasks

SIZES = {"bc": 400, "mps": 300, "validation": 100, "test": 200}


@pytest.fixture(scope="module")
def world() -> tuple[dict[str, list[dict]], list[dict]]:
    return make_world(3, SIZES)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("one", 5), ("two", 5), ("other", 6)):
        write_world(tmp_path / name, seed, SIZES)
    names = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert names == [
        "answer_key.jsonl", "bc.jsonl", "encyclopedia.jsonl", "mps.jsonl", "test.jsonl", "validation.jsonl",
    ]  # fmt: skip
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
        assert (tmp_path / "one" / name).read_bytes() != (tmp_path / "other" / name).read_bytes()


def test_task_files_load_and_hold_no_solution(tmp_path: Path) -> None:
    write_world(tmp_path, 0, SIZES)
    for split, size in SIZES.items():
        tasks, problems = read_tasks(tmp_path / f"{split}.jsonl")
        assert not problems and len(tasks) == size
    row = json.loads((tmp_path / "mps.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert set(row) == {"id", "question", "true_answer", "kind", "steps", "operations"}
    assert row["steps"] == len(row["operations"])


def test_no_question_occurs_twice(world: tuple[dict[str, list[dict]], list[dict]]) -> None:
    questions = [p["question"] for problems in world[0].values() for p in problems]
    assert len(questions) == len(set(questions))


def test_training_and_evaluation_share_no_composition(world: tuple[dict[str, list[dict]], list[dict]]) -> None:
    splits = world[0]
    trained = {tuple(p["operations"]) for s in ("bc", "mps") for p in splits[s]}
    evaluated = {tuple(p["operations"]) for s in ("validation", "test") for p in splits[s]}
    assert not trained & evaluated
    assert all(is_held_out(c) for c in evaluated) and not any(is_held_out(c) for c in trained)


def test_every_answer_key_runs_and_prints_its_values(world: tuple[dict[str, list[dict]], list[dict]]) -> None:
    for problems in world[0].values():
        for problem in problems:
            if problem["kind"] != "word":
                continue
            printed: list[int] = []
            names = {"print": printed.append, "final_answer_print": printed.append}
            for step in problem["steps"]:
                exec(step["code"], names)  # our own generated code, not a model's
            assert [str(value) for value in printed] == [s["value"] for s in problem["steps"]]
            assert str(printed[-1]) == problem["true_answer"]
            assert all(isinstance(value, int) and 1 <= value <= 999 for value in printed)


def test_steps_quote_sentences_of_their_question(world: tuple[dict[str, list[dict]], list[dict]]) -> None:
    for problem in world[0]["test"]:
        if problem["kind"] == "word":
            for step in problem["steps"][:-1]:
                assert step["thought"].rsplit(":", 1)[0] + "." in problem["question"]


def test_lookup_answers_follow_the_articles(world: tuple[dict[str, list[dict]], list[dict]]) -> None:
    splits, articles = world
    texts = {a["title"]: a["text"] for a in articles}
    assert len(texts) == len(articles) >= 2000
    assert all(text.count(". ") <= 1 and len(text) < 120 for text in texts.values())
    lookups = [p for problems in splits.values() for p in problems if p["kind"] == "lookup"]
    assert {len(p["operations"]) for p in lookups} == {1, 2, 3}
    assert {name for p in lookups for name in p["operations"]} == set(RELATIONS)
    for problem in lookups:
        for step in problem["steps"][:-1]:
            title = step["code"].split('"')[1]
            assert step["value"] in texts[title]
        assert problem["steps"][-1]["value"] == problem["true_answer"] == problem["steps"][-2]["value"]


def test_splits_cover_what_they_promise(world: tuple[dict[str, list[dict]], list[dict]]) -> None:
    splits = world[0]
    assert len(OPERATIONS) >= 12 and all(len(o.phrasings) >= 4 for o in OPERATIONS)
    used = Counter(name for p in splits["mps"] for name in p["operations"])
    assert all(used[o.name] for o in OPERATIONS)
    lengths = {s: [len(p["operations"]) for p in splits[s] if p["kind"] == "word"] for s in splits}
    assert set(lengths["bc"]) == {1, 2, 3, 4, 5} and set(lengths["test"]) == {2, 3, 4, 5}
    assert sum(lengths["bc"]) / len(lengths["bc"]) < sum(lengths["test"]) / len(lengths["test"])
    for split in splits:
        assert sum(p["kind"] == "lookup" for p in splits[split]) == round(SIZES[split] * LOOKUP_SHARES[split])


def test_the_hard_regime_is_long_where_students_are_measured() -> None:
    splits = make_world(3, SIZES, "hard")[0]
    lengths = {s: {len(p["operations"]) for p in splits[s] if p["kind"] == "word"} for s in splits}
    assert lengths["bc"] == set(range(1, 9)) and lengths["mps"] == lengths["validation"] == lengths["test"] == {6, 7, 8}


def test_held_back_phrasings_are_new_but_their_words_are_not() -> None:
    """A student whose embeddings are tied cannot copy a word that training never showed."""

    def words(phrasing: str) -> set[str]:
        return set(re.findall(r"[a-z]+", re.sub(r"\{.\}", "", phrasing)))

    taught = {phrasing for o in OPERATIONS for phrasing in usable(o.phrasings, word_settings("easy", "bc").phrasings)}
    held_back = {phrasing for o in OPERATIONS for phrasing in o.phrasings} - taught
    assert len(held_back) >= len(OPERATIONS)
    known = set().union(*map(words, taught))
    assert not {word for phrasing in held_back for word in words(phrasing)} - known


def test_no_phrasing_means_two_operations() -> None:
    assert max(Counter(phrasing for o in OPERATIONS for phrasing in o.phrasings).values()) == 1
