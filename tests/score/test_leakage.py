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
        ("I hand it in.", "final_answer_print(3 / 4)", "3/4"),
        ("I hand it in.", "final_answer_print(sympy.Rational(3, 8))", "3/8"),
        ("I set it.", "x = 54\nprint(x)", r"\boxed{54}"),
        ("I hand it in.", r'final_answer_print(r"\boxed{\frac{3}{8}}")', "3/8"),
        ("It is 0.375 of them.", "print(1)", r"\frac{3}{8}"),
        ("I search.", 'print(web_search("Alfons Goppel died 24 December 1991"))', "24 December 1991"),
        ("The correct answer follows.", "print(108 // 2)", "54"),
        ("My previous mistake was to add.", "print(108 // 2)", "54"),
        ("As the error analysis says, halve it.", "print(108 // 2)", "54"),
        ("Halve it.", "x = 108 // 2  # the expected value\nprint(x)", "54"),
        ("It is option C, so I pick that.", "final_answer_print(choice)", "C"),
        ("The expected answer, which is 54, follows.", "print(n // 2)", "54"),
        ("I find the correct result, which is half.", "print(n // 2)", "54"),
        ("I manually set it.", "x = n // 2\nprint(x)", "54"),
        ("I adjust the answer to what is asked.", "print(n // 2)", "54"),
        ("I search.", 'print(web_search("died December 24, 1991"))', "24 December 1991"),
        ("I search.", 'print(web_search("who died on 1991-12-24"))', "24 December 1991"),
        ("It is 54.", "print(n)", "54 eggs"),
        ("结果是五十四个鸡蛋。", "print(n)", "五十四"),
        ("Half.\nObservation: there are some\nThought: I hand it in.", "print(n // 2)", "54"),
        ("Half.\nStep 4: hand it in.", "print(n // 2)", "54"),
        ("I search.", 'print(web_search("dozens"))\nfinal_answer_print("a dozen")', "54"),
        ("I hand it in.", r'final_answer_print(r"\boxed{3}")', "3"),
        ("I hand it in.", r'final_answer_print("\\(\\boxed{3}\\)")', "3"),
        ("I hand it in.", r'final_answer_print(f"\\boxed{{{3}}}")', "3"),
        ("I hand it in.", r'a = r"$\boxed{3}$"', "3"),
        ("I hand it in.", "final_answer_print(answer=3)", "3"),
        ("I hand it in.", "final_answer_print(answer=72)", "72"),
        ("I hand it in.", 'final_answer_print(answer="3 eggs")', r"\boxed{3}"),
        (r"So I have \boxed{3}.", "print(n)", "3"),
        ("I search.", 'print(web_search("dozens"))\nfinal_answer_print(answer="a dozen")', "54"),
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
        ("Half of what was printed.", "print(108 / 2)", "54"),
        ("Nine of twelve.", "print(9 / 12)", "3/4"),
        ("I will find the correct answer by halving.", "print(n // 2)", "54"),
        ("The correct answer is to be found by halving.", "print(n // 2)", "54"),
        ("It was in 1991, not on 25 December 1991.", "print(n)", "24 December 1991"),
        ("The diagnosis of the plague came late.", "print(n)", "54"),
        ("I hand in what was printed.", r'final_answer_print(f"\\boxed{{{n}}}")', "3"),
        ("The cube, in step 3.", "print(n**3, n / 3)", "3"),
        ("Sorted by date, but 3 files lack one: not 3 rows, as expected 3 lines up.", "print(n)", "3"),
    ],
)
def test_a_step_that_follows_from_what_was_seen_passes(thought: str, code: str, reference: str) -> None:
    assert find_leak(Step(thought=thought, code=code), [reference], QUESTION, BEFORE) is None


