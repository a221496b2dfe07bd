"""The table at the end of a run, and what the tokens come to."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from score.ledger import Ledger, as_rows

FINE = 0
COUNTED = {"asked_again": "asked again", "tolerated": "tolerated", "judged_by": "judged by"}


@dataclass
class Findings:
    """What a script found in its result file: lines of the table, figures of the summary, how many rows are worth
    keeping (None: the script does not say), and the exit code that follows."""

    rows: int
    lines: list[tuple[str, str]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    kept: int | None = None
    code: int = FINE
    complaint: str = ""


def totals(ledger: Ledger, found: Findings) -> dict[str, Any]:
    """The figures of the whole file: what was found in it and what it cost, also per row that is worth keeping, and by
    purpose (`usage`). None: not known."""
    spent, money = ledger.tokens(), ledger.money()
    figures: dict[str, Any] = {"rows": found.rows, **ledger.counters(), **found.figures}
    figures |= {"tokens": spent, "money": money, "currency": ledger.prices.currency}
    if found.kept is not None:
        figures["kept"] = found.kept
        figures["tokens_per_kept"] = None if spent is None or not found.kept else round(spent / found.kept, 1)
        figures["money_per_kept"] = None if money is None or not found.kept else money / found.kept
    usage: dict[str, dict[str, Any]] = {}
    for row in as_rows(ledger.entries(), ledger.prices):
        name = row["purpose"]
        usage[f"{name} ({row['role']}, {row['model']})" if name in usage or name == "check" else name] = row
    return figures | {"usage": usage}


def number(value: float | None, unit: str = "") -> str:
    """A figure for the table, `unknown` where it is not known."""
    if value is None:
        return "unknown"
    text = f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.3g}"
    return f"{text} {unit}".rstrip()


def listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items(), key=lambda item: -item[1]))


def print_table(output: Path, found: Findings, figures: Mapping[str, Any]) -> None:
    """Name and value a line, then what each role cost. `figures` are `totals` and those of the run."""
    failed = listed(figures["failed"]) or "none"
    lines = [
        ("rows", f"{found.rows} ({figures['done']} now, {figures['skipped']} of these tasks before)"),
        *found.lines,
        *((title, listed(figures[name])) for name, title in COUNTED.items() if figures.get(name)),
        ("failures", failed if not figures["failures_standing"] else f"{failed}; {figures['failures_standing']} stand"),
        ("malformed lines", str(figures["malformed"])),
    ]
    for name, row in figures["usage"].items():
        text = f"{number(row['prompt_tokens'])} read, {number(row['completion_tokens'])} written, {row['calls']} calls"
        if row["uncounted"]:
            text += f" ({row['uncounted']} of them without the server's counts)"
        if row["retries"]:
            text += f", {row['retries']} attempts failed"
        if row["shortened"]:
            text += f", {row['shortened']} replies had less room than max_tokens"
        if row["money"] is not None:
            text += f", {row['money']:.4g} {figures['currency']}"
        lines.append((f"tokens, {name}", text))
    lines.append(("tokens in all", number(figures["tokens"])))
    if figures.get("kept") is not None:
        lines.append(("tokens per kept row", number(figures["tokens_per_kept"])))
    money = figures["money"]
    lines.append(
        ("money", "unknown (see configs/prices.yaml)" if money is None else f"{money:.4g} {figures['currency']}")
    )
    width = max(len(name) for name, _ in lines)
    print("\n".join([str(output), *(f"  {name:<{width}}  {value}" for name, value in lines)]))


def summary_path(output: Path) -> Path:
    return Path(f"{output}.summary.json")


def write_summary(output: Path, figures: Mapping[str, Any]) -> None:
    text = json.dumps({"output": str(output), **figures}, indent=2, ensure_ascii=False)
    summary_path(output).write_text(text + "\n", encoding="utf-8")


def read_summary(output: Path) -> dict[str, Any]:
    """The summary beside an output, empty if there is none (yet) or it cannot be read."""
    try:
        found = json.loads(summary_path(output).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
