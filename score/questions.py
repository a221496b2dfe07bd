"""Questions as they are compared between files, and what is decided by them: one home for all phases."""

import hashlib
import re

_WORD = re.compile(r"\w+")
# Chinese and Japanese have no spaces between words, Korean has many endings: there each character counts as a word: a
# whole clause would be one otherwise.
_CHARACTER = re.compile(
    "[\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana and marks
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003347f"  # Chinese characters
    "\uac00-\ud7a3]"  # Korean syllables
)
_ASCII_WORDS = bytes(code if chr(code).isalnum() or code == ord("_") else ord(" ") for code in range(128)) + bytes(128)


def normalised(question: str) -> str:
    """A question as it is compared between data sets: lower case, single spaces."""
    return " ".join(question.casefold().split())


def words(question: str) -> list[str]:
    """Its words and numbers in lower case (of Chinese, Japanese and Korean the characters); punctuation and signs are
    dropped, as contamination checks do."""
    if question.isascii():  # the same in a quarter of the time
        return question.lower().encode().translate(_ASCII_WORDS).decode().split()
    return _WORD.findall(characters_apart(question.casefold()))


def characters_apart(text: str, mark: str = "") -> str:
    """The text with each character of Chinese, Japanese and Korean between spaces, behind `mark`."""
    if text.isascii() or max(text) < "\u3005":
        return text
    return _CHARACTER.sub(rf" {mark}\g<0> ", text)


def is_character(word: str) -> bool:
    """Is a word of `words` one character of Chinese, Japanese or Korean?"""
    return len(word) == 1 and _CHARACTER.match(word) is not None


def draw(text: str, purpose: str, seed: int) -> float:
    """A number in [0, 1) that depends on the text, the purpose and the seed alone: no order, restart or shard changes
    what is decided by it. Callers give the normalised question where spelling must not matter."""
    digest = hashlib.sha256(f"{seed}|{purpose}|{text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def fingerprint(question: str) -> bytes:
    """16 bytes that stand for the normalised question where millions are remembered."""
    return hashlib.blake2b(normalised(question).encode(), digest_size=16).digest()
