"""The table at the end of a run, and what the tokens come to."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from score.ledger import Ledger
from score.runner import RunSummary

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


def totals(ledger: Ledger, kept: int | None) -> dict[str, Any]:
    """Tokens and money of the whole file, and per row that is worth keeping. None: not known."""
    tokens, money = ledger.tokens(), ledger.money()
    figures: dict[str, Any] = {"tokens": tokens, "money": money, "currency": ledger.prices.currency}
    if kept is not None:
        figures["kept"] = kept
        figures["tokens_per_kept"] = None if tokens is None or not kept else round(tokens / kept, 1)
        figures["money_per_kept"] = None if money is None or not kept else money / kept
    return figures


def number(value: float | None, unit: str = "") -> str:
    """A figure for the table, `unknown` where it is not known."""
    if value is None:
        return "unknown"
    text = f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.3g}"
    return f"{text} {unit}".rstrip()


def listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items(), key=lambda item: -item[1]))


def print_table(
    output: Path,
    summary: RunSummary,
    found: Findings,
    figures: Mapping[str, Any],
    usage: Mapping[str, Mapping[str, Any]],
    ledger: Ledger,
    malformed: int,
) -> None:
    """Name and value a line, then what each role cost."""
    failed = listed(summary.failed) or "none"
    lines = [
        ("rows", f"{found.rows} ({summary.done} now, {summary.skipped} of these tasks before)"),
        *found.lines,
        *((title, listed(figures[name])) for name, title in COUNTED.items() if figures.get(name)),
        ("failures", failed if not figures["failures_standing"] else f"{failed}; {figures['failures_standing']} stand"),
        ("malformed lines", str(malformed)),
    ]
    for name, row in usage.items():
        text = f"{number(row['prompt_tokens'])} read, {number(row['completion_tokens'])} written, {row['calls']} calls"
        if row["uncounted"]:
            text += f" ({row['uncounted']} of them without the server's counts)"
        if row["retries"]:
            text += f", {row['retries']} attempts failed"
        if row["money"] is not None:
            text += f", {row['money']:.4g} {ledger.prices.currency}"
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


def read_summary(output: Path) -> dict[str, Any]:
    """The summary beside an output, empty if there is none (yet) or it cannot be read."""
    try:
        found = json.loads(summary_path(output).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
