"""`2-1`, `1939-1945`, `10:30`, `2024-01-26`, `555-1234`: numbers with a sign between them that is no operator.

They are a score, years, a time, a date or a telephone number. Mathematics would subtract and divide, so that `2-1`
were `3-2`.
"""

import re
from fractions import Fraction

from score.answers.quantities import number
from score.answers.text import clean

_AMOUNT = r"[$€£]?\d+(?:,\d{3})*(?:\.\d+)?%?"
_SEVERAL = r"\d+([-/.:])\d+(?:\1\d+)+"
_RANGE = re.compile(rf"(?<![\w.^\\])(?:{_SEVERAL}|{_AMOUNT}\s*[-:]\s*{_AMOUNT})(?![\w(^{{\\]|\.\d|\s*[\\^])")
# What makes a formula of the rest: digits, operators, commands, a letter alone, a function's parenthesis, a product.
_FORMULA = re.compile(r"[\d+*/^=<>\\|_!-]|(?<![^\W\d_])[^\W\d_](?![^\W\d_])|\w\(|\)\s*\(")
_RATIO = re.compile(r"(\d+):(\d+)")


def is_range(text: str) -> bool:
    """Whether the text is such numbers, alone, several of them (`6-4, 7-5`) or with words (`10-15 km`)."""
    text = clean(text)
    rest, count = _RANGE.subn("", text)
    return count > 0 and not _FORMULA.search(rest) and not re.search(r"\w\(", text)


def same_range(reference: str, answer: str) -> bool | None:
    """For two texts of which one is a range: True for one range in two writings and for `3:4` against `3/4`, else
    None."""
    left, right = _parts(reference), _parts(answer)
    if left is not None and left == right:
        return True
    for ratio, value in ((reference, number(answer)), (answer, number(reference))):
        found = _RATIO.fullmatch(clean(ratio).replace(" ", ""))
        if found and value is not None and int(found[2]) and Fraction(int(found[1]), int(found[2])) == value:
            return True
    return None


def _parts(text: str) -> tuple[list[str], set[str], str] | None:
    """(the numbers, their sign of money or percent, the sign between them) of one range without words."""
    text = clean(text).strip("()[] ")
    if not _RANGE.fullmatch(text):
        return None
    signs = set(re.findall("[$€£%]", text))
    bare = re.sub(r"[$€£%,\s]", "", text)
    return re.findall(r"\d+(?:\.\d+)?", bare), signs, re.sub(r"[\d.]", "", bare)
