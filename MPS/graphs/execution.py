"""What the graphs do alike: run a step in a copy of the interpreter's state, judge an episode that is over."""

from score.episode import Episode
from score.interpreter import STOPPED, Interpreter, Session, StepResult
from score.judging import Judge
from score.tasks import Task
from score.tools import Tools, run_code
from score.trajectory import Step, Verdict


async def judge_episode(judge: Judge, task: Task, episode: Episode) -> Verdict:
    """The verdict on an episode that is over; without an answer there is nothing to compare."""
    if episode.answer is None:
        return Verdict(correct=False, by="no answer")
    return await judge.verdict(task.question, task.references, episode.answer)


class Copies:
    """Copies of interpreter states: of a session a fork, of None (nothing has run yet) a fresh session."""

    def __init__(self, interpreter: Interpreter, tools: Tools):
        self._interpreter, self._tools = interpreter, tools

    async def of(self, session: Session | None) -> Session:
        """Raises `InterpreterError`."""
        return await self._interpreter.open(self._tools) if session is None else await session.fork()

    async def run(self, before: Session | None, step: Step) -> tuple[Session, StepResult | None]:
        """Run a step and leave `before` as it is: in a copy, or in `before` itself if the step does nothing but hand in
        an answer. Returns the session where the next step goes on and the result (None: there was no code to run).
        Raises `InterpreterError`, `ToolError`."""
        if before is not None and (result := await before.hand_in(step.code)) is not None:
            return before, result
        after = await self.of(before)
        try:
            result = await run_code(after, step.code) if step.code else None
            if result is not None and result.status in STOPPED:
                await after.close()
                after = await self.of(before)  # the next step goes on from before the one that was killed
        except BaseException:
            await after.close()
            raise
        return after, result
