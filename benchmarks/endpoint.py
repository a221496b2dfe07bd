"""A chat endpoint that costs next to nothing: it answers every role with a valid reply after a fixed time.

    python benchmarks/endpoint.py --port P --latency 1.0 [--errors 0.25]

The tasks are its own (`write_tasks`). Its student hands in a wrong answer in a share `errors` of them, and is right
once it was corrected; its judge compares the numbers. Answers are sentences, so that no rule decides and the judge is
asked: a task takes 4 calls and 2 steps, one with an error 8 calls and 4 steps. `GET /stats` tells how many calls were
answered, and when.
"""

import argparse
import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

RIGHT = 'final_answer_print(f"{a} times {b} makes {a * b}")'
WRONG = 'final_answer_print(f"{a} times {b} makes {a + b}")'
CORRECTED = "c = a * b\nprint(c)"
LAST = 'final_answer_print(f"{a} times {b} makes {c}")'
_QUESTION = re.compile(r"What is (\d+) times (\d+)\?")
_ASKED_FOR = re.compile(r"Write step (\d+)")
_BIN_S = 0.1


def write_tasks(path: Path, count: int) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for number in range(count):
            a, b = 1000 + number, 7
            row = {
                "id": str(number),
                "question": f"What is {a} times {b}? Answer in a sentence.",
                "true_answer": f"If you multiply them you get {a * b}",
            }
            file.write(json.dumps(row) + "\n")


class Company:
    """Teacher, student and judge. `errors`: the share of tasks that the student gets wrong at first."""

    def __init__(self, errors: float):
        self.errors = errors

    def reply(self, messages: list[dict[str, str]]) -> str:
        first = messages[0]
        if first["role"] == "system":
            role = re.match(r"You are the (\w+)", first["content"])
            return self._teacher(role.group(1) if role else "", messages[1]["content"])
        return self._student(messages)

    def _student(self, messages: list[dict[str, str]]) -> str:
        question = _QUESTION.search(messages[0]["content"])
        if question is None:
            return "OK"  # the check of an endpoint
        a, b = question.groups()
        turn = len(messages) // 2  # the turns that it had
        if turn == 0:
            return "<first_thought>I multiply the two numbers and say the product.</first_thought>"
        if turn == 1:
            return f"<thought>These are the numbers.</thought><code>a = {a}\nb = {b}\nprint(a, b)</code>"
        if turn > 2:
            return f"<thought>I say it.</thought><code>{LAST}</code>"
        errs = (int(a) * 0.618034) % 1 < self.errors  # spread evenly over the tasks
        return f"<thought>I say the product.</thought><code>{WRONG if errs else RIGHT}</code>"

    def _teacher(self, role: str, prompt: str) -> str:
        question = _QUESTION.search(prompt)
        if question is None:
            return "OK"
        a, b = question.groups()
        if role == "planner":
            return "First Thought: I multiply the two numbers and say the product."
        if role == "judge":
            said = re.findall(r"\d+", prompt)[-1]
            return json.dumps({"reason": "The numbers were compared.", "equivalent": int(said) == int(a) * int(b)})
        if role == "localiser":
            return json.dumps(
                {
                    "step": 3,
                    "evidence": WRONG,
                    "diagnosis": "The step adds the numbers although they are to be multiplied.",
                    "suggestion": "Multiply the two variables and print what comes out.",
                }
            )
        if role == "corrector":
            return f"Thought: I multiply the two numbers.\nCode:\n```python\n{CORRECTED}\n```"
        number = int(_ASKED_FOR.findall(prompt)[-1])
        code = f"a = {a}\nb = {b}\nprint(a, b)" if number == 2 else RIGHT
        return f"Thought: I go on.\nCode:\n```python\n{code}\n```"


class Statistics:
    """Requests in bins of 0.1 s, and how many are being answered."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.answered: list[int] = []
        self.in_flight = 0
        self.most_in_flight = 0

    def ask(self) -> None:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def answer(self) -> None:
        self.in_flight -= 1
        number = int((time.monotonic() - self.began) / _BIN_S)
        self.answered += [0] * (number + 1 - len(self.answered))
        self.answered[number] += 1


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, as much of it as chat clients use. A server library would take five times the CPU of
    the two cores that are to be measured."""

    def __init__(self, company: Company, statistics: Statistics, latency_s: float):
        self._company, self._statistics, self._latency_s = company, statistics, latency_s
        self._buffer = bytearray()
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end]).lower()
            found = re.search(rb"content-length: *(\d+)", head)
            length = int(found.group(1)) if found else 0
            if len(self._buffer) < end + 4 + length:
                return
            body = bytes(self._buffer[end + 4 : end + 4 + length])
            del self._buffer[: end + 4 + length]
            if head.startswith(b"get"):
                self._send(self._statistics.__dict__ | {"now": time.monotonic() - self._statistics.began})
                continue
            self._statistics.ask()
            text = self._company.reply(json.loads(body)["messages"])
            if self._latency_s:
                self._loop.call_later(self._latency_s, self._answer, text)
            else:
                self._answer(text)

    def _answer(self, text: str) -> None:
        self._statistics.answer()
        message = {"role": "assistant", "content": text}
        self._send(
            {
                "id": "benchmark", "object": "chat.completion", "created": 0, "model": "benchmark",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 500, "completion_tokens": 50, "total_tokens": 550},
            }
        )  # fmt: skip

    def _send(self, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        if not self._transport.is_closing():
            self._transport.write(head.encode() + body)


async def serve(port: int, latency_s: float, errors: float) -> None:
    company, statistics = Company(errors), Statistics()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(company, statistics, latency_s), "127.0.0.1", port, backlog=2048
    )
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency", type=float, default=1.0, help="seconds until each answer (default 1)")
    parser.add_argument("--errors", type=float, default=0.25, help="share of tasks that the student gets wrong first")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, arguments.latency, arguments.errors))


if __name__ == "__main__":
    main()
