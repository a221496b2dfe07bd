"""Answer equivalence: what rules and math-verify decide, and that they agree with the recorded verdicts."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from score.answers import Equivalence, equal_by_rule
from score.trajectory import Trajectory, read_trajectories


@pytest.fixture(scope="module")
def equivalence() -> Iterator[Equivalence]:
    with Equivalence(workers=1) as made:
        yield made


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [
        ("120", r"\boxed{120}", True),
        ("1,234", "1234.0", True),
        (r"\frac{28}{99}", "28/99", True),
        (r"\dfrac{1}{2}", "0.5", True),
        ("1/3", "0.333", False),
        ("10\\%", r"\boxed{10\%}", True),
        ("8", "9", False),
        ("The Danube", "danube.", True),
        ("A", "(A) the first", True),
        ("A", "B", False),
        ("81", "", False),
        (r"\boxed{4}", "\x08oxed{4}", True),
        ("0.3", str(0.1 + 0.2), True),
        ("Trochophore", "trochophore larva", None),
    ],
)
def test_rules_decide_or_say_that_they_cannot(reference: str, answer: str, expected: bool | None) -> None:
    assert equal_by_rule(reference, answer)[0] is expected


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [
        ("x^2+1", "1+x^2", True),
        (r"\sqrt{2}", "1.41", False),
        (r"\begin{pmatrix}1 & 2\end{pmatrix}", r"\left[\begin{matrix}1 & 2\end{matrix}\right]", True),
        ("100", "100 MHz", None),
        ("Berlin", "Paris", None),
        ("}{" * 3000, "{" * 9000, None),
    ],
)
def test_mathematics_is_compared_in_a_worker(
    equivalence: Equivalence, reference: str, answer: str, expected: bool | None
) -> None:
    assert equivalence.equal_now([reference], answer).equal is expected


def test_any_accepted_reference_will_do(equivalence: Equivalence) -> None:
    assert equivalence.equal_now(["NYC", "New York"], "the new york").equal is True


def test_the_rules_agree_with_the_recorded_verdicts_on_mathematics(shared_data: Path, equivalence: Equivalence) -> None:
    async def agreement() -> list[bool]:
        agreed = []
        for item in read_trajectories(shared_data / "original_release" / "math_bc_init_trajectories.jsonl"):
            assert isinstance(item, Trajectory) and item.answer is not None
            match = await equivalence.equal(item.task.references, item.answer)
            agreed.append(match.equal == item.correct)
        return agreed

    agreed = asyncio.run(agreement())
    assert len(agreed) == 77 and sum(agreed) / len(agreed) >= 0.95
