"""What the graphs do alike: run a step in a fork of the interpreter, judge an episode that is over."""

from showing import STOPPED

from score.episode import Episode
from score.interpreter import Session, StepResult
from score.judging import Judge
from score.tasks import Task
from score.tools import run_code
from score.trajectory import Step, Verdict


async def judge_episode(judge: Judge, task: Task, episode: Episode) -> Verdict:
    """The verdict on an episode that is over; without an answer there is nothing to compare."""
    if episode.answer is None:
        return Verdict(correct=False, by="no answer")
    return await judge.verdict(task.question, task.references, episode.answer)


async def run_in_fork(before: Session, step: Step) -> tuple[Session, StepResult | None]:
    """Run a step in a fork of `before`, which stays as it is. Returns the session where the next step goes on and the
    result (None: there was no code to run). Raises `InterpreterError`, `ToolError`."""
    after = await before.fork()
    try:
        result = await run_code(after, step.code) if step.code else None
        if result is not None and result.status in STOPPED:
            await after.close()
            after = await before.fork()  # the next step goes on from before the one that was killed
    except BaseException:
        await after.close()
        raise
    return after, result
