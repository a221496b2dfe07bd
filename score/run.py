"""A run over a task file, which both generators and inference share: from the command line to the exit code.

A script says who works (`Script`); here are the tasks, the endpoints, the journal with its fingerprint, the ledger, the
manifest, the summary and the exit code.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import uvloop
from pydantic import Field, field_validator

from score import cli
from score.errors import SettingsError
from score.fingerprint import changed_tasks, changes, fingerprint, other_tasks, refuse
from score.interpreter import InterpreterSettings
from score.journal import Journal, failures_path, rows_of
from score.ledger import PRICES, Ledger, read_prices
from score.llm import Account, Endpoint, Endpoints, EndpointSettings, open_account
from score.manifest import read_manifest, write_manifest
from score.run_report import FINE, Findings, print_table, totals, write_summary
from score.runner import RunSummary, Watch, run_tasks
from score.search import SearchSettings
from score.settings import Strict, load_settings
from score.shards import in_shard, parse_shard, shard_output
from score.tasks import Task, read_tasks

SOME_FAILED, INTERRUPTED = 3, 130
TURNS_APART = 1000  # seeds of two tasks: each of a task's turns gets its own


class RunSettings(Strict):
    """What every run needs. `seed`, if given, is sent to student and teacher: each task, sample and turn gets
    its own. `samples` is how often each task is worked on; `task_timeout_s` bounds one of them (time in which an
    endpoint is down is not counted). `shard` is `i/n`: this run works on one of n parts of the tasks."""

    tasks: Path
    output: Path
    endpoints: Endpoints
    interpreter: InterpreterSettings = InterpreterSettings()
    search: SearchSettings = SearchSettings()
    concurrency: int = Field(default=64, gt=0)
    samples: int = Field(default=1, gt=0)
    limit: int | None = Field(default=None, gt=0)
    shard: str | None = None
    seed: int | None = None
    task_timeout_s: float | None = Field(default=3600, gt=0)
    prices: Path = PRICES

    operational: ClassVar[frozenset[str]] = frozenset({"concurrency", "samples", "limit", "shard", "task_timeout_s"})

    @field_validator("shard")
    @classmethod
    def _is_shard(cls, text: str | None) -> str | None:
        if text is not None:
            parse_shard(text)
        return text


S = TypeVar("S", bound=RunSettings)
Counts = Mapping[str, Mapping[str, int]]


@dataclass
class Worker:
    """Who works: `work(task, sample, seed)` returns a row. `counts` gives what was counted on the way, by name."""

    work: Callable[[Task, int, int | None], Awaitable[dict[str, Any]]]
    counts: Callable[[], Counts] = dict


@dataclass
class Script(Generic[S]):
    """One of the scripts: its settings, the endpoints' roles that it needs, who works, and what it finds in the file
    (`findings` reads the result file and is given the ledger)."""

    file: str
    settings: type[S]
    label: str
    roles: Sequence[str]
    workshop: Callable[[S, Mapping[str, Endpoint]], AbstractAsyncContextManager[Worker]]
    findings: Callable[[S, Path, Ledger], Findings]
    prompts: Sequence[Path] = ()


def main(script: Script[S], options: argparse.Namespace) -> int:
    """Run a script with the options of `cli.add_run_options`. Returns the exit code; raises what stops it."""
    settings = load_settings(script.settings, options.config, cli.overrides(options))
    if options.ray is not None:
        from score.ray_shards import run_on_ray

        return run_on_ray(script, settings, options)
    if options.dry_run is not None:
        from score.dry_run import dry_run

        return uvloop.run(dry_run(script, settings, options.dry_run))
    return uvloop.run(run(script, settings, accept_changes=options.accept_changes))


def select_tasks(settings: RunSettings) -> tuple[list[Task], dict[str, int], int]:
    """The tasks of this run, the number of each task in the whole file, and how many lines were malformed (each is
    named on stderr). Raises `DataError`."""
    tasks, problems = read_tasks(settings.tasks)
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    number = {task.id: index for index, task in enumerate(tasks)}
    chosen = [task for task in tasks[: settings.limit] if in_shard(task.id, settings.shard)]
    return chosen, number, len(problems)


def open_endpoints(roles: Sequence[str], endpoints: Endpoints) -> dict[str, Endpoint]:
    """The endpoints of these roles. Raises `SettingsError` for one that is not configured."""
    opened = {}
    for role in roles:
        found: EndpointSettings | None = getattr(endpoints, role)
        if found is None:
            raise SettingsError(
                f"key 'endpoints.{role}' is missing: who plays the {role}? (see configs/endpoints.yaml)"
            )
        opened[role] = Endpoint(role, found)
    return opened


async def check_endpoints(endpoints: Mapping[str, Endpoint]) -> None:
    """One small call to each server and model. Raises a fatal `ProviderError`."""
    distinct: dict[tuple[Any, ...], list[Endpoint]] = {}
    for endpoint in endpoints.values():
        key = (endpoint.settings.base_url, endpoint.settings.model, endpoint.settings.api_key_env)
        distinct.setdefault(key, []).append(endpoint)
    await asyncio.gather(*(same[0].check() for same in distinct.values()))
    for first, *others in distinct.values():
        for endpoint in others:
            endpoint.answered(first.served)


def seed_of(seed: int | None, number: int, sample: int) -> int | None:
    """The first seed of a task's sample: the same whatever shard, order or number of tasks in flight."""
    if seed is None or sample == 0:
        return None if seed is None else seed + TURNS_APART * number
    return random.Random(f"{seed}/{number}/{sample}").randrange(2**31)


