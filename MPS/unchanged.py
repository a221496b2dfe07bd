"""Does a correction change anything? One that repeats the student's step would have RL pay for the mistake."""

import ast


def same_code(code: str, other: str) -> bool:
    """Do two steps run the same, but for comments and formatting? Indentation that changes what runs is no formatting:
    a `print` that leaves a loop may be the whole correction."""
    return code == other or _plain(code) == _plain(other)


def same_words(text: str, other: str) -> bool:
    """Are two texts equal, white space aside?"""
    return text.split() == other.split()


def _plain(code: str) -> str:
    try:
        return ast.dump(ast.parse(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "\n".join(line.rstrip() for line in code.strip().splitlines())
