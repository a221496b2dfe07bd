"""One turn of the student's loop as pure logic: reply -> action -> observation -> finished?

The mentored graph, inference and RL's agent loop all turn this one wheel; they differ in who generates the reply
(text from a server, token ids from verl) and who runs the code.
"""

from dataclasses import dataclass, field

from score.dialogue import UNREADABLE, Message, Reply, parse_student, render, without_tags
from score.interpreter import StepResult
from score.trajectory import Step


def step_of(reply: Reply) -> Step:
    """The step that a student's reply asks for. A reply without a readable code block is a step without code: it
    runs nothing, and its observation says so; that is the student's error, and it may learn from it."""
    if reply.code is None or not reply.code.strip():
        return Step(thought=reply.thought, observation=UNREADABLE, status="unreadable")
    return Step(thought=reply.thought, code=reply.code)


def observe(step: Step, result: StepResult) -> Step:
    """The step with what the interpreter made of it. The episode ends when a final answer was handed in; its
    observation is then that answer alone, as in the original release's files."""
    came: dict[str, object] = {"observation": result.observation, "status": result.status}
    if result.final_answer is not None:
        came |= {"observation": result.final_answer, "is_finished": True}
    if result.searches:
        came["searches"] = list(result.searches)
    return step.model_copy(update=came)


@dataclass
class Episode:
    """A question on its way to an answer. `max_steps` counts actions; the plan is not among them. Without `planned`
    the student's first turn is an action like the others."""

    question: str
    max_steps: int
    plan: str | None = None
    steps: list[Step] = field(default_factory=list)
    planned: bool = True

    def messages(self) -> list[Message]:
        """The dialogue so far, ending on a user turn: ready for the student's next reply."""
        return render(self.question, self.plan, self.steps, ends_on_reply=False)

    def student_reply(self, text: str) -> Step | None:
        """Take the student's turn. None means that it was the plan; otherwise the step, whose code is to be run.

        Only the first turn may be a plan; a student that acts at once has none.
        """
        reply = parse_student(text)
        if self.planned and self.plan is None and not self.steps and reply.code is None:
            if reply.plan is None and "<code>" in text:
                return step_of(reply)  # it was cut off while it acted
            # A first turn without tags is taken as the plan: there is nothing else that it could be.
            self.plan = reply.plan if reply.plan is not None else without_tags(text)
            return None
        return step_of(reply)

    def add(self, step: Step, result: StepResult | None) -> Step:
        """Append a step with the interpreter's result (None: there was no code to run)."""
        done = step if result is None else observe(step, result)
        self.steps.append(done)
        return done

    @property
    def finished(self) -> bool:
        return bool(self.steps) and self.steps[-1].is_finished

    @property
    def over(self) -> bool:
        """Finished, or out of steps."""
        return self.finished or len(self.steps) >= self.max_steps

    @property
    def answer(self) -> str | None:
        return self.steps[-1].observation if self.finished else None