@pytest.mark.parametrize(
    "thought, code",
    [
        ("The total is 142, so I check that.", "print(total == 142)"),
        ("I hand it in.", "final_answer_print(sympy.Integer(142))"),
        ("I hand it in.", "final_answer_print(round(142))"),
        ("I hand it in.", "final_answer_print([142][0])"),
        ("I set it.", "ans: int = 142\nfinal_answer_print(ans)"),
        ("I set it.", "a, ans = 1, 142\nfinal_answer_print(ans)"),
        ("I set it.", "ans = 1_42\nfinal_answer_print(ans)"),
        ("I set it.", "print(ans := 142)"),
        ("I define it.", "def f():\n    return 142\nfinal_answer_print(f())"),
        ("I define it.", "def f():\n    return 1, 142\nfinal_answer_print(f()[1])"),
        ("I define it.", "f = lambda: 142\nfinal_answer_print(f())"),
        ("I choose.", "print(142 if total else 0)"),
        ("I check.", "assert total == 142"),
        ("I check.", "for total in range(500):\n    if total == 142:\n        print(total)"),
        ("The answer is 142.", "print(n * 142)"),
    ],
)
def test_an_answer_that_the_code_holds_in_any_place_of_a_result_is_caught(thought: str, code: str) -> None:
    assert find_leak(Step(thought=thought, code=code), ["142"], QUESTION, BEFORE)


@pytest.mark.parametrize(
    "thought, code, reference",
    [
        ("The even ones.", "if n % 2 == 0:\n    print(n)", "0"),
        ("A recursion.", "def f(k):\n    return 1 if k == 0 else k * f(k - 1)", "1"),
        ("Two counters.", "a, b = 0, 1\nprint(b)", "1"),
        ("Rounded.", "print(round(n / 7, 3))", "3"),
        ("I try some.", "for k in range(142):\n    print(k)", "142"),
        ("So times 142.", "print(n * 142)", "142"),
        ("At least as many, k >= 142, that is greater than or equal to 142.", "print(k + 142)", "142"),
        ("A point.", "print(distance((3, 142), (0, 0)))", "142"),
        ("These.", "weights = [3, 142, 8]\nprint(sum(weights))", "142"),
    ],
)
def test_a_number_to_compute_with_or_too_small_to_tell_passes(thought: str, code: str, reference: str) -> None:
    assert find_leak(Step(thought=thought, code=code), [reference], QUESTION, BEFORE) is None


def test_the_answer_is_taken_out_of_a_diagnosis_unless_it_was_seen() -> None:
    def redacted(text: str, *references: str) -> str:
        return redact(text, references, QUESTION, BEFORE)

    text = "The result should be 54, i.e. 54.0, not 108."
    assert redacted(text, "54") == "The result should be [...], i.e. [...], not 108."
    assert redacted(text, "108") == text
    assert redacted("It was Marie Curie.", "Marie Curie", "Curie") == "It was [...]."
    whole = "It should look for Theodore Francis Green instead."
    assert redacted(whole, "Green", "Theodore Francis Green") == "It should look for [...] instead."
    assert redacted("It says 3/8.", r"\frac{3}{8}") == "It says [...]."


@pytest.mark.parametrize(
    "text, left",
    [
        ("The count should have been 3, not 5.", "The count should have been [...], not 5."),
        ("It got 5 instead of 3.", "It got 5 instead of [...]."),
        ("Not 5 but 3 rows remain.", "Not 5 but [...] rows remain."),
        ("It prints 5 where 3 was expected.", "It prints 5 where [...] was expected."),
        ("Expected 3, got 5.", "Expected [...], got 5."),
        ("The sum gives **3**, which equals 3.0.", "The sum gives **[...]**, which equals [...]."),
        (r"That is \boxed{3}.", r"That is \boxed{[...]}."),
        ("There were 3 of the 4 to count.", "There were [...] of the 4 to count."),
        ("In step 3 and lines 2, 3 and 4 the rows are lost.", None),
        ("Take x**3 and x^3, then divide the sum by 3, that is n / 3.", None),
        ("The student used 2 of the 4 numbers.", None),
    ],
)
def test_a_single_digit_that_was_not_seen_stays_only_where_it_can_be_no_result(text: str, left: str | None) -> None:
    assert redact(text, ["3"], QUESTION, BEFORE) == (left or text)


