"""The error model: every failure belongs to one boundary, and a row that failed says which.

A failure is data, not a crash and never a "wrong answer": the runner records `kind` and the message of a
`ScoreError` in the failures file, and the next run tries the task again. Anything that is not a `ScoreError`
is a bug and stops the run.

    settings     the user's configuration          -> stop at once
    data         a file that does not hold what it should -> stop, or name the line and go on
    provider     a model's endpoint                -> retry, then record
    interpreter  the sandbox itself (not the student's code) -> record
    tool         a tool's back end                 -> record
    judge        a verdict that could not be had   -> the task is unscored, never wrong
    task         this one task cannot be done      -> record
"""


class ScoreError(Exception):
    """A failure with a `kind` (the boundary where it happened) and a message that says what to do."""

    kind = "score"


class SettingsError(ScoreError):
    """The configuration is wrong: the message names file, key, what was expected, and the nearest right name."""

    kind = "settings"


class DataError(ScoreError):
    """A file does not hold what its format asks for: the message names file and line."""

    kind = "data"


class ProviderError(ScoreError):
    """A model's endpoint did not answer usefully. `fatal` means that no later call can succeed either."""

    kind = "provider"

    def __init__(self, message: str, *, fatal: bool = False):
        super().__init__(message)
        self.fatal = fatal


class InterpreterError(ScoreError):
    """The sandbox itself failed; an error in the code that it ran is an observation instead."""

    kind = "interpreter"


class ToolError(ScoreError):
    """A tool's back end failed (which is not the same as finding nothing)."""

    kind = "tool"


class JudgeError(ScoreError):
    """No readable verdict could be had: the task is unscored."""

    kind = "judge"


class TaskError(ScoreError):
    """This task cannot be done, for example because its dialogue no longer fits the context."""

    kind = "task"
