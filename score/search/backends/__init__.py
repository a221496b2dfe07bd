"""The servers that can be behind `web_search`, by the name that `search.backend` gives; imported when asked for."""

from importlib import import_module

from score.search.backends.http import HttpBackend
from score.search.settings import SearchSettings

CLASSES = {
    "retrieve": "Retrieve",
    "serper": "Serper",
    "tavily": "Tavily",
    "brave": "Brave",
    "searxng": "Searxng",
    "duckduckgo": "DuckDuckGo",
    "wikipedia": "Wikipedia",
}


def make_backend(settings: SearchSettings) -> HttpBackend:
    """Raises `SettingsError` where a key is missing."""
    module = import_module(f"score.search.backends.{settings.backend}")
    made: HttpBackend = getattr(module, CLASSES[settings.backend])(settings)
    return made
