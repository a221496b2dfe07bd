r"""Numbers and quantities: `\frac{3}{4}`, `1\frac45`, `2 million`, `third`, `7 miles`, `15\mbox{ cm}^2`, `\$36`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from score.answers.text import clean, ungrouped

LONGEST_NUMBER = 60  # characters
_PART = r"(?:\{\s*([-+]?[\d.]+)\s*\}|\s*(\d))"
_FRAC = re.compile(rf"([-+]?)\s*(\d+)?\s*\\frac\s*{_PART}\s*{_PART}")
_QUOTIENT = re.compile(r"([-+]?)(?:(\d+)\s+)?(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)")
_DECIMAL = r"[-+]?\s*(?:\d+(?:\.\d*)?|\.\d+)"
_NUMBER = re.compile(rf"{_DECIMAL}(?:[eE][-+]?\d{{1,3}})?")
_SCIENTIFIC = re.compile(rf"({_DECIMAL})\s*(?:\\times|\\cdot|\*|x)\s*10\s*(?:\^|\*\*)\s*\{{?\s*([-+]?\d{{1,3}})\s*\}}?")
_LEADING = re.compile(
    rf"\$?\s*({_SCIENTIFIC.pattern}|{_FRAC.pattern}|{_QUOTIENT.pattern}|{_NUMBER.pattern})(?![\d\\/])\s*(.*)"
)

_ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_ORDINALS = """zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth
    fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth"""
WORDS = {word: value for value, word in enumerate(_ONES.split())}
WORDS |= {word: value for value, word in enumerate(_ORDINALS.split())}
for _value, _word in enumerate(_TENS.split(), 2):
    WORDS |= {_word: 10 * _value, _word[:-1] + "ieth": 10 * _value}
    WORDS |= {
        f"{_word}-{one}": 10 * _value + WORDS[one] for one in (_ONES + " " + _ORDINALS).split() if 0 < WORDS[one] < 10
    }
SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}

# name -> (dimension, how many of the dimension's first unit). Temperatures are dimensions of their own: their zeros
# differ, so that no factor converts them.
_TABLE = {
    "length": "m meter metre=1 mm millimeter millimetre=1/1000 cm centimeter centimetre=1/100 "
    "km kilometer kilometre=1000 in inch inche=127/5000 ft foot feet=381/1250 yd yard=1143/1250 mi mile=201168/125",
    "time": "s sec second 秒=1 ms millisecond=1/1000 min minute 分钟=60 h hr hour 小时=3600 day=86400 week=604800",
    "year": "year yr 年=1 decade=10 century centurie=100 month=1/12",
    "mass": "kg kilogram=1 g gram=1/1000 mg milligram=1/1000000 lb pound=45359237/100000000 t ton tonne=1000",
    "volume": "l liter litre=1/1000 ml milliliter millilitre=1/1000000",  # of a cubic metre
    "frequency": "hz hertz=1 khz kilohertz=1000 mhz megahertz=1000000 ghz gigahertz=1000000000",
    "angle": r"^\circ degree deg=1",
    "share": "% percent percentage=1",
    "dollar": "$ dollar usd us$=1 cent=1/100",
    "celsius": r"^\circc celsius degreescelsius degreecelsius=1",
    "fahrenheit": r"^\circf fahrenheit degreesfahrenheit degreefahrenheit=1",
    "count": "unit=1",
}
_OTHER_IN_CAPITALS = frozenset("MSGTH")  # 10M are 10 million, 5G a network; only l is written L as well
_DECADE = re.compile(r"[12]\d\d0s")
_SCALE_OR_UNIT = _OTHER_IN_CAPITALS | {"K", "B"}
_SHORT_SCALES = {"K": 10**3, "k": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_WITH_LETTER = re.compile(r"(.*\d)\s?([A-Zk])")
UNITS = {
    name: (dimension, Fraction(entry.split("=")[1]))
    for dimension, entries in _TABLE.items()
    for entry in re.findall(r"[^=]+=\S+", entries)
    for name in entry.split("=")[0].split()
}


DOLLAR = (("dollar", 1),)


@dataclass(frozen=True)
class Quantity:
    """An exact value; `unit` is () for a bare number, else ((dimension, power), ...); `factor` leads to base units."""

    value: Fraction
    factor: Fraction = Fraction(1)
    unit: tuple[tuple[str, int], ...] = ()

    def measured_as(self, other: "Quantity") -> bool:
        """Are the two values of one unit, as far as is written?"""
        return not (self.unit and other.unit) or (self.unit, self.factor) == (other.unit, other.factor)


def _fraction(sign: str | None, whole: str | None, above: str, below: str) -> Fraction | None:
    try:
        value = Fraction(whole or 0) + Fraction(above) / Fraction(below)
    except (ValueError, ZeroDivisionError):  # `1.2.3` or a division by zero: no number
        return None
    return -value if sign == "-" else value


def number(text: str) -> Fraction | None:
    r"""The exact value of `1,234`, `-0.5`, `3/4`, `1\frac{3}{4}`, `6.7 \times 10^{-5}`, `$12`, `12%` (as 12), `third`,
    `2 million`; else None."""
    text = ungrouped(clean(text)).strip("$% ")
    if text.startswith(("-$", "+$")):
        text = text[0] + text[2:]
    if not text or len(text) > LONGEST_NUMBER:
        return None
    if found := _FRAC.fullmatch(text):
        return _fraction(found[1], found[2], found[3] or found[4], found[5] or found[6])
    if found := _QUOTIENT.fullmatch(text):
        return _fraction(found[1], found[2], found[3], found[4])
    if found := _SCIENTIFIC.fullmatch(text):
        return Fraction(found[1].replace(" ", "")) * Fraction(10) ** int(found[2])
    if _NUMBER.fullmatch(text):
        return Fraction(text.replace(" ", ""))
    return _in_words(text.casefold())


def _in_words(text: str) -> Fraction | None:
    if found := re.fullmatch(r"(\d+)(?:st|nd|rd|th)", text):
        return Fraction(found[1])
    if text in WORDS:
        return Fraction(WORDS[text])
    amount, _, scale = text.rpartition(" ")
    if scale not in SCALES:
        return None
    amount_value = Fraction(1) if amount in ("a", "one") else number(amount)
    return None if amount_value is None else amount_value * SCALES[scale]


def unit(text: str) -> tuple[Fraction, tuple[tuple[str, int], ...]] | None:
    """(factor, ((dimension, power), ...)) of `cm^2`, `square miles`, `km/h`, `miles per hour`; None if unknown."""
    if text.strip() in _OTHER_IN_CAPITALS:
        return None
    factor = Fraction(1)
    powers: dict[str, int] = {}
    for position, part in enumerate(re.split(r"/|\bper\b", text.casefold().replace("{", "").replace("}", ""))):
        part = part.strip().rstrip(".")
        power = 1
        for prefix, raised in (("square ", 2), ("sq ", 2), ("sq. ", 2), ("cubic ", 3)):
            if part.startswith(prefix):
                part, power = part.removeprefix(prefix).strip(), raised
        if found := re.fullmatch(r"(\w+?)\s*\^?\s*([23])", part):
            part, power = found[1], int(found[2])
        part = part.replace(" ", "")
        known = UNITS.get(part) or UNITS.get(part.removesuffix("s"))
        if known is None:
            return None
        sign = -1 if position else 1
        factor *= known[1] ** (sign * power)
        dimension, power = ("length", 3 * power) if known[0] == "volume" else (known[0], power)
        powers[dimension] = powers.get(dimension, 0) + sign * power
    return factor, tuple(sorted(powers.items()))


def quantity(text: str) -> Quantity | None:
    """A number, with or without a known unit after it (or a dollar sign before it); else None."""
    cleaned = ungrouped(clean(text))
    if (bare := number(cleaned)) is not None and "%" not in cleaned:
        money = "\\$" in text or text.count("$") == 1  # two of them enclose a formula
        return Quantity(bare, unit=DOLLAR) if money else Quantity(bare)
    if _DECADE.fullmatch(cleaned):
        return None
    if len(cleaned) > 2 * LONGEST_NUMBER or not (found := _LEADING.fullmatch(cleaned)):
        words = cleaned.casefold().split(" ", 1)
        if len(words) < 2 or words[0] not in WORDS or (measured := unit(words[1])) is None:
            return None
        return Quantity(Fraction(WORDS[words[0]]), *measured)
    rest = found[found.re.groups].strip()
    scale, _, after = rest.partition(" ")
    value = number(found[1])
    if scale.casefold() in SCALES and value is not None:
        value, rest = value * SCALES[scale.casefold()], after
    measured = unit(rest)
    return None if measured is None or value is None else Quantity(value, *measured)


def same_shorthand(reference: str, answer: str) -> tuple[bool | None, str] | None:
    """For `10M`, `5 V` or `1990s` on one side and a quantity on the other: `10M` is 10 million where the other says so,
    and else nobody knows what it may be. None where this rule does not apply."""
    texts = ungrouped(clean(reference)), ungrouped(clean(answer))
    if len(decades := [text for text in texts if _DECADE.fullmatch(text)]) == 1:
        other = texts[decades[0] == texts[0]]
        return (None, "decade") if _LEADING.fullmatch(other) else None
    for short, other in (texts, texts[::-1]):
        found, known = _WITH_LETTER.fullmatch(short), quantity(other)
        if not found or quantity(short) or known is None or (value := number(found[1])) is None:
            continue
        meant = value * _SHORT_SCALES.get(found[2], 0)
        if meant and known.unit in ((), DOLLAR) and same_number(meant, known.value * known.factor):
            return True, "shorthand"
        if found[2] in _SCALE_OR_UNIT or (found[2].isupper() and same_number(value, known.value)):
            return None, "shorthand"
    return None


def close(reference: Fraction, answer: Fraction, tolerance: Fraction) -> bool:
    """Equal up to a part of the larger one."""
    return abs(reference - answer) <= tolerance * max(abs(reference), abs(answer))


def same_number(reference: Fraction, answer: Fraction) -> bool:
    """Equal up to the rounding noise of floats (1e-9 relative), so that 0.1 + 0.2 is 0.3 and 1/3 is not 0.333. Whole
    numbers are exact."""
    if reference.denominator == answer.denominator == 1:
        return reference == answer
    return close(reference, answer, Fraction(1, 10**9))


def _factors(units: Iterable[tuple[str, Fraction]], dimension: str, power: int) -> set[Fraction]:
    """What the units of a kind are in base units; litres are of one kind with cubes of a length."""
    kinds = {dimension: power} | ({"volume": 1} if (dimension, power) == ("length", 3) else {})
    return {factor ** kinds[kind] for kind, factor in units if kind in kinds}


def _units_named(question: str) -> set[tuple[str, Fraction]]:
    words = re.findall(r"[^\W\d_]{2,}", question.casefold())
    return {UNITS[name] for word in words for name in (word, word.removesuffix("s")) if name in UNITS and name != "in"}


def same_quantity(reference: Quantity, answer: Quantity, question: str = "") -> tuple[bool | None, str]:
    """(decision, rule). Units convert; a unit that only one side writes is taken to be the one that was asked for,
    unless the question names another unit of its kind."""
    if not reference.unit and not answer.unit:
        return same_number(reference.value, answer.value), "number"
    if reference.unit and answer.unit:
        left, right = reference.value * reference.factor, answer.value * answer.factor
        if reference.unit == answer.unit:
            rounded = reference.factor != answer.factor and close(left, right, Fraction(1, 100))
            same = same_number(left, right)
            return (
                None if rounded and not same else same
            ), "unit"  # 7 miles and 11.3 km: the judge knows what is asked
        kinds = {kind for kind, _ in reference.unit + answer.unit}
        # degrees may be those of a temperature; a year has 365 days, or 366, and a month 28 to 31
        if kinds <= {"celsius", "fahrenheit", "angle"} or {"time", "year"} <= kinds:
            return None, "unit"
        # `5 min` read as minutes might be metres to someone else: the judge sees both
        return (None if same_number(reference.value, answer.value) else False), "unit"
    measured, bare = (reference, answer) if reference.unit else (answer, reference)
    (dimension, power), *others = measured.unit
    named = _factors(_units_named(question), dimension, power)
    if same_number(measured.value, bare.value):
        return (None if named and not others and measured.factor not in named else True), "unit"
    if others or not measured.value or not bare.value:
        return False, "unit"
    convertible = _factors(UNITS.values(), dimension, power)
    ratio = bare.value / measured.value
    if dimension == "share":
        return same_number(ratio, Fraction(1, 100)), "percent"
    return (None if any(same_number(ratio, measured.factor / one) for one in convertible) else False), "unit"
