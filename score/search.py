"""`web_search(query)`: a local BM25 index over a JSONL corpus of `{"title", "text"}` articles.

Results and nothing found (a sentence that says so) stay apart; a back end that fails raises `ToolError`.
"""

import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

from pydantic import Field

from score.errors import SettingsError
from score.settings import Strict

Search = Callable[[str], Awaitable[str]]
NOTHING_FOUND = "No results."


class SearchSettings(Strict):
    """`local` searches the corpus file, `none` offers no search at all."""

    backend: Literal["none", "local"] = "none"
    corpus: Path | None = None
    results: int = Field(default=3, gt=0)


class LocalIndex:
    """BM25 (bm25s) over titles and texts, held in memory. Raises `SettingsError` for a corpus it cannot read."""

    def __init__(self, corpus: Path):
        import bm25s

        logging.getLogger("bm25s").setLevel(logging.WARNING)  # it reports every index at DEBUG

        if not corpus.is_file():
            raise SettingsError(f"search.corpus: {corpus} does not exist (looked from {Path.cwd()})")
        with open(corpus, encoding="utf-8") as lines:
            self.articles: list[dict[str, str]] = [json.loads(line) for line in lines if line.strip()]
        if not self.articles:
            raise SettingsError(f"search.corpus: {corpus} holds no article")
        self._bm25s = bm25s
        self._index = bm25s.BM25()
        texts = [f"{article['title']} {article['text']}" for article in self.articles]
        self._index.index(bm25s.tokenize(texts, show_progress=False), show_progress=False)

    def search(self, query: str, results: int) -> list[dict[str, str]]:
        """The best articles, best first; those that share no word with the query are left out."""
        tokens = self._bm25s.tokenize(query, show_progress=False, return_ids=False)
        if not tokens or not tokens[0]:
            return []
        found, scores = self._index.retrieve(tokens, k=min(results, len(self.articles)), show_progress=False)
        return [self.articles[int(index)] for index, score in zip(found[0], scores[0], strict=True) if score > 0]


def make_search(settings: SearchSettings) -> Search:
    """The tool that the interpreter offers as `web_search`: query -> one line a result, `title: text`."""
    if settings.backend == "none" or settings.corpus is None:
        raise SettingsError("search.backend `local` needs search.corpus: a JSONL file of articles")
    index = LocalIndex(settings.corpus)

    async def web_search(query: str) -> str:
        found = index.search(query, settings.results)
        return "\n".join(f"{article['title']}: {article['text']}" for article in found) or NOTHING_FOUND

    return web_search
