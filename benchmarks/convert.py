"""How fast the converters are, and in how much memory: generated trajectories through each of them.

    python benchmarks/convert.py [--trajectories N] [--evaluation FILE ...] [--json FILE]

Writes N cold-start and N mentored trajectories (a million; some GB in a temporary folder, removed at the end) and runs
each converter as its own process, as a user does. Memory is the process's peak (`ru_maxrss`); speed is the size of its
input over the processor time it took, which is MB/s per core and does not depend on what else the machine does. The
floor is reading the same file and parsing its JSON alone, in plain Python objects. `--evaluation` checks questions
against these sets too.

`mb_per_s` is that of the slowest of the three that read trajectories, `rss_mb` the largest of all four. The fourth,
RL's parquet converter, reads what the third wrote (a seventh of the trajectories here, a kB each) and is told apart: it
works row by row, and its start, a second of imports, weighs on so small a file.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

FLOOR = """
import sys, msgspec
count = 0
for line in open(sys.argv[1], "rb"):
    count += bool(msgspec.json.decode(line))
"""
SENTENCES = [
    "First the rate per hour is multiplied by the hours that were worked",
    "The observation shows that the value is not yet reduced to lowest terms",
    "I search for the year in which the bridge was opened to traffic",
    "Both conditions have to hold, so the two equations are solved together",
    'It says "opened in 1894", and that is what was asked',
    "The remainder modulo seven decides which of the two cases applies",
]  # fmt: skip
CODE = [
    "import sympy as sp\nx = sp.symbols('x')\nprint(sp.solve(x**2 - {0}*x + {1}, x))",
    "total = {0} * {1}\nrest = total - {1}\nprint(rest)",
    'print(web_search("bridge opened {0} district {1}"))',
]


def step(draw: random.Random, *, last: bool) -> dict[str, Any]:
    """A step of the sizes that the released files have: a sentence or three, a few lines of code, some output."""
    numbers = draw.randrange(10**4), draw.randrange(10**4)
    if last:
        thought, code, observation = draw.choice(SENTENCES), f'final_answer_print("{numbers[0]}")', str(numbers[0])
    else:
        thought = ". ".join(draw.choices(SENTENCES, k=draw.randint(1, 3)))
        code = draw.choice(CODE).format(*numbers)
        observation = "\n".join(draw.choices(SENTENCES, k=draw.randint(0, 3))) or str(numbers[1])
    return {"thought": thought, "code": code, "observation": observation, "is_finished": last}


def trajectories(number: int, kind: str, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Rows of `*_bc_init_trajectories.jsonl` or `*_mps_trajectories.jsonl`; one mentored row in five was corrected."""
    draw = random.Random(seed)
    for index in range(number):
        steps = [step(draw, last=False) for _ in range(draw.randint(1, 4))] + [step(draw, last=True)]
        told = ", and ".join(sentence.lower() for sentence in draw.choices(SENTENCES, k=2))
        question = f"Task {index}: {told}; what is the result for {draw.randrange(10**6)}?"
        task = {"id": f"task-{index}", "question": question, "true_answer": steps[-1]["observation"]}
        row: dict[str, Any] = {"timestamp": "20251124_120000", "original_task_info": task}
        plan = ". ".join(draw.choices(SENTENCES, k=2))
        right = draw.random() < 0.9
        if kind == "bc":
            row |= {"first_thought": plan, "steps": steps, "evaluation_result": {"equivalent": right, "by": "number"}}
        else:
            planned = {"thought": plan, "code": "", "observation": "No Code Executed.", "is_finished": False}
            place = draw.randrange(len(steps) - 1)
            key_step = {
                "teacher_guided_step": steps[place],
                "student_mistake": [step(draw, last=False)],
                "mistake_step_index": place + 1,
                "correction_suggestion": draw.choice(SENTENCES),
                "context_before_intervention": f"First thought: {plan}",
                "is_valid": right,
                "prefix_steps": steps[:place],
                "prefix_plan": plan,
            }
            row |= {
                "steps": [planned, *steps],
                "evaluation_result": {"is_correct": right, "error_analysis": None, "by": "number"},
                "repair_steps": [key_step] if draw.random() < 0.2 else [],
            }
            row |= {} if right else {"is_hard_sample": True}
        yield row


