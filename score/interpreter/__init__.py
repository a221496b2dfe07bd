"""The interpreter for model-written Python: a session per trajectory, forked from one warm and isolated server."""

from score.interpreter.interpreter import Interpreter
from score.interpreter.output import NOTHING_PRINTED
from score.interpreter.result import STOPPED, StepResult
from score.interpreter.session import Session, close_all
from score.interpreter.settings import InterpreterSettings
from score.interpreter.sync import SyncSession, open_session

__all__ = [
    "NOTHING_PRINTED",
    "STOPPED",
    "Interpreter",
    "InterpreterSettings",
    "Session",
    "StepResult",
    "SyncSession",
    "close_all",
    "open_session",
]
