"""Questions as they are compared between files, and what is decided by them: one home for all phases."""

import hashlib
import re

_WORD = re.compile(r"\w+")
_ASCII_WORDS = bytes(code if chr(code).isalnum() or code == ord("_") else ord(" ") for code in range(128)) + bytes(128)


def normalised(question: str) -> str:
    """A question as it is compared between data sets: lower case, single spaces."""
    return " ".join(question.casefold().split())


def words(question: str) -> list[str]:
    """Its words and numbers in lower case; punctuation and signs are dropped, as contamination checks do."""
    if question.isascii():  # the same in a quarter of the time
        return question.lower().encode().translate(_ASCII_WORDS).decode().split()
    return _WORD.findall(question.casefold())


def draw(text: str, purpose: str, seed: int) -> float:
    """A number in [0, 1) that depends on the text, the purpose and the seed alone: no order, restart or shard changes
    what is decided by it. Callers give the normalised question where spelling must not matter."""
    digest = hashlib.sha256(f"{seed}|{purpose}|{text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def fingerprint(question: str) -> bytes:
    """16 bytes that stand for the normalised question where millions are remembered."""
    return hashlib.blake2b(normalised(question).encode(), digest_size=16).digest()
