"""What a result file has cost so far: calls, tokens, seconds and money, by purpose and model, over all runs.

`<output>.ledger.json` is written once a second, so `kill -9` loses at most that. Money is what `configs/prices.yaml`
makes of the tokens; a model without a price, a call without the server's counts, or cached tokens without a price of
their own make it unknown, never 0.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from score.errors import DataError, SettingsError
from score.llm import Endpoint, Usage
from score.settings import Strict
from score.tasks import problem_in
from score.whole_file import write_whole

PRICES = Path(__file__).parents[1] / "configs" / "prices.yaml"
Entries = dict[tuple[str, str, str], Usage]  # (endpoint's role, purpose, model) -> what was spent
Counters = dict[str, Counter[str]]  # what was counted -> reason -> number


class Price(Strict):
    """Per million tokens. `cached` is the price of prompt tokens that the server had at hand."""

    prompt: float = Field(ge=0)
    completion: float = Field(ge=0)
    cached: float | None = Field(default=None, ge=0)

    def of(self, usage: Usage) -> float | None:
        """Raises nothing; None where it is not known."""
        if usage.uncounted or (usage.cached_tokens and self.cached is None):
            return None
        fresh = usage.prompt_tokens - usage.cached_tokens
        total = (
            fresh * self.prompt + usage.cached_tokens * (self.cached or 0) + usage.completion_tokens * self.completion
        )
        return total / 1e6


class PriceTable(Strict):
    """`configs/prices.yaml`."""

    currency: str = "USD"
    models: dict[str, Price] = {}


def read_prices(path: Path) -> PriceTable:
    """Raises `SettingsError`. A file that is not there is an empty table: nothing has a price."""
    if not path.is_file():
        return PriceTable()
    try:
        return PriceTable.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except (yaml.YAMLError, ValidationError) as error:
        problem = problem_in(error) if isinstance(error, ValidationError) else error
        raise SettingsError(f"{path}: no table of prices ({problem}); see configs/prices.yaml") from None


def ledger_path(output: Path) -> Path:
    return Path(f"{output}.ledger.json")


def read_ledger(path: Path) -> tuple[Entries, Counters]:
    """Entries and counters of a ledger file, empty if there is none. Raises `DataError`."""
    if not path.is_file():
        return {}, {}
    known = {field.name for field in fields(Usage)}
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        entries = {
            (row["role"], row["purpose"], row["model"]): Usage(**{k: v for k, v in row.items() if k in known})
            for row in held["entries"]
        }
        return entries, {name: Counter(counts) for name, counts in held.get("counters", {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: no ledger ({error}); move it away to count anew") from None


def add_entries(into: Entries, more: Entries) -> None:
    for key, usage in more.items():
        into.setdefault(key, Usage()).add(usage)


class Ledger:
    """The sum of what earlier runs spent on this output and what `endpoints` spend now. `count` gives what else is
    counted (replies that were asked again, for one), by name and reason."""

    def __init__(
        self,
        output: Path,
        endpoints: Sequence[Endpoint],
        prices: PriceTable,
        count: Callable[[], Mapping[str, Mapping[str, int]]] = dict,
    ):
        self.path = ledger_path(output)
        self.prices = prices
        self._endpoints = endpoints
        self._count = count
        self._before, self._counted_before = read_ledger(self.path)
        self._saved = ""

    def entries(self) -> Entries:
        total: Entries = {}
        add_entries(total, self._before)
        for endpoint in self._endpoints:
            for purpose, usage in endpoint.accounts.items():
                add_entries(total, {(endpoint.role, purpose, endpoint.settings.model): usage})
        return total

    def counters(self) -> Counters:
        """What was counted, over all runs."""
        total: Counters = {name: Counter(counts) for name, counts in self._counted_before.items()}
        for name, counts in self._count().items():
            total.setdefault(name, Counter()).update(counts)
        return total

    def save(self) -> None:
        self._saved = write_ledger(self.path, self.entries(), self.counters(), self.prices, unless=self._saved)

    def money(self) -> float | None:
        """Over all runs, None where any part is not known."""
        return money(self.entries(), self.prices)

    def tokens(self) -> int | None:
        """Over all runs, None where any part is not known."""
        return tokens(self.entries().values())

    def note(self) -> str:
        """For the progress line: tokens and money so far."""
        spent, cost = self.tokens(), self.money()
        text = "tokens unknown" if spent is None else f"{spent / 1e6:.2f} M tokens"
        return text if cost is None else f"{text}, {cost:.2f} {self.prices.currency}"


def money(entries: Entries, prices: PriceTable) -> float | None:
    """What the entries cost together, None where any part is not known."""
    total = 0.0
    for (_, _, model), usage in entries.items():
        price = prices.models.get(model)
        cost = price.of(usage) if price else None
        if cost is None:
            if usage.calls:
                return None
            continue
        total += cost
    return total


def tokens(usages: Iterable[Usage]) -> int | None:
    """The sum of the tokens, None where any are not known."""
    total = 0
    for usage in usages:
        if usage.tokens is None:
            return None
        total += usage.tokens
    return total


def as_rows(entries: Entries, prices: PriceTable) -> list[dict[str, Any]]:
    """Entries as they are written: one row for each role, purpose and model, with its money (None: unknown)."""
    rows = []
    for (role, purpose, model), usage in sorted(entries.items()):
        price = prices.models.get(model)
        cost: Mapping[str, Any] = {"money": price.of(usage) if price else None}
        rows.append({"role": role, "purpose": purpose, "model": model, **asdict(usage), **cost})
    return rows


def write_ledger(path: Path, entries: Entries, counters: Counters, prices: PriceTable, *, unless: str = "") -> str:
    """Replace the ledger file in one go: a reader, or a run after a kill, finds the old one or the new one. Returns
    what was written; nothing is, if that is what `unless` says."""
    held = {"currency": prices.currency, "entries": as_rows(entries, prices), "counters": counters}
    text = json.dumps(held, indent=1) + "\n"
    if text == unless:
        return text
    write_whole(path, text)
    return text
