"""Phase 3, first part: mentored trajectories become RL prompts: question + verified prefix, with the key step.

    cd MPS && python format/SCoRe_RL_convert.py

Takes the questions that are not SFT's: every corrected trajectory, a part of the hard and of the easy ones (these
start from the question and carry no key step). Questions found in SFT's file are refused whatever the seed says.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]

from format.convert import report, settings_from_command_line  # noqa: E402
from format.selection import for_sft, held_against, readable, taken_by_sft  # noqa: E402
from format.settings import FormatSettings  # noqa: E402
from unchanged import same_code, same_words  # noqa: E402

from score import cli  # noqa: E402
from score.dialogue import render, render_plan, render_step  # noqa: E402
from score.errors import DataError  # noqa: E402
from score.json_stream import JsonArrayWriter  # noqa: E402
from score.manifest import write_manifest  # noqa: E402
from score.questions import draw, fingerprint, normalised  # noqa: E402
from score.recorded import Recorded, RecordedKeyStep  # noqa: E402
from score.trajectory import still_holds  # noqa: E402

REFUSED = "refused: SFT used the question"


def row_without_key_step(trajectory: Recorded) -> dict[str, Any]:
    """A hard or easy sample: the rollout starts from the question, the reward is the final answer's alone."""
    return {
        "prompt": render(trajectory.task.question, None, [], ends_on_reply=False),
        "chosen": "",
        "chosen_observation": "",
        "rejected": "",
        "rejected_observation": "",
        "correct_step": None,
        "gt_answer": trajectory.task.true_answer,
        "id": trajectory.task.id,
    }


def row_with_key_step(trajectory: Recorded, key_step: RecordedKeyStep) -> dict[str, Any]:
    """A rollout from the verified prefix. Files of the original release keep no structured prefix: a valid key step
    is still part of the final trajectory, so the prefix is what precedes it there."""
    index = key_step.mistake_step_index  # counted from 0, where 0 is the plan
    plan_is_wrong = index == 0
    plan = None if plan_is_wrong else (key_step.prefix_plan or trajectory.plan)
    prefix = [] if plan_is_wrong else key_step.prefix_steps
    if prefix is None:
        prefix = trajectory.steps[: index - 1]
    chosen, rejected = key_step.teacher_guided_step, key_step.student_mistake[0]
    turn = (lambda step: render_plan(step.thought)) if plan_is_wrong else render_step
    return row_without_key_step(trajectory) | {
        "prompt": render(trajectory.task.question, plan, prefix, ends_on_reply=False),
        "chosen": turn(chosen),
        "chosen_observation": chosen.observation,
        "rejected": turn(rejected),
        "rejected_observation": rejected.observation,
        "correct_step": index + 1,
    }


def selected(settings: FormatSettings, counts: Counter[str]) -> Iterator[Recorded]:
    """RL's trajectories, in the order of the input."""
    taken = taken_by_sft(settings)
    for trajectory in readable(settings.rl.input, counts):
        question = trajectory.task.question
        if for_sft(question, settings.sft_share, settings.seed):
            counts["SFT's"] += 1
            continue
        for key_step in trajectory.key_steps:
            if key_step.is_valid and not is_held(key_step, trajectory):
                counts["key steps called valid that their trajectory does not hold"] += 1
            elif key_step.is_valid and changes_nothing(key_step):
                counts["key steps that repeat the mistake"] += 1
        if taken and fingerprint(question) in taken:
            counts[REFUSED] += 1
        elif trajectory.correct is None and not trajectory.is_hard:
            counts["left out: unscored"] += 1
        elif trajectory.correct and any(is_valid(key_step, trajectory) for key_step in trajectory.key_steps):
            yield trajectory
        else:
            kind, kept = ("easy", settings.rl.easy_kept) if trajectory.correct else ("hard", settings.rl.hard_kept)
            if draw(normalised(question), kind, settings.seed) < kept:
                yield trajectory
            else:
                counts[f"left out: {kind}, beyond the share"] += 1


def is_valid(key_step: RecordedKeyStep, trajectory: Recorded) -> bool:
    """The file calls it valid, the trajectory does hold it (a row is no better than its prefix), and it is none that
    would pay for the old mistake."""
    return key_step.is_valid and is_held(key_step, trajectory) and not changes_nothing(key_step)


def is_held(key_step: RecordedKeyStep, trajectory: Recorded) -> bool:
    return bool(key_step.student_mistake) and still_holds(key_step, trajectory.plan, trajectory.steps)


def changes_nothing(key_step: RecordedKeyStep) -> bool:
    """Does the teacher's step what the student's mistake did: the same code to the same effect, or the same plan?"""
    chosen, rejected = key_step.teacher_guided_step, key_step.student_mistake[0]
    if key_step.mistake_step_index == 0:
        return same_words(chosen.thought, rejected.thought)
    return chosen.observation.strip() == rejected.observation.strip() and same_code(chosen.code, rejected.code)


def rows(trajectory: Recorded, settings: FormatSettings, counts: Counter[str]) -> Iterator[dict[str, Any]]:
    """The rows of one trajectory: from its first key step or from each, else from the question."""
    valid = [key_step for key_step in trajectory.key_steps if trajectory.correct and is_valid(key_step, trajectory)]
    if not valid:
        counts["easy" if trajectory.correct else "hard"] += 1
        yield row_without_key_step(trajectory)
    for key_step in valid[:1] if settings.rl.key_steps == "first" else valid:
        counts["from a key step"] += 1
        yield row_with_key_step(trajectory, key_step)


def as_json(row: dict[str, Any]) -> bytes:
    """One row of the file, as `json.dumps(..., indent=1)` writes it inside a list."""
    import msgspec

    return b" " + msgspec.json.format(msgspec.json.encode(row), indent=1).replace(b"\n", b"\n ")


def main() -> int:
    settings = settings_from_command_line("rl", __doc__ or "", "python format/SCoRe_RL_convert.py --seed 1")
    from format.contaminated import ContaminationFilter

    counts: Counter[str] = Counter()
    output = settings.rl.output
    contamination = ContaminationFilter(settings, output, counts)
    with contamination as clean, JsonArrayWriter(output) as array:
        for trajectory in filter(clean, selected(settings, counts)):
            for row in rows(trajectory, settings, counts):
                array.write(as_json(row))
    if not array.rows:
        raise DataError(f"{settings.rl.input}: no RL row was left ({dict(counts)})")
    write_manifest(output, settings, counts, inputs=[settings.rl.input, *contamination.files])
    report(str(output), counts)
    print(held_against("SFT", settings.sft.output, counts[REFUSED]))
    print(contamination.said())
    return 3 if counts["unreadable lines"] else 0


if __name__ == "__main__":
    cli.run(main)
