"""Shards of a run, and their merge; Ray runs them, too."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.script_runs import ALL, TASKS, Runs

ROOT = Path(__file__).resolve().parents[2]


def test_shards_are_disjoint_complete_and_merged(quick: Runs) -> None:
    parts = []
    for index in (1, 2, 3):
        assert quick.run("--shard", f"{index}/3", "--set", "seed=1").returncode == 0
        parts.append(quick.folder / f"out.shard-{index}-of-3.jsonl")
    assert sorted(unit for part in parts for unit in quick.units(part)) == ALL and all(map(quick.units, parts))
    assert merge(quick.output, *parts).returncode == 0
    assert quick.units() == ALL
    assert sum(entry["calls"] for entry in quick.beside("ledger")["entries"]) == TASKS + 3
    rows = {row["id"]: row["seed"] for row in map(json.loads, quick.output.read_text().splitlines())}
    assert rows["t7"] == 1 + 7000, "a task's seed is the same in every shard"
    # Going on with the merged file is a run like any other.
    again = quick.run("--set", "seed=1")
    assert again.returncode == 0 and "0 now, 40 of these tasks before" in again.stdout


def test_a_merge_refuses_overlaps_missing_files_and_different_settings(quick: Runs) -> None:
    for index in (1, 2):
        assert quick.run("--shard", f"{index}/2").returncode == 0
    first, second = (quick.folder / f"out.shard-{index}-of-2.jsonl" for index in (1, 2))
    overlap = merge(quick.output, first, first)
    assert overlap.returncode == 2 and "is in" in overlap.stderr
    beside = merge(quick.output, first, quick.folder / "out.shard-1-of-2.jsonl.ledger.json")
    assert beside.returncode == 2 and "is no result file" in beside.stderr
    missing = merge(quick.output, first, quick.folder / "nothing.jsonl")
    assert missing.returncode == 2 and "does not exist" in missing.stderr
    incomplete = merge(quick.folder / "part.jsonl", first)
    assert incomplete.returncode == 3 and "1 of 2 shards are missing" in incomplete.stderr
    second.unlink()
    assert quick.run("--shard", "2/2", "--set", "style=bold", "--accept-changes").returncode == 0
    different = merge(quick.output, first, second)
    assert different.returncode == 2 and "style: 'plain' and 'bold'" in different.stderr
    assert not quick.output.exists()


def merge(output: Path, *inputs: Path) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "score.shards", str(output), *map(str, inputs)]
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_a_merge_refuses_a_shard_that_was_killed_or_interrupted_until_it_has_gone_on(slow: Runs) -> None:
    shards = [slow.folder / f"out.shard-{index}-of-2.jsonl" for index in (1, 2)]
    whole, slow.output = slow.output, shards[0]
    assert slow.run("--shard", "2/2").returncode == 0
    for rows, stop, state in ((1, signal.SIGKILL, "running"), (4, signal.SIGINT, "interrupted")):
        running = slow.start("--shard", "1/2", "--set", "concurrency=1")
        slow.wait_for_rows(rows)
        os.killpg(running.pid, stop)
        running.communicate(timeout=60)
        lines = shards[0].read_bytes()
        shards[0].write_bytes(lines[: lines.rfind(b"\n") + 1])  # killed between two lines
        refused = merge(whole, *shards)
        assert refused.returncode == 2 and f"{shards[0]} ({state})" in refused.stderr
        assert str(shards[1]) not in refused.stderr and "its --shard" in refused.stderr and not whole.exists()
    assert slow.run("--shard", "1/2").returncode == 0
    assert merge(whole, *shards).returncode == 0 and slow.units(whole) == ALL


def test_shards_without_a_manifest_are_merged(quick: Runs) -> None:
    parts = [quick.folder / f"out.shard-{index}-of-2.jsonl" for index in (1, 2)]
    for number, part in enumerate(parts):
        part.write_text(f'{{"id": "t{number}"}}\n')
    assert merge(quick.output, *parts).returncode == 0 and quick.units() == [("t0", 0), ("t1", 0)]
    assert quick.beside("manifest")["state"] == "finished"


def test_a_merge_keeps_what_was_accepted_and_the_prices_of_the_run(quick: Runs) -> None:
    prices = quick.folder / "prices.yaml"
    prices.write_text("currency: EUR\nmodels:\n  m: {prompt: 2.0, completion: 4.0}\n")
    file = quick.folder / "tasks.jsonl"
    one_by_one = [f"--shard={index}/2" for index in (1, 2)]
    arguments = ["--set", f"prices={prices}"]
    for shard in one_by_one:
        assert quick.run(shard, *arguments).returncode == 0
    file.write_text(file.read_text().replace('"3?"', '"3, or what?"'))
    for shard in one_by_one:
        assert quick.run(shard, *arguments, "--accept-changes").returncode == 0
    parts = [quick.folder / f"out.shard-{index}-of-2.jsonl" for index in (1, 2)]
    assert merge(quick.output, *parts).returncode == 0
    (change,) = quick.beside("manifest")["changes"]
    assert change["shard"] in [part.name for part in parts] and "(t3)" in change["changed"]["tasks"]["was"]
    assert quick.beside("manifest")["other_tasks"].keys() == {"t3"}
    ledger = quick.beside("ledger")
    assert ledger["currency"] == "EUR"
    asked = len(quick.server.asked)
    assert sum(entry["money"] for entry in ledger["entries"]) == pytest.approx(asked * (10 * 2 + 5 * 4) / 1e6)
    assert quick.run(*arguments).returncode == 0, "what was accepted is not asked again"
    quick.output.unlink()
    prices.unlink()
    elsewhere = merge(quick.output, *parts)
    assert (
        elsewhere.returncode == 0 and f"{prices}, where these runs have their prices, is not here" in elsewhere.stderr
    )


def test_a_merge_refuses_a_torn_shard_and_says_what_heals_it(quick: Runs) -> None:
    for index in (1, 2):
        assert quick.run("--shard", f"{index}/2").returncode == 0
    first, second = (quick.folder / f"out.shard-{index}-of-2.jsonl" for index in (1, 2))
    whole = first.read_bytes()
    for torn in (whole[:-20], whole[:-1]):  # in a row, and before its end of line
        first.write_bytes(torn)
        refused = merge(quick.output, first, second)
        assert refused.returncode == 2 and "the last line is torn" in refused.stderr
        assert "run its script once more" in refused.stderr and "move the file away" not in refused.stderr
        assert not quick.output.exists() and first.read_bytes() == torn
    assert quick.run("--shard", "1/2").returncode == 0
    assert merge(quick.output, first, second).returncode == 0 and quick.units() == ALL


def test_a_merge_refuses_torn_failures_before_it_writes(quick: Runs) -> None:
    assert quick.run("--shard", "1/2").returncode == 0
    first = quick.folder / "out.shard-1-of-2.jsonl"
    first.with_suffix(".failures.jsonl").write_text('{"id": "t1", "kind": "to')
    refused = merge(quick.output, first)
    assert refused.returncode == 2 and "failures.jsonl:1: the last line is torn" in refused.stderr
    assert not list(quick.folder.glob("out.failures*")) and not quick.output.exists()


def test_ray_runs_the_shards_and_merges_them(quick: Runs) -> None:
    ran = quick.run("--ray", "local", "--ray-shards", "2")
    assert ran.returncode == 0, ran.stderr
    assert quick.units() == ALL and "40 rows of 2 shards" in ran.stdout
    assert all((quick.folder / f"out.shard-{index}-of-2.jsonl").is_file() for index in (1, 2))
    again = quick.run("--ray", "local", "--ray-shards", "2")
    assert again.returncode == 0 and len(quick.server.asked) == TASKS + 4, "a second call repeats no task"
    assert quick.beside("summary")["skipped"] == TASKS
    merged = quick.output.read_bytes()
    fewer = quick.run("--ray", "local")  # one node
    assert fewer.returncode == 2 and "out.shard-1-of-2.jsonl, out.shard-2-of-2.jsonl" in fewer.stderr
    assert "this run has 1 shards" in fewer.stderr and "by --ray-shards 2" in fewer.stderr
    assert quick.output.read_bytes() == merged and len(quick.server.asked) == TASKS + 4
    assert quick.run().returncode == 0
    refused = quick.run("--ray", "local")
    assert refused.returncode == 2 and "was not merged from shards" in refused.stderr
