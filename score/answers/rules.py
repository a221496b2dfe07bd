r"""Equivalence by rule: what can be decided exactly from two short strings, without a parser of mathematics.

True and False are decisions; None means that these rules cannot tell, and math-verify or a judge has to.
"""

import re
import unicodedata
from fractions import Fraction

_WRAPPER = r"\\(?:text|textbf|mathrm|mathbf|mbox)\{([^{}]*)\}"
_CHOICE = re.compile(r"\(?([A-Z])\)?(?:[.:)]\s*(.*))?", re.DOTALL)
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?")
_QUOTIENT = re.compile(r"([-+]?\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)")
_FRAC = re.compile(r"([-+]?)\\[dt]?frac\{([-+]?\d+)\}\{(\d+)\}")
_MATRIX = re.compile(r"[\[(]\s*\\begin\{matrix\}(.*?)\\end\{matrix\}\s*[\])]", re.DOTALL)
# `\x08oxed` is what Python makes of "\boxed" written without the r before the string; likewise \frac and \text.
_MANGLED = {"\x08oxed": "\\boxed", "\x0crac": "\\frac", "\text{": "\\text{", "−": "-", "–": "-", "°": "^\\circ"}
_ESCAPED = re.compile(r"(?<!\\)\\([%$,!; ])")


def unbox(text: str) -> str:
    r"""The content of the last `\boxed{...}` (braces may nest), or the text itself."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return text
    depth = 0
    for position in range(start + 6, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[start + 7 : position]
    return text


def clean(text: str) -> str:
    r"""The bare answer: without `\boxed`, `$`, `\text{...}` wrappers, outer spaces and a closing full stop."""
    text = unicodedata.normalize("NFKC", text)
    for form, plain in _MANGLED.items():
        text = text.replace(form, plain)
    text = _ESCAPED.sub(lambda found: {"%": "%", "$": "$", ",": "", "!": ""}.get(found[1], " "), text)
    text = unbox(text).strip()
    text = re.sub(r"\\(?:left|right)\b", "", text)
    text = re.sub(_WRAPPER, r"\1", text)
    text = _MATRIX.sub(r"\\begin{pmatrix}\1\\end{pmatrix}", text).replace("{bmatrix}", "{pmatrix}")
    text = text.strip().strip("$").strip()
    return text[:-1].rstrip() if text.endswith(".") and not text.endswith("..") else text


def plain_text(text: str) -> str:
    """The answer in lower case, with single spaces, without articles and outer punctuation (as SQuAD compares)."""
    text = re.sub(r"\b(?:a|an|the)\b", " ", clean(text).casefold())
    return " ".join(re.sub(r"[\"'`,;:!?]", " ", text).split())


def number(text: str) -> Fraction | None:
    r"""The exact value of `1,234`, `-0.5`, `3/4`, `\frac{3}{4}`, `$12`, `12%` (as 12), else None."""
    text = clean(text).strip("$% ").replace(" ", "")
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    if len(text) > 60:
        return None
    fraction = _FRAC.fullmatch(text)
    if fraction and int(fraction[3]):
        return Fraction(int(fraction[2]), int(fraction[3])) * (-1 if fraction[1] == "-" else 1)
    quotient = _QUOTIENT.fullmatch(text)
    if quotient and Fraction(quotient[2]):
        return Fraction(quotient[1]) / Fraction(quotient[2])
    return Fraction(text) if _NUMBER.fullmatch(text) else None


def _same_number(reference: Fraction, answer: Fraction) -> bool:
    """Equal up to the rounding noise of floats (1e-9 relative), so that 0.1 + 0.2 is 0.3 and 1/3 is not 0.333."""
    scale = max(abs(reference), abs(answer), Fraction(1))
    return abs(reference - answer) <= Fraction(1, 10**9) * scale


def equal_by_rule(reference: str, answer: str) -> tuple[bool | None, str]:
    """(decision, rule). The decision is None where no rule can tell; an empty answer is never equal."""
    if not answer.strip():
        return False, "empty"
    if clean(reference) == clean(answer) or (plain_text(reference) and plain_text(reference) == plain_text(answer)):
        return True, "text"
    left, right = number(reference), number(answer)
    if left is not None and right is not None:
        if ("%" in reference) != ("%" in answer) and not _same_number(left, right):
            return None, "percent"  # 0.5 and 50 % may be the same
        return _same_number(left, right), "number"
    choice, chosen = _CHOICE.fullmatch(clean(reference)), _CHOICE.fullmatch(clean(answer))
    if choice and chosen:
        if choice[2] and chosen[2] and plain_text(choice[2]) != plain_text(chosen[2]):
            return None, "choice"
        return choice[1] == chosen[1], "choice"
    return None, "undecided"
