"""Answers that look like mathematics and are none, and those of several boxes."""

from collections.abc import Iterator

import pytest

from score.answers import Equivalence


@pytest.fixture(scope="module")
def equivalence() -> Iterator[Equivalence]:
    with Equivalence(workers=1) as made:
        yield made


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [
        ("2-1", "3-2", None),
        ("6–3", "5–2", None),
        ("2-1", "1", None),
        ("2-1", "2 – 1.", True),
        ("2-1", "(2-1)", True),
        ("2-1 (4-3)", "3-2 (5-4)", None),
        ("6-4, 6-3", "7-5, 5-2", None),
        ("3-2", "3:2", None),
        ("1939-1945", "1940-1946", None),
        ("1914–1918", "1914–18", None),
        ("10-12 km", "8-10 km", None),
        (r"10\%-20\%", "10-20%", True),
        ("747-400", "347", None),
        ("555-1234", "555 1234", None),
        ("192.168.0.1", "192.168.0.2", None),
        ("10:30", "10:30:00", None),
        ("10:30", "7:30", None),
        ("1:2:3", "2:4:6", None),
        ("3:4", r"\frac{3}{4}", True),
        ("3:4", "0.75", True),
        ("3:4", "4/3", None),
        ("4", "7-3", None),
        # mathematics
        ("4", "7-3+0", True),
        ("5", "7-3+0", False),
        ("-8", "-5-3", True),
        ("-3x+5", "5-3x", True),
        ("7-35i", "-35i+7", True),
        (r"5-3\sqrt{2}", r"-3 \sqrt{2} + 5", True),
        ("7-3x", "10-3(x+1)", True),
        ("4x", "(7-3)x", True),
        ("2", "sqrt(7-3)", True),
        ("8", "2^(7-4)", True),
        ("1/4", "3/4-1/2", True),
        ("x=4", "x=7-3", True),
        ("1/2", "2/1", False),
    ],
)
def test_a_score_years_or_a_time_is_no_difference_and_no_quotient(
    equivalence: Equivalence, reference: str, answer: str, expected: bool | None
) -> None:
    assert equivalence.equal_now([reference], answer).equal is expected


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [
        ("10 million", "10M", True),
        ("10M", "10,000,000", True),
        (r"\$3.5 million", r"\$3.5M", True),
        (r"\$3.5 million", "$3.52M", None),
        ("10 thousand", "10k", True),
        ("10M", "10", None),
        ("10M", "11M", False),
        ("5G", "5", None),
        ("5 V", "5", None),
        ("5 V", "6", False),
        ("100 m", "100M", None),
        ("5 L", "5", True),
        ("320 km/h", "320 KM/H", True),
        ("1990", "1990s", None),
        ("1990s", "1990", None),
        ("1990s", "1990 s", None),
        ("1990s", "1980s", False),
        ("1 hour", "3600s", True),
        ("2k", "3", False),
    ],
)
def test_a_capital_or_a_decade_is_no_unit(
    equivalence: Equivalence, reference: str, answer: str, expected: bool | None
) -> None:
    assert equivalence.equal_now([reference], answer).equal is expected


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [
        ("1,2", r"\boxed{1}, \boxed{2}", True),
        ("-1, 3", r"$\boxed{-1}$ and $\boxed{3}$", True),
        ("x=1, x=2", "\\[\\boxed{x=1}\\]\n\\[\\boxed{x=2}\\]", True),
        ("2", r"\boxed{1} or \boxed{2}", False),
        ("2", r"\boxed{2}, that is \boxed{2}", True),
        ("2", r"\boxed{3} is wrong, so \boxed{2}", None),
        ("2", "\x08oxed{3} is wrong, so \x08oxed{2}", None),
        ("1,2", r"$x=\boxed{2}$ and $y=\boxed{1}$", None),
        ("2", r"First $\boxed{3}$. Then $\boxed{2}$.", True),
        ("3", r"First $\boxed{3}$. Then $\boxed{2}$.", False),
        ("2", "It is \\boxed{3}\nNo: it is \\boxed{2}", True),
        (r"\frac{1}{2}", r"\boxed{\boxed{\frac{1}{2}}}", True),
        ("3", r"\boxed{1 and \boxed{3}", True),
        (r"\boxed{1.3} and \boxed{breakers}", "breakers", None),
    ],
)
def test_boxes_that_belong_together_are_one_answer(
    equivalence: Equivalence, reference: str, answer: str, expected: bool | None
) -> None:
    assert equivalence.equal_now([reference], answer).equal is expected
