"""Other ways to write an answer, and the benchmark files whose answers are rewritten."""

import json
import re
from fractions import Fraction
from pathlib import Path

MATHEMATICS = ("math_500", "olymmath", "aime24", "aime25")
TEXT = ("hqa", "2wiki", "musiq", "bamboo")
_INTEGER = re.compile(r"-?\d+")
_FRACTION = re.compile(r"(-?)\\d?frac\{(\d+)\}\{(\d+)\}")
_UNIT = re.compile(r"(.*\d)\s*\\(?:text|mbox)\{\s*(\w+)\s*\}(\^2)?")


def read_references(folder: Path, name: str) -> list[tuple[str, list[str]]]:
    """(question, accepted answers) of each task of a benchmark file."""
    lines = (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    tasks = [json.loads(line) for line in lines if line.strip()]
    return [
        (task["question"], task["true_answer"] if isinstance(task["true_answer"], list) else [str(task["true_answer"])])
        for task in tasks
    ]


def _decimal(value: Fraction) -> str | None:
    """The value with a decimal point where that is exact within 8 places, else None."""
    scaled = value * 10**8
    if scaled.denominator != 1:
        return None
    digits = f"{abs(int(scaled)):09d}"
    sign = "-" if value < 0 else ""
    return sign + digits[:-8] + "." + (digits[-8:].rstrip("0") or "0")


def _numbers(answer: str) -> dict[str, str]:
    """Rewritings of an integer or a fraction."""
    found: dict[str, str] = {}
    if _INTEGER.fullmatch(answer):
        found["decimal"] = answer + ".0"
        found["fraction"] = rf"\frac{{{2 * int(answer)}}}{{2}}"
        found["unit: text"] = rf"{answer}\text{{ units}}"
        found["unit: words"] = f"{answer} units"
        if len(answer.lstrip("-")) > 3:
            grouped = f"{int(answer):,}"
            for name, mark in (("comma", ","), ("braced comma", "{,}"), ("thin space", r"\,"), (r"comma \!", r",\!")):
                found[f"thousands: {name}"] = grouped.replace(",", mark)
    if re.fullmatch(r"\d{1,3}(,\d{3})+", answer):
        found["thousands: none"] = answer.replace(",", "")
    if fraction := _FRACTION.fullmatch(answer):
        sign, above, below = fraction.groups()
        value = Fraction(int(above), int(below)) * (-1 if sign else 1)
        found["a/b"] = f"{sign}{above}/{below}"
        if exact := _decimal(value):
            found["decimal"] = exact
    return found


def formula_rewritings(answer: str) -> dict[str, str]:
    """Ways to write an answer of mathematics, by name; at least six."""
    bare = answer.strip()
    found = {
        "outer spaces": f"  {bare} \n",
        "boxed": rf"\boxed{{{bare}}}",
        "dollars": f"${bare}$",
        "boxed in dollars": rf"$\boxed{{{bare}}}$.",
        "display": rf"\[ {bare} \]",
        "inline": rf"\({bare}\)",
        "full stop": bare + ".",
    } | _numbers(bare)
    spaced = re.sub(r"(?<![\\{,])\s*([+=()\[\]]|,(?!\d{3}|\\))\s*", r" \1 ", bare)
    if spaced != bare and not re.search(r"\\\\", bare):
        found["inner spaces"] = spaced
    if "frac" in bare:
        found["dfrac"] = re.sub(r"\\d?frac", r"\\dfrac", bare)
        found["tfrac"] = re.sub(r"\\d?frac", r"\\tfrac", bare)
        braced = re.sub(r"(\\d?frac)\s*(\d)\s*(\d)", r"\1{\2}{\3}", bare)
        found |= {"braced fraction": braced} if braced != bare else {}
    if bare[:1] in "([" and bare[-1:] in ")]" and "\\cup" not in bare:
        found["left and right"] = rf"\left{bare[:-1]}\right{bare[-1]}"
    if "=" not in bare and "\\in" not in bare and not re.search(r"text|,|_|matrix|\\pm", bare):
        found["x ="] = f"x = {bare}"
    if "^\\circ" in bare:
        found["unit: left out"] = bare.replace("^\\circ", "")
        found["unit: words"] = bare.replace("^\\circ", " degrees")
        found["unit: sign"] = bare.replace("^\\circ", "°")
    if unit := _UNIT.fullmatch(bare):
        found["unit: left out"] = unit[1]
        found["unit: plain"] = f"{unit[1]} {unit[2]}{unit[3] or ''}"
    if bare.startswith("\\$"):
        found["unit: left out"] = bare.removeprefix("\\$")
        found["unit: words"] = bare.removeprefix("\\$") + " dollars"
    if word := re.fullmatch(r"\\text\{([^{}]*)\}", bare):
        found |= {"plain": word[1], "upper case": word[1].upper(), "lower case": word[1].lower()}
    return found


def text_rewritings(answer: str) -> dict[str, str]:
    """Ways to write an answer in words, by name; at least six."""
    bare = answer.strip()
    article = re.match(r"(?i)(?:the|an?)\s+", bare)
    return {
        "outer spaces": f"  {bare} \n",
        "double spaces": "  ".join(bare.split()),
        "boxed": rf"\boxed{{{bare}}}",
        "boxed text": rf"\boxed{{\text{{{bare}}}}}",
        "upper case": bare.upper(),
        "lower case": bare.lower(),
        "article": bare[article.end() :] if article else f"the {bare}",
        "full stop": bare + ".",
        "quotes": f'"{bare}"',
    } | _numbers(bare)


def shifted_pairs(tasks: list[tuple[str, list[str]]], by: int) -> list[tuple[str, list[str], str]]:
    """(question, references, the answer of the task `by` places on) for tasks that accept no common answer."""
    pairs = []
    for place, (question, references) in enumerate(tasks):
        others = tasks[(place + by) % len(tasks)][1]
        if not {one.strip().casefold() for one in references} & {one.strip().casefold() for one in others}:
            pairs.append((question, references, others[0]))
    return pairs
