"""Score rollouts from a file, with the code that scores them in training.

    cd RL && python reward_cli.py rollouts.jsonl                           # no judge: open questions stay unscored
    cd RL && python reward_cli.py rollouts.jsonl --config configs/RL.yaml  # with endpoints.reward as the judge

Rows: {"question", "prefix", "chosen_step", "chosen_step_obs", "rejected_step", "rejected_step_obs", "ground_truth",
"rollout"}. `prefix` and `rollout` are lists of messages {"role": "assistant" | "user", "content"} in the student's
format, or such messages as one text, each behind "assistant: " or "user: "; a prefix is pairs of a reply and its
observation, or empty. Steps are turns of the student or bare code, empty without a key step. `ground_truth` is a text
or a list.

Steps are compared by running them, those that search by what they printed: `chosen_step_obs` and `rejected_step_obs`
are the recorded prints of the two, and where one is missing it stays undecided whether a rollout that searches does the
same. The rollout's code is run after the prefix's; a search gets what the message after it recorded of its results, and
from its first search on a rollout has to print what its record says: one that depends on results that are not recorded
is unscored.

For each row, in order, one line is printed: {"reward", "tier", "layer", "key_step_hit", "unscored", "reason"}. A
malformed row has `tier` "malformed", and the exit code is 3.
"""

import asyncio
import json
import re
import sys
from collections import deque
from contextvars import ContextVar
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from score import cli
from score.errors import DataError, InterpreterError, JudgeError, ProviderError, ToolError
from score.tasks import read_rows

if TYPE_CHECKING:
    from prefix import RecordedSearch

    from score.interpreter import Session, StepResult
    from score.trajectory import Step

EXAMPLE = "cd RL && python reward_cli.py rollouts.jsonl"
AT_ONCE = 64
_ROLE = re.compile(r"^(assistant|user):[ \t]?", re.MULTILINE)
_searching: ContextVar["RecordedSearch"] = ContextVar("searching")  # the rollout whose step runs


class Turn(BaseModel):
    role: Literal["assistant", "user", "system"]
    content: str


