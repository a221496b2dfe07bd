"""Dates in the ways that people write them: `11 September 1161`, `September 11, 1161`, `2024-01-26`, `1 June 2011`,
`26/01/2024`; and spans of the clock."""

import re
from collections.abc import Iterator

from score.answers.text import clean

_MONTHS = "january february march april may june july august september october november december".split()
_MONTH = "(?P<month>" + "|".join(f"{name[:3]}(?:{name[3:]})?" if name != "may" else "may" for name in _MONTHS) + r")\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>\d{3,4})"
_WITH_MONTH = (
    rf"(?:the )?{_DAY} (?:of )?{_MONTH},? {_YEAR}",
    rf"{_MONTH} {_DAY},? {_YEAR}",
    rf"{_MONTH},? (?:of )?{_YEAR}",
    r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})",
    r"(?P<year>\d{4})年(?P<month>\d{1,2})月(?P<day>\d{1,2})日",
)
_FORMS = [re.compile(form, re.IGNORECASE) for form in (*_WITH_MONTH, r"(?P<year>[12]\d{3})")]
_IN_NUMBERS = (
    re.compile(r"(?P<year>[12]\d{3})([-/.])(?P<month>\d{1,2})\2(?P<day>\d{1,2})"),
    re.compile(r"(?P<day>\d{1,2})([-/.])(?P<month>\d{1,2})\2(?P<year>[12]\d{3})"),
    re.compile(r"(?P<month>\d{1,2})([-/.])(?P<day>\d{1,2})\2(?P<year>[12]\d{3})"),
)
# Word boundaries mean nothing where a script writes no spaces.
_IN_TEXT = [re.compile(rf"(?<![a-z\d]){form}(?![a-z\d])", re.IGNORECASE) for form in _WITH_MONTH]
_CLOCK = r"(\d{1,2})[:：]([0-5]\d)"
_HOURS = re.compile(rf"(?<!\d)(?<!\d:){_CLOCK}\s*(?:-|–|—|~|to|至|到)\s*{_CLOCK}(?![\d:])")
_ZONE = re.compile(r"\b(?:UTC|GMT|[A-Z]{1,3}[SD]?T|[ap]\.?m\b)|(?:北京|当地|東京|东京)时间", re.IGNORECASE)
Date = tuple[int, int | None, int | None]


def date(text: str) -> Date | None:
    """(year, month, day), with None for what is not given; None if the text is no date."""
    text = " ".join(clean(text).split())
    found = next((_read(found) for form in _FORMS if (found := form.fullmatch(text))), None)
    return found or _in_numbers(text)


def _in_numbers(text: str) -> Date | None:
    """`26/01/2024` and `01/26/2024`; None for `05/06/2024`, of which nobody knows whether the month or the day comes
    first."""
    dates = {_read(found) for form in _IN_NUMBERS if (found := form.fullmatch(text))}
    possible = [(year, month, day) for year, month, day in dates if 1 <= (month or 0) <= 12 and 1 <= (day or 0) <= 31]
    return possible[0] if len(possible) == 1 else None


def find_dates(text: str) -> Iterator[tuple[tuple[int, int], Date]]:
    """The dates in a running text, with where they stand: ((start, end), date). Years alone are not counted; the month
    and year of a full date are found as well."""
    for form in _IN_TEXT:
        for found in form.finditer(text):
            yield found.span(), _read(found)


def _read(found: re.Match[str]) -> Date:
    parts = {"month": None, "day": None} | found.groupdict()
    month, day = parts["month"], parts["day"]
    if month and not month.isdigit():
        month = str(1 + next(at for at, name in enumerate(_MONTHS) if name.startswith(month[:3].casefold())))
    return int(parts["year"] or 0), int(month) if month else None, int(day) if day else None


def other_hours(reference: str, answer: str) -> bool:
    """Whether each names one span of the clock (`9:00-10:00`), and not the same one; nobody can tell across zones."""
    if _ZONE.search(reference + " " + answer):
        return False
    left, right = ({tuple(map(int, found.groups())) for found in _HOURS.finditer(text)} for text in (reference, answer))
    return len(left) == len(right) == 1 and left != right


def same_date(reference: Date, answer: Date) -> bool | None:
    """None where they do not contradict each other, but one says more."""
    if reference == answer:
        return True
    apart = any(a is not None and b is not None and a != b for a, b in zip(reference, answer, strict=True))
    return False if apart else None
