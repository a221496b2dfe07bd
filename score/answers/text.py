r"""Answers as text: what may differ in writing without a difference in meaning."""

import re
import unicodedata
from functools import lru_cache

from score.answers.boxes import boxed

_WRAPPER = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|mbox|operatorname)\s*\{([^{}]*)\}")
_WRAPPED = re.compile(_WRAPPER.pattern.removesuffix(r"([^{}]*)\}") + r"(.*)\}", re.DOTALL)
_ANNOUNCED = re.compile(r"\A(?:the\s+)?(?:final\s+)?answer\s*(?:is\b|:|=)\s*:?\**", re.IGNORECASE)
_DELIMITERS = re.compile(r"\\[\[\]()]")
_MATRIX = re.compile(r"[\[(]\s*\\begin\{matrix\}([^\[\]]*?)\\end\{matrix\}\s*[\])]")
_ESCAPED = re.compile(r"(?<!\\)\\([%$,!:;& ])")
_GROUPED = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:(?:,|\{,\}| )\d{3}(?!\d))+(?!,?\d)")
# No text has a backspace or a form feed before a small letter. It has tabs and line breaks, so there only commands
# count whose rest begins no word or statement: `\nu` may be a line that begins with u, `\neq =` one that assigns to eq.
_SWALLOWED = re.compile(
    "[\b\f](?=[a-z])"
    r"|\t(?=(?:ext\w*|frac)\{|imes|(?:heta|riangle|ilde)(?![a-zA-Z])|an\s*[\\({^\d]|au[\\^_)},])"
    r"|\r(?=(?:ight\w*|ho|angle|floor|ceil)(?![a-zA-Z]))"
    r"|\n(?=abla(?![a-zA-Z])|eq\s*[\d\\])"
)
_LETTER = {"\b": "b", "\f": "f", "\t": "t", "\r": "r", "\n": "n"}
_MANGLED = {
    "−": "-", "–": "-",
    "°": "^\\circ", "π": "\\pi", "∞": "\\infty", "≤": "\\le", "≥": "\\ge", "∪": "\\cup", "∈": "\\in", "×": "\\times",
    "\\dfrac": "\\frac", "\\tfrac": "\\frac", "\\cfrac": "\\frac", "\\leq": "\\le", "\\geq": "\\ge", "\\lele": "\\le",
    "\\displaystyle": "", "\\degree": "^\\circ", "^{\\circ}": "^\\circ", "^ \\circ": "^\\circ",
    "\\operatorname{acos}": "\\arccos", "\\operatorname{asin}": "\\arcsin", "\\operatorname{atan}": "\\arctan",
    "\\qquad": " ", "\\quad": " ",
}  # fmt: skip
_RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱ"
_LOWERED = "₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₙᵢ"
_SCRIPTS = re.compile(f"([{_RAISED}]+)(?![ʰ-ʸᴬ-ᵡ])|([{_LOWERED}]+)(?![ₐ-ₜᵢ-ᵪ])")  # not the `ⁿ` of `2ⁿᵈ`
_TYPED = str.maketrans(_RAISED + _LOWERED, 2 * "0123456789+-()ni")
_INDEX = re.compile(r"((?<![a-zA-Z])[a-zA-Z]|[A-Z][a-z]?)_(?:\{(\d+)\}(?!\d)|(\d+))")
_SIGNS = re.compile(r"[\\^_+=<>{}()\[\]|/*!\d-]")  # of mathematics
_QUOTES = "\"'“”‘’`"
_SPACED = {"%": "%", "$": "$", ",": "", "!": "", "&": "&"}  # what stays of an escaped sign; others are spaces


def with_backslashes(text: str) -> str:
    r"""The text with its LaTeX commands restored where a reader of escapes swallowed them: Python makes a backspace and
    `oxed` of "\boxed" without the r before the string, and JSON a form feed and `rac` of `\frac`."""
    return _SWALLOWED.sub(lambda found: "\\" + _LETTER[found[0]], text)


def _balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0


def ungrouped(text: str) -> str:
    """Numbers without separators between their thousands: `1,234` and `1 234` become `1234`; `1,23` and the pair
    `(1,234)` stay."""

    def joined(found: re.Match[str]) -> str:
        before = text[: found.start()]
        inside = sum(map(before.count, ("(", "[", "\\{"))) > sum(map(before.count, (")", "]", "\\}")))
        return found[0] if inside else re.sub(r"[{}, ]", "", found[0])

    return _GROUPED.sub(joined, text)


