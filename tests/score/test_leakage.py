"""The leak check: values out of nowhere and talk of corrections are caught, derived values are not."""

import pytest

from score.leakage import find_leak, redact
from score.trajectory import Step

QUESTION = "A box holds 12 rows of 9 eggs. How many are half of them?"
BEFORE = [Step(thought="I multiply."), Step(thought="All of them.", code="n = 12 * 9\nprint(n)", observation="108")]
SEEN = f"{QUESTION}\n108"


@pytest.mark.parametrize(
    "thought, code, reference",
    [
        ("The value should be 54.", "x = 108 / 2\nprint(x)", "54"),
        ("I hand it in.", "final_answer_print(54)", "54"),
        ("I set it.", "x = 54\nprint(x)", r"\boxed{54}"),
        ("I hand it in.", r'final_answer_print(r"\boxed{\frac{3}{8}}")', "3/8"),
        ("It is 0.375 of them.", "print(1)", r"\frac{3}{8}"),
        ("I search.", 'print(web_search("Alfons Goppel died 24 December 1991"))', "24 December 1991"),
        ("The correct answer follows.", "print(108 // 2)", "54"),
        ("My previous mistake was to add.", "print(108 // 2)", "54"),
        ("As the error analysis says, halve it.", "print(108 // 2)", "54"),
        ("Halve it.", "x = 108 // 2  # the expected value\nprint(x)", "54"),
        ("It is option C, so I pick that.", "final_answer_print(choice)", "C"),
    ],
)
def test_a_correction_that_gives_the_answer_away_is_caught(thought: str, code: str, reference: str) -> None:
    assert find_leak(Step(thought=thought, code=code), [reference], QUESTION, BEFORE)


@pytest.mark.parametrize(
    "thought, code, reference",
    [
        ("Half of them.", "x = 108 // 2\nprint(x)", "54"),
        ("All of them were counted: 108.", "final_answer_print(108)", "108"),
        ("Twelve to a dozen.", "x = y * 13\nprint(x)", "13"),
        ("So times 13.", "x = y * 13\nprint(x)", "13"),
        ("First 2 rows, then the other 10.", "print(2 * 9)", "2"),
        ("The error term of the series is small.", "print(1e-3)", "54"),
        ("A quarter is what it comes to.", "print(108 / 4)", "A"),
        ("The rows are 12.", "rows = 12\nprint(rows)", "12"),
        ("I read on.", "this is no python", "54"),
    ],
)
def test_a_step_that_follows_from_what_was_seen_passes(thought: str, code: str, reference: str) -> None:
    assert find_leak(Step(thought=thought, code=code), [reference], QUESTION, BEFORE) is None


def test_the_answer_is_taken_out_of_a_diagnosis_unless_it_was_seen() -> None:
    text = "The result should be 54, i.e. 54.0, not 108."
    assert redact(text, ["54"], SEEN) == "The result should be [...], i.e. [...], not 108."
    assert redact(text, ["108"], SEEN) == text
    assert redact("It was Marie Curie.", ["Marie Curie", "Curie"], SEEN) == "It was [...]."
    assert redact("It says 3/8.", [r"\frac{3}{8}"], SEEN) == "It says [...]."
