"""How long a batch of rewards takes with a slow judge, and what happens when the judge is down.

    python benchmarks/reward_batch.py [--rollouts 2048] [--judge-seconds 0.5]

Every rollout's answer is one that the rules leave to the judge, a server here, which answers after `--judge-seconds`.
Ideal: the calls, over the endpoint's concurrency, times the judge's time; the aim is at most 1.3 times that. `once`:
each question is asked by 16 rollouts, as in a group whose answers agree. `down`: nothing listens; the batch has to end
with every rollout unscored, whose share stops training (RL/replay.py), not with zeros.
"""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "RL")]

CONCURRENCY = 64


async def judge(seconds: float) -> tuple[asyncio.Server, str, list[int]]:
    """A server that answers every chat after `seconds`; its address, and the number of calls as a list of one."""
    calls = [0]
    said = json.dumps({"reason": "r", "equivalent": False})
    message = {"role": "assistant", "content": said}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    body = json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": choices}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            length = 0
            while line not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
                line = await reader.readline()
            await reader.readexactly(length)
            calls[0] += 1
            await asyncio.sleep(seconds)
            writer.write(head + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", calls


def rollouts(count: int, alike: int) -> list[dict[str, Any]]:
    """`extra_info`s as verl hands them over; each answer is given by `alike` rollouts."""
    turn = {"plan": None, "thought": "t", "code": "print(1)", "observation": "1", "status": "ok", "is_finished": False}
    step = "<thought>t</thought><code>print({})</code>"
    return [
        {
            "question": f"Who was the mayor of town {number // alike}?",
            "references": ["Clara Venn"],
            "chosen_step": step.format(2), "chosen_step_obs": "2",
            "rejected_step": step.format(3), "rejected_step_obs": "3",
            "episode": {
                "answer": f"Otto Reis of house {number // alike}", "turns": [turn], "unscored": None,
                "generated_tokens": 10, "prefix_differs": False,
            },
        }
        for number in range(count)
    ]  # fmt: skip


async def batch(address: str, infos: list[dict[str, Any]], folder: Path) -> tuple[float, list[dict[str, Any]]]:
    """Seconds and results of one batch scored as in training, with an empty cache."""
    from reward import entry
    from rl_settings import Reward, RLSettings

    from score.llm import Endpoints, EndpointSettings
    from score.verdicts import Costs

    endpoint = EndpointSettings(
        base_url=address, model="m", concurrency=CONCURRENCY, timeout_s=60, attempts=3, give_up_after_s=10
    )
    cache = folder / f"{time.monotonic_ns()}.sqlite"
    settings = RLSettings(endpoints=Endpoints(reward=endpoint), reward=Reward(cache=cache))
    scorer = entry._scorers["benchmark"] = entry.Scorer(settings)
    await scorer.answer("q", ["a"], "a", Costs())  # imports are not the batch's
    began = time.perf_counter()
    results = await asyncio.gather(*(entry.compute_score("", "", "", info, "benchmark") for info in infos))
    seconds = time.perf_counter() - began
    await scorer.close()
    return seconds, list(results)


async def measure(count: int, judge_seconds: float) -> bool:
    import numpy as np
    from replay import ScoreReplayBuffer

    from score.errors import JudgeError

    server, address, calls = await judge(judge_seconds)
    good = True
    with tempfile.TemporaryDirectory() as name:
        for label, alike in (("all different", 1), ("once", 16)):
            calls[0] = 0
            seconds, results = await batch(address, rollouts(count, alike), Path(name))
            ideal = -(-count // alike // CONCURRENCY) * judge_seconds
            scored = sum(not result["unscored"] for result in results)
            good &= seconds <= 1.3 * ideal or alike > 1
            ratio = f"{seconds / ideal:.2f} times the ideal {ideal:.1f} s"
            print(f"{label:<14} {seconds:6.2f} s, {ratio}; {calls[0]} calls, {scored} scored")
        server.close()
        seconds, results = await batch("http://127.0.0.1:9/v1", rollouts(count, 1), Path(name))
    unscored = np.array([bool(result["unscored"]) for result in results])
    print(f"{'down':<14} {seconds:6.2f} s; {unscored.sum()} of {count} unscored, none of them a 0")
    buffer = ScoreReplayBuffer.__new__(ScoreReplayBuffer)
    buffer.unscored_limit = 0.05
    try:
        buffer._check(unscored, results)
    except JudgeError as error:
        print(f"{'':<14} training stops: {error}")
        return good and bool(unscored.all())
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=2048)
    parser.add_argument("--judge-seconds", type=float, default=0.5)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # one line for each unscored rollout
    return 0 if asyncio.run(measure(arguments.rollouts, arguments.judge_seconds)) else 1


if __name__ == "__main__":
    sys.exit(main())
