"""The reference answer of a public task, out of an answer field or a worked solution; and why a task is left out."""

import re

_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s*")
_TEXT = re.compile(r"\\(?:text|textbf|mathrm|mbox)\s*\{([^{}]*)\}")


def last_boxed(text: str) -> str | None:
    """The content of the last `\\boxed{...}` (braces balanced, escaped ones aside) or `\\boxed 7`; None without one."""
    for found in reversed(list(_BOX.finditer(text))):
        start = found.end()
        if not text.startswith("{", start):
            bare = re.match(r"[^\s${}\\]+", text[start:])
            if bare:
                return bare.group().rstrip(".,;")
            continue
        depth, place = 0, start
        while place < len(text):
            if text[place] == "\\":
                place += 1  # \{ and \} are signs of the formula
            elif text[place] == "{":
                depth += 1
            elif text[place] == "}":
                depth -= 1
                if not depth:
                    return text[start + 1 : place].strip() or None
            place += 1
    return None


def from_solution(solution: str) -> str | None:
    """The answer that a worked solution ends with: its last line after `####` (GSM8K), else the last box. `####` in
    other places is a heading."""
    marked = re.fullmatch(r"####(?!#)(.+)", solution.strip().rpartition("\n")[2].strip())
    return marked[1].strip() if marked else last_boxed(solution)


def from_field(answer: str) -> str:
    """A given answer without a box or `\\text{}` around the whole of it."""
    answer = answer.strip()
    if _BOX.match(answer):
        answer = last_boxed(answer) or answer
    text = _TEXT.fullmatch(answer)
    return text.group(1).strip() if text else answer
