"""verl's agent loop for SCoRe: token ids in, token ids out, code run between the student's turns.

Registered as `agent_distill` by `configs/agent_loop.yaml` (`actor_rollout_ref.rollout.agent.agent_loop_config_path`).
Mask 1 is on what the student sampled, its end-of-turn token included when it sampled one; 0 on the rest.

What happens to a turn that is not as it should be:
- cut by a token limit: its tokens stay, nothing of it is run, and the episode ends without an answer;
- no `<code>` block, or one that is not closed: nothing is run, the observation says so, and the episode goes on
  (in the first turn of a question without a plan, such text is the plan);
- two blocks: the first is run; text after it is ignored, and so is code after `final_answer_print`'s step;
- another stop token than the template's end of turn: the end of turn is added with mask 0.
A failure of the interpreter or of a tool's back end leaves the rollout unscored (`episode.unscored` says why);
anything else is a bug and reaches verl.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from rl_settings import RLSettings
from turns import Turns
from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopMetrics, AgentLoopOutput
from workbench import Workbench

from score.dialogue import AFTER_PLAN, OBSERVATION, Message, parse_student
from score.episode import Episode
from score.errors import DataError, InterpreterError, ToolError
from score.settings import load_settings
from score.tools import run_code
from score.trajectory import Step

DEFAULT_TURNS = 8  # a plan included


@dataclass
class Turn:
    """One of the student's turns, for the reward. `plan` and `code` are as in `score.trajectory`."""

    plan: str | None = None
    thought: str = ""
    code: str = ""
    observation: str = ""
    status: str | None = None
    is_finished: bool = False


@dataclass
class Outcome:
    """What the reward has to know about a rollout; handed over as `extra_info["episode"]`."""

    answer: str | None
    turns: list[dict[str, Any]]
    unscored: str | None
    ended: str  # answer, turns, tokens
    generated_tokens: int
    prefix_differs: bool = False


def episode_of(messages: list[Message], max_steps: int) -> Episode:
    """The prompt's question and prefix as an episode to be continued. Raises `DataError`."""
    turns = [message for message in messages if message["role"] != "system"]
    if not turns or turns[-1]["role"] != "user" or len(turns) % 2 == 0:
        raise DataError("a prompt has to be a question, then pairs of a reply and its observation")
    episode = Episode(question=turns[0]["content"], max_steps=max_steps)
    for reply, observed in zip(turns[1::2], turns[2::2], strict=True):
        read = parse_student(reply["content"])
        if read.code is None and read.plan is not None:
            episode.plan = read.plan
        else:
            observation = observed["content"].removeprefix(OBSERVATION)
            episode.steps.append(Step(thought=read.thought, code=read.code or "", observation=observation))
    return episode


class AgentDistillLoop(AgentLoopBase):  # type: ignore[misc]
    """One rollout. `settings` is the path of the YAML that `RLSettings` describes."""

    _shared: dict[str, tuple[RLSettings, Workbench, Turns]] = {}  # by settings file: once in a worker process

    def __init__(self, *arguments: Any, settings: str, **keywords: Any):
        super().__init__(*arguments, **keywords)
        if settings not in self._shared:
            loaded = load_settings(RLSettings, Path(settings))
            self._shared[settings] = loaded, Workbench(loaded), Turns(self.tokenizer)
        self.settings, self.workbench, self.turns = self._shared[settings]

    async def run(self, sampling_params: dict[str, Any], **row: Any) -> AgentLoopOutput:
        """verl's contract: `row` is the parquet row with `raw_prompt` and verl's `uid` of the prompt."""
        rollout = Rollout(self, sampling_params, list(row["raw_prompt"]), str(row.get("uid") or uuid4()))
        return await rollout.run()


