"""The progress line of long work: what runs, how far, the rate, the time left."""

import sys
import time
from collections.abc import Callable

EVERY_S_ON_A_TERMINAL = 0.2
EVERY_S_IN_A_LOG = 10.0


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


class ProgressLine:
    """One line on stderr: rewritten in place on a terminal, a new line every 10 s in a log.

    `done` counts what an earlier run had finished; the rate is that of this run alone.
    """

    def __init__(self, label: str, total: int, done: int = 0):
        self.label, self.total, self.done = label, total, done
        self._start, self._began = done, time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._shown = 0.0
        self._note: str | Callable[[], str] = ""
        self._show(force=True)

    def update(self, done: int, note: str | Callable[[], str] = "") -> None:
        """`note` may be a function: it is called only when the line is shown."""
        self.done, self._note = done, note
        self._show()

    def close(self) -> None:
        self._show(force=True)
        if self._terminal:
            print(file=sys.stderr)

    def _show(self, force: bool = False) -> None:
        now = time.monotonic()
        if not force and now - self._shown < (EVERY_S_ON_A_TERMINAL if self._terminal else EVERY_S_IN_A_LOG):
            return
        self._shown = now
        elapsed = now - self._began
        rate = (self.done - self._start) / elapsed if elapsed > 0 else 0.0
        left = _clock((self.total - self.done) / rate) if rate > 0 else "?"
        share = 100 * self.done / self.total if self.total else 100.0
        text = (
            f"{self.label}: {self.done}/{self.total} ({share:.0f} %), {rate:.1f}/s, {_clock(elapsed)} gone, {left} left"
        )
        note = self._note if isinstance(self._note, str) else self._note()
        text += f", {note}" if note else ""
        if self._terminal:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)
