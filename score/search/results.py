"""What a search gives: results, which may be none at all. A search that failed gives nothing: it raises `ToolError`."""

from dataclasses import asdict, dataclass
from typing import Any

from score.questions import words

NOTHING_FOUND = "No results."


@dataclass(frozen=True, slots=True)
class Result:
    """One result. `rank` counts from 1; `url` is empty where the back end has none; `score` is the back end's own
    (comparable within one search only), None where it gives none."""

    rank: int
    url: str
    title: str
    passage: str
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A search that did not fail. No results means that the back end said so: nothing was found."""

    query: str
    results: tuple[Result, ...]

    @property
    def nothing(self) -> bool:
        return not self.results

    def text(self) -> str:
        """What the model is shown: a line `title: passage` for each result, or a sentence that says there is none."""
        lines = (f"{found.title}: {found.passage}" if found.title else found.passage for found in self.results)
        nothing = NOTHING_FOUND if words(self.query) else f"{NOTHING_FOUND} The query holds no word."
        return "\n".join(lines) or nothing

    def record(self) -> dict[str, Any]:
        """What is stored with the step that searched."""
        shown = [{key: value for key, value in asdict(result).items() if key != "score"} for result in self.results]
        return {"tool": "web_search", "query": self.query, "results": shown}
