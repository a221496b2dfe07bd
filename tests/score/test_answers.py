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
        (r"\frac 59", r"\dfrac{5}{9}", True),
        (r"1\frac{4}{5}", "1.8", True),
        (r"6.72 \times 10^{-5}", ".0000672", True),
        ("2 million", "2,000,000", True),
        ("third", "3", True),
        ("17", "The answer is 17", True),
        (r"\sqrt{2}", r"**Answer:** $\sqrt{2}$", True),
        (r"\sqrt{2}", r"The final answer is $\boxed{\sqrt{2}}$. I hope it is right.", True),
        (r"\frac{\sqrt{3}}{2}", r"\mathrm{\frac{\sqrt{3}}{2}}", True),
        (r"11,\! 111,\! 111", "11111111", True),
        (r"10{,}080", "10 080", True),
        ("(1,234)", "1234", None),
        ("854.12", "854.1225", None),
        ("3,384,569", "3.4 million", None),
        ("3,384,569", "2 million", False),
        ("5!", "5", None),
        ("5 ways", "5! ways", None),
        ("n ways", "n! ways", None),
        ("It is Paris", "It is Paris!", True),
        ("5 km", ".5 km", False),
        ("0.5 km", ".5 km", True),
        ("2 1 ratio", "2:1 ratio", None),
        ("2:1 ratio", "2 : 1 ratio.", True),
        ("Chapter 5: the end", "chapter 5 the end", True),
        ("1099511627776", "1099511627775", False),
        ("1099511627776", "1099511627776.0", True),
        ("52", "5²", None),
        ("5^2", "5²", True),
        ("x^2+1", "x²+1", True),
        ("10^{-5}", "10⁻⁵", True),
        ("2^{n+1}", "2ⁿ⁺¹", True),
        ("2nd", "2ⁿᵈ", True),
        ("15 cm^2", "15 cm²", True),
        ("52_8", "52₈", True),
        ("528", "52₈", None),
        ("H2O", "H₂O", True),
        ("H_2O", "H₂O", True),
        ("the gas CO2", "the gas CO₂", True),
        ("CaCl_2", "CaCl₂", True),
        ("x_{12}", "x12", True),
        ("file_1", "file1", None),
        (r"\log_2 8", r"\log2 8", None),
        ("a+5", "+5", None),
        ("U.S.A.", "USA", True),
        ("yes", "No.", False),
        ("52_8", "52_{9}", False),
        ("52_8", "52_{8}", True),
        ("101_2", r"101_{\text{two}}", True),
        ("101_{ten}", "101_{10}", True),
        ("101_2", "0101_2", True),
        ("101_2", "5_{8}", None),
        ("101_2", "102_2", None),
    ],
)
def test_rules_decide_or_say_that_they_cannot(reference: str, answer: str, expected: bool | None) -> None:
    assert equal_by_rule(reference, answer)[0] is expected


@pytest.mark.parametrize(
    ("reference", "answer", "question", "expected"),
    [
        ("Hark Tsui", "Tsui Hark", "", True),
        ("Tsui Hark Wong", "Hark Tsui Wong", "", None),
        ("of the", "the of", "", None),
        (r"40^\circ C \text{ and } 75\% \text{ relative humidity}", "40°C and 75% relative humidity (RH)", "", True),
        ("World Health Organization (WHO)", "World Health Organization", "", True),
        ("World Health Organization (UNO)", "World Health Organization", "", None),
        ("Nippon Television Network Corporation (NTV)", "Nippon Television", "", True),
        ("National Basketball Association (NBA)", "National Basketball", "", None),
        ("Rome", "Rome, Italy", "Where did he die?", True),
        ("Paris", "Paris, Texas", "Where did he die?", None),
        ("Rome, Italy", "Rome", "In which city and country did he die?", None),
        ("Trochophore", "trochophore larva", "Annelids have a larval stage. What is it called?", True),
        ("Danube River", "the Danube", "Which river flows through Vienna?", True),
        ("Danube", "Danube Delta", "Which river flows through Vienna?", None),
        ("heavier", "heavier lighter", "Is lead heavier or lighter than iron?", None),
        ("lead", "lead iron", "Which is heavier: lead, iron, tin?", None),
        ("854.12", "854.1225", "A note for $850 was discounted. What were the proceeds?", True),
        ("854.12", "854.1225", "What is the root?", None),
        ("Talk on planning, 9:00-10:00", "talk on planning: 10:00 – 10:30", "When?", False),
        ("Talk on planning, 9:00-10:00", "it is from 9:00 to 10:00", "When?", None),
        ("Talk on planning, 9:00-10:00", "15:00-16:00 (Beijing time, UTC+8)", "When?", None),
        ("854.12", "854.13", "A note for $850 was discounted. What were the proceeds?", False),
    ],
)
def test_one_name_in_two_forms_is_told_where_the_words_say_so(
    reference: str, answer: str, question: str, expected: bool | None
) -> None:
    assert equal_by_rule(reference, answer, question)[0] is expected


