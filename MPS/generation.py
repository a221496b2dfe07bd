"""What both generators do around their graph: settings, endpoints, the run over all tasks, the report."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from pydantic import Field
from roles import PROMPTS, RoleSampling

from score import judging
from score.answers import Equivalence
from score.interpreter import Interpreter
from score.judging import Judge
from score.ledger import Entries, Ledger, tokens
from score.llm import Endpoint
from score.run import RunSettings, Script, Worker
from score.run_report import Findings, listed, number, read_summary
from score.tasks import Task
from score.tools import Tools, make_tools
from score.trajectory import Trajectory, read_trajectories

NOTHING_CORRECT = 4
Settings = TypeVar("Settings", bound="GenerationSettings")


class GenerationSettings(RunSettings):
    """What both generators need. `sampling` goes over the endpoints' own, by role."""

    sampling: RoleSampling = RoleSampling()


class BCSettings(GenerationSettings):
    """Phase 1. `max_steps` counts actions; the plan is not among them."""

    max_steps: int = Field(default=10, gt=0)
    plan: bool = True


class MentoredSettings(GenerationSettings):
    """Phase 2. `corrections` per task; `localise_retries` and `rewrites`: how often a reply may be asked for again.
    `localizer: rollouts` finds the first step after which the success of `localizer_rollouts` rollouts drops by `drop`;
    `criticality` is the number of rollouts that measure each correction, 0 for none (`graphs/rollouts.py`).
    `baseline` is phase 1's output: what the teacher's tokens for a correction are compared with."""

    max_steps: int = Field(default=8, gt=0)
    corrections: int = Field(default=3, ge=0)
    localise_retries: int = Field(default=2, ge=0)
    rewrites: int = Field(default=2, ge=0)
    plan: bool = True
    localizer: Literal["teacher", "rollouts"] = "teacher"
    localizer_rollouts: int = Field(default=4, gt=0)
    drop: float = Field(default=0.5, gt=0, le=1)
    criticality: int = Field(default=0, ge=0)
    baseline: Path | None = None


@dataclass
class Company:
    """Everything that a graph works with."""

    endpoints: Mapping[str, Endpoint]
    judge: Judge
    interpreter: Interpreter
    tools: Tools


class Solver(Protocol):
    """A graph, ready for tasks."""

    def solve(self, task: Task, seed: int | None = None) -> Awaitable[Trajectory]: ...


def script(
    file: str,
    settings: type[Settings],
    label: str,
    roles: Sequence[str],
    cast: Callable[[Settings, Company], tuple[Solver, Sequence[object]]],
    row: Callable[[Trajectory], dict[str, Any]],
) -> Script[Settings]:
    """A generator as `score.run` takes it: `cast` makes the graph and the speakers whose counts are reported."""

    @asynccontextmanager
    async def workshop(settings: Settings, endpoints: Mapping[str, Endpoint]) -> AsyncIterator[Worker]:
        with Equivalence() as equivalence:
            async with Interpreter(settings.interpreter) as interpreter:
                judge = Judge(equivalence, endpoints["judge"], settings.sampling.of("judge"))
                company = Company(endpoints, judge, interpreter, make_tools(settings.search))
                solver, speakers = cast(settings, company)

                async def work(task: Task, sample: int, seed: int | None) -> dict[str, Any]:
                    return row(await solver.solve(task, seed))

                def counts() -> dict[str, Counter[str]]:
                    found = {name: Counter[str]() for name in ("asked_again", "tolerated", "correcting")}
                    for name, total in found.items():
                        for speaker in [*speakers, judge]:
                            total.update(getattr(speaker, name, {}))
                    found["json_schema_refused"] = Counter({e.role: e.schema_refusals for e in endpoints.values()})
                    return found

                yield Worker(work, counts)

    prompts = [*sorted(PROMPTS.glob("*.txt")), judging.PROMPT]
    return Script(file, settings, label, roles, workshop, findings, prompts)


class Statistics:
    """Counts over trajectories."""

    def __init__(self) -> None:
        self.rows = self.correct = self.corrections = self.valid_corrections = 0
        # How many took 0, 1, 2 or more corrections to become right, and how many never did.
        self.interventions = {"0": 0, "1": 0, ">=2": 0, "hard": 0}
        self.judged_by: Counter[str] = Counter()
        self.hard_because: Counter[str] = Counter()
        self.mistakes_at: Counter[int] = Counter()
        self.localised_by: Counter[str] = Counter()
        # Rollouts around each correction: "without" and "with" -> [successes, rollouts].
        self.criticality = {"without": [0, 0], "with": [0, 0]}

    def add(self, trajectory: Trajectory) -> None:
        self.rows += 1
        self.correct += trajectory.correct
        self.judged_by[trajectory.verdict.by if trajectory.verdict else "nobody"] += 1
        corrections = len(trajectory.key_steps)
        name = "hard" if not trajectory.correct else str(corrections) if corrections < 2 else ">=2"
        self.interventions[name] += 1
        if trajectory.is_hard:
            self.hard_because[str(trajectory.extra.get("error_analysis") or "unknown")] += 1
        self.corrections += corrections
        for key_step in trajectory.key_steps:
            self.valid_corrections += key_step.is_valid
            self.mistakes_at[key_step.mistake_step_index] += 1
            self.localised_by[key_step.localised_by or "recorded"] += 1
            for name, measured in (key_step.criticality or {}).items():
                self.criticality[name] = [sum(pair) for pair in zip(self.criticality[name], measured, strict=True)]


