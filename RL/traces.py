"""Rollout traces in verl's back end for them (`rollout.trace.backend=mlflow`).

verl 0.9.1's own agent-loop worker for the transfer queue switches tracing off ("TODO: add trace support" in its
source), so the loop opens the span itself, through verl's public `rollout_trace_attr`. One rollout of each prompt is
traced, the first: a step has thousands.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from verl.utils.rollout_trace import RolloutTraceConfig, rollout_trace_attr

from score.dialogue import Message


@contextmanager
def traced(messages: Sequence[Message], row: Mapping[str, Any]) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A span around one rollout; call what it gives with the rollout's outcome. Without a back end nothing happens."""
    backend = RolloutTraceConfig.get_backend()
    if backend is None or int(row.get("session_id") or 0) != 0:
        yield lambda outcome: None
        return
    step, index = row.get("global_steps"), row.get("index")
    with rollout_trace_attr(step=step, sample_index=index, rollout_n=0, name="rollout"):

        def end(outcome: dict[str, Any]) -> None:
            span = RolloutTraceConfig.get_client().get_current_active_span() if backend == "mlflow" else None
            if span is not None:
                span.set_inputs({"messages": [dict(message) for message in messages]})
                span.set_outputs(outcome)

        yield end
