"""What both generators do around their graph: settings, endpoints, the run over all tasks, the report."""

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import Field
from roles import PROMPTS, RoleSampling

from score import judging
from score.answers import Equivalence
from score.errors import DataError, SettingsError
from score.interpreter import Interpreter, InterpreterSettings
from score.journal import Journal
from score.judging import Judge
from score.llm import Endpoint, Endpoints, EndpointSettings, Usage
from score.manifest import write_manifest
from score.runner import RunSummary, run_tasks
from score.search import SearchSettings
from score.settings import Strict
from score.tasks import Task, read_tasks
from score.tools import Tools, make_tools
from score.trajectory import Trajectory, read_trajectories

FINE, SOME_FAILED, NOTHING_CORRECT = 0, 3, 4


class GenerationSettings(Strict):
    """What both generators need. `seed`, if given, is sent with every call but the judge's: each gets its own.
    `sampling` goes over the endpoints' own, by role."""

    tasks: Path
    output: Path
    endpoints: Endpoints
    interpreter: InterpreterSettings = InterpreterSettings()
    search: SearchSettings = SearchSettings()
    concurrency: int = Field(default=64, gt=0)
    limit: int | None = Field(default=None, gt=0)
    seed: int | None = None
    sampling: RoleSampling = RoleSampling()


class BCSettings(GenerationSettings):
    """Phase 1. `max_steps` counts actions; the plan is not among them."""

    max_steps: int = Field(default=10, gt=0)
    plan: bool = True


class MentoredSettings(GenerationSettings):
    """Phase 2. `corrections` per task; `localise_retries` and `rewrites`: how often a reply may be asked for again.
    `localizer: rollouts` finds the first step after which the success of `localizer_rollouts` rollouts drops by `drop`;
    `criticality` is the number of rollouts that measure each correction, 0 for none (`graphs/rollouts.py`)."""

    max_steps: int = Field(default=8, gt=0)
    corrections: int = Field(default=3, ge=0)
    localise_retries: int = Field(default=2, ge=0)
    rewrites: int = Field(default=2, ge=0)
    plan: bool = True
    localizer: Literal["teacher", "rollouts"] = "teacher"
    localizer_rollouts: int = Field(default=4, gt=0)
    drop: float = Field(default=0.5, gt=0, le=1)
    criticality: int = Field(default=0, ge=0)


@dataclass
class Company:
    """Everything that a graph works with."""

    endpoints: dict[str, Endpoint]
    judge: Judge
    interpreter: Interpreter
    tools: Tools


class Solver(Protocol):
    """A graph, ready for tasks."""

    def solve(self, task: Task, seed: int | None = None) -> Awaitable[Trajectory]: ...


class Accounts(Protocol):
    """What a role's speaker counted."""

    @property
    def usage(self) -> Mapping[str, Usage]: ...


async def generate(
    settings: GenerationSettings,
    label: str,
    roles: Sequence[str],
    cast: Callable[[Company], tuple[Solver, Sequence[Accounts]]],
    row: Callable[[Trajectory], dict[str, Any]],
) -> int:
    """Solve every task that has no row yet, write the rows, report. Returns the exit code: 0, 3 (some tasks failed or
    lines were malformed) or 4 (no trajectory is correct). Raises `ScoreError`s that stop the run."""
    tasks, problems = read_tasks(settings.tasks)
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    tasks = tasks[: settings.limit]
    number = {task.id: index for index, task in enumerate(tasks)}
    endpoints = {role: _endpoint(role, settings.endpoints) for role in roles}
    await _check(endpoints)
    with Equivalence() as equivalence:
        async with Interpreter(settings.interpreter) as interpreter:
            judge = Judge(equivalence, endpoints["judge"], settings.sampling.of("judge"))
            company = Company(endpoints, judge, interpreter, make_tools(settings.search))
            solver, speakers = cast(company)
            with Journal(settings.output) as journal:

                async def work(task: Task) -> dict[str, Any]:
                    seed = None if settings.seed is None else settings.seed + 1000 * number[task.id]
                    return row(await solver.solve(task, seed))

                summary = await run_tasks(tasks, work, journal, concurrency=settings.concurrency, label=label)
    for endpoint in endpoints.values():
        await endpoint.close()
    usage = {role: used for speaker in speakers for role, used in speaker.usage.items()}
    usage["judge"] = endpoints["judge"].usage
    return _report(settings, summary, len(problems), usage, speakers, judge, endpoints)


