"""Shards: one task file worked on by several machines, and the merge of what they wrote.

    python MPS/SCoRe_data_gen.py --shard 1/4        (and 2/4, 3/4, 4/4, anywhere)
    python -m score.shards OUT.jsonl OUT.shard-*-of-4.jsonl

A task's shard is a hash of its id: whatever the order of the file, shards are disjoint and complete. The merge refuses
units that two inputs hold, inputs made with different settings and shards that are not finished; failures, ledgers and
what was accepted with `--accept-changes` are merged too.
"""

import argparse
import hashlib
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from score.errors import DataError, SettingsError
from score.whole_file import replacing


def parse_shard(text: str) -> tuple[int, int]:
    """`2/4` -> (2, 4): the second of four. Raises `ValueError`."""
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise ValueError(f"expected i/n with 1 <= i <= n, for example 1/4; found {text!r}")
    return int(found[1]), int(found[2])


def in_shard(task_id: str, shard: str | None) -> bool:
    """Does this shard work on the task? None: there is one only."""
    if shard is None:
        return True
    index, count = parse_shard(shard)
    return int.from_bytes(hashlib.sha256(task_id.encode()).digest()[:8], "big") % count == index - 1


def shard_output(output: Path, shard: str | None) -> Path:
    """Where a shard writes: `name.shard-2-of-4.jsonl` beside the whole output."""
    if shard is None:
        return output
    index, count = parse_shard(shard)
    return output.with_name(f"{output.stem}.shard-{index}-of-{count}{output.suffix}")


def shards_beside(output: Path) -> list[tuple[str, int]]:
    """The result files of shards that lie beside the whole output, each with the number of shards it is one of."""
    shard = re.compile(rf"{re.escape(output.stem)}\.shard-\d+-of-(\d+){re.escape(output.suffix)}")
    names = sorted(path.name for path in output.parent.iterdir()) if output.parent.is_dir() else []
    return [(name, int(found[1])) for name in names if (found := shard.fullmatch(name))]


def merge(output: Path, inputs: Sequence[Path]) -> tuple[int, int]:
    """Write the rows of all inputs to `output`, failures, ledger and manifest beside it. Returns the numbers of rows
    and of failures that stand. Raises `DataError` for an overlap, an input that is missing, not finished (one without a
    manifest cannot say) or ends in a torn line, or an output that exists already, `SettingsError` for different
    fingerprints; then nothing is written."""
    from score.fingerprint import changes
    from score.journal import as_line, failures_path, rows_of
    from score.ledger import (
        PRICES,
        Counters,
        Entries,
        add_entries,
        ledger_path,
        read_ledger,
        read_prices,
        write_ledger,
    )
    from score.manifest import read_manifest, write_manifest

    if output.exists():
        raise DataError(f"{output} exists already: name another output, or move it away")
    manifests = {path: read_manifest(path) for path in inputs}
    states = {path: found.get("state", "finished") for path, found in manifests.items()}
    if unfinished := [f"{path} ({state})" for path, state in states.items() if state != "finished"]:
        raise DataError(
            f"not finished: {', '.join(unfinished)}; wait for what still runs, and where a run was killed or stopped "
            "run its script once more with its --shard, which goes on there"
        )
    prints = {path: found["fingerprint"] for path, found in manifests.items() if "fingerprint" in found}
    first = next(iter(prints), None)
    for path, fingerprint in prints.items():
        changed = changes(prints[first], fingerprint) if first else {}
        if changed:
            named = "; ".join(f"{key}: {change['was']!r} and {change['is']!r}" for key, change in changed.items())
            raise SettingsError(f"{first} and {path} were made with different settings: {named}")
    owner: dict[str, Path] = {}
    for path in inputs:
        if not path.is_file():
            raise DataError(f"{path} does not exist")
        if path.suffix != ".jsonl":
            raise SettingsError(f"{path} is no result file: name those that end in .jsonl, as in x.shard-*-of-8.jsonl")
        for unit, _ in rows_of(path):
            if unit in owner:
                raise DataError(f"{unit!r} is in {owner[unit]} and in {path}: these are not shards of one run")
            owner[unit] = path
    failed = [row for path in inputs for unit, row in rows_of(failures_path(path)) if unit not in owner]
    settings = manifests[first]["settings"] if first else {}
    prices = Path(settings.get("prices", PRICES))
    if not prices.is_file():  # the runs were on another machine
        print(f"{prices}, where these runs have their prices, is not here: money is by {PRICES}", file=sys.stderr)
        prices = PRICES
    price_table = read_prices(prices)
    output.parent.mkdir(parents=True, exist_ok=True)
    with replacing(output) as rows:  # it gets its name last, when all that belongs to it stands beside it
        for path in inputs:
            with open(path, "rb") as lines:
                rows.writelines(lines)
        failures_path(output).write_bytes(b"".join(map(as_line, failed)))
        if not failed:
            failures_path(output).unlink()
        entries: Entries = {}
        counters: Counters = {}
        for path in inputs:
            spent, counted = read_ledger(ledger_path(path))
            add_entries(entries, spent)
            for name, reasons in counted.items():
                counters.setdefault(name, Counter()).update(reasons)
        write_ledger(ledger_path(output), entries, counters, price_table)
        counts = {"rows": len(owner), "failed": len(failed)}
        manifest = {
            "state": "finished",
            "fingerprint": prints[first] if first else {},
            # As a run that goes on with the merged file finds them.
            "changes": [
                {"shard": path.name} | change
                for path, found in manifests.items()
                for change in found.get("changes", [])
            ],
            "other_tasks": {
                task: now for found in manifests.values() for task, now in found.get("other_tasks", {}).items()
            },
            "merged_from": {str(path): found.get("counts") for path, found in manifests.items()},
        }
        write_manifest(output, settings, counts, inputs=inputs, **manifest)
    return len(owner), len(failed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("inputs", type=Path, nargs="+")
    options = parser.parse_args()
    rows, failed = merge(options.output, options.inputs)
    expected = {re.sub(r"shard-\d+-of-", "", path.name) for path in options.inputs}
    print(f"{options.output}: {rows} rows of {len(options.inputs)} files, {failed} failures")
    if len(expected) == 1:
        found = re.search(r"\.shard-\d+-of-(\d+)\.", options.inputs[0].name)
        if found and int(found[1]) != len(options.inputs):
            print(f"{int(found[1]) - len(options.inputs)} of {found[1]} shards are missing", file=sys.stderr)
            return 3
    return 3 if failed else 0


if __name__ == "__main__":
    from score import cli

    cli.run(main)
