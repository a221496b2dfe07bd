r"""Inequalities as the intervals that they describe: `x < 2 or x \ge 3` is `(-\infty,2) \cup [3,\infty)`."""

import re

_BELOW, _ABOVE = r"(<=|<|\\le(?![a-z]))", r"(>=|>|\\ge(?![a-z]))"
_BETWEEN = re.compile(rf"([^<>]+?)\s*{_BELOW}\s*[a-z]\s*{_BELOW}\s*([^<>]+)")
_UPPER = re.compile(rf"[a-z]\s*{_BELOW}\s*([^<>]+)")
_LOWER = re.compile(rf"[a-z]\s*{_ABOVE}\s*([^<>]+)")


def _one(text: str) -> str | None:
    if found := _BETWEEN.fullmatch(text):
        low, left, right, high = found.groups()
        return f"{'(' if left == '<' else '['}{low},{high}{')' if right == '<' else ']'}"
    if found := _UPPER.fullmatch(text):
        return rf"(-\infty,{found[2]}{')' if found[1] == '<' else ']'}"
    if found := _LOWER.fullmatch(text):
        return rf"{'(' if found[1] == '>' else '['}{found[2]},\infty)"
    return None


def as_interval(text: str) -> str | None:
    """The interval or union of intervals, None for a text that is no inequality of one variable."""
    parts = [_one(part.strip()) for part in re.split(r"\bor\b|\\lor\b|\\cup\b", text)]
    known = [part for part in parts if part is not None]
    return r" \cup ".join(known) if len(known) == len(parts) else None
