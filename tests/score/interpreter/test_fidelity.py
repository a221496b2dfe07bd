"""The recorded code of the original release gives the recorded observations, as far as they can be given again."""

import asyncio
import re
from collections import Counter
from pathlib import Path

from score.errors import ToolError
from score.interpreter import NOTHING_PRINTED, Interpreter, InterpreterSettings
from score.trajectory import Step, Trajectory, read_trajectories

SILENCE = "Execution successful, no output."  # as the release says that nothing was printed
# What cannot come again. Names that hold such values taint the steps that use them.
ELSEWHERE = {
    "search": r"\bweb_search\b",
    "time": r"\b(import (time|datetime)|from (time|datetime)\b|perf_counter)",
    "randomness": r"\brandom\b",
    "memory addresses": r"\bid\(|\bhash\(",
}
# Differences that were looked at, by what the recorded observation holds.
EXPLAINED = {"truth value of Relational": "a newer sympy says which relation it is"}


def depends_on(step: Step, tainted: set[str]) -> str | None:
    """What of the outside world the step's observation depends on."""
    for what, pattern in ELSEWHERE.items():
        if re.search(pattern, step.code):
            return what
    if "object at 0x" in step.observation:
        return "memory addresses"
    return "an earlier such step" if tainted & set(re.findall(r"[A-Za-z_]\w*", step.code)) else None


def same(recorded: str, ours: str) -> bool:
    """Equal but for the ways of saying two things: silence, and an error (the release shows its message alone)."""
    recorded, ours = recorded.strip(), ours.strip()
    if recorded == SILENCE:
        return ours == NOTHING_PRINTED
    if recorded.startswith("Error: "):
        message = re.sub(r" \(<string>, line \d+\)$", "", recorded.removeprefix("Error: "))
        return ours.splitlines()[-1].endswith(f": {message}")
    return recorded == ours


async def web_search(query: str, k: int = 3) -> str:
    """The recorded pages are not there."""
    raise ToolError("there is no search in this replay")


async def replay(files: list[Path]) -> tuple[Counter[str], list[dict[str, str]]]:
    """Run every recorded step in its trajectory's session: the counts, and the steps that differ."""
    counts: Counter[str] = Counter()
    different = []
    async with Interpreter(InterpreterSettings(snapshots=False, max_output_chars=1_000_000)) as interpreter:
        for file in files:
            for trajectory in read_trajectories(file):
                if not isinstance(trajectory, Trajectory):
                    continue
                tainted: set[str] = set()
                async with await interpreter.open({"web_search": web_search}) as session:
                    for step in trajectory.steps:
                        if not step.code.strip():
                            continue
                        ours = (await session.run(step.code)).observation
                        if reason := depends_on(step, tainted):
                            counts[reason] += 1
                            tainted |= set(re.findall(r"([A-Za-z_]\w*)\s*=[^=]", step.code))
                            continue
                        counts["compared"] += 1
                        if not same(step.observation, ours):
                            different.append({"code": step.code, "recorded": step.observation, "ours": ours})
    return counts, different


def test_the_recorded_code_gives_the_recorded_observations(shared_data: Path) -> None:
    files = sorted((shared_data / "original_release").glob("*_trajectories*.jsonl"))
    counts, different = asyncio.run(replay(files))
    print(dict(counts), f"{len(different)} differ")
    assert len(files) == 4 and counts["compared"] >= 300
    unexplained = [one for one in different if not any(key in one["recorded"] for key in EXPLAINED)]
    assert unexplained == []
    assert 1 - len(different) / counts["compared"] >= 0.98


def test_a_difference_is_seen() -> None:
    assert same("4\n", "4") and same(SILENCE, NOTHING_PRINTED)
    assert same("Error: name 'x' is not defined", "Traceback ...\nNameError: name 'x' is not defined")
    assert not same("4", "5") and not same("Error: a", "ValueError: b") and not same(SILENCE, "4")
