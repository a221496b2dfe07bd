"""Evaluating many tasks against an endpoint that answers at once: what takes the time?

    python benchmarks/evaluation.py [--tasks 5000] [--concurrency 64] [--rounds 4] [--json FILE]

The endpoint says the same three turns to every task: a plan, a step of code that computes, a step that hands in. So a
task costs three calls, one session and two steps. Measured in turn, in rounds, so that other work on the machine
disturbs all alike:

- *whole*: `inference_api.py`'s function, from the task file to the result file;
- *interpreter alone*: the same sessions and steps without a model;
- *calls alone*: the same calls without an interpreter;
- *chat*: the whole with a plain chat model (one call, no code): client, runner, journal and ledger alone;
- *scoring*: `evaluate.py`'s function over the result file.

CPU seconds: ours, the endpoint's (which a real run spends on another machine), and what else the machine was busy with.
On a quiet machine that is the interpreter: its sessions are ended without being waited for, so nobody else counts them.
The server is written on asyncio's protocols, so that it takes as little of the machine as it can.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "inference")]

PLAN = "<first_thought>I multiply the two numbers with Python and hand in the product.</first_thought>"
STEPS = ["x = 27 * 14\nprint(x)", "final_answer_print(x)"]
TURNS = [PLAN, *(f"<thought>I go on with the plan.</thought><code>{code}</code>" for code in STEPS)]


class InstantChat(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, as much of it as the client needs: the turn is told from the number of messages."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head, separator, rest = self._buffer.partition(b"\r\n\r\n")
            if not separator:
                return
            length = 0
            for line in head.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if len(rest) < length:
                return
            body, self._buffer = rest[:length], rest[length:]
            self._answer(body)

    def _answer(self, body: bytes) -> None:
        turn = body.count(b'"role":"assistant"') + body.count(b'"role": "assistant"')
        text = "The answer is \\boxed{378}." if b"You have no tools" in body else TURNS[min(turn, 2)]
        reply = {
            "id": "1", "object": "chat.completion", "created": 0, "model": "instant",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 30, "total_tokens": 130},
        }  # fmt: skip
        payload = json.dumps(reply).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._transport.write(head % len(payload) + payload)


async def serve() -> None:
    """Serve on a free port, which is printed, until the process is ended."""
    server = await asyncio.get_running_loop().create_server(InstantChat, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def cpu_of(process: int) -> float:
    import psutil

    times = psutil.Process(process).cpu_times()
    return float(times.user + times.system)


def busy() -> float:
    """The CPU seconds that all cores have been busy."""
    import psutil

    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


class Stopwatch:
    """Seconds of wall time and of CPU: this process, the server, and the whole machine."""

    def __init__(self, server: int):
        self._server = server
        self._before = self._now()

    def _now(self) -> list[float]:
        own = resource.getrusage(resource.RUSAGE_SELF)
        return [time.perf_counter(), own.ru_utime + own.ru_stime, cpu_of(self._server), busy()]

    def read(self) -> dict[str, float]:
        seconds, ours, server, all_of_it = (now - was for now, was in zip(self._now(), self._before, strict=True))
        return {"seconds": seconds, "ours": ours, "endpoint": server, "rest": all_of_it - ours - server}


async def at_once(work: Callable[[], Awaitable[Any]], count: int, concurrency: int) -> None:
    left = iter(range(count))

    async def worker() -> None:
        for _ in left:
            await work()

    await asyncio.gather(*(worker() for _ in range(concurrency)))


async def interpreter_alone(settings: Any, tasks: int) -> None:
    from score.interpreter import Interpreter

    async with Interpreter(settings.interpreter) as interpreter:

        async def task() -> None:
            session = await interpreter.open({})
            try:
                for code in STEPS:
                    await session.run(code)
            finally:
                await session.close()

        await at_once(task, tasks, settings.concurrency)


async def calls_alone(settings: Any, tasks: int) -> None:
    from score.llm import Endpoint

    endpoint = Endpoint("student", settings.endpoints.student)

    async def task() -> None:
        messages: list[Any] = [{"role": "user", "content": "What is 27 * 14?"}]
        for turn in TURNS:
            await endpoint.chat(messages)
            messages += [{"role": "assistant", "content": turn}, {"role": "user", "content": "Observation: 378"}]

    await at_once(task, tasks, settings.concurrency)
    await endpoint.close()


def measure(tasks: int, concurrency: int, folder: Path, port: int, server: int) -> dict[str, dict[str, float]]:
    """One round: the seconds of each part."""
    from configuration import EvaluationSettings, InferenceSettings
    from inference_api import answer

    from runs import score_files

    rows = [{"id": str(n), "question": f"What is 27 * 14? ({n})", "true_answer": "378"} for n in range(tasks)]
    (folder / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    student = {"base_url": f"http://127.0.0.1:{port}/v1", "model": "instant", "concurrency": concurrency}
    settings = InferenceSettings.model_validate(
        {
            "tasks": folder / "tasks.jsonl",
            "output": folder / "whole.jsonl",
            "concurrency": concurrency,
            "endpoints": {"student": student},
        }
    )
    chat = settings.model_copy(update={"output": folder / "chat.jsonl", "style": "chat"})
    evaluation = EvaluationSettings(concurrency=concurrency)
    parts: dict[str, Callable[[], Any]] = {
        "whole": lambda: answer(settings),
        "interpreter alone": lambda: asyncio.run(interpreter_alone(settings, tasks)),
        "calls alone": lambda: asyncio.run(calls_alone(settings, tasks)),
        "chat": lambda: answer(chat),
        "scoring": lambda: asyncio.run(score_files({"whole": [settings.output]}, evaluation)),
    }
    found = {}
    for name, part in parts.items():
        watch = Stopwatch(server)
        with contextlib.redirect_stdout(sys.stderr):  # the runs' own reports
            result = part()
        found[name] = watch.read()
        if name in ("whole", "chat") and result != 0:
            raise SystemExit(f"{name} ended with {result}: see the failures above")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=5000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", action="store_true", help="only the endpoint; prints its port")
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    total: dict[str, dict[str, float]] = {}
    load = os.getloadavg()[0]
    each = options.tasks // options.rounds
    try:
        port = int((server.stdout or sys.stdin).readline())
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as folder:
                for name, row in measure(each, options.concurrency, Path(folder), port, server.pid).items():
                    sums = total.setdefault(name, dict.fromkeys(row, 0.0))
                    for key, value in row.items():
                        sums[key] += value
    finally:
        server.kill()
        server.wait()
    show(total, each * options.rounds, load)
    if options.json:
        kept = {"tasks": each * options.rounds, "cores": os.cpu_count(), "load_at_start": load, "parts": total}
        options.json.write_text(json.dumps(kept, indent=2) + "\n")


def show(found: dict[str, dict[str, float]], tasks: int, load: float) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{tasks} tasks, {os.cpu_count()} cores, load at the start {load:.1f}")
    for column in ("part", "seconds", "tasks / s", "CPU s: ours", "endpoint's", "rest (interpreter)"):
        table.add_column(column, justify="left" if column == "part" else "right")
    for name, row in found.items():
        cpu = [f"{row[key]:.1f}" for key in ("ours", "endpoint", "rest")]
        table.add_row(name, f"{row['seconds']:.1f}", f"{tasks / row['seconds']:.0f}", *cpu)
    console = Console(width=110)
    console.print(table)
    whole = found["whole"]["seconds"]
    shares = {name: f"{100 * row['seconds'] / whole:.0f} %" for name, row in found.items() if name != "whole"}
    console.print("in the time of the whole: " + ", ".join(f"{name} {share}" for name, share in shares.items()))


if __name__ == "__main__":
    main()
