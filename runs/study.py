"""The learning study of RL/README.md: what do short horizons and key-step rewards buy, in an easy and a hard regime?

    .venv/bin/python runs/study.py                 both regimes, three seeds: one or two nights on 2 cores
    .venv/bin/python runs/study.py --quick         hard, a third of the tasks mentored; one seed, 8 steps, 300 test ones
    .venv/bin/python runs/study.py --regimes hard --seeds 0 1
    .venv/bin/python runs/study.py --regimes hard --arms standard long_horizon    the others another night

For each regime and seed: runs/cpu.sh up to its SFT student, from which five students are trained on as many tokens each
as SCoRe-RL (`standard`) generates in 64 steps (easy) or 128 (hard):

  standard, sparse_reward, long_horizon   RL in that mode (RL/SCoRe_Script/train_miniature.sh)
  sft_longer                              SFT goes on, on its own data
  sft_all                                 SFT goes on, on the corrected trajectories that RL gets, too

All answer the same test tasks. `output/study` then holds results.json, table.md and study.png (study_report.py), and a
record of each regime and seed, from which seeds of several days or machines are put together. One job runs at a time
unless `--lanes` says more: two RL runs side by side on two cores take longer than one after the other. The same command
goes on after a kill: what is done is not done again, or refused if by another recipe. Where a job that a killed study
had started still runs, it is not started beside that one: it fails, and its log says which processes to wait for.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from study_marker import made_now, read_marker, write_marker

from score.errors import SettingsError

ROOT = Path(__file__).resolve().parents[1]
RL_ARMS = ("standard", "long_horizon", "sparse_reward")
SFT_ARMS = {"sft_longer": "data", "sft_all": "data_all"}  # and the data that they go on with
ARMS = ("sft", *SFT_ARMS, *RL_ARMS)
REGIMES = ("easy", "hard", "quick")
BATCH = 8  # configs/miniature/SCoRe_SFT.yaml
SFT_RATE = 3e-4  # where SFT goes on; 1e-3 did the same on validation (hard, seed 1, 180 steps: 39.9 % right with both)
# In the hard regime validation fell by 2 points within 16 steps with "rollout"; with "key_turn" `standard` gained
# nothing in seed 2 (+0.3 points, -1.9 to 2.5), with "two_parts" 3.2 (0.9 to 5.4).
CREDIT = "two_parts"


@dataclass(frozen=True)
class Plan:
    """One form of the study. `name` marks what belongs to it in the folders of the runs."""

    name: str
    steps: Mapping[str, int]  # of `standard`, by regime
    validate_every: int
    seeds: tuple[int, ...]
    tasks: int | None = None  # only so many of test
    arms: tuple[str, ...] = ARMS


# In the hard regime no mode was told apart from SFT with 64 steps (+2 to +3.5 points, seed 0 on an Intel machine).
# In the easy one the demo's 48 steps gain 3.5 points on the mean of eight runs of seed 0, so it gets half as many.
FULL = Plan("study", steps={"easy": 64, "hard": 128}, validate_every=16, seeds=(0, 1, 2))
# 54 minutes on two slow cores; on the hard regime's own road 65, of which mentoring took 13 (one run, stopped).
QUICK = Plan("quick", steps={"quick": 8}, validate_every=8, seeds=(0,), tasks=300, arms=("sft", "sft_longer", *RL_ARMS))


def recipe(plan: Plan, regime: str) -> dict[str, Any]:
    """What two runs must have in common to be put together; the rest is in configs/miniature and RL/configs."""
    return {
        "steps": plan.steps[regime], "validate_every": plan.validate_every, "tasks": plan.tasks, "credit": CREDIT,
        "sft_rate": SFT_RATE,
    }  # fmt: skip


@dataclass(frozen=True)
class Job:
    """`name` is regime, seed and what is done. `commands` gives bash commands, run in the repository's root with the
    functions of runs/miniature.sh when all of `after` is done; they may read what those left."""

    name: str
    commands: Callable[[], str]
    after: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, int, str]:
        regime, seed, what = self.name.split(" ", 2)
        return regime, int(seed), what


def outputs() -> Path:
    """Where all runs lie."""
    return Path(os.environ.get("SCORE_OUTPUT", ROOT / "output"))


def run_folder(regime: str, seed: int) -> Path:
    """As in runs/miniature.sh."""
    return outputs() / "miniature" / f"{regime}_seed{seed}"


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a file that a job of the study has left."""
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The steps of an RL run."""
    return read_lines(folder / "metrics.jsonl")


def generated(steps: list[dict[str, Any]]) -> float:
    """Tokens that the rollouts of these steps generated."""
    return float(sum(step.get("generated_tokens", 0.0) for step in steps))


def trained_tokens(data: Path, tokenizer: Path) -> float:
    """The mean number of tokens that SFT trains of an example: what the student says, its end of turn included."""
    from transformers import AutoTokenizer

    encode = AutoTokenizer.from_pretrained(tokenizer).encode
    examples = json.loads(data.read_text(encoding="utf-8"))
    said = [turn["value"] for example in examples for turn in example["conversations"] if turn["from"] == "gpt"]
    return sum(len(encode(text)) + 1 for text in said) / len(examples)


def jobs(plan: Plan, regime: str, seed: int, arms: Collection[str] = ARMS) -> Iterator[Job]:
    """The jobs of one regime and seed, for these arms; `sft` and `standard` are always among them."""
    arms = [arm for arm in ARMS if arm in ("sft", "standard", *arms)]
    folder, mark = run_folder(regime, seed), f"{regime} {seed}"
    trained = {arm: f"rl_{plan.name}_{arm}" for arm in RL_ARMS} | {arm: f"{plan.name}_{arm}" for arm in SFT_ARMS}
    students = {arm: trained.get(arm, arm) for arm in arms}
    standard_steps = plan.steps[regime]

    def rl(arm: str, steps: int) -> str:
        return (
            f"RUN_NAME={plan.name}_{arm} STEPS={steps} TEST_FREQ={plan.validate_every} SAVE_FREQ={plan.validate_every} "
            f"CREDIT={CREDIT} bash RL/SCoRe_Script/train_miniature.sh {arm} {seed} trainer.val_before_train=true"
        )

    def rl_at_equal_tokens(arm: str) -> str:
        """As many steps as `standard`'s tokens last, which spares the share `horizon_saved` of the turns."""
        steps = read_metrics(folder / trained["standard"])[-standard_steps:]
        saved = sum(step["horizon_saved"] for step in steps) / len(steps) if arm == "long_horizon" else 0.0
        return rl(arm, round(standard_steps * (1 - saved)))

    def sft(arm: str, data: str) -> str:
        tokens = generated(read_metrics(folder / trained["standard"]))
        steps = round(tokens / trained_tokens(folder / data / "mps_llamafactory.json", folder / "sft") / BATCH)
        more = f"max_steps={steps} learning_rate={SFT_RATE}"
        return f"train sft {trained[arm]} SCoRe_SFT.yaml {data} {more}"

    everything = (
        "cd MPS && python format/SCoRe_SFT_llamafactory_format_convert.py --config ../configs/miniature/format.yaml "
        "--set sft_share=1.0 --set sft.output=$RUN/data_all/mps_llamafactory.json "
        "--set dataset_info=$RUN/data_all/dataset_info.json "
        "--set rl.output=$RUN/data_all/none.json"  # what is RL's is to be in it
    )
    limit = f" --limit {plan.tasks}" if plan.tasks else ""

    def answers(student: str, of_what: str) -> str:
        return f"answers {student} {of_what}{limit}"

    def score() -> str:
        tested = {arm: f"$RUN/answers/{plan.name}_{arm}_test.jsonl" for arm in arms}
        given = " ".join(f"{arm}={path}" for arm, path in tested.items())
        evaluate = "python evaluate.py --config ../configs/miniature/evaluate.yaml"
        return (
            f"expert; cd inference; {evaluate} --results {given} --scores $RUN/scores_{plan.name} "
            f"--json $RUN/{plan.name}.json; {evaluate} --results sampled=$RUN/answers/{plan.name}_sampled.jsonl "
            f"--scores $RUN/scores_{plan.name} --json $RUN/{plan.name}_sampled.json"
        )

    road = f"{mark} road"
    yield Job(road, lambda: f"UNTIL=rl_format bash runs/cpu.sh; {everything}")
    yield Job(f"{mark} standard", partial(rl, "standard", standard_steps), (road,))
    for arm in arms:
        if arm in SFT_ARMS:
            yield Job(f"{mark} {arm}", partial(sft, arm, SFT_ARMS[arm]), (f"{mark} standard",))
        elif arm not in ("sft", "standard"):
            yield Job(f"{mark} {arm}", partial(rl_at_equal_tokens, arm), (f"{mark} standard",))
    for arm, student in students.items():
        after = (road if arm == "sft" else f"{mark} {arm}",)
        yield Job(f"{mark} answers of {arm}", partial(answers, student, f"test {plan.name}_{arm}_test"), after)
    yield Job(f"{mark} sampled", lambda: f"sampled sft {plan.name}_sampled{limit}", (road,))
    last = tuple(f"{mark} answers of {arm}" for arm in arms)
    of_some = f" of {' '.join(arms)}" if len(arms) < len(ARMS) else ""
    yield Job(f"{mark} scores{of_some}", score, (*last, f"{mark} sampled"))


