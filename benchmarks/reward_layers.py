"""Which layer decides the rewards of recorded math trajectories, and whether it agrees with the recorded judge.

    python benchmarks/reward_layers.py ../shared/data/original_release

Every trajectory of the original release's math files is scored as if it were a rollout, without a judge: what the
rules leave open counts as asked of a model. Every key step of the mentored file is compared with the student's mistake
that it replaced, both run from the recorded prefix: they should differ; and with itself: they should not.
"""

import argparse
import asyncio
import logging
import sys
from collections import Counter
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "RL")]

FILES = ("math_bc_init_trajectories.jsonl", "math_mps_trajectories_head24.jsonl")


def read(folder: Path) -> list[Any]:
    from score.trajectory import Trajectory, read_trajectories

    return [item for name in FILES for item in read_trajectories(folder / name) if isinstance(item, Trajectory)]


async def answers(trajectories: list[Any]) -> None:
    """The final answers: the layer that decided each, and the recorded verdict."""
    from reward.entry import Scorer
    from rl_settings import RLSettings

    from score.errors import JudgeError

    scorer = Scorer(RLSettings())
    layers: Counter[str] = Counter()
    agreed = compared = asked = 0
    for item in trajectories:
        truth = item.task.true_answer
        info = {"question": item.task.question, "references": [truth] if isinstance(truth, str) else truth}
        try:
            made = (await scorer.score(info | {"episode": {"answer": item.answer, "turns": []}})).score
        except JudgeError:
            asked += 1
            layers["judge"] += 1
            continue
        layers[made.layer] += 1
        if item.verdict is not None:
            compared += 1
            agreed += (made.tier == "correct") == item.verdict.correct
            if (made.tier == "correct") != item.verdict.correct:
                print(f"  differs: {info['references']} against {item.answer!r}, recorded {item.verdict.correct}")
    await scorer.close()
    without = len(trajectories) - asked
    print(f"final answers: {without} of {len(trajectories)} without a model ({without / len(trajectories):.0%})")
    print("  " + ", ".join(f"{layer} {count}" for layer, count in layers.most_common()))
    print(f"  agree with the recorded judge: {agreed} of {compared}")


async def key_steps(trajectories: list[Any]) -> None:
    """The key steps against the mistakes that they replaced."""
    from prefix import Prefix
    from reward.keyturn import key_turn_of
    from rl_settings import RLSettings
    from workbench import Workbench

    from score.dialogue import render_step

    bench = Workbench(RLSettings())
    layers: dict[str, Counter[str]] = {"mistake": Counter(), "itself": Counter()}
    for number, item in enumerate(trajectories):
        for place_number, key in enumerate(item.key_steps):
            if key.mistake_step_index == 0 or not key.student_mistake:
                layers["mistake"]["plan: judge"] += 1
                continue
            step, mistake = key.teacher_guided_step, key.student_mistake[0]
            info = {
                "chosen_step": render_step(step), "chosen_step_obs": step.observation,
                "rejected_step": render_step(mistake), "rejected_step_obs": mistake.observation,
            }  # fmt: skip
            prefix = Prefix(item.steps[: key.mistake_step_index - 1])
            turns = {"mistake": mistake, "itself": step}
            async with bench.place(f"{number}.{place_number}", prefix) as place:
                for name, turn in turns.items():
                    row = {"plan": None, "thought": "", "code": turn.code, "observation": turn.observation}
                    found = (await key_turn_of(info).compare(row, place.key_effect, place.key_effect)).teacher
                    word = {True: "same", False: "different", None: "judge"}[found.same]
                    layers[name][f"{word} ({found.layer})" if found.same is not None else word] += 1
    await bench.close()
    for name, counts in layers.items():
        print(f"key step against {name}: " + ", ".join(f"{what} {count}" for what, count in counts.most_common()))


async def prefixes(files: list[Path]) -> None:
    """How many recorded trajectories, math and search, are reproduced up to their last step."""
    from prefix import Prefix, replay

    from score.interpreter import Interpreter, InterpreterSettings
    from score.trajectory import Trajectory, read_trajectories

    async with Interpreter(InterpreterSettings()) as interpreter:
        for path in files:
            reproduced = total = 0
            for item in read_trajectories(path):
                if isinstance(item, Trajectory) and len(item.steps) > 1:
                    done = await replay(interpreter.open, {}, Prefix(item.steps[:-1]))
                    await done.session.close()
                    total += 1
                    reproduced += done.difference is None
            print(f"prefixes of {path.name}: {reproduced} of {total} reproduced")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    trajectories = read(arguments.folder)
    asyncio.run(answers(trajectories))
    asyncio.run(key_steps(trajectories))
    asyncio.run(prefixes(sorted(arguments.folder.glob("*.jsonl"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