def row_usage(account: Account) -> dict[str, dict[str, int]]:
    """What a row says about its cost, by purpose."""
    return {
        purpose: {
            "calls": usage.calls,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            **({"uncounted": usage.uncounted} if usage.uncounted else {}),
        }
        for purpose, usage in account.items()
    }


class _Watch(Watch):
    """The run's endpoints and ledger, as the runner looks at them."""

    def __init__(self, endpoints: Mapping[str, Endpoint], ledger: Ledger):
        self._endpoints, self._ledger = endpoints, ledger

    def paused(self) -> bool:
        return any(endpoint.paused for endpoint in self._endpoints.values())

    def note(self) -> str:
        notes = [*(endpoint.note for endpoint in self._endpoints.values()), self._ledger.note()]
        return ", ".join(note for note in notes if note)

    def save(self) -> None:
        self._ledger.save()


async def work_on(
    script: Script[S],
    settings: S,
    endpoints: Mapping[str, Endpoint],
    tasks: Sequence[Task],
    number: Mapping[str, int],
    journal: Journal,
) -> tuple[RunSummary, Ledger]:
    """Open the workshop and run the tasks into the journal."""
    async with script.workshop(settings, endpoints) as worker:
        ledger = Ledger(journal.path, list(endpoints.values()), read_prices(settings.prices), worker.counts)

        async def work(task: Task, sample: int) -> dict[str, Any]:
            account = open_account()
            row = await worker.work(task, sample, seed_of(settings.seed, number[task.id], sample))
            if "sample" in row:  # a column of the task file: the journal would take it for the unit's number
                row["task_sample"] = row.pop("sample")
            if settings.samples > 1:
                row["sample"] = sample
            row["usage"] = row_usage(account)
            return row

        try:
            summary = await run_tasks(
                tasks,
                work,
                journal,
                concurrency=settings.concurrency,
                label=script.label,
                samples=settings.samples,
                task_timeout_s=settings.task_timeout_s,
                watch=_Watch(endpoints, ledger),
            )
        finally:
            ledger.save()
    return summary, ledger


async def run(script: Script[S], settings: S, *, accept_changes: bool = False) -> int:
    """Work on every unit that has no row yet, report. Returns the exit code: 0, 3 (some units failed or lines were
    malformed), 130 (interrupted), or the script's own. Raises `ScoreError`s that stop the run."""
    output = shard_output(settings.output, settings.shard)
    tasks, number, malformed = select_tasks(settings)
    endpoints = open_endpoints(script.roles, settings.endpoints)
    started = time.strftime("%FT%T%z")
    try:
        await check_endpoints(endpoints)
        with Journal(output) as journal:
            before = read_manifest(output)
            now = json.loads(json.dumps(fingerprint(settings, endpoints.values(), script.prompts)))
            history = list(before.get("changes", []))
            accepted: dict[str, str] = before.get("other_tasks", {}) if journal.done else {}
            if journal.done:
                changed = changes(before.get("fingerprint", {}), now)
                other = other_tasks((row for _, row in rows_of(output)), tasks)
                changed |= changed_tasks([task for task in other if other[task] != accepted.get(task)], settings.tasks)
                if changed and not accept_changes:
                    refuse(
                        changed,
                        f"{output} holds {len(journal.done)} rows that were made",
                        "write to another output, or go on with --accept-changes (the manifest will tell); "
                        "rows that are taken out of the file are made anew",
                    )
                if changed:
                    history.append({"when": started, "rows_before": len(journal.done), "changed": changed})
                    accepted = accepted | other
            manifest = {
                "state": "running",
                "fingerprint": now,
                "changes": history,
                "other_tasks": accepted,
                "served": {role: endpoint.served for role, endpoint in endpoints.items()},
                "started": before.get("started", started) if journal.done else started,
            }
            inputs = [settings.tasks, *script.prompts]
            write_manifest(output, settings, before.get("counts", {}), inputs, **manifest)
            summary, ledger = await work_on(script, settings, endpoints, tasks, number, journal)
    finally:
        await asyncio.gather(*(endpoint.close() for endpoint in endpoints.values()))
    found = script.findings(settings, output, ledger)
    return _report(settings, output, summary, ledger, found, malformed, journal.standing, manifest, inputs)


def _report(
    settings: RunSettings,
    output: Path,
    summary: RunSummary,
    ledger: Ledger,
    found: Findings,
    malformed: int,
    standing: int,
    manifest: Mapping[str, Any],
    inputs: Sequence[Path],
) -> int:
    """Print the table, write summary and manifest, decide the exit code. Rows and costs are those of the whole file,
    over all runs; `done`, `skipped` and `failed` are this run's."""
    state = "interrupted" if summary.interrupted else "finished"
    figures = {
        "state": state,
        "done": summary.done,
        "skipped": summary.skipped,
        "failed": dict(summary.failed),
        "failures_standing": standing,
        "malformed": malformed,
        "seconds": round(summary.seconds, 1),
        **totals(ledger, found),
    }
    print_table(output, found, figures)
    write_summary(output, figures)
    write_manifest(output, settings, figures, inputs, **(dict(manifest) | {"state": state}))
    if summary.interrupted:
        print("interrupted: run the same command again to go on", file=sys.stderr)
        return INTERRUPTED
    if standing:
        print(f"{standing} failed: {failures_path(output)}; the same command tries them again", file=sys.stderr)
    if found.code:
        print(found.complaint, file=sys.stderr)
        return found.code
    return SOME_FAILED if standing or malformed else FINE
