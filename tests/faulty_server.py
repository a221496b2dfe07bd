"""Teacher, judge and student behind a bad line: each way of failing at its own rate, seeded.

    python tests/faulty_server.py --key answer_key.jsonl --port P [--rate 0.05] [--seed 0] [--latency 0] [--mistake wrong]

The replies are those of the miniature's expert and of `tests/MPS/scripted_student.py`. Written to the socket by hand,
because no server library sends what is broken here. `GET /faults` tells what was done to whom.
"""

import argparse
import asyncio
import json
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from score.miniature.expert import Expert, UnknownTask, load_key
from tests.MPS.scripted_student import MISTAKES, reply

FAULTS = ("429", "500", "hang", "cut", "truncated", "html")
HANG_S = 3600.0
HTML = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1>nginx</body></html>"


class FaultyServer:
    """`rate` of each fault; what has been done is counted in `faults`."""

    def __init__(self, key: Path, rate: float, seed: int, latency_s: float, mistake: str):
        self.problems = load_key(key)
        self.expert = Expert(self.problems, seed=seed)
        self.numbers = {question: number for number, question in enumerate(self.problems)}
        self.rate, self.latency_s, self.mistake = rate, latency_s, mistake
        self.dice = random.Random(seed)
        self.faults: Counter[str] = Counter()

    def say(self, messages: list[dict[str, str]]) -> str:
        problem = self.problems.get(messages[0]["content"])
        if problem is None:
            return self.expert.reply(messages)
        mistake = self.mistake
        if mistake == "mixed":
            kinds = [kind for kind in MISTAKES if kind != "endless"]
            mistake = kinds[self.numbers[problem.question] % len(kinds)]
        return reply(problem, messages, mistake)

    def fault(self) -> str:
        """What happens to this call; the check at the start of a run is dealt with as any other."""
        number = int(self.dice.random() / self.rate) if self.rate else len(FAULTS)
        fault = FAULTS[number] if number < len(FAULTS) else "none"
        self.faults[fault] += 1
        return fault

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self.serve_request(reader, writer):
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def serve_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False ends the connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        _, found, rest = head.partition(b"content-length:")
        body = await reader.readexactly(int(rest.partition(b"\r\n")[0])) if found else b""
        if head.startswith(b"get"):
            writer.write(_response(200, json.dumps(self.faults).encode()))
            return True
        await asyncio.sleep(self.latency_s)
        fault = self.fault()
        if fault == "hang":
            await asyncio.sleep(HANG_S)
        if fault == "429":
            writer.write(_response(429, b'{"error": {"message": "slow down"}}', retry_after="0.2"))
            return True
        if fault == "500":
            writer.write(_response(500, b'{"error": {"message": "out of memory"}}'))
            return True
        if fault == "html":
            writer.write(_response(200, HTML, kind="text/html"))
            return True
        try:
            whole = json.dumps(_completion(self.say(json.loads(body)["messages"]))).encode()
        except UnknownTask as error:
            writer.write(_response(400, json.dumps({"error": {"message": str(error)}}).encode()))
            return True
        if fault == "cut":
            writer.write(_response(200, whole)[:-20])
            return False
        writer.write(_response(200, whole[: len(whole) // 2] if fault == "truncated" else whole))
        return True


def _completion(text: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-faulty", "object": "chat.completion", "created": 0, "model": "miniature-expert",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }  # fmt: skip


def _response(status: int, body: bytes, *, kind: str = "application/json", retry_after: str = "") -> bytes:
    extra = f"Retry-After: {retry_after}\r\n" if retry_after else ""
    head = f"HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


async def serve(server: FaultyServer, port: int) -> None:
    await (await asyncio.start_server(server.serve_connection, "127.0.0.1", port, limit=2**22)).serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0.05, help="of each fault (default 0.05)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--mistake", choices=[*MISTAKES, "mixed"], default="none", help="of the student")
    options = parser.parse_args()
    faulty = FaultyServer(options.key, options.rate, options.seed, options.latency, options.mistake)
    asyncio.run(serve(faulty, options.port))