def _endpoint(role: str, endpoints: Endpoints) -> Endpoint:
    found: EndpointSettings | None = getattr(endpoints, role)
    if found is None:
        raise SettingsError(f"key 'endpoints.{role}' is missing: who plays the {role}? (see configs/endpoints.yaml)")
    return Endpoint(role, found)


async def _check(endpoints: Mapping[str, Endpoint]) -> None:
    """One small call to each server and model. Raises a fatal `ProviderError`."""
    distinct = {(e.settings.base_url, e.settings.model, e.settings.api_key_env): e for e in endpoints.values()}
    await asyncio.gather(*(endpoint.check() for endpoint in distinct.values()))


def _interventions(trajectories: Sequence[Trajectory]) -> dict[str, int]:
    """How many tasks took 0, 1, 2 or more corrections to become right, and how many never did (hard)."""
    counts = {"0": 0, "1": 0, ">=2": 0, "hard": 0}
    for trajectory in trajectories:
        corrections = len(trajectory.key_steps)
        name = "hard" if not trajectory.correct else str(corrections) if corrections < 2 else ">=2"
        counts[name] += 1
    return counts


def _report(
    settings: GenerationSettings,
    summary: RunSummary,
    malformed: int,
    usage: Mapping[str, Usage],
    speakers: Sequence[Accounts],
    judge: Judge,
    endpoints: Mapping[str, Endpoint],
) -> int:
    """Print the table, write the manifest, decide the exit code. Trajectories are counted over the whole file, tokens
    over this run."""
    trajectories = [t for t in read_trajectories(settings.output) if not isinstance(t, DataError)]
    correct = sum(trajectory.correct for trajectory in trajectories)
    lines = [
        ("trajectories", f"{len(trajectories)} ({summary.done} now, {summary.skipped} of these tasks before)"),
        ("correct", f"{correct} ({100 * correct / max(1, len(trajectories)):.1f} %)"),
    ]
    counts: dict[str, Any] = {
        "trajectories": len(trajectories),
        "correct": correct,
        "done": summary.done,
        "skipped": summary.skipped,
        "failed": dict(summary.failed),
        "malformed": malformed,
        "seconds": round(summary.seconds, 1),
        "usage": {role: used.__dict__ for role, used in usage.items()},
        "judged_by": dict(judge.decided),
        "json_schema_refused": {role: e.schema_refusals for role, e in endpoints.items() if e.schema_refusals},
    }
    if isinstance(settings, MentoredSettings):
        counts["interventions"] = _interventions(trajectories)
        lines.append(("interventions", ", ".join(f"{name}: {n}" for name, n in counts["interventions"].items())))
        counts["hard"] = dict(Counter(t.extra.get("error_analysis", "recorded") for t in trajectories if not t.correct))
    for name in ("corrections", "asked_again", "tolerated"):
        total: Counter[str] = Counter()
        for speaker in [*speakers, judge]:
            total.update(getattr(speaker, name, {}))
        counts[name] = dict(total)
        if total:
            lines.append((name.replace("_", " "), ", ".join(f"{what} {n}" for what, n in total.most_common())))
    failed = ", ".join(f"{kind} {n}" for kind, n in summary.failed.most_common()) or "none"
    lines += [("failures", failed), ("malformed lines", str(malformed))]
    for role, used in usage.items():
        tokens = f"{used.prompt_tokens} read, {used.completion_tokens} written, {used.calls} calls"
        unknown = f" ({used.uncounted} of them without the server's counts)" if used.uncounted else ""
        lines.append((f"tokens, {role}", tokens + unknown))
    width = max(len(name) for name, _ in lines)
    print("\n".join([str(settings.output), *(f"  {name:<{width}}  {value}" for name, value in lines)]))
    prompts = [*sorted(PROMPTS.glob("*.txt")), judging.PROMPT]
    write_manifest(settings.output, settings, counts, inputs=[settings.tasks, *prompts])
    failures_file = settings.output.with_name(settings.output.stem + ".failures.jsonl")
    if not correct:
        why = f"; failures ({failed}) are in {failures_file}" if summary.failures else ""
        print(f"no trajectory in {settings.output} is correct: nothing to train on{why}", file=sys.stderr)
        return NOTHING_CORRECT
    if summary.failures:
        print(f"{summary.failures} tasks failed: {failures_file}; the same command tries them again", file=sys.stderr)
    return SOME_FAILED if summary.failures or malformed else FINE
