"""Phase 2 as a graph: mentored problem solving.

    act <-> execute -> judge -> localise -> correct -> (execute, then act again)

The student tries a task. If its answer is wrong, or it never gives one, the teacher names the first critical error,
the trajectory is cut before that step, the teacher writes only that step, its code runs, and the student goes on by
itself: until it is right or the corrections are used up (a hard sample).

Where this departs from the original release (METHOD.md, section 6): attempts without an answer are localised too; the
corrector never sees the reference answer; a fork of the interpreter before each step replaces the replay of prefixes.
"""

from dataclasses import dataclass, field
from typing import Any, TypedDict

from graphs.execution import judge_episode
from langgraph.graph import END, START, StateGraph
from roles import Diagnosis, NotAsAsked, Student, Teacher, all_steps, plan_step, show_steps

from score.episode import Episode
from score.errors import TaskError
from score.interpreter import Interpreter, Session, close_all
from score.judging import Judge
from score.tasks import Task
from score.tools import Tools, run_code
from score.trajectory import KeyStep, Step, Trajectory, Verdict

KILLED = ("timeout", "memory", "killed")


@dataclass
class Attempt:
    """A task on its way through the graph: the student's episode, what was corrected, and the interpreter's states.

    `sessions[i]` is the interpreter before `episode.steps[i]`, None a fresh one; from the last one goes the next step.
    """

    task: Task
    episode: Episode
    sessions: list[Session | None]
    key_steps: list[KeyStep] = field(default_factory=list)
    seed: int | None = None
    out_of_context: bool = False
    why_hard: str = ""

    @property
    def over(self) -> bool:
        return self.episode.over or self.out_of_context

    def next_seed(self) -> int | None:
        """A seed of its own for each of the student's turns, whatever other tasks do meanwhile."""
        if self.seed is not None:
            self.seed += 1
        return self.seed

    async def cut(self, number: int) -> None:
        """Go back to before step `number` (1 is the plan): later steps and interpreter states are dropped."""
        kept = max(number - 2, 0)
        if number == 1:
            self.episode.plan = None
        del self.episode.steps[kept:]
        dropped = self.sessions[kept + 1 :]
        del self.sessions[kept + 1 :]
        self.out_of_context = False
        await close_all(session for session in dropped if session is not None)


class State(TypedDict):
    """What the nodes hand on. `step` was written but not run yet."""

    attempt: Attempt
    step: Step | None
    verdict: Verdict | None
    diagnosis: Diagnosis | None


