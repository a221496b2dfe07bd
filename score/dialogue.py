"""The dialogue that the student reads and writes: trajectory <-> messages. Only this module knows the tags.

    user       <question>
    assistant  <first_thought>plan</first_thought>
    user       Observation: None
    assistant  <thought>...</thought><code>print(3**4)</code>
    user       Observation: 81
    assistant  <thought>...</thought><code>final_answer_print("\\\\boxed{81}")</code>

Teachers are general chat models: they answer `Thought: ... Code: ```python ... ```, reasoning models with a
`<think>` block first. `parse_teacher` is tolerant about form and says what it tolerated; it invents nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypedDict

from score.trajectory import without_label

TAGS = ("<code>", "</code>", "<thought>", "</thought>", "<first_thought>", "</first_thought>")
OBSERVATION = "Observation: "
AFTER_PLAN = "None"
UNREADABLE = "Error: the reply held no <code>...</code> block, so nothing was run."


class Message(TypedDict):
    """One turn as the chat APIs take it: `role` is `system`, `user` or `assistant`."""

    role: str
    content: str


class Acted(Protocol):
    """A step as it is written down: `trajectory.Step`, or its plain form in `recorded`."""

    thought: str
    code: str
    observation: str


@dataclass
class Reply:
    """A model's turn, read. `code` is None where none was found; `tolerated` counts what was not as asked."""

    thought: str = ""
    code: str | None = None
    plan: str | None = None
    tolerated: list[str] = field(default_factory=list)


def render_plan(plan: str) -> str:
    return f"<first_thought>{plan}</first_thought>"


def render_step(step: Acted) -> str:
    return f"<thought>{step.thought}</thought><code>{step.code}</code>"


def render_observation(observation: str) -> str:
    return OBSERVATION + observation.strip()


def render(question: str, plan: str | None, steps: Sequence[Acted], *, ends_on_reply: bool = True) -> list[Message]:
    """The messages of a trajectory. With `ends_on_reply` the last step's observation is left out (training data);
    without it the dialogue ends on an observation, ready for the model's next turn (a prompt)."""
    messages: list[Message] = [{"role": "user", "content": question}]
    replies = ([(render_plan(plan), AFTER_PLAN)] if plan is not None else []) + [
        (render_step(step), step.observation) for step in steps
    ]
    for reply, observation in replies:
        messages.append({"role": "assistant", "content": reply})
        messages.append({"role": "user", "content": render_observation(observation)})
    return messages[:-1] if ends_on_reply and replies else messages


def _between(text: str, tag: str) -> str | None:
    found = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    return found.group(1) if found else None


def parse_student(text: str) -> Reply:
    """Read a student's turn. The first `<code>` block counts; text outside the tags is dropped and counted."""
    plan, thought, code = (_between(text, tag) for tag in ("first_thought", "thought", "code"))
    reply = Reply(thought=(thought or "").strip(), code=code, plan=None if plan is None else plan.strip())
    if code is None and "<code>" in text:
        reply.tolerated.append("unclosed code")
    if text.count("<code>") > 1:
        reply.tolerated.append("more than one code block")
    if code is not None and thought is None:
        reply.tolerated.append("no thought")
    return reply


_FENCE = re.compile(r"```[ \t]*(?:python|py|Python)?[ \t]*\r?\n(.*?)```", re.DOTALL)
_THINK = re.compile(r"<think>.*?</think>", re.DOTALL)


def _left_open(text: str) -> bool:
    """Was the text cut off within a block of code?"""
    return text.count("```") % 2 == 1 or text.count("<code>") > text.count("</code>")


def parse_teacher(text: str) -> Reply:
    """Read a chat model's `Thought: ... Code: ```python ... ```` reply; `code` is None if there is no code, or if its
    block is not closed. A reply that ends while it thinks says nothing at all."""
    reply = Reply()
    if "</think>" in text:
        text = _THINK.sub("", text)
        text = text.rsplit("</think>", 1)[-1]  # some servers swallow the opening tag
        reply.tolerated.append("<think> block")
    if "<think>" in text.split("```", 1)[0]:
        return reply
    fences = list(_FENCE.finditer(text))
    if fences:
        reply.code = fences[0].group(1).strip("\n")
        before = text[: fences[0].start()]
        if len(fences) > 1:
            reply.tolerated.append("more than one code block")
        elif text[fences[0].end() :].strip():
            reply.tolerated.append("text after the code")
    else:
        before, marker, after = text.partition("Code:")
        tagged = _between(text, "code")
        if tagged is not None:
            reply.code, before = tagged.strip("\n"), text.split("<code>", 1)[0]
            reply.tolerated.append("tags instead of a fence")
        elif marker and after.strip().strip("`") and not _left_open(after):
            reply.code = after.strip().strip("`").strip("\n")
            reply.tolerated.append("code without a fence")
    thought = re.sub(r"\s*\**Code\s*:?\**\s*:?\s*$", "", before.strip())
    thought = re.sub(r"</?(?:first_)?thought>", "", thought)
    if not re.match(r"\s*\**(?:first[\s_-]*)?thought", thought, re.IGNORECASE):
        reply.tolerated.append("no Thought:")
    reply.thought = without_label(thought.replace("**Thought:**", "Thought:"))
    return reply