@pytest.mark.parametrize(
    ("reference", "answer", "question", "expected"),
    [
        ("0.25", "0.254", "It costs $5 and $6. How much is a bite?", True),
        ("0.25", "0.254", r"It costs \$5, with $x$ bites. How much is a bite?", True),
        ("0.25", "0.254", "How many euros is a bite?", True),
        ("0.25", "0.254", "Find the value of $x$ such that $4x=1$, as a decimal.", None),
        ("0.25", "0.254", "Divide $5$ by $20$.", None),
        ("0.25", "0.254", r"Solve \(4x=1\) for $5", None),
        ("0.25", "0.254", "Which share, in per cent?", None),
        ("0.25", "0.254", "How many pounds does it weigh?", None),
        ("0.25", "0.255", "How many dollars is a bite?", None),
        ("0.25", "0.245", "How many dollars is a bite?", None),
        ("0.33", "1/3", "How many dollars is a bite?", None),
        ("0.25", "0.3", "How many dollars is a bite?", False),
    ],
)
def test_further_decimals_are_right_only_in_a_question_about_money(
    reference: str, answer: str, question: str, expected: bool | None
) -> None:
    assert equal_by_rule(reference, answer, question)[0] is expected


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [
        ("x^2+1", "1+x^2", True),
        ("x^{2}yz", "z*x^2y", True),
        ("x^{2y}", "x^(2y)", True),
        ("x^{2y+1}", "x^2y+1", False),
        ("2e^{2x}", "2*e^2x", None),
        ("e^{2x}", "e^3x", False),
        ("e^{-x}+1", "1+e^-x", True),
        ("2^{12}x", "x*2^12", True),
        (r"\sqrt{x}", "x**0.5", True),
        (r"2^{\sqrt{3}}", "2**sqrt(3)", True),
        (r"x^{\pi}", "x**pi", True),
        (r"\sqrt{2}", "1.41", False),
        (r"\begin{pmatrix}1 & 2\end{pmatrix}", r"\left[\begin{matrix}1 & 2\end{matrix}\right]", True),
        ("100", "100 widgets", None),
        ("Berlin", "Paris", None),
        ("(3,4]", r"3 < x \le 4", True),
        ("(3,4]", "[3,4]", False),
        ("[2,3)", r"\left[2, 3.0\right)", True),
        (r"(-\infty,2)\cup[3,\infty)", r"x<2 \text{ or } x \geq 3", True),
        (r"(-\infty,2)\cup[3,\infty)", "x<2 or x>3", False),
        (r"x \in [-2,7]", "[-2,7]", True),
        ("1,-2", "x=-2, x=1", True),
        ("1,-2", "1, 2", False),
        (r"\{1,2\}", "{2, 1}", True),
        (r"\{1,2\}", "{1,2,3}", False),
        ("(1,2)", "(2,1)", False),
        (r"1 \pm \sqrt{19}", r"1-\sqrt{19}, 1+\sqrt{19}", True),
        (r"\tan(x-y) = \frac{1}{7}", r"\frac{1}{7}", True),
        (r"\sum_{n=1}^{9} n = 45", "45", True),
        ("y=2x+3", "2x+3", True),
        ("x^2+y^2=1", "1", None),
        (r"90^\circ", r"\frac{\pi}{2}", True),
        ("10^{10^{10}}", "3", None),
        (r"\frac{3\sqrt{13}}{2}", "3*sqrt(13)/2", True),
        (r"\left(3, \frac{\pi}{2}\right)", "(3, pi/2)", True),
        ("x^{12} - 1", "x**12 - 1", True),
        ("6+9i", "9*I + 6", True),
        ("(3,4]", "Interval.Lopen(3, 4)", True),
        (r"(-\infty,2)\cup(3,\infty)", "Union(Interval.open(-oo, 2), Interval.open(3, oo))", True),
        (r"\begin{pmatrix} -1/3 \\ 2 \end{pmatrix}", "Matrix([[-1/3], [2]])", True),
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", "[[1, 2], [3, 4]]", True),
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", "[[1. 2.]\n [3. 4.]]", True),
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", "array([[1, 2],\n       [3, 4]])", True),
        (r"\begin{pmatrix} 1/2 \\ \sqrt{3} \end{pmatrix}", "[[1/2], [sqrt(3)]]", True),
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", "[[1, 2], [3, 5]]", False),
        (r"\{[1,2],[3,4]\}", "[[1, 2], [3, 4]]", True),
        ("6-5i", "(6-5j)", True),
        ("6-5i", "6+5j", False),
        ("2x+3", "2j+3", False),
        ("y = 2x", "Eq(y, 2*x)", True),
        ("Life of Pi", "pi", None),
        ("}{" * 3000, "{" * 9000, None),
    ],
)
def test_mathematics_is_compared_in_a_worker(
    equivalence: Equivalence, reference: str, answer: str, expected: bool | None
) -> None:
    assert equivalence.equal_now([reference], answer).equal is expected


