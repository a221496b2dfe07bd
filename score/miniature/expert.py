"""The expert of the miniature world: a server that plays teacher, judge and reward model from the answer key.

    python -m score.miniature.expert --key output/miniature/world/answer_key.jsonl --port 8100

It speaks the OpenAI chat-completions API and reads the very prompts that a real Qwen2.5-72B would get: the first line
of the system prompt names the role, the labelled sections of the user's message hold the question and the steps.
It finds the first wrong step by comparing what the steps printed with the key's values (`score.miniature.marking`)
and accepts other right ways. A knob above 0 makes it err at that rate: it blames a wrong step, corrects wrongly, or
answers garbage, and the road has to stand it. The dice are thrown by what is asked and for which time, so a seed gives
the same errors whatever the order of the calls; `GET /erred` lists them.

What it leaves out: sampling parameters are ignored, replies are not streamed, and usage counts words and
punctuation marks instead of a tokenizer's tokens.
"""

import argparse
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from score.miniature.marking import (
    Attempt,
    Problem,
    corrected_step,
    diagnose_step,
    first_wrong_step,
    read_attempt,
    section,
)

MODEL = "miniature-expert"
GARBAGE = (
    "I am sorry, but as a language model I would rather talk about the weather.",
    '{"step": ',
    "Thought: hmm. Code:",
    "```\n```",
)
_WORDS = re.compile(r"\w+|[^\w\s]")


class UnknownTask(Exception):
    """The prompt holds no question of the answer key."""


def load_key(path: Path) -> dict[str, Problem]:
    """The answer key by question text."""
    with open(path, encoding="utf-8") as lines:
        problems = [Problem.from_row(json.loads(line)) for line in lines if line.strip()]
    return {problem.question: problem for problem in problems}


def fenced(thought: str, code: str) -> str:
    """A step in a chat model's form."""
    return f"Thought: {thought}\nCode:\n```python\n{code}\n```"


def plain(answer: str) -> str:
    r"""An answer without `\boxed{}`, dollar signs, outer spaces and case; whole numbers without a decimal part."""
    answer = re.sub(r"\\boxed\{(.*)\}", r"\1", answer.strip().strip("$")).strip().rstrip(".")
    return re.sub(r"^(-?\d+)\.0+$", r"\1", answer).casefold()


class Expert:
    """Answers one prompt at a time; knobs are probabilities. `erred` tells what they did: role, error, question."""

    def __init__(
        self,
        problems: dict[str, Problem],
        *,
        wrong_blame: float = 0.0,
        wrong_correction: float = 0.0,
        garbage: float = 0.0,
        seed: int = 0,
    ):
        self.problems = problems
        self.wrong_blame, self.wrong_correction, self.garbage = wrong_blame, wrong_correction, garbage
        self.seed, self.random = seed, random.Random(seed)
        self.erred: list[tuple[str, str, str]] = []
        self._times_asked: Counter[int] = Counter()
        self.roles: dict[str, Callable[[str], str]] = {
            "planner": self.plan,
            "actor": self.act,
            "localiser": self.localise,
            "corrector": self.correct,
            "judge": self.judge,
        }

    def reply(self, messages: list[dict[str, str]]) -> str:
        """The answer to a chat. Raises `UnknownTask`."""
        system = messages[0]["content"] if messages[0]["role"] == "system" else ""
        role = re.match(r"You are the (\w+)", system)
        answer = self.roles.get(role.group(1)) if role else None
        if answer is None:
            return "OK."  # the check of an endpoint, or a chat with nobody in particular
        # After a reply that could not be read the chat goes on; the first user message states the case.
        prompt = next(message["content"] for message in messages if message["role"] == "user")
        if self.wrong_blame or self.wrong_correction or self.garbage:
            chat = json.dumps(messages)
            self._times_asked[hash(chat)] += 1
            self.random = random.Random(f"{self.seed} {self._times_asked[hash(chat)]} {chat}")
        if self._happens(self.garbage, "garbage", prompt, role[1] if role else ""):
            return self.random.choice(GARBAGE)
        return answer(prompt)

    def plan(self, prompt: str) -> str:
        return f"First Thought: {self._problem(prompt).plan}"

    def act(self, prompt: str) -> str:
        problem, attempt = self._problem(prompt), read_attempt(prompt)
        return fenced(*corrected_step(problem, attempt.steps))

    def localise(self, prompt: str) -> str:
        problem, attempt = self._problem(prompt), read_attempt(prompt)
        asked = re.search(r"^Diagnose step (\d+)\.\Z", prompt, re.MULTILINE)
        if asked:
            blamed, diagnosis, suggestion = diagnose_step(problem, attempt, int(asked.group(1)))
        else:
            blamed, diagnosis, suggestion = first_wrong_step(problem, attempt)
        if self._happens(self.wrong_blame, "wrong blame", prompt, "localiser"):
            blamed = self.random.randint(1, len(attempt.steps) + 1)
        evidence = _evidence(attempt, blamed)
        return json.dumps({"step": blamed, "evidence": evidence, "diagnosis": diagnosis, "suggestion": suggestion})

    def correct(self, prompt: str) -> str:
        problem, attempt = self._problem(prompt), read_attempt(prompt)
        if re.search(r"^Write step 1\.$", prompt, re.MULTILINE):
            return f"First Thought: {problem.plan}"
        thought, code = corrected_step(problem, attempt.steps)
        if self._happens(self.wrong_correction, "wrong correction", prompt, "corrector"):
            code = _spoil(code, self.random)
        return fenced(thought, code)

    def judge(self, prompt: str) -> str:
        references = [line.removeprefix("- ") for line in section(prompt, "Reference answer").splitlines()]
        candidate = plain(section(prompt, "Candidate answer"))
        same = any(plain(reference) == candidate for reference in references)
        reason = "Both say the same." if same else "They differ."
        return json.dumps({"reason": reason, "equivalent": same})

    def _problem(self, prompt: str) -> Problem:
        question = section(prompt, "Question")
        try:
            return self.problems[question]
        except KeyError:
            raise UnknownTask(f"the answer key holds no question {question[:80]!r}") from None

    def _happens(self, rate: float, error: str, prompt: str, role: str) -> bool:
        if rate <= 0 or self.random.random() >= rate:
            return False
        self.erred.append((role, error, section(prompt, "Question")))
        return True


