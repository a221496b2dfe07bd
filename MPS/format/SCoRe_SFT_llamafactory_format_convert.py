"""Phase 2, last part: mentored trajectories that ended correct become LLaMA-Factory data for the SFT student.

    cd MPS && python format/SCoRe_SFT_llamafactory_format_convert.py

Takes SFT's share of the questions (the rest is RL's): all corrected trajectories and a part of those that the
student got right alone. Hard samples are left out. Questions found in RL's file are refused whatever the seed says.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]

from format.convert import convert  # noqa: E402
from format.selection import for_sft, held_against, readable, taken_by_rl  # noqa: E402
from format.settings import FormatSettings  # noqa: E402

from score.questions import draw, fingerprint, normalised  # noqa: E402
from score.recorded import Recorded  # noqa: E402

REFUSED = "refused: RL has the question"


def select(settings: FormatSettings, counts: Counter[str]) -> Iterator[Recorded]:
    """SFT's corrected trajectories, and a part of its self-solved ones."""
    taken = taken_by_rl(settings)
    for trajectory in readable(settings.sft.input, counts):
        question = trajectory.task.question
        if not for_sft(question, settings.sft_share, settings.seed):
            counts["kept for RL"] += 1
        elif taken and fingerprint(question) in taken:
            counts[REFUSED] += 1
        elif trajectory.correct is None:
            counts["left out: unscored"] += 1
        elif trajectory.is_hard or not trajectory.correct or not trajectory.answered:
            counts["left out: not correct"] += 1
        elif trajectory.key_steps:
            counts["corrected"] += 1
            yield trajectory
        elif draw(normalised(question), "self-solved", settings.seed) < settings.sft.self_solved_kept:
            counts["self-solved"] += 1
            yield trajectory
        else:
            counts["left out: self-solved, beyond the share"] += 1


def said(settings: FormatSettings, counts: Counter[str]) -> str:
    return held_against("RL", settings.rl.output, counts[REFUSED])


if __name__ == "__main__":
    convert("sft", select, __doc__ or "", "python format/SCoRe_SFT_llamafactory_format_convert.py --seed 1", said)
