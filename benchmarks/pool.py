"""The naive generator that ours is compared with: threads, a fresh client for each call, a process for each step.

    python benchmarks/pool.py URL TASKS [--threads 32]

A task takes 4 calls (plan, two steps, judge) and 2 steps, as in `benchmarks/endpoint.py`. Each step forks a process and
pickles the scope back (`naive.Session`). Prints trajectories per second.
"""

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import naive
from openai import OpenAI


def ask(url: str, messages: list[dict[str, str]]) -> str:
    client = OpenAI(base_url=url, api_key="EMPTY", max_retries=0)
    reply = client.chat.completions.create(model="benchmark", messages=messages)  # type: ignore[arg-type]
    return reply.choices[0].message.content or ""


def between(text: str, tag: str) -> str:
    return text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]


def solve(url: str, task: dict[str, str]) -> bool:
    messages = [{"role": "user", "content": task["question"]}]
    messages.append({"role": "assistant", "content": ask(url, messages)})
    messages.append({"role": "user", "content": "Observation: None"})
    session = naive.Session()
    observation = ""
    for _ in range(2):
        reply = ask(url, messages)
        code = between(reply, "code").replace("final_answer_print", "print")
        observation = session.run(code).strip()
        messages.append({"role": "assistant", "content": reply})
        messages.append({"role": "user", "content": f"Observation: {observation}"})
    judging = (
        f"Question:\n{task['question']}\n\nReference answer:\n{task['true_answer']}\n\nCandidate answer:\n{observation}"
    )
    system = {"role": "system", "content": "You are the judge."}
    return bool(json.loads(ask(url, [system, {"role": "user", "content": judging}]))["equivalent"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("tasks", type=Path)
    parser.add_argument("--threads", type=int, default=32)
    arguments = parser.parse_args()
    tasks = [json.loads(line) for line in arguments.tasks.read_text(encoding="utf-8").splitlines()]
    with ThreadPoolExecutor(arguments.threads) as pool:
        began = time.perf_counter()
        correct = list(pool.map(lambda task: solve(arguments.url, task), tasks))
        rate = len(tasks) / (time.perf_counter() - began)
    assert all(correct), "a trajectory is wrong"
    print(json.dumps({"trajectories_per_s": rate}))


if __name__ == "__main__":
    main()
