"""`--dry-run [N]`: read everything, call each endpoint once, try N tasks into a temporary file, and estimate what the
rest will cost. Where the output's ledger already knows at least N rows, they are the sample and nothing is tried.

Nothing is written beside the output.
"""

import asyncio
import math
import random
import sys
import tempfile
from pathlib import Path
from statistics import mean, stdev
from typing import TypeVar

from score.journal import Journal, failures_path, rows_of, unit_key
from score.ledger import Entries, ledger_path, money, read_ledger, read_prices
from score.llm import Usage
from score.run import RunSettings, Script, check_endpoints, open_endpoints, select_tasks, work_on
from score.run_report import number
from score.shards import shard_output

S = TypeVar("S", bound=RunSettings)
SEED = 0


async def dry_run(script: Script[S], settings: S, wanted: int) -> int:
    """Print the checks and the estimate. Returns 0, or 3 if a sampled task failed; raises what would stop the run."""
    output = shard_output(settings.output, settings.shard)
    tasks, numbers, malformed = select_tasks(settings)
    done = {unit for unit, _ in rows_of(output, skip_torn=True)}
    units = [(task, sample) for task in tasks for sample in range(settings.samples)]
    left = sum(unit_key(task.id, sample) not in done for task, sample in units)
    print(f"{settings.tasks}: {len(tasks)} tasks of this run, {malformed} malformed lines")
    print(f"{output}: {len(units) - left} of {len(units)} done, {left} to do")
    endpoints = open_endpoints(script.roles, settings.endpoints)
    failed = 0
    try:
        await check_endpoints(endpoints)
        for endpoint in endpoints.values():
            print(f"{endpoint}: answers as {endpoint.served or '(no name)'}")
        entries, _ = read_ledger(ledger_path(output))
        rows, seconds = len(done), None
        if rows < max(1, wanted) and wanted:
            with tempfile.TemporaryDirectory(prefix="score-dry-run-") as folder:
                sample = random.Random(SEED).sample(tasks, min(wanted, len(tasks)))
                with Journal(Path(folder) / output.name) as journal:
                    once = settings.model_copy(update={"samples": 1})
                    summary, ledger = await work_on(script, once, endpoints, sample, numbers, journal)
                entries, rows, seconds = ledger.entries(), summary.done, summary.seconds
                failed = summary.failures
                for _, row in rows_of(failures_path(journal.path)):
                    print(f"failed: {row['id']} ({row['kind']}): {row['message']}", file=sys.stderr)
                usages = [row["usage"] for _, row in rows_of(journal.path)]
            print(f"tried {len(sample)} tasks: {rows} rows in {seconds:.1f} s, {failed} failed")
        else:
            rows_there = rows_of(output, skip_torn=True) if wanted else ()
            usages = [row["usage"] for _, row in rows_there if "usage" in row]
            print(f"the estimate is made from the {rows} rows that are there" if wanted else "no task was tried")
    finally:
        await asyncio.gather(*(endpoint.close() for endpoint in endpoints.values()))
    if rows:
        _print_estimate(script, settings, entries, usages, rows, left)
    return 3 if failed or malformed else 0


def _print_estimate(
    script: Script[S],
    settings: S,
    entries: Entries,
    usages: list[dict[str, dict[str, int]]],
    rows: int,
    left: int,
) -> None:
    """A line a purpose, then the sum with its spread, money, and the time at this number of tasks in flight."""
    prices = read_prices(settings.prices)
    scaled: Entries = {}
    print(f"estimate for the {left} that are left:")
    for key, usage in sorted(entries.items()):
        role, purpose, model = key
        if purpose == "check" or not usage.calls:
            continue
        factor = left / rows
        more = Usage(
            calls=round(usage.calls * factor),
            prompt_tokens=round(usage.prompt_tokens * factor),
            completion_tokens=round(usage.completion_tokens * factor),
            seconds=usage.seconds * factor,
            uncounted=math.ceil(usage.uncounted * factor),
            cached_tokens=round(usage.cached_tokens * factor),
        )
        scaled[key] = more
        cost = money({key: more}, prices)
        text = f"{number(more.calls)} calls"
        if more.tokens is None:
            text += ", tokens unknown (the server does not count them)"
        else:
            text += f", {number(more.prompt_tokens)} tokens read, {number(more.completion_tokens)} written"
        print(f"  {purpose + ' (' + role + ')':<24} {text}, {_money(cost, prices.currency)}")
    each = [sum(part["prompt_tokens"] + part["completion_tokens"] for part in usage.values()) for usage in usages]
    unknown = any(usage.tokens is None for usage in scaled.values())
    if len(each) > 1 and not unknown:
        error = 2 * left * stdev(each) / math.sqrt(len(each))
        print(
            f"  {'tokens in all':<24} {number(left * mean(each))}, give or take {number(error)} (two standard errors)"
        )
    print(f"  {'money in all':<24} {_money(money(scaled, prices), prices.currency)}")
    waiting = sum(usage.seconds for usage in scaled.values())
    minutes = waiting / min(settings.concurrency, max(1, left)) / 60
    print(
        f"  {'time':<24} {_duration(minutes)}, if the endpoints answer {settings.concurrency} tasks at once "
        "as fast as they answered the sample"
    )


def _money(value: float | None, currency: str) -> str:
    return "money unknown (see configs/prices.yaml)" if value is None else f"{value:.4g} {currency}"


def _duration(minutes: float) -> str:
    return f"{minutes / 60:.1f} h" if minutes >= 90 else f"{minutes:.1f} min"