def _with_scripts(text: str) -> str:
    """`5²` as `5^{2}` and `52₈` as `52_{8}`; Unicode's compatible form would be `52` and `528`."""

    def typed(found: re.Match[str]) -> str:
        return f"{'^' if found[1] else '_'}{{{found[0].translate(_TYPED)}}}"

    return text if text.isascii() else _SCRIPTS.sub(typed, text)


@lru_cache(maxsize=512)  # the rules that a comparison tries all begin with it: some 30 times for two answers
def clean(text: str) -> str:
    r"""The bare answer: without `\boxed`, `$`, `\text{...}` wrappers, outer spaces and a closing full stop."""
    text = with_backslashes(unicodedata.normalize("NFKC", _with_scripts(text)))
    for form, plain in _MANGLED.items():
        text = text.replace(form, plain)
    content = boxed(text)
    text = text if content is None else content
    text = _DELIMITERS.sub(" ", text) if not re.search(r"\\\\[\[(]", text) else text  # `\\[` breaks a matrix row
    text = re.sub(r",\\!\s*(?=\d)", ",", text)
    text = _ESCAPED.sub(lambda found: _SPACED.get(found[1], " "), text)
    text = re.sub(r"\\(?:left|right)\b", "", text)
    text = _ANNOUNCED.sub("", text.strip().strip("*"))
    if (wrapped := _WRAPPED.fullmatch(text)) and _balanced(wrapped[1]):
        text = wrapped[1]
    text = _WRAPPER.sub(r"\1", text)
    text = _MATRIX.sub(r"\\begin{pmatrix}\1\\end{pmatrix}", text).replace("{bmatrix}", "{pmatrix}")
    text = text.strip().strip("$").strip()
    for _ in range(2):  # `"Paris."` and `"Paris".`
        text = re.sub(r"(?<!\.)\.{1,2}$", "", text).rstrip().strip("$")
        text = text[1:-1].strip() if len(text) > 2 and text[0] in _QUOTES and text[-1] in _QUOTES else text
    return text


def has_word(text: str) -> bool:
    """A run of letters that is no command of LaTeX is in it: a unit, a name, a sentence."""
    text = re.sub(r"\\(?:begin|end)\{\w+\}", "", clean(text))
    return re.search(r"(?<![\\a-zA-Z])(?!(?:or|and)\b)[^\W\d_]{2,}", text) is not None


def _indexed(text: str) -> str:
    r"""`CO_2` and `x_{12}` as they are typed without an index, `CO2` and `x12`; `\log_2` and `file_1` stay."""
    return _INDEX.sub(r"\1\2\3", text) if "_" in text else text


def plain_text(text: str) -> str:
    """The answer in lower case, with single spaces, without articles and outer punctuation (as SQuAD compares)."""
    text = _indexed(ungrouped(clean(text))).casefold()
    if ":" in text:
        text = re.sub(r"(?<=\d)\s*:\s*(?=\d)", ":", text)
        text = re.sub(r"(?<!\d):|:(?=\s|$)", " ", text)
    text = re.sub(r"[\"“”`,;*]|''", " ", text)
    text = re.sub(  # not the dot of `.5`, nor the factorials `5!` and `n!`
        r"\.(?!\d)|(?<=\w)\?(?=\s|$)|(?<=[^\W\d_]{2})!(?=\s|$)|(?<!\w)['‘’]|['‘’](?!\w)|(?<=[^\W\d_])['’](?=\w)",
        "",
        text,
    )
    return " ".join(re.sub(r"\b(?:an?|the)\s+(?=[^\W\d_]{2})|\bthe\s+(?=\S)", " ", text).split())


def formula(text: str) -> str:
    r"""The answer without spaces that mean nothing in mathematics, and in lower case except for commands.

    `x` and `X` are the same here; no reference that we know uses both cases of a letter.
    """
    text = re.sub(
        r"\\[a-zA-Z]+|[A-Z]", lambda found: found[0] if found[0][0] == "\\" else found[0].lower(), _indexed(text)
    )
    text = re.sub(r"(?<![\w])\s+|\s+(?![\w])", "", " ".join(ungrouped(text).split()))
    return re.sub(r"([_^])\{(\w)\}", r"\1\2", text)


def same_text(reference: str, answer: str) -> bool:
    """The same but for writing: as words where there are words, else as a formula. Empty texts are never the same."""
    left, right = clean(reference), clean(answer)
    if not left or not right:
        return False
    if left == right or formula(left) == formula(right):
        return True
    words = has_word(left) or has_word(right) or not _SIGNS.search(left + right)
    return words and bool(plain_text(left)) and plain_text(left) == plain_text(right)
