"""What each part of a generator takes by itself, and the floor below the calls.

Every figure is (CPU ms of this process, CPU ms of all others) for what one trajectory of 4 calls and 2 steps asks of
that part. What a whole trajectory takes beyond their sum is the graphs' own.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypedDict

import psutil
from endpoint import RIGHT

from score.answers import Equivalence
from score.dialogue import Message
from score.interpreter import Interpreter, InterpreterSettings, close_all
from score.journal import Journal
from score.llm import Endpoint, EndpointSettings
from score.tasks import Task
from score.trajectory import Step, Trajectory, Verdict, mps_row

CALLS, AT_ONCE = 4, 64
QUESTION = "What is 1000 times 7? Answer in a sentence."
STEPS = ("a = 1000\nb = 7\nprint(a, b)", RIGHT)
Cost = tuple[float, float]


def machine_cpu_s() -> float:
    """CPU seconds of everything that runs here but at a low priority: the interpreter's processes cannot be asked when
    they have ended. Whoever else works on the machine is in it."""
    times = psutil.cpu_times()
    return float(times.user + times.system)


async def cost_of(work: Callable[[], Awaitable[None]], trajectories: int) -> Cost:
    """The cost of one trajectory's part, `AT_ONCE` at a time."""
    waiting = iter(range(trajectories))

    async def worker() -> None:
        for _ in waiting:
            await work()

    await work()  # connections and caches
    own, all_of_them = time.process_time(), machine_cpu_s()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    await asyncio.sleep(0.3)  # until what was closed has ended
    own, others = time.process_time() - own, machine_cpu_s() - all_of_them
    return 1e3 * own / trajectories, 1e3 * max(0.0, others - own) / trajectories


def dialogue() -> list[Message]:
    return [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": "<first_thought>I multiply the two numbers.</first_thought>"},
        {"role": "user", "content": "Observation: None"},
    ]


async def calls(url: str, trajectories: int) -> Cost:
    endpoint = Endpoint("student", EndpointSettings(base_url=url, model="benchmark", concurrency=AT_ONCE))

    async def work() -> None:
        for _ in range(CALLS):
            await endpoint.chat(dialogue())

    cost = await cost_of(work, trajectories)
    await endpoint.close()
    return cost


async def bare_calls(url: str, trajectories: int) -> Cost:
    """The floor: the same requests over asyncio's streams, the reply parsed as JSON, nothing else."""
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    body = json.dumps({"model": "benchmark", "messages": dialogue()}).encode()
    request = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def work() -> None:
        reader, writer = free.pop() if free else await asyncio.open_connection(host, int(port))
        for _ in range(CALLS):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            json.loads(await reader.readexactly(length))
        free.append((reader, writer))

    cost = await cost_of(work, trajectories)
    for _, writer in free:
        writer.close()
    return cost


async def steps(trajectories: int, *, forks: bool) -> Cost:
    """A session with two steps; with `forks` the state before the second one is kept in a copy. The mentored graph does
    that for steps that may change it; the second step here only hands in an answer."""
    async with Interpreter(InterpreterSettings(snapshots=False)) as interpreter:

        async def work() -> None:
            sessions = [await interpreter.open()]
            for code in STEPS:
                if forks and code is not STEPS[0]:
                    sessions.append(await sessions[-1].fork())
                await sessions[-1].run(code)
            await close_all(sessions)

        return await cost_of(work, trajectories)


async def graph(trajectories: int) -> Cost:
    """LangGraph with nodes that do nothing: those of a mentored trajectory that needs no correction."""
    from langgraph.graph import END, START, StateGraph
    from langgraph.types import Command

    class State(TypedDict):
        verdict: bool

    async def act(state: State) -> dict[str, Any]:
        return {}

    async def judge(state: State) -> Command[str]:
        return Command(goto=END, update={"verdict": True})

    built = StateGraph(State)
    built.add_node("act", act)
    built.add_node("judge", judge, destinations=(END,))
    built.add_edge(START, "act")
    built.add_edge("act", "judge")
    compiled = built.compile()

    async def work() -> None:
        await compiled.ainvoke({"verdict": False})

    return await cost_of(work, trajectories)


async def rules(trajectories: int) -> Cost:
    """Comparing an answer that only a judge can decide."""
    with Equivalence() as equivalence:

        async def work() -> None:
            await equivalence.equal(["If you multiply them you get 7000"], "1000 times 7 makes 7000", QUESTION)

        return await cost_of(work, trajectories)


async def journal(trajectories: int) -> Cost:
    count = iter(range(sys.maxsize))
    taken = [Step(thought="I go on.", code=code, observation="1000 7", status="ok") for code in STEPS]
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "out.jsonl") as file:

        async def work() -> None:
            task = Task(id=str(next(count)), question=QUESTION, true_answer="If you multiply them you get 7000")
            verdict = Verdict(correct=True, by="benchmark")
            file.append(mps_row(Trajectory(task=task, plan="I multiply.", steps=taken, verdict=verdict)))

        return await cost_of(work, trajectories)


async def part_costs(url: str, trajectories: int) -> dict[str, Cost]:
    """Name -> (CPU ms of this process, of all others)."""
    return {
        "calls": await calls(url, trajectories),
        "floor: the same calls over bare sockets": await bare_calls(url, trajectories),
        "graph of two empty nodes": await graph(trajectories),
        "interpreter: session, two steps": await steps(trajectories, forks=False),
        "interpreter: with a fork before the second": await steps(trajectories, forks=True),
        "rules before the judge": await rules(trajectories),
        "journal": await journal(trajectories),
    }