def test_a_single_digit_that_stands_in_the_question_is_taken_out_where_it_is_said_to_be_the_result() -> None:
    text = "Of the 9 eggs 8 were counted; it should be 9, not 8."
    assert redact(text, ["9"], QUESTION, BEFORE) == "Of the 9 eggs 8 were counted; it should be [...], not 8."
    printed = Step(thought="One row.", code="print(n // 12)", observation="9")
    assert redact(text, ["9"], QUESTION, [*BEFORE, printed]) == text


BOTH = "Are both films from the same country?"
PLANNED = Step(thought="I look both up.", observation="No Code Executed.")
LOOKED_UP = Step(thought="The first.", code='print(web_search("Femme Fatale"))', observation="A French film.")


@pytest.mark.parametrize(
    "thought, code, reference",
    [
        ("There is no information yet, so I search.", 'print(web_search("Ghoul"))', "no"),
        ("The result holds no date. If none is true, I search on.", "print(n)", r"\boxed{No}"),
        ("If none of them match, no result is of use.", "print(n)", "none"),
        ("If that is true in both, I compare.", "found: bool = True\nprint(n)", "True"),
        ("The answer is to be yes or no.", 'final_answer_print("yes" if a == b else "no")', "yes"),
    ],
)
def test_words_of_everyday_sentences_are_no_answer_where_nothing_says_so(
    thought: str, code: str, reference: str
) -> None:
    assert find_leak(Step(thought=thought, code=code), [reference], BOTH, [PLANNED]) is None
    assert redact(thought, [reference], BOTH, [PLANNED]) == thought


@pytest.mark.parametrize(
    "thought, code, reference",
    [
        ("The answer is no.", "print(n)", "no"),
        ("So the final answer is: no (they differ).", "print(n)", "no"),
        ("The answer to the question is therefore yes, as both are.", "print(n)", "Yes"),
        ("I hand it in.", 'final_answer_print("No")', r"\boxed{no}"),
        ("I hand it in.", r'final_answer_print("\\boxed{No}")', "No"),
        ("I hand it in.", "final_answer_print(True)", "true"),
    ],
)
def test_yes_or_no_is_answered_only_after_something_was_observed(thought: str, code: str, reference: str) -> None:
    step = Step(thought=thought, code=code)
    assert find_leak(step, [reference], BOTH, [PLANNED])
    assert find_leak(step, [reference], BOTH, [PLANNED, LOOKED_UP]) is None


@pytest.mark.parametrize(
    "text, left",
    [
        (
            "There is no date on the second, so it should be no, not yes.",
            "There is no date on the second, so it should be [...], not yes.",
        ),
        ("The answer should be 'No', as no film is French.", "The answer should be '[...]', as no film is French."),
        ("It says yes instead of no.", "It says yes instead of [...]."),
        ("It should end with yes or no.", None),
    ],
)
def test_no_is_taken_out_of_a_diagnosis_where_it_is_said_to_be_the_answer(text: str, left: str | None) -> None:
    assert redact(text, ["no"], BOTH, [PLANNED, LOOKED_UP]) == (left or text)


def test_an_error_that_an_observation_shows_may_be_spoken_of() -> None:
    failed = Step(thought="Half.", code="print(m)", observation="NameError: name 'm' is not defined")
    step = Step(thought="The error says that m is not defined, so I use n.", code="print(n // 2)")
    assert find_leak(step, ["54"], QUESTION, [*BEFORE, failed]) is None
    assert find_leak(step, ["54"], QUESTION, BEFORE)


def test_what_the_question_speaks_of_is_no_talk() -> None:
    question = "Anna wrote 5 for half of 12. What is the error, and what is the correct result?"
    step = Step(thought="The error is in the division; the correct result is half of 12.", code="print(12 / 2)")
    assert find_leak(step, ["6"], question, []) is None


def test_the_expected_value_of_chance_may_be_computed() -> None:
    plan = Step(thought="I compute the expected value of one throw and double it.")
    step = Step(thought="The expected value is the mean of the faces.", code="print(sum(range(1, 7)) / 6)")
    assert find_leak(step, ["7"], "How much do two dice show on average?", [plan]) is None
    assert find_leak(step, ["7"], "How much do two dice show on average?", [])


