"""Phase 2 as a graph: mentored problem solving.

    act -> judge -> localise -> correct -> (measure, then act again)

The student tries a task: Thought, Code, Observation, until it hands in an answer. If that is wrong, or it never gives
one, the teacher names the first critical error, the trajectory is cut before that step, the teacher writes only that
step, its code runs, and the student goes on by itself: until it is right or the corrections are used up (a hard
sample). With `localizer="rollouts"` the step is found by Monte Carlo and the teacher only says what is wrong with it;
with `criticality=k` each correction is measured.

Where this departs from the original release (METHOD.md, section 6): attempts without an answer are localised too; the
corrector never sees the reference answer; a fork of the interpreter before each step that may change its state replaces
the replay of prefixes.

A node is one role's whole part, not one turn of it: LangGraph takes more for a node than the client does for a call.
"""

from typing import Any, Literal, TypedDict

from graphs.attempt import Attempt, make_key_step, make_trajectory
from graphs.execution import Copies, judge_episode
from graphs.rollouts import Rollouts
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command
from roles import Diagnosis, NotAsAsked, Student, Teacher

from score.episode import Episode
from score.errors import TaskError
from score.interpreter import Interpreter
from score.judging import Judge
from score.tasks import Task
from score.tools import Tools
from score.trajectory import Step, Trajectory, Verdict


class State(TypedDict):
    """What the nodes hand on."""

    attempt: Attempt
    verdict: Verdict | None
    diagnosis: Diagnosis | None
    localised_by: str


class MentoredSolving:
    """Call `solve` for each task; the graph is compiled once and serves all of them.

    `left_alone` is the student in rollouts (default: the student), which are made for `localizer="rollouts"`
    (`localizer_rollouts` from each prefix; a step is to blame if success drops by `drop`) and for `criticality` (so
    many without and with each correction; 0: none).
    """

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
        plan: bool = True,
        left_alone: Student | None = None,
        localizer: Literal["teacher", "rollouts"] = "teacher",
        localizer_rollouts: int = 4,
        drop: float = 0.5,
        criticality: int = 0,
    ):
        self.student, self.teacher, self.judge = student, teacher, judge
        self.copies = Copies(interpreter, tools)
        self.max_steps, self.corrections, self.plan = max_steps, corrections, plan
        self.localise_retries, self.rewrites = localise_retries, rewrites
        self.rollouts = Rollouts(left_alone or student, judge, self.copies)
        self.localizer, self.localizer_rollouts, self.drop = localizer, localizer_rollouts, drop
        self.criticality = criticality
        graph = StateGraph(State)
        # Nodes say themselves where a task goes: edges with conditions make LangGraph a quarter dearer.
        for name, node, onward in (
            ("judge", self._judge, ("localise", END)),
            ("localise", self._localise, ("correct", END)),
            ("correct", self._correct, ("measure", "act", END)),
        ):
            graph.add_node(name, node, destinations=onward)
        graph.add_node("act", self._act)
        graph.add_node("measure", self._measure)
        graph.add_edge(START, "act")
        graph.add_edge("act", "judge")
        graph.add_edge("measure", "act")
        self._graph = graph.compile()

    async def solve(self, task: Task, seed: int | None = None) -> Trajectory:
        """The trajectory with verdict and key steps; `seed` goes to the student's server, raised by one each turn.

        Raises any `ScoreError` but `SettingsError` and `DataError`.
        """
        attempt = Attempt(task, Episode(task.question, self.max_steps, planned=self.plan), [None], seed=seed)
        start: State = {"attempt": attempt, "verdict": None, "diagnosis": None, "localised_by": ""}
        limit = 5 * (self.corrections + 1)  # each round goes through the five nodes at most once
        try:
            end = await self._graph.ainvoke(start, {"recursion_limit": limit})
        finally:
            await attempt.close()
        return make_trajectory(attempt, end["verdict"])

    # --- the student ------------------------------------------------------------------------------------------------

    async def _act(self, state: State) -> dict[str, Any]:
        """Turn after turn until the student is done: the plan, then Thought, Code and Observation."""
        attempt = state["attempt"]
        while not attempt.over:
            try:
                reply = await self.student.reply(attempt.episode, attempt.next_seed())
            except TaskError:
                # The dialogue outgrew the student's context: its own failing, to be localised like any other.
                attempt.out_of_context = True
                break
            if (step := attempt.episode.student_reply(reply)) is not None:
                await self._run(attempt, step)
        return {}

    async def _run(self, attempt: Attempt, step: Step) -> Step:
        """The step with its observation, which then stands in the episode."""
        after, result = await self.copies.run(attempt.sessions[-1], step)
        attempt.sessions.append(after)
        return attempt.episode.add(step, result)

    # --- the teacher ------------------------------------------------------------------------------------------------

    async def _judge(self, state: State) -> Command[str]:
        attempt = state["attempt"]
        verdict = await judge_episode(self.judge, attempt.task, attempt.episode)
        if not verdict.correct and len(attempt.key_steps) >= self.corrections:
            attempt.why_hard = "corrections used up"
        done = verdict.correct or attempt.why_hard
        return Command(goto=END if done else "localise", update={"verdict": verdict})

    async def _localise(self, state: State) -> Command[str]:
        attempt = state["attempt"]
        blamed, localised_by = None, "teacher"
        if self.localizer == "rollouts":
            blamed = await self.rollouts.first_drop(attempt, self.localizer_rollouts, self.drop)
            localised_by = "rollouts" if blamed is not None else "teacher (rollouts show no drop)"
        try:
            diagnosis = await self.teacher.localise(
                attempt.task,
                attempt.episode,
                retries=self.localise_retries,
                out_of_context=attempt.out_of_context,
                blamed=blamed,
                seed=attempt.side_seed("localise"),
            )
        except NotAsAsked as problem:
            attempt.why_hard = f"not localised: {problem.reason}"
            return Command(goto=END)
        return Command(goto="correct", update={"diagnosis": diagnosis, "localised_by": localised_by})

    async def _correct(self, state: State) -> Command[str]:
        attempt, diagnosis = state["attempt"], state["diagnosis"]
        assert diagnosis is not None
        try:
            step = await self.teacher.correct(
                attempt.task, attempt.episode, diagnosis, retries=self.rewrites, seed=attempt.side_seed("correct")
            )
        except NotAsAsked as problem:
            attempt.why_hard = f"not corrected: {problem.reason}"
            return Command(goto=END)
        key_step = make_key_step(attempt, diagnosis, step, state["localised_by"])
        if state["localised_by"] == "rollouts":
            before, after = attempt.successes[diagnosis.step - 1 : diagnosis.step + 1]
            key_step.success_around = {"before": before, "after": after}
        attempt.key_steps.append(key_step)
        await attempt.cut(diagnosis.step)
        if diagnosis.step == 1:
            attempt.episode.plan = step.thought  # nothing to run
        else:
            key_step.teacher_guided_step = await self._run(attempt, step)
        return Command(goto="measure" if self.criticality else "act")

    async def _measure(self, state: State) -> dict[str, Any]:
        attempt = state["attempt"]
        attempt.key_steps[-1].criticality = await self.rollouts.weigh(attempt, self.criticality)
        return {}