def _evidence(attempt: Attempt, number: int) -> str:
    """A passage quoted from the blamed step: its first line of code, else its thought."""
    if number == 1:
        return attempt.plan
    step = attempt.steps[number - 2]
    return step.code.strip().split("\n")[0] or step.thought or step.observation


def _spoil(code: str, rng: random.Random) -> str:
    """The code with one number changed, or, where there is none, with something else handed in or searched."""
    numbers = list(re.finditer(r"\d+", code))
    if not numbers:
        return re.sub(r"\((\w+)\)$", r"(\1 + 1)", code) if '"' not in code else re.sub(r'"[^"]*"', '"Atlantis"', code)
    chosen = rng.choice(numbers)
    return code[: chosen.start()] + str(int(chosen.group()) + rng.randint(1, 9)) + code[chosen.end() :]


@lru_cache(maxsize=64)
def _count_prompt(system: str) -> int:
    return len(_WORDS.findall(system))


def _usage(messages: list[dict[str, str]], reply: str) -> dict[str, int]:
    """Words and punctuation marks, the nearest thing to tokens that a server without a tokenizer has."""
    prompt = sum(
        _count_prompt(message["content"]) if message["role"] == "system" else len(_WORDS.findall(message["content"]))
        for message in messages
    )
    completion = len(_WORDS.findall(reply))
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def make_app(expert: Expert) -> Any:
    """The FastAPI application: `/v1/chat/completions`, `/v1/models`, `/health`."""
    from fastapi import FastAPI, Request, Response

    app = FastAPI(title="Miniature expert")

    def answer(value: object, status: int = 200) -> Response:
        # Responses are made by hand: validation of every reply by FastAPI would double the time that one takes.
        return Response(json.dumps(value), status_code=status, media_type="application/json")

    @app.get("/health")
    async def health() -> Response:
        return answer({"status": "ok", "tasks": len(expert.problems)})

    @app.get("/erred")
    async def erred() -> Response:
        return answer(expert.erred)

    @app.get("/v1/models")
    async def models() -> Response:
        return answer({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "score"}]})

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        try:
            body = json.loads(await request.body())
            messages = [{"role": m["role"], "content": m["content"]} for m in body["messages"]]
            text = expert.reply(messages)
        except (json.JSONDecodeError, KeyError, IndexError, TypeError, StopIteration) as error:
            return answer({"error": {"message": f"not a chat: {error!r}", "type": "invalid_request_error"}}, 400)
        except UnknownTask as error:
            return answer({"error": {"message": str(error), "type": "invalid_request_error"}}, 400)
        return answer(
            {
                "id": "chatcmpl-expert",
                "object": "chat.completion",
                "created": int(time.time()),
                "model": MODEL,
                "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                "usage": _usage(messages, text),
            }
        )

    return app


def _rate(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"a rate lies between 0 and 1, not {text}")
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--key", type=Path, required=True, help="answer_key.jsonl of the miniature world")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--wrong-blame", type=_rate, default=0.0, help="rate of blaming a random step (default 0)")
    parser.add_argument("--wrong-correction", type=_rate, default=0.0, help="rate of wrong corrections (default 0)")
    parser.add_argument("--garbage", type=_rate, default=0.0, help="rate of unreadable replies (default 0)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the knobs' dice")
    arguments = parser.parse_args()
    if not arguments.key.is_file():
        parser.error(f"{arguments.key} does not exist: make the world first (python -m score.miniature.world)")

    import uvicorn

    expert = Expert(
        load_key(arguments.key),
        wrong_blame=arguments.wrong_blame,
        wrong_correction=arguments.wrong_correction,
        garbage=arguments.garbage,
        seed=arguments.seed,
    )
    uvicorn.run(make_app(expert), host=arguments.host, port=arguments.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
