"""Answers that a model should not hand in, but may: none hangs, crashes, or passes for the reference."""

from collections.abc import Iterator

import pytest

from score.answers import Equivalence

HOSTILE = {
    "10 kB of fractions": "\\frac{" * 1500 + "1" + "}" * 1500,
    "open braces": "{" * 10_000,
    "closing braces": "}" * 10_000,
    "unclosed boxes": "\\boxed{" * 1400,
    "nested boxes": "\\boxed{" * 1000 + "x" + "}" * 1000,
    "a tower of powers": "9^{9^{9^{9^9}}}",
    "a long tower of powers": "2^{" * 50 + "2" + "}" * 50,
    "a tower in Python": "2**2**2**2**2**2",
    "a power too long to write": "10^{10^{10}}",
    "a factorial": "99999999!",
    "factorials of factorials": "((((10!)!)!)!)",
    "a huge exponent": "1e999999999",
    "a large exponent": "1e999",
    "ten thousand digits": "9" * 10_000,
    "many decimals": "0." + "3" * 9000,
    "a division by zero": "1/0",
    "a fraction of zero": "\\frac{1}{0}",
    "nothing by nothing": "0/0",
    "NUL": "\x00",
    "NUL after a number": "5\x00",
    "many NUL": "\x00" * 5000,
    "a lone surrogate": "\ud800",
    "a number and a lone surrogate": "5\udfff",
    "a surrogate as text": "\\text{\ud800}",
    "nested roots": "\\sqrt{" * 1000,
    "open powers": "x^" * 900,
    "open parentheses": "(" * 900,
    "nested parentheses": "(" * 900 + "1" + ")" * 900,
    "open brackets": "[" * 1900,
    "unclosed left": "\\left(" * 1500,
    "unclosed matrices": "\\begin{pmatrix}" * 120,
    "a long matrix": "\\begin{pmatrix}" + "1&" * 900 + "\\end{pmatrix}",
    "articles": "a " * 5000,
    "a long list": "1," * 900,
    "broken thousands": "1,111," * 300,
    "a long sum": "1+" * 900 + "1",
    "a huge binomial power": "(x+1)^{1000000}",
    "open integrals": "\\int_0^1" * 200,
    "a sum without end": "\\sum_{n=1}^{10^{12}} \\sin(n^{n})",
    "open sines": "\\sin(" * 300,
    "dollars": "$" * 9999,
    "backslashes": "\\" * 10_000,
    "options": "A. " * 3000,
    "a right-to-left mark": "\u202e5",
    "mathematical digits": "𝟝" * 50,
    "raised digits": "²" * 500,
    "percent signs": "%" * 3000,
    "code": "__import__('os').system('true')",
    "line breaks": "\n" * 9000,
    "minus signs": "-" * 500 + "1",
    "bars": "|" * 300,
    "a long word before a number": "a" * 1900 + " is 5",
    "equations": "x=1," * 400,
    "an open string of units": "5 " + "m/" * 900,
}


@pytest.fixture(scope="module")
def equivalence() -> Iterator[Equivalence]:
    with Equivalence(workers=1) as made:
        yield made


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_costs_no_hang_and_no_crash(equivalence: Equivalence, name: str) -> None:
    answer = HOSTILE[name]
    assert equivalence.equal_now(["4"], answer, question=answer).equal is not True
    assert equivalence.equal_now(["1/2"], "0.5").equal is True  # it still answers


def test_a_hostile_reference_is_no_crash_either(equivalence: Equivalence) -> None:
    for name in ("a lone surrogate", "NUL", "open braces", "a division by zero", "a huge exponent"):
        assert equivalence.equal_now([HOSTILE[name]], "4").equal is not True


def test_a_worker_that_died_is_started_again(equivalence: Equivalence) -> None:
    assert equivalence.equal_now(["x+1"], "1+x").equal is True
    for worker in equivalence._workers:
        assert worker._process is not None
        worker._process.kill()
        worker._process.wait()
    assert equivalence.equal_now(["x+1"], "1+x").equal is True
