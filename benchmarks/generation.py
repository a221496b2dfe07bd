"""How much of the ideal rate the generators keep, and how fast they are where models answer at once.

    python benchmarks/generation.py [--json FILE] [--quick]

First an endpoint that answers after 1 s and 512 tasks in flight: the ideal is 512 calls per second. Then one that
answers at once: trajectories per second of both generators, beside a thread pool of 32 with a fresh client for each
call and a process for each step, and what each part of ours takes by itself. The generators are the real scripts with
their own configurations; only tasks and endpoints are the benchmark's. Everything shares this machine's cores, the
endpoint too.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from endpoint import write_tasks
from interpreter import private_bytes
from parts import part_costs
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = {
    "SCoRe_data_gen.py": "MPS/configs/SCoRe_data_gen_config.yaml",
    "BC_init_data_gen.py": "MPS/configs/BC_data_gen_config.yaml",
}
IN_FLIGHT = 512
LATENCY_S = 1.0
ERRORS = 0.25  # about the share of tasks that a student does not solve alone (29 % in math, METHOD.md)
TARGETS = {"efficiency_512": 0.95, "rss_mb": 1500.0, "speedup_vs_pool": 5.0}


class Endpoint:
    """`endpoint.py` in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], port: int):
        self.process, self.port = process, port
        self.url = f"http://127.0.0.1:{port}/v1"

    def stats(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/stats", timeout=20) as reply:
            found: dict[str, Any] = json.load(reply)
        return found


@contextmanager
def endpoint(latency_s: float, errors: float) -> Iterator[Endpoint]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = str(Path(__file__).with_name("endpoint.py"))
    arguments = ["--port", str(port), "--latency", str(latency_s), "--errors", str(errors)]
    process = subprocess.Popen([sys.executable, script, *arguments])
    try:
        serving = Endpoint(process, port)
        for _ in range(200):
            try:
                serving.stats()
                break
            except OSError:
                time.sleep(0.05)
        yield serving
    finally:
        process.kill()
        process.wait()


@contextmanager
def generator(script: str, url: str, tasks: int, in_flight: int) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The script at work on so many tasks, and its output file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tasks(folder / "tasks.jsonl", tasks)
        (folder / "config.yaml").write_text(
            f"""include: {ROOT / SCRIPTS[script]}
tasks: {folder / "tasks.jsonl"}
output: {folder / "out.jsonl"}
concurrency: {in_flight}
endpoints:
  teacher: &endpoint
    {{base_url: "{url}", model: benchmark, api_key_env: null, stream: false, concurrency: {4 * in_flight}}}
  judge: *endpoint
  student: *endpoint
""",
            encoding="utf-8",
        )
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen(
                [sys.executable, script, "--config", str(folder / "config.yaml")],
                cwd=ROOT / "MPS",
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )
        try:
            yield process, folder / "out.jsonl"
            if process.poll() not in (None, 0):
                print((folder / "log").read_text(encoding="utf-8")[-2000:], file=sys.stderr)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def own_cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def machine_cpu_s() -> float:
    """CPU seconds of everything that runs here: whoever else works on the machine is in it."""
    times = psutil.cpu_times()
    return float(times.user + times.system)


def efficiency(in_flight: int, warm_up_s: float, window_s: float) -> dict[str, float]:
    """The rate of answered calls over the ideal one, in a window that begins `warm_up_s` after all are in flight."""
    tasks = int(in_flight / LATENCY_S * (warm_up_s + window_s + 30) / 4)  # more than can be done
    with (
        endpoint(LATENCY_S, ERRORS) as serving,
        generator("SCoRe_data_gen.py", serving.url, tasks, in_flight) as (run, _),
    ):
        while serving.stats()["in_flight"] < 0.9 * in_flight:
            assert run.poll() is None, "the generator ended before all its tasks were in flight"
            time.sleep(0.2)
        time.sleep(warm_up_s)
        before = serving.stats()
        cpu = own_cpu_s(run.pid), own_cpu_s(serving.process.pid), machine_cpu_s()
        rss = 0
        for _ in range(int(window_s)):
            time.sleep(1)
            rss = max(rss, psutil.Process(run.pid).memory_info().rss)
        after = serving.stats()
        seconds = after["now"] - before["now"]
        calls = sum(after["answered"]) - sum(before["answered"])
        spent = own_cpu_s(run.pid) - cpu[0], own_cpu_s(serving.process.pid) - cpu[1], machine_cpu_s() - cpu[2]
        children = psutil.Process(run.pid).children(recursive=True)
        private = sum(private_bytes(child.pid) for child in children)
        assert run.poll() is None, "the generator ran out of tasks"
    return {
        "efficiency": calls / seconds / (in_flight / LATENCY_S),
        "calls_per_s": calls / seconds,
        "rss_mb": rss / 2**20,
        "children": len(children),
        "children_private_mb": private / 2**20,
        "generator_cores": spent[0] / seconds,
        "endpoint_cores": spent[1] / seconds,
        "other_cores": (spent[2] - spent[0] - spent[1]) / seconds,
    }


def trajectories_per_s(script: str, tasks: int, in_flight: int) -> dict[str, float]:
    """With answers at once and no errors: 4 calls and 2 steps a trajectory. From the first row to the last."""
    with endpoint(0, 0) as serving, generator(script, serving.url, tasks, in_flight) as (run, output):
        while not output.is_file():
            assert run.poll() is None, "the generator did not start"
            time.sleep(0.01)
        began, cpu = time.perf_counter(), own_cpu_s(run.pid)
        done = 0
        while done < tasks:
            assert run.poll() is None, "the generator stopped early"
            time.sleep(0.02)
            done, spent = output.read_bytes().count(b"\n"), own_cpu_s(run.pid)
        seconds = time.perf_counter() - began
        calls = sum(serving.stats()["answered"])
        endpoint_cpu = own_cpu_s(serving.process.pid)
    assert calls >= 4 * tasks, f"{calls} calls for {tasks} tasks"
    return {
        "rate": tasks / seconds,
        "generator_ms": 1e3 * (spent - cpu) / tasks,
        "endpoint_ms": 1e3 * endpoint_cpu / tasks,
        "wall_ms": 1e3 * seconds / tasks,
    }


def pool_rate(tasks: int) -> float:
    """Trajectories per second of the naive generator."""
    with endpoint(0, 0) as serving, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tasks.jsonl"
        write_tasks(file, tasks)
        ran = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("pool.py")), serving.url, str(file)],
            capture_output=True,
            text=True,
            check=True,
        )
    return float(json.loads(ran.stdout)["trajectories_per_s"])