@pytest.mark.parametrize(
    ("reference", "answer", "question", "expected"),
    [
        (r"15\mbox{ cm}^2", "15 square centimeters", "", True),
        (r"15\mbox{ cm}^2", "0.0015 m^2", "", True),
        ("320 km/h", "320 kilometers per hour", "", True),
        ("7 miles", "8 miles", "", False),
        ("7 miles", "11.3 km", "", None),
        (r"75^\circ", r"\frac{8}{15}", "", False),
        ("5 kg", "3 m", "", False),
        ("100", "100 MHz", "", True),
        ("8", "8 m", "How many kilometers is it?", None),
        ("8", "8 km", "How many kilometers is it?", True),
        ("8 km", "8000", "", None),
        (r"\$36", "36 dollars", "", True),
        (r"\$5", "5 cents", "", False),
        (r"50\%", "0.5", "", True),
        (r"50\%", "50", "", True),
        (r"50\%", "51", "", False),
        (r"90^\circ", "90 degrees", "", True),
        ("20°C", "68°F", "", None),
        ("20°C", "68 degrees", "", None),
        ("1 L", "1000 cm^3", "", True),
        ("1 g/mL", "1 g/cm^3", "", True),
        ("2 L", "1000 cubic centimeters", "", False),
        ("1 L", "1000", "", None),
        ("8", "8 m^3", "How many liters does it hold?", None),
        ("1 year", "365 days", "", None),
        ("1 month", "30 days", "", None),
        ("24 months", "2 years", "", True),
        ("5 weeks", "5 kg", "", None),
        # rounded beside a unit: as without one
        (r"\$0.25", "0.254", "", True),
        (r"\$0.25", "0.256", "", False),
        ("0.25 m", "0.254", "", None),
        ("0.25 m", "0.254 m", "", None),
        ("0.25 m", "0.254 cm", "", False),
        ("3.14 cm^2", "3.1416 square cm", "", None),
        ("3.14 cm^2", "3.15 cm^2", "", False),
        ("0.25 cents", "0.254 cents", "", None),
        ("3.25 hours", "3.254 hours", "He earns \\$20 an hour. How long does he work?", None),
        ("12.35%", "12.346", "", None),
        (r"\$2 million", r"\$2,050,000", "", None),
    ],
)
def test_units_convert_and_a_missing_one_is_the_one_asked_for(
    reference: str, answer: str, question: str, expected: bool | None
) -> None:
    assert equal_by_rule(reference, answer, question)[0] is expected


