r"""Multiple choice: `B`, `(b)`, `B. the second`, or the content of an option that the question lists."""

import re

from score.answers.quantities import number, same_number
from score.answers.text import clean, same_text

_LETTER = re.compile(r"(?:(?:option|choice|answer)\s+)?\(?([A-Za-z])\)?(?:[.:)]\s*(.*))?", re.DOTALL | re.IGNORECASE)
_MARKS = (  # options on lines of their own, else options in one line
    re.compile(r"^[ \t]*\(?([A-Z])[.):]\)?\s+", re.MULTILINE),
    re.compile(r"(?:^|(?<=[\s,;$]))\(?([A-Z])[.):]\)?\s+", re.MULTILINE),
)
_BRACED = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox)\s*\{\s*(\(?[A-Z][.):])\s*\}\)?(?:\\[ ,;]|~|\\q?quad)*")


def options(question: str) -> dict[str, str]:
    """The options that a question lists, {"A": content, ...}; they start with A and leave out no letter. Else {}."""
    return split_options(question)[1]


def split_options(question: str) -> tuple[str, dict[str, str]]:
    """What is asked, and the options; the whole question and {} where it lists none."""
    plain = _BRACED.sub(r" \1 ", question)
    for mark in _MARKS:
        found = list(mark.finditer(plain))[-26:]
        start = max((at for at, one in enumerate(found) if one[1] == "A"), default=len(found))
        run = found[start:]
        if len(run) > 1 and [ord(one[1]) - ord("A") for one in run] == list(range(len(run))):
            ends = [one.start() for one in run[1:]] + [len(plain)]
            return plain[: run[0].start()], {
                one[1]: plain[one.end() : end].strip().removesuffix("\\\\").rstrip(" ,;")
                for one, end in zip(run, ends, strict=True)
            }
    return question, {}


def _same_content(option: str, text: str) -> bool:
    left, right = number(option), number(text)
    return same_text(option, text) or (left is not None and right is not None and same_number(left, right))


def _chosen(text: str, listed: dict[str, str]) -> tuple[str | None, str | None]:
    """(letter, content) as far as the text says them; the content of an option gives its letter."""
    if found := _LETTER.fullmatch(clean(text)):
        return found[1].upper(), found[2] or None
    matching = [letter for letter, option in listed.items() if _same_content(option, text)]
    return (matching[0] if len(matching) == 1 else None), None


def same_choice(reference: str, answer: str, question: str = "") -> bool | None:
    """None where one of them chooses nothing that can be recognised, or contradicts itself.

    Without listed options a reference counts as a choice only where it is a capital letter.
    """
    listed = options(question)
    as_letter = _LETTER.fullmatch(clean(reference))
    if not listed and not (as_letter and as_letter[1].isupper()):
        return None
    (left, expected), (right, content) = _chosen(reference, listed), _chosen(answer, listed)
    if left is None or right is None:
        return None
    said = content and (expected or listed.get(left))
    if said and content and left == right and not _same_content(said, content):
        return None
    own = listed.get(right)
    if content and left != right and own and not _same_content(own, content):
        return None  # the letter of one option with the content of another
    if content and expected and left != right and _same_content(expected, content):
        return None
    return left == right
