"""Steps and outcomes as the teacher sees them. Step 1 is the plan."""

from collections.abc import Iterator, Sequence

from score.episode import Episode
from score.interpreter import STOPPED
from score.quoting import quoted
from score.trajectory import NO_CODE, Step


def show_step(number: int, step: Step, *, quote: bool = True) -> str:
    """A step as a teacher reads it; `quote` marks what was printed as data (`score.quoting`)."""
    if number == 1:
        return f"Step 1:\nFirst Thought: {step.thought or '(no plan)'}"
    code = f"\nCode:\n```python\n{step.code}\n```" if step.code else ""
    outcome = "Final answer" if step.is_finished else "Observation"
    observation = step.observation.strip()
    return f"Step {number}:\nThought: {step.thought}{code}\n{outcome}: {quoted(observation) if quote else observation}"


def show_steps(steps: Sequence[Step], *, quote: bool = True) -> str:
    return "\n".join(show_step(number, step, quote=quote) for number, step in enumerate(steps, 1))


def plan_step(plan: str | None) -> Step:
    """The plan as step 1."""
    return Step(thought=plan or "", observation=NO_CODE)


def all_steps(episode: Episode) -> list[Step]:
    """The steps as they are numbered: the plan, then the actions."""
    return [plan_step(episode.plan), *episode.steps]


def show_outcome(episode: Episode, *, out_of_context: bool = False) -> str:
    """How the attempt ended, and what can be told of its way without knowing the answer: going round in circles,
    steps that had to be stopped."""
    if episode.finished:
        ending = "The final answer is wrong."
    elif out_of_context:
        ending = "No final answer was handed in: the dialogue outgrew what the student can read."
    else:
        ending = "No final answer was handed in within the limit."
    return "\n".join([ending, *_circles(episode), *_stopped(episode)])


def _circles(episode: Episode) -> Iterator[str]:
    seen: dict[tuple[str, str], list[int]] = {}
    for number, step in enumerate(episode.steps, 2):
        if not step.is_finished:
            seen.setdefault((step.code.strip(), step.observation.strip()), []).append(number)
    for (code, _), numbers in seen.items():
        if len(numbers) > 1:
            listed = f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
            same = "run the same code and print the same" if code else "hold no code that could be run"
            yield f"Steps {listed} {same}: the student goes round in circles."


def _stopped(episode: Episode) -> Iterator[str]:
    for number, step in enumerate(episode.steps, 2):
        if step.status in STOPPED:
            yield f"Step {number} had to be stopped ({step.status})."