def findings(settings: GenerationSettings, output: Path, ledger: Ledger) -> Findings:
    """What the whole file holds, over all runs, read one trajectory at a time."""
    statistics = Statistics()
    for trajectory in read_trajectories(output):
        if isinstance(trajectory, Trajectory):
            statistics.add(trajectory)
    found = Findings(rows=statistics.rows, kept=statistics.correct)
    found.lines.append(
        ("correct", f"{statistics.correct} ({100 * statistics.correct / max(1, statistics.rows):.1f} %)")
    )
    found.figures |= {
        "trajectories": statistics.rows,
        "correct": statistics.correct,
        "judged_by": dict(statistics.judged_by),
    }
    entries = ledger.entries()
    if isinstance(settings, MentoredSettings):
        mentored(settings, statistics, ledger, found)
    else:
        whole = spent(entries, ("plan", "act"))
        found.figures["teacher_tokens_per_trajectory"] = per(whole, statistics.rows)
    if not statistics.correct:
        found.code = NOTHING_CORRECT
        found.complaint = f"no trajectory in {output} is correct: nothing to train on"
    return found


def mentored(settings: MentoredSettings, statistics: Statistics, ledger: Ledger, found: Findings) -> None:
    """Phase 2's part: interventions, where the mistakes were, leaks, and what a correction cost the teacher."""
    asked = ledger.counters().get("asked_again", Counter())
    rewrites = {what.removeprefix("correct: "): n for what, n in asked.items() if what.startswith("correct: ")}
    correcting = ledger.counters().get("correcting", Counter())
    leak_rate = correcting["leaked"] / correcting["asked for"] if correcting["asked for"] else None
    tokens = per(spent(ledger.entries(), ("localise", "correct")), statistics.corrections)
    whole = None
    if settings.baseline is not None:
        whole = read_summary(settings.baseline).get("teacher_tokens_per_trajectory")
    found.figures |= {
        "interventions": dict(statistics.interventions),
        "hard_because": dict(statistics.hard_because),
        "corrections": statistics.corrections,
        "valid_corrections": statistics.valid_corrections,
        "mistake_step_index": {str(index): n for index, n in sorted(statistics.mistakes_at.items())},
        "rewrites": rewrites,
        "leaks": rewrites.get("leak", 0),
        "leak_rate": leak_rate,
        "localised_by": dict(statistics.localised_by),
        "criticality": statistics.criticality if settings.criticality else None,
        "teacher_tokens_per_intervention": tokens,
        "teacher_tokens_per_trajectory": whole,
    }
    compared = "" if tokens is None or not whole else f", {100 * tokens / whole:.0f} % of a whole teacher trajectory's"
    found.lines += [
        ("interventions", ", ".join(f"{name}: {n}" for name, n in statistics.interventions.items())),
        ("hard because", listed(statistics.hard_because) or "none is"),
        ("corrections", f"{statistics.corrections} ({statistics.valid_corrections} valid)"),
        ("mistakes at step", ", ".join(f"{i + 1}: {n}" for i, n in sorted(statistics.mistakes_at.items())) or "none"),
        ("corrections again", listed(rewrites) or "none"),
        ("corrections that leaked", "unknown" if leak_rate is None else f"{100 * leak_rate:.1f} % of those asked for"),
        ("teacher's tokens", f"{number(tokens)} a correction{compared}"),
    ]
    if settings.criticality:
        rates = {name: per(100 * right, of) for name, (right, of) in statistics.criticality.items()}
        said = f"without {number(rates['without'], '%')}, with {number(rates['with'], '%')} of the rollouts"
        found.lines.append(("success at corrections", said))
    if settings.localizer == "rollouts":
        found.lines.append(("localised by", listed(statistics.localised_by) or "nobody"))


def spent(entries: Entries, purposes: Sequence[str]) -> int | None:
    """The tokens of calls for these purposes, None where any are not known."""
    return tokens(usage for (_, purpose, _), usage in entries.items() if purpose in purposes)


def per(total: int | None, number: int) -> float | None:
    return None if total is None or not number else round(total / number, 1)