def measure(quick: bool) -> dict[str, Any]:
    kept = efficiency(IN_FLIGHT, *((8, 8) if quick else (15, 30)))
    tasks = 600 if quick else 2000
    naive = [pool_rate(60 if quick else 150)]
    mentored = trajectories_per_s("SCoRe_data_gen.py", tasks, 64)
    cloned = trajectories_per_s("BC_init_data_gen.py", tasks, 64)
    naive.append(pool_rate(60 if quick else 150))  # before and after, should the machine have changed
    pool = sum(naive) / len(naive)
    with endpoint(0, 0) as serving:
        parts = asyncio.run(part_costs(serving.url, 100 if quick else 400))
    return {
        "efficiency_512": kept["efficiency"],
        "rss_mb": kept["rss_mb"],
        "speedup_vs_pool": mentored["rate"] / pool,
        "speedup_vs_pool_bc": cloned["rate"] / pool,
        "pool_per_s": pool,
        "in_flight_512": kept,
        "mentored": mentored,
        "behaviour_cloning": cloned,
        "parts_ms": parts,
    }


def show(figures: dict[str, Any]) -> None:
    kept, mentored, cloned = (figures[key] for key in ("in_flight_512", "mentored", "behaviour_cloning"))
    table = Table("512 tasks in flight, answers after 1 s", "figure", "target")
    table.add_row("share of the ideal rate", f"{kept['efficiency']:.3f}", ">= 0.95")
    table.add_row("calls per second", f"{kept['calls_per_s']:.0f}", "(ideal 512)")
    table.add_row("memory of the generator, MB", f"{kept['rss_mb']:.0f}", "< 1500")
    table.add_row(f"private memory of its {kept['children']} processes, MB", f"{kept['children_private_mb']:.0f}", "")
    for name in ("generator", "endpoint", "other"):
        label = "interpreter's processes (and whatever else runs)" if name == "other" else name
        table.add_row(f"cores taken: {label}", f"{kept[f'{name}_cores']:.2f}", "")
    Console().print(table)
    table = Table("answers at once, 4 calls and 2 steps", "mentored", "behaviour cloning", "pool of 32", "target")
    rates = [f"{rate:.1f}" for rate in (mentored["rate"], cloned["rate"], figures["pool_per_s"])]
    table.add_row("trajectories per second", *rates, "")
    speedups = [f"{figures[key]:.1f}" for key in ("speedup_vs_pool", "speedup_vs_pool_bc")]
    table.add_row("times the pool", *speedups, "1", ">= 5")
    for key in ("wall_ms", "generator_ms", "endpoint_ms"):
        label = {"wall_ms": "wall", "generator_ms": "CPU of the generator", "endpoint_ms": "CPU of the endpoint"}[key]
        table.add_row(f"{label}, ms per trajectory", f"{mentored[key]:.2f}", f"{cloned[key]:.2f}", "", "")
    Console().print(table)
    table = Table("by itself, CPU ms per trajectory (4 calls, 2 steps)", "generator's process", "other processes")
    for name, (own, others) in figures["parts_ms"].items():
        table.add_row(name, f"{own:.2f}", f"{others:.2f}")
    Console().print(table)
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"{time.strftime('%F')}, {os.cpu_count()} cores, load average {load}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--quick", action="store_true", help="shorter windows and fewer tasks")
    arguments = parser.parse_args()
    figures = measure(arguments.quick)
    show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
