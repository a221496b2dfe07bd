r"""Formulas as Python and sympy print them, in LaTeX: `3*sqrt(13)/x**2` is `3 \cdot \sqrt{13}/x^{2}`."""

import re

_NAMES = {
    "pi": "\\pi", "oo": "\\infty", "sin": "\\sin", "cos": "\\cos", "tan": "\\tan", "cot": "\\cot", "log": "\\log",
    "ln": "\\ln", "exp": "\\exp", "acos": "\\arccos", "asin": "\\arcsin", "atan": "\\arctan", "arccos": "\\arccos",
    "arcsin": "\\arcsin", "arctan": "\\arctan", "infinity": "\\infty", "I": "i",
}  # fmt: skip
_NAME = re.compile(r"(?<![a-zA-Z\\])(" + "|".join(_NAMES) + r")(?![a-zA-Z])")
_ROOT = re.compile(r"sqrt\(([^()]*)\)")
_POWER = re.compile(r"(?:\*\*|\^)\s*(?:\(([^()]*)\)|(-?(?:\d+(?:\.\d+)?|[a-zA-Z]|\\pi|\\sqrt\{[^{}]*\})))")
_OPEN_POWER = re.compile(r"\^\s*(-?(?:\d+[a-zA-Z]|[a-zA-Z]\w)\w*)")

_EQUATION = re.compile(r"Eq\((.*),\s*([^,]*)\)")
_INTERVAL = re.compile(r"Interval(\.open|\.Lopen|\.Ropen)?\(([^,]*),([^,]*)\)")
_UNION = re.compile(r"Union\((.*)\)")
_BRACKETS = {None: "[]", ".open": "()", ".Lopen": "(]", ".Ropen": "[)"}
_MATRIX = re.compile(r"Matrix\(\[(\[.*\])\]\)")
_ROWS = re.compile(r"(?:array\()?\[\s*(\[[^\[\]]*\](?:\s*,?\s*\[[^\[\]]*\])*)\s*\](?:,\s*dtype=\w+)?\)?")
_J = re.compile(r"(?<=\d)j")


def _objects(text: str) -> str:
    """What sympy prints for equations, intervals and matrices, as mathematics writes them."""
    if found := _MATRIX.fullmatch(text):
        return _matrix(found[1])
    if (found := _UNION.fullmatch(text)) and (parts := _INTERVAL.findall(found[1])):
        text = r" \cup ".join(f"Interval{kind}({low},{high})" for kind, low, high in parts)
    text = _EQUATION.sub(r"\1 = \2", text)
    return _INTERVAL.sub(lambda found: f"{_BRACKETS[found[1]][0]}{found[2]},{found[3]}{_BRACKETS[found[1]][1]}", text)


def _matrix(rows: str) -> str:
    """Of `[1, 2], [3, 4]`, or with spaces in place of commas as numpy prints it."""
    cells = [re.split(r"\s*,\s*" if "," in row else r"\s+", row.strip()) for row in re.findall(r"\[([^\[\]]*)\]", rows)]
    plain = [" & ".join(re.sub(r"(?<=\d)\.$", "", cell) for cell in row) for row in cells]
    return r"\begin{pmatrix}" + r" \\ ".join(plain) + r"\end{pmatrix}"


def rows_as_matrix(text: str) -> str:
    """`[[1, 2], [3, 4]]`, of formulas in LaTeX, as the matrix that it is where it is compared with one; else it may be
    a list of intervals."""
    found = _ROWS.fullmatch(text.strip())
    return _matrix(found[1]) if found else text


def with_long_powers(text: str) -> str:
    """`e^2x` as `e^{2x}`, which some mean by it. LaTeX and `as_latex` read the square of e, times x."""
    return text if "\\" in text else _OPEN_POWER.sub(r"^{\1}", text)


def as_latex(text: str) -> str:
    """The formula in LaTeX; a text that holds commands already, or words that are no names of functions, is kept."""
    if "\\" in text:
        return text
    made = _objects(text)
    if not re.search(r"[a-zA-Z]", _J.sub("", made)):
        made = _J.sub("i", made)
    for _ in range(3):  # roots in roots
        made = _ROOT.sub(r"\\sqrt{\1}", made)
    made = _NAME.sub(lambda found: _NAMES[found[1]], made)
    made = _POWER.sub(lambda found: f"^{{{found[1] or found[2]}}}", made).replace("*", r" \cdot ")
    return text if re.search(r"(?<![a-zA-Z\\])(?!cup|begin|end|pmatrix)[a-zA-Z]{2,}", made) else made