class Rollout:
    """The state of one rollout while it runs."""

    def __init__(self, loop: AgentDistillLoop, sampling: dict[str, Any], messages: list[Message], prompt: str):
        self.loop, self.sampling, self.prompt = loop, sampling, prompt
        self.max_turns = int(loop.rollout_config.multi_turn.max_assistant_turns or DEFAULT_TURNS)
        self.turn_tokens = loop.settings.limits.tokens_per_turn
        self.room = int(loop.rollout_config.response_length)
        self.prompt_ids = loop.turns.prompt(messages)
        longest = int(loop.rollout_config.prompt_length)
        if len(self.prompt_ids) > longest:
            raise DataError(f"a prompt has {len(self.prompt_ids)} tokens, the limit is {longest}: convert it again")
        self.episode = episode_of(messages, max_steps=self.max_turns + len(messages))
        self.prefix = list(self.episode.steps)
        self.response: list[int] = []
        self.mask: list[int] = []
        self.log_probs: list[float] = []
        self.taken: list[Turn] = []
        self.seconds = {"generate_sequences": 0.0, "tool_calls": 0.0}
        self.engine_fields: dict[str, Any] = {}
        self.ended = "turns"
        self.unscored: str | None = None
        self.differs = False

    async def run(self) -> AgentLoopOutput:
        try:
            async with AsyncExitStack() as stack:
                opening = asyncio.ensure_future(
                    stack.enter_async_context(self.loop.workbench.session(self.prompt, self.prefix))
                )
                try:
                    await self._turns(opening)
                finally:
                    await asyncio.gather(opening, return_exceptions=True)
        except (InterpreterError, ToolError) as error:
            self.unscored = f"{error.kind}: {error}"
        return self._output()

    async def _turns(self, opening: "asyncio.Future[Any]") -> None:
        session = None
        for number in range(self.max_turns):
            reply = await self._generate()
            if reply is None:
                self.ended = "tokens"
                return
            text, ended = reply
            step = self.episode.student_reply(text)
            if step is None:
                self.taken.append(Turn(plan=self.episode.plan, observation=AFTER_PLAN))
                observation = AFTER_PLAN
            else:
                result = None
                if step.code.strip():
                    began = time.monotonic()
                    if session is None:
                        session, self.differs = await opening
                    result = await run_code(session, step.code)
                    self.seconds["tool_calls"] += time.monotonic() - began
                done = self.episode.add(step, result)
                self.taken.append(Turn(None, done.thought, done.code, done.observation, done.status, done.is_finished))
                observation = done.observation
                if done.is_finished:
                    self.ended = "answer"
                    return
            if number + 1 < self.max_turns and not self._add_observation(observation, ended):
                self.ended = "tokens"
                return

    async def _generate(self) -> tuple[str, bool] | None:
        """The student's next turn: its text, and whether it sampled the template's end of turn. None: it was cut."""
        room = self.room - len(self.response)
        limit = min(room, self.turn_tokens or room)
        began = time.monotonic()
        made = await self.loop.server_manager.generate(
            request_id=uuid4().hex,
            prompt_ids=self.prompt_ids + self.response,
            sampling_params={**self.sampling, "max_tokens": limit},
        )
        self.seconds["generate_sequences"] += time.monotonic() - began
        ids = list(made.token_ids)
        self.response += ids
        self.mask += [1] * len(ids)
        self.log_probs += made.log_probs or [0.0] * len(ids)
        self.engine_fields = made.extra_fields
        ended = bool(ids) and ids[-1] == self.loop.turns.end_of_turn
        if not ended and (len(ids) >= limit or made.stop_reason == "length"):
            return None
        while ids and ids[-1] in self.loop.turns.stops:
            ids.pop()
        return self.loop.turns.text(ids), ended

    def _add_observation(self, observation: str, ended: bool) -> bool:
        """Append what stands between two turns, with mask 0. False: it does not fit, and nothing is appended."""
        ids = self.loop.turns.bridge(observation, ended=ended)
        if len(self.response) + len(ids) >= self.room:
            return False
        self.response += ids
        self.mask += [0] * len(ids)
        self.log_probs += [0.0] * len(ids)
        return True

    def _output(self) -> AgentLoopOutput:
        outcome = Outcome(
            answer=self.episode.answer if self.ended == "answer" else None,
            turns=[asdict(turn) for turn in self.taken],
            unscored=self.unscored,
            ended=self.ended,
            generated_tokens=sum(self.mask),
            prefix_differs=self.differs,
        )
        return AgentLoopOutput(
            prompt_ids=self.prompt_ids,
            response_ids=self.response,
            response_mask=self.mask,
            response_logprobs=self.log_probs,
            num_turns=2 * len(self.taken) + 1,
            metrics=AgentLoopMetrics(**self.seconds),
            extra_fields={**self.engine_fields, "turn_scores": [], "tool_rewards": [], "episode": asdict(outcome)},
        )
