"""Text generation for small models on a CPU: an engine, and an OpenAI-compatible server (`python -m score.serving`)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from score.serving.asynchronous import AsyncEngine
    from score.serving.engine import Completion, Engine
    from score.serving.sampling import Sampling

_HOMES = {"AsyncEngine": "asynchronous", "Completion": "engine", "Engine": "engine", "Sampling": "sampling"}
__all__ = ["AsyncEngine", "Completion", "Engine", "Sampling"]


def __getattr__(name: str) -> Any:
    # Lazy, so that `python -m score.serving --help` does not wait for torch.
    if name not in _HOMES:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"score.serving.{_HOMES[name]}"), name)