class MentoredSolving:
    """Call `solve` for each task; the graph is compiled once and serves all of them."""

    def __init__(
        self,
        student: Student,
        teacher: Teacher,
        judge: Judge,
        interpreter: Interpreter,
        tools: Tools,
        *,
        max_steps: int,
        corrections: int,
        localise_retries: int = 2,
        rewrites: int = 2,
    ):
        self.student, self.teacher, self.judge = student, teacher, judge
        self.interpreter, self.tools = interpreter, tools
        self.max_steps, self.corrections = max_steps, corrections
        self.localise_retries, self.rewrites = localise_retries, rewrites
        graph = StateGraph(State)
        for name, node in (
            ("act", self._act),
            ("execute", self._execute),
            ("judge", self._judge),
            ("localise", self._localise),
            ("correct", self._correct),
        ):
            graph.add_node(name, node)
        graph.add_edge(START, "act")
        # All routes are async: LangGraph takes each call of a plain function to a thread.
        graph.add_conditional_edges("act", self._to_run, ["act", "execute", "judge"])
        graph.add_conditional_edges("execute", self._to_run, ["act", "judge"])
        graph.add_conditional_edges("judge", self._after_judge, ["localise", END])
        graph.add_conditional_edges("localise", self._after_localise, ["correct", END])
        graph.add_conditional_edges("correct", self._after_correct, ["act", "execute", END])
        self._graph = graph.compile()

    async def solve(self, task: Task, seed: int | None = None) -> Trajectory:
        """The trajectory with verdict and key steps; `seed` goes to the student's server, raised by one each turn.

        Raises any `ScoreError` but `SettingsError` and `DataError`.
        """
        attempt = Attempt(task, Episode(task.question, self.max_steps), [None], seed=seed)
        start: State = {"attempt": attempt, "step": None, "verdict": None, "diagnosis": None}
        # Each round takes at most two nodes a step, the plan, and three nodes to judge, localise and correct.
        limit = (self.corrections + 1) * (2 * self.max_steps + 6)
        try:
            end = await self._graph.ainvoke(start, {"recursion_limit": limit})
        finally:
            await close_all(session for session in attempt.sessions if session is not None)
        return _trajectory(attempt, end["verdict"])

    # --- the student ------------------------------------------------------------------------------------------------

    async def _act(self, state: State) -> dict[str, Any]:
        attempt = state["attempt"]
        try:
            reply = await self.student.reply(attempt.episode, attempt.next_seed())
        except TaskError:
            # The dialogue outgrew the student's context: its own failing, to be localised like any other.
            attempt.out_of_context = True
            return {"step": None}
        return {"step": attempt.episode.student_reply(reply)}

    async def _execute(self, state: State) -> dict[str, Any]:
        step, attempt = state["step"], state["attempt"]
        assert step is not None
        before = attempt.sessions[-1]
        after = await self._copy(before)
        try:
            result = await run_code(after, step.code) if step.code else None
            if result is not None and result.status in KILLED:
                await after.close()
                after = await self._copy(before)  # the next step goes on from before the one that was killed
        except BaseException:
            await after.close()
            raise
        attempt.sessions.append(after)
        done = attempt.episode.add(step, result)
        if attempt.key_steps and attempt.key_steps[-1].teacher_guided_step is step:
            attempt.key_steps[-1].teacher_guided_step = done
        return {"step": None}

    async def _copy(self, session: Session | None) -> Session:
        return await self.interpreter.open(self.tools) if session is None else await session.fork()

    async def _to_run(self, state: State) -> str:
        if state["step"] is not None:
            return "execute"
        return "judge" if state["attempt"].over else "act"

    # --- the teacher ------------------------------------------------------------------------------------------------

    async def _judge(self, state: State) -> dict[str, Any]:
        attempt = state["attempt"]
        verdict = await judge_episode(self.judge, attempt.task, attempt.episode)
        if not verdict.correct and len(attempt.key_steps) >= self.corrections:
            attempt.why_hard = "corrections used up"
        return {"verdict": verdict}

    async def _after_judge(self, state: State) -> str:
        verdict = state["verdict"]
        assert verdict is not None
        return END if verdict.correct or state["attempt"].why_hard else "localise"

    async def _localise(self, state: State) -> dict[str, Any]:
        attempt = state["attempt"]
        try:
            diagnosis = await self.teacher.localise(attempt.task, attempt.episode, retries=self.localise_retries)
        except NotAsAsked as problem:
            attempt.why_hard = f"not localised: {problem.reason}"
            return {}
        return {"diagnosis": diagnosis}

    async def _correct(self, state: State) -> dict[str, Any]:
        attempt, diagnosis = state["attempt"], state["diagnosis"]
        assert diagnosis is not None
        try:
            step = await self.teacher.correct(attempt.task, attempt.episode, diagnosis, retries=self.rewrites)
        except NotAsAsked as problem:
            attempt.why_hard = f"not corrected: {problem.reason}"
            return {}
        attempt.key_steps.append(_key_step(attempt, diagnosis, step))
        await attempt.cut(diagnosis.step)
        if diagnosis.step == 1:
            attempt.episode.plan = step.thought
            return {"step": None}
        return {"step": step}

    async def _after_localise(self, state: State) -> str:
        return END if state["attempt"].why_hard else "correct"

    async def _after_correct(self, state: State) -> str:
        if state["attempt"].why_hard:
            return END
        return "execute" if state["step"] is not None else "act"


def _key_step(attempt: Attempt, diagnosis: Diagnosis, step: Step) -> KeyStep:
    """The correction as it will be recorded; its observation comes when it has run."""
    steps = all_steps(attempt.episode)
    index = diagnosis.step - 1
    # A step that the teacher wrote is not the student's mistake: then the mistakes made there before it count.
    earlier = [k for k in attempt.key_steps if k.mistake_step_index == index and _is_at(k, steps)]
    mistakes = earlier[-1].student_mistake if earlier else [steps[index]]
    return KeyStep(
        teacher_guided_step=step,
        student_mistake=mistakes,
        mistake_step_index=index,
        correction_suggestion=f"{diagnosis.diagnosis} {diagnosis.suggestion}",
        context_before_intervention=show_steps(steps[:index]) or "None",
        prefix_steps=list(steps[1:index]),
        prefix_plan=attempt.episode.plan if index > 0 else None,
    )


def _is_at(key_step: KeyStep, steps: list[Step]) -> bool:
    """Do these steps hold the correction where it was made, after the very prefix that it was made for?"""
    index = key_step.mistake_step_index
    if len(steps) <= index or _action(steps[index]) != _action(key_step.teacher_guided_step):
        return False
    prefix = [plan_step(key_step.prefix_plan), *(key_step.prefix_steps or [])] if index > 0 else []
    return [_action(step) for step in prefix] == [_action(step) for step in steps[:index]]


def _action(step: Step) -> tuple[str, str]:
    return step.thought, step.code


def _trajectory(attempt: Attempt, verdict: Verdict) -> Trajectory:
    """The result: a key step is valid only if the final trajectory still holds it and ended correct."""
    steps = all_steps(attempt.episode)
    for key_step in attempt.key_steps:
        key_step.is_valid = verdict.correct and _is_at(key_step, steps)
    extra: dict[str, Any] = {"out_of_context": True} if attempt.out_of_context else {}
    if not verdict.correct:
        extra["error_analysis"] = attempt.why_hard
    return Trajectory(
        task=attempt.task,
        plan=attempt.episode.plan,
        steps=attempt.episode.steps,
        verdict=verdict,
        key_steps=attempt.key_steps,
        is_hard=not verdict.correct,
        extra=extra,
    )