def marker(plan: Plan, regime: str, seed: int, what: str) -> Path:
    """The file that says that a job is done, and how (study_marker.py)."""
    return run_folder(regime, seed) / "done" / f"{plan.name}_{what.replace(' ', '_')}"


def do(plan: Plan, job: Job, lanes: int) -> float:
    """Run one job; returns its seconds. Raises `CalledProcessError`, or `SettingsError` if another recipe did it."""
    regime, seed, what = job.parts
    done = marker(plan, regime, seed, what)
    if before := read_marker(done, recipe(plan, regime)):
        return float(before["seconds"])
    began, made = time.monotonic(), made_now(recipe(plan, regime))
    log = run_folder(regime, seed) / "log" / f"{done.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    begin = (
        f"set -euo pipefail; source runs/miniature.sh; run_folder {regime} {seed}; hold 7 {done.name}; "
        "trap stop_servers EXIT"
    )
    threads = str(max(1, (os.cpu_count() or 1) // lanes))
    environment = os.environ | {"SCORE_THREADS": threads, "VERL_CPU_TRAIN_THREADS": threads}
    with open(log, "ab") as output:
        subprocess.run(
            ["bash", "-c", f"{begin}; {job.commands()}"],
            cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=True,
        )  # fmt: skip
    seconds = time.monotonic() - began
    write_marker(done, seconds, made)
    return seconds


def do_all(plan: Plan, every: list[Job], lanes: int) -> list[str]:
    """Run the jobs, `lanes` at once, each after what it needs, earlier ones first. Returns what failed; what depends on
    it is not tried."""
    by_name = {job.name: job for job in every}
    order = TopologicalSorter({job.name: job.after for job in every})
    order.prepare()
    ready: list[str] = []
    running: dict[Future[float], str] = {}
    failed: list[str] = []
    done = 0
    with ThreadPoolExecutor(lanes) as pool:
        while order.is_active():
            ready = sorted([*ready, *order.get_ready()], key=list(by_name).index)
            while ready and len(running) < lanes:
                name = ready.pop(0)
                running[pool.submit(do, plan, by_name[name], lanes)] = name
            if not running:
                break  # all that is left depends on what failed
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(future)
                if error := future.exception():
                    failed.append(name)
                    why = f"; log/{marker(plan, *by_name[name].parts).name}.log says why"
                    print(f"{name}: failed ({error}){'' if isinstance(error, SettingsError) else why}", flush=True)
                else:
                    done += 1
                    order.done(name)
                    print(f"{name}: {future.result():.0f} s ({done} of {len(every)} jobs)", flush=True)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+", help="default: 0 1 2, with --quick 0")
    parser.add_argument("--regimes", nargs="+", choices=REGIMES, help="default: easy and hard, with --quick quick")
    parser.add_argument(
        "--arms", nargs="+", choices=ARMS, help="`standard` in any case; default: all, with --quick all but sft_all"
    )
    parser.add_argument("--lanes", type=int, default=1, help="jobs side by side (default: 1)")
    options = parser.parse_args()
    plan = QUICK if options.quick else FULL
    seeds, regimes = options.seeds or plan.seeds, options.regimes or list(plan.steps)
    if missing := set(regimes) - plan.steps.keys():
        parser.error(f"the {plan.name} form has no {' or '.join(sorted(missing))} regime")
    if os.environ.get("FRESH") == "1":
        # Each job would delete what the one before it has made.
        folders = " ".join(str(run_folder(regime, seed)) for regime in regimes for seed in seeds)
        parser.error(f"FRESH=1 is not for the study; to start over delete {folders}")
    output = outputs() / plan.name
    output.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(output / "lock", timeout=0):
            arms = options.arms or plan.arms
            every = [job for regime in regimes for seed in seeds for job in jobs(plan, regime, seed, arms)]
            if do_all(plan, every, options.lanes):
                return 1
            runs = [f"{regime}={seed}" for regime in regimes for seed in seeds]
            report = [str(ROOT / "runs" / "study_report.py"), "--output", str(output), *runs]
            report += ["--quick"] if options.quick else []
            return subprocess.run([sys.executable, *report], check=False).returncode
    except Timeout:
        print(f"another study is writing {output}: wait for it or stop it", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