CHOICE = """Which process forms the folds that a thaw leaves?
A. slow creep
B. sudden collapse
C. slow creep with
ice wedges"""
FOUND = Step(thought="I search.", code='web_search("folds")', observation="Creep folds the ground.")


@pytest.mark.parametrize(
    "text, left",
    [
        ("The folds come from Slow creep.", "The folds come from [...]."),
        ("It should choose option A, slow creep.", "It should choose option [...], [...]."),
        ("The answer is (A), not B.", "The answer is [...], not B."),
        ("The right one (option 'A') was not taken.", "The right one (option [...]) was not taken."),
        ("Pick A. slow creep instead.", "Pick [...] instead."),
        ("slow creep with ice wedges was taken too early.", "slow creep with ice wedges was taken too early."),
        ("It takes B, sudden collapse, without looking. A search is missing.", None),
    ],
)
def test_the_right_option_is_taken_out_of_a_diagnosis_but_not_the_others(text: str, left: str | None) -> None:
    for reference in (r"\boxed{A}", "slow creep"):
        assert redact(text, [reference], CHOICE, []) == (left or text)
        assert redact(text, [reference], CHOICE, [FOUND]) == text, "an observation speaks for it"


@pytest.mark.parametrize(
    "thought, code",
    [
        ("It must be the creep.", 'final_answer_print("slow creep")'),
        ("I choose.", 'choice = "A"\nprint(choice)'),
        ("I choose.", 'final_answer_print("A. slow creep")'),
        ("Option A fits.", "print(folds)"),
        ("I look for slow creep.", 'print(web_search("what is slow creep?"))'),
        ("I test.", 'for key, text in choices.items():\n    if text == "slow creep":\n        print(key)'),
    ],
)
def test_the_right_option_may_be_picked_only_on_evidence(thought: str, code: str) -> None:
    step = Step(thought=thought, code=code)
    for reference in (r"\boxed{A}", "slow creep"):
        assert find_leak(step, [reference], CHOICE, [])
        assert find_leak(step, [reference], CHOICE, [FOUND]) is None


def test_what_the_student_printed_itself_is_no_evidence() -> None:
    own = Step(thought="I list.", code='print("slow creep: folds")', observation="slow creep: folds")
    assert find_leak(Step(thought="So.", code='final_answer_print("A")'), ["A"], CHOICE, [own])


@pytest.mark.parametrize(
    "thought, code",
    [
        ("I weigh slow creep against sudden collapse.", "print(folds)"),
        ("I lay them out.", 'choices = {"A": "slow creep", "B": "sudden collapse"}\nprint(choices)'),
        ("It is ice.", 'final_answer_print("slow creep with ice wedges")'),
        ("A letter in the code is no choice.", 'a = symbols("A")\nprint(a)'),
        ("The option I take comes later.", "print(folds)"),
    ],
)
def test_to_lay_out_options_or_to_pick_another_is_no_leak(thought: str, code: str) -> None:
    assert find_leak(Step(thought=thought, code=code), ["A"], CHOICE, []) is None


def test_an_option_that_is_a_formula_rests_on_anything_computed() -> None:
    question = "How many subsets?\nA. $C_{9}^{2}$\nB. $C_{8}^{3}$"
    step = Step(thought="It fits.", code='final_answer_print("B")')
    computed = Step(thought="I count.", code="print(comb(8, 3))", observation="56")
    assert find_leak(step, ["B"], question, [Step(thought="I will count.")])
    assert find_leak(step, ["B"], question, [computed]) is None


@pytest.mark.parametrize("code", ["-" * 5000 + "1", "(" * 500 + ")" * 500, "x = 0x" + "f" * 6000, "x = 1e999", "\0"])
def test_code_of_any_kind_is_read(code: str) -> None:
    assert find_leak(Step(thought="I compute.", code=code), ["54", "1e9999999"], QUESTION, BEFORE) is None
