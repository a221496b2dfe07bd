"""`--ray ADDRESS`: the shards of a run as tasks of a Ray cluster, then their merge.

The machines share a file system and an environment (the same paths), as clusters do; each shard is the same command
with `--shard i/n`, so a run can be split by hand just as well, and a second call goes on where the shards stopped.
"""

import argparse
import contextlib
import os
import runpy
import sys
from collections import Counter
from pathlib import Path
from typing import Any, TypeVar

from score import cli
from score.errors import SettingsError
from score.ledger import Ledger, read_prices
from score.manifest import read_manifest
from score.run import RunSettings, Script
from score.run_report import print_table, read_summary, totals, write_summary
from score.settings import adopt, environment
from score.shards import merge, shard_output, shards_beside

S = TypeVar("S", bound=RunSettings)
ROOT = Path(__file__).resolve().parents[1]


def run_shard(script: str, folder: str, arguments: list[str], variables: dict[str, str]) -> int:
    """What a Ray task does: the script's own main, in the folder that it was called in. Returns its exit code."""
    adopt(variables)
    os.chdir(folder)
    sys.argv = [script, *arguments]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def _refuse_other_shards(output: Path, count: int) -> None:
    """The cluster may have more or fewer nodes than last time: all rows would be paid for again."""
    if others := [(name, of) for name, of in shards_beside(output) if of != count]:
        listed = ", ".join(name for name, _ in others[:8]) + (", ..." if len(others) > 8 else "")
        raise SettingsError(
            f"this run has {count} shards, and {output.parent} holds others: {listed}; "
            f"go on with them by --ray-shards {others[0][1]}, or move them away"
        )


def run_on_ray(script: Script[S], settings: S, options: argparse.Namespace) -> int:
    """Run all shards and merge them. Returns the worst exit code of the shards, or the merged file's.

    Raises `SettingsError` where shards of another number lie beside the output.
    """
    import ray

    if settings.shard is not None:
        raise SettingsError("--ray makes the shards itself: leave --shard out")
    if settings.output.exists() and "merged_from" not in read_manifest(settings.output):
        raise SettingsError(
            f"{settings.output} was not merged from shards: go on without --ray, or name another output"
        )
    started = {"address": options.ray} if options.ray != "local" else {"include_dashboard": False}
    ray.init(**started, runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}}, logging_level="WARNING")
    try:
        count = options.ray_shards or len([node for node in ray.nodes() if node["Alive"]])
        _refuse_other_shards(settings.output, count)
        task: Any = ray.remote(num_cpus=1, max_retries=2)(run_shard)
        arguments = ["--config", str(Path(options.config).resolve())]
        for text in cli.overrides(options):
            arguments += ["--set", text]
        arguments += ["--accept-changes"] if options.accept_changes else []
        running = {}
        for index in range(1, count + 1):
            shard = [*arguments, "--shard", f"{index}/{count}"]
            running[task.remote(script.file, os.getcwd(), shard, environment())] = index
        codes: dict[int, int] = {}
        while len(codes) < count:
            ready, _ = ray.wait([ref for ref, index in running.items() if index not in codes])
            for ref in ready:
                codes[running[ref]] = ray.get(ref)
                print(f"shard {running[ref]} of {count} ended with {codes[running[ref]]}", file=sys.stderr)
    finally:
        with contextlib.suppress(Exception):
            ray.shutdown()
    outputs = [shard_output(settings.output, f"{index}/{count}") for index in range(1, count + 1)]
    if any(code not in (0, 3, 4) for code in codes.values()):
        print(f"not merged: {[path.name for path in outputs]} ended with {codes}", file=sys.stderr)
        return max(codes.values())
    settings.output.unlink(missing_ok=True)  # of an earlier call: its rows are in the shards
    rows, failed = merge(settings.output, outputs)
    ledger = Ledger(settings.output, [], read_prices(settings.prices))
    found = script.findings(settings, settings.output, ledger)
    print(f"{settings.output}: {rows} rows of {count} shards, {failed} failures")
    summaries = [read_summary(path) for path in outputs]
    figures = {
        "state": "finished",
        "done": sum(summary.get("done", 0) for summary in summaries),
        "skipped": sum(summary.get("skipped", 0) for summary in summaries),
        "failed": dict(sum((Counter(summary.get("failed", {})) for summary in summaries), Counter())),
        "failures_standing": failed,
        "malformed": max(summary.get("malformed", 0) for summary in summaries),
        **totals(ledger, found),
    }
    print_table(settings.output, found, figures)
    write_summary(settings.output, figures)
    return found.code or (3 if 3 in codes.values() else 0)
