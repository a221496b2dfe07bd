"""What both graphs do alike: judge an episode that is over."""

from score.episode import Episode
from score.judging import Judge
from score.tasks import Task
from score.trajectory import Verdict


async def judge_episode(judge: Judge, task: Task, episode: Episode) -> Verdict:
    """The verdict on an episode that is over; without an answer there is nothing to compare."""
    if episode.answer is None:
        return Verdict(correct=False, by="no answer")
    return await judge.verdict(task.question, task.references, episode.answer)
