"""The reference answers of the eight benchmark files: equal to their rewritings, told apart from each other's."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from answers import decisions, rewritten
from rewritings import MATHEMATICS, TEXT, formula_rewritings, read_references, shifted_pairs, text_rewritings

from score.answers import Equivalence


@pytest.fixture(scope="module")
def equivalence() -> Iterator[Equivalence]:
    with Equivalence(workers=2) as made:
        yield made


@pytest.mark.parametrize("name", [*MATHEMATICS, *TEXT])
def test_an_answer_equals_its_rewritings(shared_data: Path, equivalence: Equivalence, name: str) -> None:
    tasks = read_references(shared_data / "benchmarks", name)
    named = rewritten(tasks, name in MATHEMATICS)
    answers = sum(len(references) for _, references in tasks)
    assert len(named) >= 6 * answers
    found = asyncio.run(decisions(equivalence, [pair for _, pair in named]))
    missed = [(how, pair) for (how, pair), equal in zip(named, found, strict=True) if equal is not True]
    assert len(missed) <= 0.01 * len(named), missed


@pytest.mark.parametrize("name", [*MATHEMATICS, *TEXT])
def test_answers_of_different_tasks_are_not_equal(shared_data: Path, equivalence: Equivalence, name: str) -> None:
    """The one pair known to be called equal, `5` and `x=5` of two tasks in math_500, is no mistake: they say the same."""
    pairs = shifted_pairs(read_references(shared_data / "benchmarks", name), by=1)
    found = asyncio.run(decisions(equivalence, pairs))
    confused = [pair for pair, equal in zip(pairs, found, strict=True) if equal]
    assert len(confused) <= 0.005 * len(pairs), confused
    if name in MATHEMATICS:  # names are left to the judge; formulas are told apart by rule
        assert found.count(False) >= 0.94 * len(pairs)


@pytest.mark.parametrize("answer", ["7", r"\frac{3}{4}", "(2, 3]", "1234567"])
def test_there_are_six_ways_to_write_any_formula(answer: str) -> None:
    assert len(set(formula_rewritings(answer).values()) - {answer}) >= 6


def test_there_are_six_ways_to_write_any_name() -> None:
    assert len(set(text_rewritings("Ada Lovelace").values()) - {"Ada Lovelace"}) >= 6
