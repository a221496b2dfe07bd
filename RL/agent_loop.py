"""verl's agent loop for SCoRe: token ids in, token ids out, code run between the student's turns.

Registered as `agent_distill` by `configs/agent_loop.yaml` (`actor_rollout_ref.rollout.agent.agent_loop_config_path`).
Mask 1 is on what the student sampled, its end-of-turn token included when it sampled one; 0 on the rest.

What happens to a turn that is not as it should be:
- cut by a token limit: its tokens stay, nothing of it is run, and the episode ends without an answer;
- no `<code>` block, or one that is not closed: nothing is run, the observation says so, and the episode goes on
  (in the first turn of a question without a plan, such text is the plan);
- code that together runs longer than `limits.code_seconds`, or that the interpreter had to stop while it keeps no
  snapshots (`interpreter.snapshots: false`), so that the state is gone: the episode ends without an answer;
- two blocks: the first is run; text after it is ignored, and so is code after `final_answer_print`'s step;
- another stop token than the template's end of turn: the end of turn is added with mask 0.
A failure of the interpreter, of a tool's back end or of the rollout server (it gave up a turn, or made no token) leaves
the rollout unscored (`episode.unscored` says why), and so does a prefix that prints something else than recorded;
anything else is a bug and reaches verl.

Extra tools come as verl has them (`multi_turn.tool_config_path`, `function_tool_path`) and are plain functions for the
student's code, like `web_search`.
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from prefix import Prefix, split_prompt
from reward.effects import Effect
from reward.keyturn import key_turn_of
from rl_settings import RLSettings
from traces import traced
from turns import Turns
from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopMetrics, AgentLoopOutput, ToolListWrap
from verl_tools import as_functions
from workbench import Place, Workbench

from score.dialogue import AFTER_PLAN, Message
from score.episode import Episode
from score.errors import DataError, InterpreterError, ProviderError, ToolError
from score.interpreter import STOPPED, Session
from score.settings import load_settings
from score.tools import run_code

DEFAULT_TURNS = 8  # a plan included
GIVEN_UP = ("aborted", "abort", "error")  # stop reasons of vLLM's and SGLang's servers, as verl hands them on


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
    ended: str  # answer, turns, tokens, time, stopped
    generated_tokens: int
    prefix_differs: bool = False
    ran_prefix: bool = False
    has_prefix: bool = False
    skipped_turns: int = 0  # turns that the prefix spared this rollout
    key: dict[str, Any] | None = None  # reward.keyturn.Comparison, where the row has a key step


class AgentDistillLoop(AgentLoopBase):  # type: ignore[misc]
    """One rollout. `settings` is the path of the YAML that `RLSettings` describes."""

    _shared: dict[str, tuple[RLSettings, Workbench, Turns]] = {}  # by settings file: once in a worker process

    def __init__(self, *arguments: Any, settings: str, tools: ToolListWrap | None = None, **keywords: Any):
        super().__init__(*arguments, **keywords)
        if settings not in self._shared:
            loaded = load_settings(RLSettings, Path(settings))
            bench = Workbench(loaded, as_functions(tools.tools if tools else []))
            self._shared[settings] = loaded, bench, Turns(self.tokenizer)
        self.settings, self.workbench, self.turns = self._shared[settings]

    async def run(self, sampling_params: dict[str, Any], **row: Any) -> AgentLoopOutput:
        """verl's contract: `row` is the parquet row with `raw_prompt` and verl's `uid` of the prompt."""
        prompt, info = str(row.get("uid") or uuid4()), row.get("extra_info") or {}
        messages = list(row["raw_prompt"])
        with traced(messages, row) as trace:
            output = await Rollout(self, sampling_params, messages, prompt, info).run()
            trace(output.extra_fields["episode"])
        return output


class Rollout:
    """The state of one rollout while it runs."""

    def __init__(
        self,
        loop: AgentDistillLoop,
        sampling: dict[str, Any],
        messages: list[Message],
        prompt: str,
        info: dict[str, Any] | None = None,
    ):
        self.loop, self.sampling, self.prompt = loop, sampling, prompt
        self.max_turns = int(loop.rollout_config.multi_turn.max_assistant_turns or DEFAULT_TURNS)
        self.turn_tokens = loop.settings.limits.tokens_per_turn
        self.room = int(loop.rollout_config.response_length)
        self.prompt_ids = loop.turns.prompt(messages)
        longest = int(loop.rollout_config.prompt_length)
        if len(self.prompt_ids) > longest:
            raise DataError(f"a prompt has {len(self.prompt_ids)} tokens, the limit is {longest}: convert it again")
        question, plan, steps = split_prompt(messages)
        self.episode = Episode(question, self.max_turns + len(messages), plan, steps)
        self.key = key_turn_of(info or {})
        self.prefix = Prefix(list(steps), self.key.start_results)
        self.skipped = len(messages) // 2
        self.response: list[int] = []
        self.mask: list[int] = []
        self.log_probs: list[float] = []
        self.taken: list[Turn] = []
        self.seconds = {"generate_sequences": 0.0, "tool_calls": 0.0}
        self.code_seconds = 0.0
        self.engine_fields: dict[str, Any] = {}
        self.ended = "turns"
        self.unscored: str | None = None
        self.before_key: Session | None = None
        self.compared: dict[str, Any] | None = None
        self.place: Place | None = None

    async def run(self) -> AgentLoopOutput:
        try:
            async with self.loop.workbench.place(self.prompt, self.prefix, self.key.prefix) as self.place:
                opening = self.place.session()  # beside the first turn's generation
                await self._turns(self.place)
                await opening
                await self._compare(self.place)
                if self.place.difference is not None:
                    self.unscored = f"prefix: {self.place.difference}"
        except (InterpreterError, ToolError, ProviderError) as error:
            self.unscored = f"{error.kind}: {error}"
        finally:
            if self.before_key is not None:
                await self.before_key.close()
        return self._output()

    async def _turns(self, place: Place) -> None:
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
                    session = await place.session()
                    if number == self.key.turn > 0 and self.key.is_there:
                        self.before_key = await session.fork()
                    began = time.monotonic()
                    result = await run_code(session, step.code)
                    self.seconds["tool_calls"] += time.monotonic() - began
                    self.code_seconds += result.seconds
                done = self.episode.add(step, result)
                self.taken.append(Turn(None, done.thought, done.code, done.observation, done.status, done.is_finished))
                observation = done.observation
                if done.is_finished:
                    self.ended = "answer"
                    return
                if self.code_seconds > self.loop.settings.limits.code_seconds:
                    self.ended = "time"
                    return
                if done.status in STOPPED and not self.loop.settings.interpreter.snapshots:
                    self.ended = "stopped"
                    return
            if number + 1 < self.max_turns and not self._add_observation(observation, ended):
                self.ended = "tokens"
                return

    async def _compare(self, place: Place) -> None:
        """What code and execution tell about the turn at the key step's place; what they leave open is the reward's."""
        if not self.key.is_there or self.key.turn >= len(self.taken):
            return
        turn, before = self.taken[self.key.turn], self.before_key

        async def mine(code: str) -> Effect | None:
            return await (place.own_effect(before, code) if before is not None else place.key_effect(code))

        self.compared = asdict(await self.key.compare(asdict(turn), mine, place.key_effect))

    async def _generate(self) -> tuple[str, bool] | None:
        """The student's next turn: its text, and whether it sampled the template's end of turn. None: it was cut.
        Raises `ProviderError` for a turn that the server gave up; nothing of it is kept."""
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
        self.engine_fields = made.extra_fields
        if not ids or made.stop_reason in GIVEN_UP:
            why = f"stop reason {made.stop_reason!r}, {len(ids)} tokens"
            raise ProviderError(f"the rollout server gave up turn {len(self.taken) + 1} ({why})")
        self.response += ids
        self.mask += [1] * len(ids)
        self.log_probs += made.log_probs or [0.0] * len(ids)
        ended = ids[-1] == self.loop.turns.end_of_turn
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
        if not self.response:  # verl puts the score on the last token, so there has to be one; mask 0 learns nothing
            self.response, self.mask, self.log_probs = [self.loop.turns.end_of_turn], [0], [0.0]
        outcome = Outcome(
            answer=self.episode.answer if self.ended == "answer" else None,
            turns=[asdict(turn) for turn in self.taken],
            unscored=self.unscored,
            ended=self.ended,
            generated_tokens=sum(self.mask),
            prefix_differs=self.place is not None and self.place.difference is not None,
            ran_prefix=self.place is not None and self.place.ran_prefix,
            has_prefix=bool(self.prefix.steps),
            skipped_turns=self.skipped,
            key=self.compared,
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