class Row(BaseModel):
    """One rollout to be scored. Messages alternate; a prefix starts with a reply and ends on an observation."""

    model_config = ConfigDict(extra="allow")

    question: str
    prefix: list[Turn] = []
    chosen_step: str = ""
    chosen_step_obs: str = ""
    rejected_step: str = ""
    rejected_step_obs: str = ""
    ground_truth: list[str] = Field(min_length=1)
    rollout: list[Turn]

    @field_validator("prefix", "rollout", mode="before")
    @classmethod
    def _messages(cls, value: object) -> object:
        if not isinstance(value, str):
            return value or []
        parts = _ROLE.split(value if _ROLE.match(value) else f"assistant: {value}") if value.strip() else [""]
        return [
            {"role": role, "content": text.strip("\n")} for role, text in zip(parts[1::2], parts[2::2], strict=True)
        ]

    @field_validator("chosen_step", "rejected_step", mode="before")
    @classmethod
    def _turn(cls, value: object) -> object:
        if isinstance(value, str) and value.strip() and not re.search(r"<(?:code|first_thought)>", value):
            return f"<thought></thought><code>{value}</code>"
        return value or ""

    @field_validator("chosen_step_obs", "rejected_step_obs", mode="before")
    @classmethod
    def _printed(cls, value: object) -> object:
        return value.removeprefix("Observation: ") if isinstance(value, str) else value or ""

    @field_validator("ground_truth", mode="before")
    @classmethod
    def _references(cls, value: object) -> object:
        accepted = value if isinstance(value, list) else [value]
        return [str(one) if isinstance(one, int | float) else one for one in accepted]

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        roles = [turn.role for turn in self.prefix if turn.role != "system"]
        if roles != ["assistant", "user"] * (len(roles) // 2):
            raise ValueError("a prefix is pairs of a reply and its observation")
        return self


async def web_search(query: str) -> str:
    """Search the web for `query`; returns the results as text."""
    return await _searching.get().web_search(query)


class Measure:
    """The scorer and the interpreter that it compares steps in."""

    def __init__(self, config: Path | None, overrides: list[str]):
        from prefix import SEARCH
        from reward.entry import Scorer
        from rl_settings import RLSettings
        from workbench import Workbench

        from score.settings import load_settings

        settings = load_settings(RLSettings, config, overrides) if config else RLSettings()
        self.bench, self.scorer = Workbench(settings, {SEARCH: web_search}), Scorer(settings)

    async def line(self, number: int, row: Row | DataError) -> dict[str, Any]:
        if isinstance(row, DataError):
            return {"reward": None, "tier": "malformed", "layer": None, "reason": str(row)}
        try:
            scored = await self.scorer.score(await self._info(number, row))
        except (DataError, InterpreterError, ToolError, JudgeError, ProviderError) as error:
            return {
                "reward": None,
                "tier": "unscored",
                "layer": None,
                "unscored": True,
                "reason": f"{error.kind}: {error}",
            }
        made = scored.score
        return {
            "reward": made.score, "tier": made.tier, "layer": made.layer, "key_step_hit": scored.key_step_hit,
            "unscored": False, "reason": "",
        }  # fmt: skip

    async def _info(self, number: int, row: Row) -> dict[str, Any]:
        """The row as verl would hand it over: the rollout run again, and its first turn compared."""
        from prefix import Prefix, RecordedSearch, split_prompt
        from reward.keyturn import key_turn_of
        from reward.sameness import UNDECIDED

        messages = [Turn(role="user", content=row.question), *row.prefix]
        _, plan, steps = split_prompt([{"role": turn.role, "content": turn.content} for turn in messages])
        info: dict[str, Any] = {"question": row.question, "references": row.ground_truth, **row.model_dump()}
        key = key_turn_of(info)
        search = RecordedSearch(None)
        _searching.set(search)
        async with self.bench.place(str(number), Prefix(steps)) as place:
            episode = await _run_again(place, search, row, plan, steps)
            if key.is_there and episode["turns"]:
                search.results, search.marked = deque(), False
                found = await key.compare(episode["turns"][0], place.key_effect, place.key_effect)
                episode["key"] = asdict(found)
                if search.unknown:  # a function of the prefix searched: what the steps then do is not known
                    by_running = [name for name, same in episode["key"].items() if same["layer"] == "execution"]
                    episode["key"] |= dict.fromkeys(by_running, asdict(UNDECIDED))
            if place.difference is not None:
                raise DataError(f"the prefix printed something else than recorded: {place.difference}")
        return info | {"episode": episode}

    async def close(self) -> None:
        await self.bench.close()
        await self.scorer.close()


async def _run_again(
    place: Any, search: "RecordedSearch", row: Row, plan: str | None, steps: "list[Step]"
) -> dict[str, Any]:
    """The rollout's turns as `agent_loop.Turn`s, and what it handed in. Raises `DataError` where that depends on what a
    search found and the rollout does not record."""
    from prefix import SEARCH

    from score.dialogue import AFTER_PLAN, OBSERVATION
    from score.episode import Episode
    from score.tools import run_code

    episode = Episode(row.question, 10**6, plan, list(steps))
    searches = any(SEARCH in step.code for step in steps)
    turns: list[dict[str, Any]] = []
    for index, message in enumerate(row.rollout):
        if message.role != "assistant":
            continue
        step = episode.student_reply(message.content)
        if step is None:
            turns.append({"plan": episode.plan, "observation": AFTER_PLAN, "is_finished": False})
            continue
        result = None
        if step.code.strip():
            session = await place.session()
            searches = searches or SEARCH in step.code  # from here on, as a step may define a function that searches
            if searches:
                following = [turn.content for turn in row.rollout[index + 1 : index + 2] if turn.role == "user"]
                recorded = following[0].removeprefix(OBSERVATION) if following else None
                result = await _run_search(session, search, step, recorded)
            else:
                result = await run_code(session, step.code)
        done = episode.add(step, result)
        turns.append({"plan": None, **done.model_dump()})
        if done.is_finished:
            break
    return {"answer": episode.answer, "turns": turns}


async def _run_search(session: "Session", search: "RecordedSearch", step: "Step", recorded: str | None) -> "StepResult":
    """Run a step that may search: a search finds what the step's record tells of its result, and a mark where it tells
    nothing. Raises `DataError` where the step then does something else than recorded, fails without a record, or hands
    in a mark."""
    from prefix import EDGE, MARK, as_recorded, recorded_results, silent

    from score.tools import run_code

    step = step.model_copy(update={"observation": recorded or ""})
    search.marked, search.calls = True, 0
    copy = await session.fork()
    try:
        result = await run_code(copy, step.code)
    finally:
        await copy.close()
    results: list[str] = []
    if result.final_answer is None:  # the record of a step that hands in an answer is that answer, and tells no results
        if recorded is not None:
            results = await recorded_results(session, search, step) if search.calls else []
            search.results, search.marked = deque(MARK if silent(one.strip()) else one for one in results), False
        result = await run_code(session, step.code)
    printed = (result.observation if result.final_answer is None else result.final_answer).strip()
    known = result.status == "ok" if recorded is None else as_recorded(printed, step, results)
    if not known or search.unknown or EDGE in (result.final_answer or ""):
        raise DataError(
            "what a search of this rollout found is not recorded, or this step prints something else than its record: "
            f"{step.code[:200]!r}"
        )
    return result if recorded is None or result.final_answer is not None else replace(result, observation=recorded)


async def score_all(path: Path, config: Path | None, overrides: list[str]) -> int:
    """Print a line for each row; returns how many were malformed."""
    measure, malformed, number = Measure(config, overrides), 0, 0
    try:
        waiting = (row for _, row in read_rows(path, Row))
        while batch := list(islice(waiting, AT_ONCE)):
            lines = await asyncio.gather(*(measure.line(number + i, row) for i, row in enumerate(batch)))
            number += len(batch)
            malformed += sum(line["tier"] == "malformed" for line in lines)
            print("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), flush=True)
    finally:
        await measure.close()
    return malformed


def main() -> int:
    parser = cli.parser(__doc__ or "", EXAMPLE, None)
    parser.add_argument("file", type=Path, metavar="FILE.jsonl")
    parser.add_argument("--config", type=Path, help="settings (configs/RL.yaml); default: no judge, default limits")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="overrides of --config")
    arguments = parser.parse_args()
    if not arguments.file.is_file():
        raise DataError(f"{arguments.file} does not exist (looked from {Path.cwd()})")
    return 3 if asyncio.run(score_all(arguments.file, arguments.config, arguments.set)) else 0


if __name__ == "__main__":
    cli.run(main)
