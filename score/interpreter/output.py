"""From what a step printed to what the model is shown."""

import os

NOTHING_PRINTED = "(Nothing was printed. Use print(...) to see a value.)"


def cut(text: str, limit: int) -> str:
    """`text`, or its beginning and its end with the count of the characters left out between them."""
    if len(text) <= limit:
        return text
    head, tail = limit - limit // 2, limit // 2
    return f"{text[:head]}{_gap(len(text) - limit)}{text[-tail:]}"


def _gap(left_out: int) -> str:
    return f"\n... [{left_out} characters left out] ...\n"


def read(fd: int, limit: int) -> str:
    """What the file `fd` holds, cut to `limit` characters, without trailing newlines.

    A file may hold far more than anyone will see, so only its ends are decoded; the middle is counted.
    """
    size = os.fstat(fd).st_size
    if size <= 8 * limit:
        return cut(_decode(os.pread(fd, size, 0)).rstrip("\n"), limit)
    head = _decode(os.pread(fd, 4 * limit, 0))[: limit - limit // 2]
    end = _decode(os.pread(fd, 4 * limit, size - 4 * limit))
    stripped = end.rstrip("\n")
    left_out = _count_characters(fd, size) - (len(end) - len(stripped)) - limit
    return f"{head}{_gap(max(left_out, 0))}{stripped[-(limit // 2) :]}"


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _count_characters(fd: int, size: int) -> int:
    continuations = bytes(range(0x80, 0xC0))
    total = 0
    for start in range(0, size, 2**20):
        total += len(os.pread(fd, 2**20, start).translate(None, continuations))
    return total
