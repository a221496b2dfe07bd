"""What an interpreter may be told: isolation, limits, and what is imported before the first session."""

import importlib.util
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from score.settings import Strict

Isolation = Literal["auto", "strict", "limits"]


class InterpreterSettings(Strict):
    """Settings of one `Interpreter`; every session that it opens has the same.

    Limits of memory, CPU, files and processes hold for each process of a session (that is what the kernel counts);
    `step_timeout_s` holds for the whole process tree. `snapshots` forks the session before every step, so that it
    can go on from there after a step that had to be killed; it costs one fork (about 2 ms) a step.
    """

    isolation: Isolation = "auto"
    step_timeout_s: float = Field(
        default=20.0, gt=0, le=86_400, description="wall time of a step, without the host's tool calls"
    )
    tool_calls: int = Field(default=50, gt=0, description="calls of the host's tools in one step, whose time is free")
    cpu_s: int = Field(
        default=120, ge=1, description="CPU seconds of one process in one step, all its threads together"
    )
    memory_mb: int = Field(
        default=2048,
        ge=256,
        description="address space of a process, with the preloaded libraries; and what all of them hold together",
    )
    processes: int = Field(
        default=64,
        ge=4,
        description="processes of one session at a time; its forks (in strict up to 32) have their own",
    )
    open_files: int = Field(default=128, ge=32)
    file_size_mb: int = Field(default=64, ge=1, description="largest file, and most output of a step, before it is cut")
    disk_mb: int = Field(default=256, ge=1, description="private disk space of a session (strict only)")
    max_output_chars: int = Field(
        default=4000, ge=100, description="longest observation; the middle of a longer one is cut"
    )
    preload: list[str] = Field(
        default=["math", "numpy", "sympy"], description="imported once, before any session starts"
    )
    snapshots: bool = True
    start_timeout_s: float = Field(default=60.0, gt=0, description="time for the server to import `preload`")

    operational: ClassVar[frozenset[str]] = frozenset({"isolation", "start_timeout_s"})

    @field_validator("preload")
    @classmethod
    def _modules_exist(cls, names: list[str]) -> list[str]:
        for name in names:
            if not all(part.isidentifier() for part in name.split(".")):
                raise ValueError(f"{name!r} is not the name of a module")
            if importlib.util.find_spec(name.partition(".")[0]) is None:
                raise ValueError(f"module {name!r} is not installed here")
        return names
