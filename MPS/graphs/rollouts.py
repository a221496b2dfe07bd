"""Monte Carlo: how often does the student, left alone, reach the answer from here?

Each rollout goes on from a prefix in a fork of the interpreter's state after it; only its outcome is judged. The limit
of steps is the whole attempt's. Two uses:

- `first_drop` localises an error without a teacher: step i is to blame if i is the student's first step with
  p(i - 1) - p(i) >= drop, where p(i) is the rate of success after the first i steps, the plan being step 1, and p(0)
  that from the question. Steps that the teacher wrote are passed over: by chance they would be blamed again. After the
  last step p is 0 and needs no rollouts: the attempt is known to have failed. The steps are measured in order, and no
  further than needed. Bisection would need fewer rollouts, but finds some drop and not the first, because p need not
  fall monotonously. (Estimating a step's worth by the outcomes of completions goes back to Math-Shepherd,
  arXiv 2312.08935.)
- `weigh` measures how critical an error was and how good its correction is: p before the step, without and with the
  teacher's step. These rollouts are never those that localised the step: there the step was chosen because p before it
  happened to be high, which would flatter the estimate.

An outcome that the judge cannot decide is no failure: it is left out, so fewer than k may count.
"""

import asyncio

from graphs.attempt import Attempt
from graphs.execution import Copies, judge_episode
from roles import Student

from score.episode import Episode
from score.errors import JudgeError, TaskError
from score.interpreter import Session
from score.judging import Judge
from score.tasks import Task
from score.trajectory import Successes


class Rollouts:
    """The student by itself, again and again; its temperature should be above 0, else all rollouts are the same. Of all
    tasks together as many go on at once as the student's server takes calls: more would hold processes and wait."""

    def __init__(self, student: Student, judge: Judge, copies: Copies):
        self.student, self.judge, self.copies = student, judge, copies
        self._places = asyncio.Semaphore(student.endpoint.settings.concurrency)

    async def successes(
        self, task: Task, start: Episode, session: Session | None, k: int, seed: int | None
    ) -> Successes:
        """How many of k rollouts from here end with a right answer, and how many could be judged. Rollout j asks with
        the seeds from `seed + 1000 j` on. Raises `JudgeError` where none could be judged; `ProviderError`,
        `InterpreterError`, `ToolError`."""
        if start.over:
            return (k if (await judge_episode(self.judge, task, start)).correct else 0), k
        forking = asyncio.Lock()  # a session does one thing at a time
        seeds = [None if seed is None else seed + 1000 * number for number in range(k)]
        outcomes = await asyncio.gather(
            *(self._rollout(task, start, session, forking, own) for own in seeds), return_exceptions=True
        )
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        unjudged = [failure for failure in failures if isinstance(failure, JudgeError)]
        for failure in failures:
            if not isinstance(failure, JudgeError) or len(unjudged) == k:
                raise failure
        return sum(outcome is True for outcome in outcomes), k - len(unjudged)

    async def first_drop(self, attempt: Attempt, k: int, drop: float) -> int | None:
        """The number of the student's first step after which success drops (1 is the plan), None if it never drops so
        far. What was measured is kept in `attempt.successes`."""
        last = len(attempt.episode.steps) + 1
        taught = attempt.taught()
        for number in range(last + 1):
            if number == len(attempt.successes):
                attempt.successes.append(await self._after(attempt, number, last, k))
            if (
                number
                and number not in taught
                and rate(attempt.successes[number - 1]) - rate(attempt.successes[number]) >= drop - 1e-9
            ):
                return number
        return None

    async def _after(self, attempt: Attempt, number: int, last: int, k: int) -> Successes:
        if number == last:
            return 0, k
        if number == 1 and attempt.episode.plan is None:
            return attempt.successes[0]
        start, session = attempt.prefix(number)
        return await self.successes(attempt.task, start, session, k, attempt.side_seed("localise", number))

    async def weigh(self, attempt: Attempt, k: int) -> dict[str, Successes]:
        """The last key step, which has just run: the student's success without it and with it."""
        number = attempt.key_steps[-1].mistake_step_index + 1
        measured: dict[str, Successes] = {}
        for name, steps in (("without", number - 1), ("with", number)):
            start, session = attempt.prefix(steps)
            measured[name] = await self.successes(attempt.task, start, session, k, attempt.side_seed(name, number))
        return measured

    async def _rollout(
        self, task: Task, start: Episode, session: Session | None, forking: asyncio.Lock, seed: int | None
    ) -> bool:
        episode = Episode(start.question, start.max_steps, start.plan, list(start.steps), start.planned)
        async with self._places:
            await self._finish(task, episode, session, forking, seed)
        return (await judge_episode(self.judge, task, episode)).correct

    async def _finish(
        self, task: Task, episode: Episode, session: Session | None, forking: asyncio.Lock, seed: int | None
    ) -> None:
        """Let the student go on until the episode is over, or its dialogue outgrows the student's context."""
        async with forking:
            here = await self.copies.of(session)
        try:
            turn = 0
            while not episode.over:
                try:
                    reply = await self.student.reply(episode, None if seed is None else seed + turn)
                except TaskError:
                    return  # the student's own failing: no answer
                turn += 1
                step = episode.student_reply(reply)
                if step is None:
                    continue  # the plan
                before = here
                here, result = await self.copies.run(before, step)
                if here is not before:
                    await before.close()
                episode.add(step, result)
        finally:
            await here.close()


def rate(successes: Successes) -> float:
    return successes[0] / successes[1]
