"""Forms of one answer that the comparison of answers takes for equal: the leak check knows them, in both directions."""

import pytest

from score.leakage import find_leak, redact
from score.leakage.values import holds
from score.trajectory import Step

QUESTION = "What is it?"
BEFORE = [Step(thought="I look.")]


@pytest.mark.parametrize(
    "reference, text, left",
    [
        ("320 km/h", "The speed should be 320, not 15.", "The speed should be [...], not 15."),
        ("142 km", "It should be 142km, not 130km.", "It should be [...]km, not 130km."),
        ("142", "It should be 142cm, not 130cm.", "It should be [...]cm, not 130cm."),
        ("42 miles per hour", "It should be 42 mph.", "It should be [...] mph."),
        ("54 eggs", "It should be 54eggs.", "It should be [...]eggs."),
        (r"43 \text{ cm}^2", "The area should be 43, or 43cm².", "The area should be [...], or [...]cm²."),
        ("-45", "x should be −45, not 45.", "x should be [...], not 45."),
        ("−45", "x should be -45.", "x should be [...]."),
        ("18 square meters", "It should be 18, not 12.", "It should be [...], not 12."),
        ("Schindler's List", "It should be Schindler’s List.", "It should be [...]."),
        ("Schindler’s List", "It should be Schindler's List.", "It should be [...]."),
        ("The Beatles", "It should be Beatles, not the Kinks.", "It should be [...], not the Kinks."),
        ("The Big Sleep", "It should be 'big sleep'.", "It should be '[...]'."),
        ("New York City", "It should be New\nYork City.", "It should be [...]."),
        ("25%", "It should be 0.25, that is 25 percent.", "It should be [...], that is [...] percent."),
        ("0.25", r"It should be 25\%.", r"It should be [...]\%."),
        ("2 million", "It should be 2,000,000, so 2 million.", "It should be [...], so [...]."),
        ("1998–2003", "It should be 1998-2003.", "It should be [...]."),
    ],
)
def test_an_answer_is_taken_out_in_every_form_that_counts_as_right(reference: str, text: str, left: str) -> None:
    assert redact(text, [reference], QUESTION, BEFORE) == left


@pytest.mark.parametrize(
    "reference, code",
    [
        ("320 km/h", "final_answer_print(320)"),
        ("142 km", 'final_answer_print("142km")'),
        ("-45", 'final_answer_print("−45")'),
        ("18 square meters", "final_answer_print(18)"),
        ("43 cm^2", "final_answer_print(43)"),
        ("Schindler's List", 'final_answer_print("Schindler’s List")'),
        ("The Beatles", 'final_answer_print("Beatles")'),
        ("New York City", 'print("""New\nYork City""")'),
        ("25%", "final_answer_print(0.25)"),
        ("0.25", 'final_answer_print("25%")'),
    ],
)
def test_an_answer_that_was_not_seen_is_no_less_one_in_another_form(reference: str, code: str) -> None:
    assert find_leak(Step(thought="I hand it in.", code=code), [reference], QUESTION, BEFORE)


@pytest.mark.parametrize(
    "reference, thought",
    [
        ("142 km", "It is 142cm wide."),
        ("1990", "In the 1990s it is rarer."),
        ("3", "This is the 3rd, with 3m and 3D of it."),
        ("54", "It is the 54th row."),
        ("100%", "First 1 row, then the other 10."),
        ("1", "I take 100% of the rows."),
        ("The Who", "Who wrote it, and who sang? I look up who."),
        ("The Doors", "Doors are counted first. The rooms have 3 doors."),
        ("A and B", "I compare a film and B movies."),
        ("5 km/h", "First 5 rows."),
    ],
)
def test_what_only_resembles_the_answer_is_none(reference: str, thought: str) -> None:
    assert find_leak(Step(thought=thought, code="print(n)"), [reference], QUESTION, BEFORE) is None


@pytest.mark.parametrize("letter", [r"\text{A}", "a", "I"])
def test_a_letter_is_no_word_of_a_sentence(letter: str) -> None:
    thought = "This is a sum, and the option I take is a wrong one."
    assert find_leak(Step(thought=thought, code="print(n)"), [letter], QUESTION, BEFORE) is None
    assert redact(thought, [letter], QUESTION, BEFORE) == thought


@pytest.mark.parametrize("said", ["The answer is A because it fits.", "It is (A).", "I take option (a)."])
def test_a_letter_that_is_said_to_be_the_answer_is_one(said: str) -> None:
    assert find_leak(Step(thought=said, code="print(n)"), [r"\text{A}"], QUESTION, BEFORE)


def test_what_was_seen_in_one_form_was_seen() -> None:
    seen = "The train ran at 320km/h. The songs of Beatles’ first years were a quarter, 25%, of them."
    assert all(holds(seen, reference) for reference in ("320 km/h", "The Beatles", "0.25"))
    step = Step(thought="I hand it in.", code="final_answer_print(320)")
    found = Step(thought="I search.", code='print(web_search("train"))', observation=seen)
    assert find_leak(step, ["320 km/h"], QUESTION, [*BEFORE, found]) is None


def test_a_quantity_may_be_computed_with_and_named_but_not_as_the_result() -> None:
    computes = Step(thought="At 320 an hour for 2 hours.", code="print(distance / 320)")
    assert find_leak(computes, ["320 km/h"], QUESTION, BEFORE) is None
    said = Step(thought="The speed is 320.", code="print(distance / 320)")
    assert find_leak(said, ["320 km/h"], QUESTION, BEFORE)
