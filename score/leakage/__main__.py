"""Check recorded corrections for leaks: one JSON line per key step on stdout.

Reads mentored trajectories, ours or the original release's. Lines that cannot be read are named on stderr; the rest
goes on, and the exit code is 3.
"""

import json
import signal
import sys
from pathlib import Path

from score import cli
from score.errors import DataError
from score.leakage import find_leak
from score.trajectory import KeyStep, Step, Trajectory, read_trajectories


def steps_before(trajectory: Trajectory, key_step: KeyStep) -> list[Step]:
    """What the student had done when the teacher stepped in, the plan first.

    The original release keeps no structured prefix: a valid key step is still part of the final trajectory, so the
    prefix is what precedes it there. Of a key step that is not, only the text is left, which counts as observed.
    """
    index = key_step.mistake_step_index  # counted from 0, where 0 is the plan
    if index == 0:
        return []
    if key_step.prefix_steps is not None:
        return [Step(thought=key_step.prefix_plan or ""), *key_step.prefix_steps]
    if key_step.is_valid:
        return [Step(thought=trajectory.plan or ""), *trajectory.steps[: index - 1]]
    return [Step(thought="", observation=key_step.context_before_intervention)]


def main() -> int:
    description, example = __doc__ or "", "python -m score.leakage MPS/output/math_mps_trajectories.jsonl > leaks.jsonl"
    arguments = cli.parser(description, example, default_config=None)
    arguments.prog = "python -m score.leakage"
    arguments.add_argument("file", type=Path, help="mentored trajectories (*_mps_trajectories.jsonl)")
    checked = leaking = unreadable = 0
    for trajectory in read_trajectories(arguments.parse_args().file):
        if isinstance(trajectory, DataError):
            print(f"error (data): {trajectory}", file=sys.stderr)
            unreadable += 1
            continue
        task = trajectory.task
        for key_step in trajectory.key_steps:
            why = find_leak(
                key_step.teacher_guided_step, task.references, task.question, steps_before(trajectory, key_step)
            )
            row = {"id": task.id, "step": key_step.mistake_step_index + 1, "leaks": why is not None, "why": why or ""}
            print(json.dumps(row, ensure_ascii=False))
            checked += 1
            leaking += why is not None
    print(f"{checked} key steps, {leaking} leak; {unreadable} lines could not be read", file=sys.stderr)
    return 3 if unreadable else 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is no failure
    cli.run(main)
