"""Who answers, and in which form: our student, a general chat model as an agent (`teacher`), or one without tools.

The first two turn the same wheel (`score.episode`); they differ in what the model reads and how its reply is read. The
teacher's prompt is this folder's own: phase 1 asks with MPS's prompts, which a phase may not import.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from score.answers.boxes import boxed
from score.dialogue import Message, parse_teacher, render_observation
from score.episode import Episode, step_of
from score.trajectory import Step

PROMPTS = Path(__file__).parent / "prompts"
TOOLS = {
    "web_search": "web_search(query): searches and returns texts; print what it returns",
    "final_answer_print": "final_answer_print(answer): hands in the final answer and ends the work",
}
StyleName = Literal["student", "teacher", "chat"]
_ANSWER_LINE = re.compile(r"^\W*(?:final\s+)?answer\W*?:\W*?(\S.*)$", re.IGNORECASE | re.MULTILINE)


class Style(Protocol):
    """What an agent reads before its next turn, and how its reply is taken: None for the plan, else the step."""

    def messages(self, episode: Episode) -> list[Message]: ...

    def take(self, episode: Episode, text: str) -> Step | None: ...


class StudentStyle:
    """The dialogue that the student was trained on."""

    def messages(self, episode: Episode) -> list[Message]:
        return episode.messages()

    def take(self, episode: Episode, text: str) -> Step | None:
        return episode.student_reply(text)


class TeacherStyle:
    """A general chat model: instructions in the system prompt, `Thought: ... Code: ...` replies, a plan first."""

    def __init__(self, tools: Sequence[str]):
        listed = "\n".join(f"- {TOOLS[name]}" for name in (*tools, "final_answer_print"))
        self._system = _prompt("teacher").replace("{tools}", listed)

    def messages(self, episode: Episode) -> list[Message]:
        messages: list[Message] = [
            {"role": "system", "content": self._system},
            {"role": "user", "content": f"Question:\n{episode.question}\n\nWrite the plan."},
        ]
        if episode.plan is None:
            return messages
        messages.append({"role": "assistant", "content": f"First Thought: {episode.plan}"})
        observation = ""
        for number, step in enumerate(episode.steps, 1):
            messages.append({"role": "user", "content": f"{observation}{self._ask(episode, number)}"})
            messages.append(
                {"role": "assistant", "content": f"Thought: {step.thought}\nCode:\n```python\n{step.code}\n```"}
            )
            observation = f"{render_observation(step.observation)}\n\n"
        messages.append({"role": "user", "content": f"{observation}{self._ask(episode, len(episode.steps) + 1)}"})
        return messages

    def take(self, episode: Episode, text: str) -> Step | None:
        reply = parse_teacher(text)
        if episode.plan is None:
            episode.plan = reply.thought
            return None
        return step_of(reply)

    def _ask(self, episode: Episode, number: int) -> str:
        return f"Write step {number} of at most {episode.max_steps}."


def make_style(name: StyleName, tools: Sequence[str]) -> Style:
    """The style of an agent. `chat` is none: it has no episode (see `chat_messages`)."""
    return TeacherStyle(tools) if name == "teacher" else StudentStyle()


def prompts(name: StyleName) -> list[Path]:
    """The prompt files that a style reads."""
    return [] if name == "student" else [PROMPTS / f"{name}.txt"]


def chat_messages(question: str) -> list[Message]:
    """The one turn of a plain chat model."""
    return [{"role": "system", "content": _prompt("chat")}, {"role": "user", "content": question}]


def answer_in(text: str) -> str | None:
    r"""The answer in a chat model's reply: the last `\boxed{...}` with those that belong to it, else what stands after
    the last `Answer:`; None if there is neither. A `<think>` block is no reply."""
    text = text.rsplit("</think>", 1)[-1]
    if "<think>" in text:  # cut off while it was thinking
        return None
    content = boxed(text)
    if content is not None:
        return content.strip() or None
    lines = _ANSWER_LINE.findall(text)
    return lines[-1].strip().strip("*").strip() or None if lines else None


def _prompt(name: str) -> str:
    return (PROMPTS / f"{name}.txt").read_text(encoding="utf-8").strip()
