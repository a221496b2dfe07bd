"""`web_search(query)` behind one interface. A search gives results, gives none as nothing was found, or fails: then it
raises `ToolError`, which never reads as nothing found. See README.md here."""

from score.search.client import QueryTooLong, SearchClient
from score.search.results import NOTHING_FOUND, Found, Result
from score.search.settings import CacheSettings, SearchSettings

__all__ = ["NOTHING_FOUND", "CacheSettings", "Found", "QueryTooLong", "Result", "SearchClient", "SearchSettings"]
