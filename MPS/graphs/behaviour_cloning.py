"""Phase 1 as a graph: the teacher solves a task alone.

    plan -> act -> judge

The teacher plans, then acts: it writes one step at a time and sees what the code printed (Thought, Code, Observation),
until it hands in an answer, which is judged.
Every trajectory that ends is written with its verdict; the converter keeps those that are correct.
"""

from typing import Any, TypedDict

from graphs.execution import judge_episode
from langgraph.graph import END, START, StateGraph
from roles import Teacher

from score.episode import Episode
from score.interpreter import Interpreter, Session
from score.judging import Judge
from score.tasks import Task
from score.tools import Tools, run_code
from score.trajectory import Trajectory, Verdict


class State(TypedDict):
    """What the nodes hand on; the episode grows in place."""

    task: Task
    episode: Episode
    session: Session
    seed: int | None
    verdict: Verdict | None


class BehaviourCloning:
    """Call `solve` for each task; the graph is compiled once and serves all of them."""

    def __init__(
        self,
        teacher: Teacher,
        judge: Judge,
        interpreter: Interpreter,
        tools: Tools,
        *,
        max_steps: int,
        plan: bool = True,
    ):
        self.teacher, self.judge, self.interpreter, self.tools = teacher, judge, interpreter, tools
        self.max_steps = max_steps
        graph = StateGraph(State)
        graph.add_node("plan", self._plan)
        graph.add_node("act", self._act)
        graph.add_node("judge", self._judge)
        graph.add_edge(START, "plan" if plan else "act")
        graph.add_edge("plan", "act")
        graph.add_edge("act", "judge")
        graph.add_edge("judge", END)
        self._graph = graph.compile()

    async def solve(self, task: Task, seed: int | None = None) -> Trajectory:
        """The teacher's trajectory with its verdict; `seed` goes to its server, raised by one each turn.

        Raises any `ScoreError` but `SettingsError` and `DataError`.
        """
        episode = Episode(task.question, self.max_steps)
        async with await self.interpreter.open(self.tools) as session:
            start: State = {"task": task, "episode": episode, "session": session, "seed": seed, "verdict": None}
            end = await self._graph.ainvoke(start)
        return Trajectory(task=task, plan=episode.plan, steps=episode.steps, verdict=end["verdict"])

    async def _plan(self, state: State) -> dict[str, Any]:
        state["episode"].plan = await self.teacher.plan(state["task"].question, state["seed"])
        return {}

    async def _act(self, state: State) -> dict[str, Any]:
        episode, seed = state["episode"], state["seed"]
        while not episode.over:
            step = await self.teacher.act(episode, None if seed is None else seed + 1 + len(episode.steps))
            episode.add(step, await run_code(state["session"], step.code))
        return {}

    async def _judge(self, state: State) -> dict[str, Any]:
        return {"verdict": await judge_episode(self.judge, state["task"], state["episode"])}
