"""Running a recorded prefix again: its searches answered from the record, its prints compared with the record.

A recorded observation holds what the step printed; what each `web_search` in it returned is told by running the step
once with marks in place of the results: the marks' places in the print are the results' places in the record. That is
done when the parquet files are made (`convert_parquet.py`), which keeps the results; rollouts then run a prefix once.
"""

import ast
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from score.dialogue import OBSERVATION, Message, parse_student
from score.errors import DataError
from score.interpreter import NOTHING_PRINTED, Session
from score.tools import run_code
from score.trajectory import Step

SEARCH = "web_search"
Results = list[list[str]]  # for each step of a prefix, what its searches returned
Search = Callable[[str], Awaitable[str]]
Tool = Callable[..., Awaitable[str]]
Open = Callable[[Mapping[str, Tool]], Awaitable[Session]]
EDGE = "@@"
MARK = f"{EDGE}result"
_MARK = f"{MARK} {{}}{EDGE}"


@dataclass(frozen=True)
class Prefix:
    """The steps before a rollout or a key step. `results` None: what the searches returned is not known."""

    steps: Sequence[Step] = ()
    results: Results | None = None


@dataclass(frozen=True)
class Difference:
    """Where a prefix printed something else than recorded: the step (1 is the first that acts), and both prints."""

    step: int
    recorded: str
    printed: str


class RecordedSearch:
    """`web_search` while a prefix runs, and the real one (None: there is no search) from then on. `unknown` counts the
    calls for which no result was left: they got an empty text."""

    def __init__(self, live: Search | None):
        self.live = live
        self.results: deque[str] | None = deque()
        self.marked = False
        self.calls = self.unknown = 0

    async def web_search(self, query: str) -> str:
        """Search the web for `query`; returns the results as text."""
        if self.results is None:
            return await self.live(query) if self.live else "Error: there is no search here."
        self.calls += 1
        if self.marked:
            return _MARK.format(self.calls)
        if self.results:
            return self.results.popleft()
        self.unknown += 1
        return ""


def split_prompt(messages: Sequence[Message]) -> tuple[str, str | None, list[Step]]:
    """Question, plan and steps of a prompt: the question, then pairs of a reply and its observation.
    Raises `DataError` where it is anything else."""
    turns = [message for message in messages if message["role"] != "system"]
    if not turns or turns[-1]["role"] != "user" or len(turns) % 2 == 0:
        raise DataError("a prompt has to be a question, then pairs of a reply and its observation")
    plan, steps = None, []
    for reply, observed in zip(turns[1::2], turns[2::2], strict=True):
        read = parse_student(reply["content"])
        if read.code is None and read.plan is not None:
            plan = read.plan
        else:
            observation = observed["content"].removeprefix(OBSERVATION)
            steps.append(Step(thought=read.thought, code=read.code or "", observation=observation))
    return turns[0]["content"], plan, steps


@dataclass
class Replayed:
    """A session in the state that a prefix leaves behind, and how it came about."""

    session: Session
    difference: Difference | None = None
    results: Results = field(default_factory=list)


async def replay(open_session: Open, live: Mapping[str, Search], prefix: Prefix) -> Replayed:
    """Run a prefix in a new session. It stops at the first step that prints something else than recorded. Where
    `prefix.results` is None, steps that search are run once more to find the results in the record.

    Raises `InterpreterError`, and `ToolError` if a tool's back end failed.
    """
    searched = any(SEARCH in step.code for step in prefix.steps)
    search = RecordedSearch(live.get(SEARCH))
    tools = {**live, SEARCH: search.web_search} if searched or SEARCH in live else dict(live)
    done = Replayed(await open_session(tools))
    try:
        for number, step in enumerate(prefix.steps):
            results: list[str] = []
            if SEARCH in step.code:
                given = prefix.results
                results = given[number] if given is not None else await recorded_results(done.session, search, step)
            done.results.append(results)
            if not step.code.strip():
                continue
            search.results, search.marked = deque(results), False
            printed = (await run_code(done.session, step.code)).observation.strip()
            if not as_recorded(printed, step, results):
                done.difference = Difference(number + 1, step.observation.strip(), printed)
                break
    except BaseException:
        await done.session.close()
        raise
    search.results = None
    return done


async def recorded_results(session: Session, search: RecordedSearch, step: Step) -> list[str]:
    """What the step's searches returned then, as far as its print tells."""
    search.marked, search.calls = True, 0
    copy = await session.fork()
    try:
        printed = (await copy.run(step.code)).observation.strip()
    finally:
        await copy.close()
    calls, recorded = search.calls, step.observation.strip()
    if silent(printed) and (calls == 1 or calls == _bare_calls(step.code)):
        # The original release's search prints its results itself; of several, none of which is kept, all stand first.
        return [recorded, *[""] * (calls - 1)]
    pattern = re.escape(printed)
    shown = []
    for number in range(1, calls + 1):
        mark = re.escape(_MARK.format(number))
        if mark in pattern:
            shown.append(number)
            pattern = pattern.replace(mark, f"(?P<r{number}>.*)", 1).replace(mark, f"(?P=r{number})")
    found = re.fullmatch(pattern, recorded, re.DOTALL)
    if found is None:
        return []
    return [found[f"r{number}"] if number in shown else "" for number in range(1, calls + 1)]


def _bare_calls(code: str) -> int:
    """How many searches are statements of their own, whose results the code does not keep."""
    statements = [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Expr)]
    return sum(isinstance(c, ast.Call) and isinstance(c.func, ast.Name) and c.func.id == SEARCH for c in statements)


def as_recorded(printed: str, step: Step, results: Sequence[str]) -> bool:
    """The same print. Files of the original release say of silence and of errors the same in other words: of an error
    they keep the message alone."""
    recorded = step.observation.strip()
    if printed == recorded:
        return True
    if recorded.startswith("Error: "):
        return printed.rpartition("\n")[2].endswith(f": {recorded.removeprefix('Error: ')}")
    return silent(printed) and recorded in ("Execution successful, no output.", "\n".join(results).strip())


def silent(printed: str) -> bool:
    """Is this what a step that prints nothing leaves?"""
    return printed in ("", NOTHING_PRINTED.strip())
