"""The settings of `web_search`: the `search:` section of every phase's configuration (configs/tools.yaml)."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from score.settings import Strict

BackendName = Literal[
    "none", "local", "retrieve", "serper", "tavily", "brave", "searxng", "duckduckgo", "wikipedia"
]  # fmt: skip


class CacheSettings(Strict):
    """What hosted back ends found is kept in one SQLite file, which many processes may share. `path` null: no cache.

    `normalise`: queries that differ in case and spacing only are one. What found nothing is kept for a shorter time;
    failures are never kept. Beyond `size_mb` the entries that were stored first go.
    """

    path: Path | None = None
    expire_h: float = Field(default=720, gt=0)
    nothing_found_expire_h: float = Field(default=24, ge=0)
    size_mb: float = Field(default=1024, gt=0)
    normalise: bool = True


class SearchSettings(Strict):
    """`none` offers no search at all; `local` searches the file `corpus`; the others ask a server.

    `index`: the local index's folder (null: `CORPUS.bm25` beside the corpus). `results` per search. `base_url` and
    `api_key_env` (the variable that holds the key) are the back end's own where they are null, and so is
    `requests_per_s`, which holds for one process. `attempts` counts the first one. A passage longer than
    `passage_chars` is cut to the sentences that fit the query best.
    """

    backend: BackendName = "none"
    corpus: Path | None = None
    index: Path | None = None
    results: int = Field(default=3, gt=0)
    passage_chars: int = Field(default=1000, ge=50)
    base_url: str | None = None
    api_key_env: str | None = None
    requests_per_s: float | None = Field(default=None, gt=0)
    concurrency: int = Field(default=16, gt=0)
    timeout_s: float = Field(default=20, gt=0)
    attempts: int = Field(default=4, gt=0)
    cache: CacheSettings = CacheSettings()

    operational: ClassVar[frozenset[str]] = frozenset(
        {"base_url", "api_key_env", "requests_per_s", "concurrency", "timeout_s", "attempts", "cache"}
    )