INLINE = "Which is even? (A) 3 (B) 4 (C) 5"
LINES = "Who or what?\nA. John F. Kennedy\nB. Vitamin C. Forte\nC. red"
LATEX = r"How many? $\textbf{(A)}\ 12 \qquad\textbf{(B)}\ 13 \qquad\textbf{(C)}\ 14$"


@pytest.mark.parametrize(
    ("question", "reference", "answer", "expected"),
    [
        (INLINE, "B", "4", True),
        (INLINE, "4", "(b)", True),
        (INLINE, "B", "5", False),
        (INLINE, "C", "B. 4", False),
        (INLINE, "B", "B. 3", None),
        (LINES, "A", "John F. Kennedy", True),
        (LINES, "B", "red", False),
        (LATEX, "B", "13", True),
        (LATEX, "B", "14", False),
        ("", "(B)", "b", True),
        ("", "B", "Berlin", None),
    ],
)
def test_a_choice_is_its_letter_or_its_content(
    question: str, reference: str, answer: str, expected: bool | None
) -> None:
    assert equal_by_rule(reference, answer, question)[0] is expected


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [
        ("20 June 1837", "June 20th, 1837", True),
        ("20 June 1837", "1837-06-20", True),
        ("2024年1月26日", "26 January 2024", True),
        ("20 June 1837", "21 June 1837", False),
        ("20 June 1837", "June 1837", None),
        ("1837", "20 June 1838", False),
        ("2024-01-26", "01/26/2024", True),
        ("26.01.2024", "January 26, 2024", True),
        ("2024-01-26", "2024/1/26", True),
        ("26 January 2024", "27/01/2024", False),
        ("5 May 2011", "05/05/2011", True),
        ("5 June 2011", "05/06/2011", None),
        ("05/06/2011", "06/05/2011", None),
        ("13/13/2011", "5 June 2011", None),
    ],
)
def test_dates_are_compared_as_far_as_they_are_given(reference: str, answer: str, expected: bool | None) -> None:
    assert equal_by_rule(reference, answer)[0] is expected


def test_any_accepted_reference_will_do(equivalence: Equivalence) -> None:
    assert equivalence.equal_now(["NYC", "New York"], "the new york").equal is True


def test_one_value_in_two_bases_is_left_to_the_judge(equivalence: Equivalence) -> None:
    assert equivalence.equal_now(["101_2"], "5_8").equal is None
    assert equivalence.equal_now(["101_2"], "6_8").equal is False
    assert equivalence.equal_now(["101_2"], "102_2").equal is False


RELEASE = (
    "math_bc_init_trajectories.jsonl",
    "math_mps_trajectories_head24.jsonl",
    "search_bc_init_trajectories_head30.jsonl",
    "search_mps_trajectories_head120.jsonl",
)


def test_the_rules_agree_with_the_recorded_verdicts(shared_data: Path, equivalence: Equivalence) -> None:
    """Where the rules decide, they repeat the verdicts that a model gave in the original release.

    One row of 240 decided ones differs: a multiple choice about keeping a drug from oxidising, with A as reference,
    where the answer names another option and was recorded as right. The rules are right: the letters differ, and the
    reference is sound in substance. 11 rows are left to the judge: longer or shorter names of one thing, sentences, and
    a date without its year.
    """

    async def disagreements() -> tuple[int, int, list[tuple[list[str], str]]]:
        decided = left = 0
        different = []
        for name in RELEASE:
            for item in read_trajectories(shared_data / "original_release" / name):
                if not isinstance(item, Trajectory) or item.verdict is None:
                    continue
                answer = item.answer or ""
                match = await equivalence.equal(item.task.references, answer, item.task.question)
                decided += match.equal is not None
                left += match.equal is None
                if match.equal not in (None, item.correct):
                    different.append((item.task.references, answer))
        return decided, left, different

    decided, left, different = asyncio.run(disagreements())
    assert decided - len(different) >= 0.95 * (decided + left), different
    assert decided >= 240 and left <= 11