def write_rows(path: Path, number: int, kind: str) -> None:
    import msgspec

    encode = msgspec.json.Encoder().encode
    with open(path, "wb", buffering=1 << 20) as file:
        for row in trajectories(number, kind):
            file.write(encode(row) + b"\n")


def measure(command: list[str], folder: Path, source: Path) -> dict[str, float]:
    """Run a process to its end: its peak memory, and the MB of `source` that it took per second of processor time."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output = b"".join(pipe.read() for pipe in (process.stdout, process.stderr) if pipe)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: {output.decode()[-2000:]}")
    megabytes, processor = source.stat().st_size / 1e6, usage.ru_utime + usage.ru_stime
    return {
        "input_mb": round(megabytes, 1),
        "rss_mb": round(usage.ru_maxrss / 1024, 1),
        "seconds": round(seconds, 2),
        "processor_seconds": round(processor, 2),
        "mb_per_s": round(megabytes / processor, 1),
    }


def run(folder: Path, number: int, evaluation: list[str]) -> dict[str, Any]:
    for kind in ("bc", "mps"):
        write_rows(folder / f"{kind}.jsonl", number, kind)
    config = {
        "dataset_info": str(folder / "dataset_info.json"),
        "evaluation_sets": evaluation,
        "bc": {"input": str(folder / "bc.jsonl"), "output": str(folder / "bc.json"), "dataset": "bc"},
        "sft": {"input": str(folder / "mps.jsonl"), "output": str(folder / "sft.json"), "dataset": "sft"},
        "rl": {"input": str(folder / "mps.jsonl"), "output": str(folder / "rl.json")},
    }
    (folder / "format.yaml").write_text(json.dumps(config))
    own = ["--config", str(folder / "format.yaml")]
    parquet = [
        "--input",
        str(folder / "rl.json"),
        "--output",
        str(folder / "parquet"),
        "--set",
        "tokenizer=null",
        "--set",
        "check_prefixes=false",
    ]
    work = {
        "floor": (["-c", FLOOR, str(folder / "bc.jsonl")], ROOT, folder / "bc.jsonl"),
        "floor (mentored)": (["-c", FLOOR, str(folder / "mps.jsonl")], ROOT, folder / "mps.jsonl"),
        "BC": (["format/BC_init_llamafactory_format_convert.py", *own], ROOT / "MPS", folder / "bc.jsonl"),
        "SFT": (["format/SCoRe_SFT_llamafactory_format_convert.py", *own], ROOT / "MPS", folder / "mps.jsonl"),
        "RL": (["format/SCoRe_RL_convert.py", *own], ROOT / "MPS", folder / "mps.jsonl"),
        "parquet": (["SCoRe_Script/data_preprocess/convert_parquet.py", *parquet], ROOT / "RL", folder / "rl.json"),
    }
    found = {}
    for name, (command, place, source) in work.items():
        found[name] = measure(command, place, source)
        print(f"{name:>16}: {found[name]}", flush=True)
    return {
        "rss_mb": max(found[name]["rss_mb"] for name in ("BC", "SFT", "RL", "parquet")),
        "mb_per_s": min(found[name]["mb_per_s"] for name in ("BC", "SFT", "RL")),
        "parquet_mb_per_s": found["parquet"]["mb_per_s"],
        "trajectories": number,
        "evaluation_sets": len(evaluation),
        "converters": found,
        "load": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trajectories", type=int, default=1_000_000)
    parser.add_argument("--evaluation", nargs="*", default=[], help="evaluation sets to check the questions against")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="score_convert_"))
    try:
        report = run(folder, options.trajectories, [str(Path(name).resolve()) for name in options.evaluation])
    finally:
        shutil.rmtree(folder)
    speeds = f"{report['mb_per_s']} MB/s per core ({report['parquet_mb_per_s']} to parquet)"
    print(f"at least {speeds}, at most {report['rss_mb']} MB")
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
