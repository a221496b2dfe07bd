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

from score.trajectory import split_label

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


def without_tags(text: str) -> str:
    """What a student said in a turn whose tags cannot be read: one that was cut off has no closing ones."""
    return re.sub("|".join(map(re.escape, TAGS)), "", text).strip()


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


_PYTHON = r"(?:i?python[\w.-]*|py\d?|tool_code)"
# Any other tag than Python's, or none, only where no fence ends: "```x```" in a line closes there.
_FENCE = re.compile(
    rf"(?:```[ \t]*(?P<tag>{_PYTHON})|(?<![^\s:*])```(?P<other>[^\n`]*?))[ \t]*\r?\n(?P<code>.*?)```",
    re.DOTALL | re.IGNORECASE,
)
# After `Code:` a block of any other tag is meant as well, and so is one in a single line.
_CODE_LABEL = r"(?:#+[ \t]*)?[*_]*Code\s*[*_]*\s*:?[*_]*\s*:?\s*"
_ODD_FENCE = re.compile(
    rf"{_CODE_LABEL}```(?:[^\n`]*\r?\n(?P<code>.*?)|[ \t]*(?i:{_PYTHON}[ \t]+)?(?P<line>[^\n`]+))```", re.DOTALL
)
_PLAIN_LABEL = re.compile(r"\s*(?:First )?Thought:\s*")
_THINK = re.compile(r"<think>.*?</think>", re.DOTALL)


def _code_among(fences: Sequence[re.Match[str]], text: str) -> re.Match[str]:
    """The first block that says it is Python; where none does, the first after `Code:`, for a thought may quote what
    was printed in a block of its own."""
    label = text.rfind("Code:")
    after = [fence for fence in fences if fence.start() > label >= 0]
    return next((fence for fence in fences if fence["tag"]), (after or fences)[0])


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
    fences = [fence for fence in _FENCE.finditer(text) if not fence["other"]]
    odd = None if fences else _ODD_FENCE.search(text)
    if fences:
        fence = _code_among(fences, text)
        reply.code = fence["code"].strip("\n")
        before = text[: fence.start()]
        if (fence["tag"] or "py").casefold() not in ("python", "py"):
            reply.tolerated.append("another tag than python")
        if len(fences) > 1:
            reply.tolerated.append("more than one code block")
        elif text[fence.end() :].strip():
            reply.tolerated.append("text after the code")
    elif odd:
        reply.code = (odd["line"] if odd["code"] is None else odd["code"]).strip("\n")
        before = text[: odd.start()]
        reply.tolerated.append("code in one line" if odd["code"] is None else "another tag than python")
    else:
        before, marker, after = text.partition("Code:")
        tagged = _between(text, "code")
        if tagged is not None:
            reply.code, before = tagged.strip("\n"), text.split("<code>", 1)[0]
            reply.tolerated.append("tags instead of a fence")
        elif marker and after.strip() and "```" not in after and "<code>" not in after:
            reply.code = after.strip().strip("`").strip("\n")
            reply.tolerated.append("code without a fence")
    thought = re.sub(rf"{_CODE_LABEL}$", "", before.strip())
    label, reply.thought = split_label(re.sub(r"</?(?:first_)?thought>", "", thought))
    if not label:
        reply.tolerated.append("no Thought:")
    elif not _PLAIN_LABEL.fullmatch(label):
        reply.tolerated.append("another form of Thought:")
    return reply
