"""The rollout's tokens are the chat template's, its mask is on what was sampled, its prefix runs once."""

import asyncio
import copy
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from agent_loop import Rollout
from prefix import Prefix
from replay import metrics_of
from rl_settings import Limits, RLSettings
from turns import Turns
from verl.tools.base_tool import BaseTool
from verl.tools.function_tool import FunctionTool
from verl.tools.schemas import OpenAIFunctionToolSchema, ToolResponse
from verl_tools import as_functions
from workbench import Workbench

from score.dialogue import UNREADABLE as UNREADABLE_OBSERVATION
from score.interpreter import InterpreterSettings

QUESTION = [{"role": "user", "content": "Ann has 3 apples and buys 4 more. How many?"}]
PLAN = "<first_thought>Add them.</first_thought>"
STEP = "<thought>Sum.</thought><code>a = 3 + 4\nprint(a)</code>"
ANSWER = "<thought>Done.</thought><code>final_answer_print(a)</code>"
UNREADABLE = "<thought>No code at all.</thought>"


class Scripted:
    """Stands for verl's server manager: gives the replies in turn, as the ids that the student would sample."""

    def __init__(self, tokenizer: Any, replies: list[str], *, end: bool = True):
        self.tokenizer, self.replies, self.end = tokenizer, list(replies), end

    async def generate(self, *, prompt_ids: list[int], sampling_params: dict[str, Any], **_: Any) -> Any:
        ids = self.tokenizer.encode(self.replies.pop(0), add_special_tokens=False)
        ids = [*ids, self.tokenizer.eos_token_id] if self.end else ids
        cut = ids[: sampling_params["max_tokens"]]
        reason = "completed" if len(cut) == len(ids) else "length"
        return SimpleNamespace(token_ids=cut, log_probs=[-1.0] * len(cut), stop_reason=reason, extra_fields={})


def settings(**interpreter: Any) -> RLSettings:
    chosen = InterpreterSettings(**{"preload": ["math"], "step_timeout_s": 5, **interpreter})
    return RLSettings(interpreter=chosen, limits=Limits(code_seconds=0.5))


def rollouts(
    tokenizer: Any,
    messages: list[Any],
    scripts: list[list[str]],
    room: int = 400,
    info: Any = None,
    tools: Any = (),
    interpreter: Any = (),
    server: Any = Scripted,
    **scripted: Any,
) -> Any:
    """Run one rollout for each script, all of one prompt at once; returns (outputs, workbench)."""

    async def run() -> Any:
        chosen = settings(**dict(interpreter))
        bench = Workbench(chosen, as_functions(tools))
        verl = SimpleNamespace(
            response_length=room, prompt_length=400, multi_turn=SimpleNamespace(max_assistant_turns=8)
        )
        try:
            loops = [
                SimpleNamespace(
                    settings=chosen,
                    workbench=bench,
                    turns=Turns(tokenizer),
                    rollout_config=verl,
                    server_manager=server(tokenizer, script, **scripted),
                )
                for script in scripts
            ]
            running = [Rollout(loop, {}, messages, "prompt", info).run() for loop in loops]  # type: ignore[arg-type]
            return await asyncio.gather(*running), bench
        finally:
            await bench.close()

    return asyncio.run(run())


async def rollout(tokenizer: Any, bench: Workbench, script: list[str], info: Any = None) -> Any:
    """The episode of one rollout of the question on this bench."""
    verl = SimpleNamespace(response_length=200, prompt_length=400, multi_turn=SimpleNamespace(max_assistant_turns=8))
    loop = SimpleNamespace(
        settings=settings(),
        workbench=bench,
        turns=Turns(tokenizer),
        rollout_config=verl,
        server_manager=Scripted(tokenizer, script),
    )
    return (await Rollout(loop, {}, QUESTION, "prompt", info).run()).extra_fields["episode"]  # type: ignore[arg-type]


def one(tokenizer: Any, messages: list[Any], script: list[str], **more: Any) -> Any:
    return rollouts(tokenizer, messages, [script], **more)[0][0]


@pytest.fixture(params=["miniature", "qwen2.5"])
def any_template(request: pytest.FixtureRequest, tokenizer: Any) -> Any:
    """The tokenizer with the miniature's chat template, and with the one that LLaMA-Factory has for Qwen2.5 (`qwen`,
    which SFT trains with): Qwen2.5's own is not among the installed packages."""
    if request.param == "miniature":
        return tokenizer
    from llamafactory.data.template import TEMPLATES

    other = copy.deepcopy(tokenizer)
    other.chat_template = TEMPLATES["qwen"]._get_jinja_template(other)
    assert other.chat_template != tokenizer.chat_template
    return other


BLANK_LINES = "<thought>\u00fcber 1 < 2.</thought><code>print('x' + chr(10) * 2 + ' y')\n</code>"


@pytest.mark.parametrize(
    "replies, observations",
    [
        ([PLAN, STEP, ANSWER], ["None", "7"]),
        ([STEP, UNREADABLE, ANSWER], ["7", UNREADABLE_OBSERVATION]),
        ([PLAN, BLANK_LINES, ANSWER.replace("(a)", "(1)")], ["None", "x\n\n y"]),
    ],
    ids=["plan and steps", "no plan, an unreadable turn", "blank lines and spaces in an observation"],
)
def test_a_full_rollout_is_what_the_chat_template_writes(
    any_template: Any, replies: list[str], observations: list[str]
) -> None:
    done = one(any_template, QUESTION, replies)
    messages = [*QUESTION]
    for reply, observation in zip(replies, [*observations, None], strict=True):
        messages.append({"role": "assistant", "content": reply})
        if observation is not None:
            messages.append({"role": "user", "content": f"Observation: {observation}"})
    text = any_template.apply_chat_template(messages, tokenize=False)
    whole = any_template.encode(text.removesuffix("\n"), add_special_tokens=False)
    assert done.prompt_ids + done.response_ids == whole
    assert done.extra_fields["episode"]["ended"] == "answer"


def test_the_mask_is_on_exactly_what_the_student_sampled(tokenizer: Any) -> None:
    done = one(tokenizer, QUESTION, [PLAN, STEP, ANSWER])
    sampled = [i for i, m in zip(done.response_ids, done.response_mask, strict=True) if m]
    given = [i for i, m in zip(done.response_ids, done.response_mask, strict=True) if not m]
    end = tokenizer.eos_token
    assert tokenizer.decode(sampled) == f"{PLAN}{end}{STEP}{end}{ANSWER}{end}"
    header = "\n<|im_start|>user\nObservation: {}" + end + "\n<|im_start|>assistant\n"
    assert tokenizer.decode(given) == header.format("None") + header.format("7")
    assert all((p == 0.0) != bool(m) for p, m in zip(done.response_logprobs, done.response_mask, strict=True))


def test_an_end_of_turn_that_was_not_sampled_is_added_with_mask_0(tokenizer: Any) -> None:
    done = one(tokenizer, QUESTION, [PLAN, ANSWER.replace("(a)", "(7)")], end=False)
    after_plan = len(tokenizer.encode(PLAN, add_special_tokens=False))
    assert done.response_ids[after_plan] == tokenizer.eos_token_id
    assert done.response_mask[after_plan] == 0


@pytest.mark.parametrize(
    "script, answer, statuses",
    [
        ([PLAN, UNREADABLE, ANSWER.replace("(a)", "(1)")], "1", [None, "unreadable", "ok"]),
        ([PLAN, "<code>print(1)", ANSWER.replace("(a)", "(1)")], "1", [None, "unreadable", "ok"]),
        ([PLAN, STEP + "<code>final_answer_print(9)</code>", ANSWER], "7", [None, "ok", "ok"]),
        ([PLAN, "<code>final_answer_print(1)\nfinal_answer_print(2)</code> and more"], "1", [None, "ok"]),
    ],
    ids=["no code", "unclosed code", "two blocks: the first runs", "two answers: the first counts"],
)
def test_turns_that_are_not_as_asked(tokenizer: Any, script: list[str], answer: str, statuses: list[Any]) -> None:
    episode = one(tokenizer, QUESTION, script).extra_fields["episode"]
    assert episode["answer"] == answer
    assert [turn["status"] for turn in episode["turns"]] == statuses


def test_a_cut_turn_ends_the_episode_without_running_anything(tokenizer: Any) -> None:
    done = one(tokenizer, QUESTION, [ANSWER.replace("(a)", "(7)")], room=5)
    episode = done.extra_fields["episode"]
    assert (episode["answer"], episode["ended"], episode["turns"]) == (None, "tokens", [])
    assert len(done.response_ids) == 5 and done.response_mask == [1] * 5


PREFIX = [
    *QUESTION,
    {"role": "assistant", "content": PLAN},
    {"role": "user", "content": "Observation: None"},
    {"role": "assistant", "content": STEP},
    {"role": "user", "content": "Observation: 7"},
]
KEY_STEP = {
    "chosen_step": "<thought>t</thought><code>twice = a * 2</code>",
    "rejected_step": "<thought>t</thought><code>twice = a + 2</code>",
}


def info_of(outputs: list[Any]) -> list[dict[str, Any]]:
    """What the reward would tell the replay buffer, as far as the metrics of this test need it."""
    shared = {"unscored": 0.0, "tier": "nothing", "layer": "ast", "judge_calls": 0.0, "judge_seconds": 0.0}
    return [
        shared
        | {name: float(output.extra_fields["episode"][name]) for name in ("ran_prefix", "has_prefix", "skipped_turns")}
        | {"generated_tokens": 1.0, "turns": 2.0}
        for output in outputs
    ]


def test_the_prefix_runs_once_for_all_rollouts_of_a_prompt(tokenizer: Any) -> None:
    change = "<thought>t</thought><code>a = a + {}\nprint(a)</code>"
    scripts = [[change.format(number), ANSWER] for number in range(16)]
    outputs, bench = rollouts(tokenizer, PREFIX, scripts, info=KEY_STEP)
    episodes = [output.extra_fields["episode"] for output in outputs]
    assert [episode["unscored"] for episode in episodes] == [None] * 16
    assert [episode["answer"] for episode in episodes] == [str(7 + number) for number in range(16)]
    assert bench.prefixes_run == 1
    assert not any(episode["prefix_differs"] for episode in episodes)
    figures = metrics_of(["prompt"] * 16, info_of(outputs), np.zeros(16))
    assert figures["score/prefix_executions"] == 1.0
    assert figures["score/horizon_saved"] == 0.5  # the plan and a step, of four turns


@pytest.mark.parametrize(
    "step, teacher, mistake",
    [
        ("double = 14", (True, "execution"), (False, "execution")),
        ("x = a * 2", (True, "ast"), (False, "execution")),
        ("nine = 2 + a", (False, "execution"), (True, "execution")),
        ("import math", (None, "undecided"), (None, "undecided")),
    ],
)
def test_the_key_turn_is_compared_by_running_all_steps_from_the_prefix(
    tokenizer: Any, step: str, teacher: Any, mistake: Any
) -> None:
    script = [f"<thought>t</thought><code>{step}</code>", ANSWER]
    found = rollouts(tokenizer, PREFIX, [script], info=KEY_STEP)[0][0].extra_fields["episode"]["key"]
    assert (found["teacher"]["same"], found["teacher"]["layer"]) == teacher
    assert (found["mistake"]["same"], found["mistake"]["layer"]) == mistake


def test_in_long_horizons_the_turn_at_the_key_steps_place_is_compared(tokenizer: Any) -> None:
    info = {**KEY_STEP, "key_turn": 2, "key_prefix": json.dumps(PREFIX)}
    script = [PLAN, "<thought>t</thought><code>k = 3 + 4</code>", "<thought>t</thought><code>z = k + k</code>"]
    script += [ANSWER.replace("(a)", "(z)")]
    outputs, bench = rollouts(tokenizer, QUESTION, [script] * 4, info=info)
    for output in outputs:
        found = output.extra_fields["episode"]["key"]
        assert (found["teacher"]["same"], found["mistake"]["same"]) == (True, False)
    assert bench.prefixes_run == 1


def test_a_prefix_that_prints_something_else_leaves_its_rollouts_unscored(tokenizer: Any) -> None:
    changed = [*PREFIX[:-1], {"role": "user", "content": "Observation: 8"}]
    episode = one(tokenizer, changed, [ANSWER]).extra_fields["episode"]
    assert episode["prefix_differs"] and episode["unscored"].startswith("prefix:")


def test_an_episode_whose_code_runs_too_long_ends_without_an_answer(tokenizer: Any) -> None:
    slow = "<thought>t</thought><code>import time\ntime.sleep(0.6)</code>"
    episode = one(tokenizer, QUESTION, [PLAN, slow, ANSWER]).extra_fields["episode"]
    assert (episode["ended"], episode["answer"], episode["unscored"]) == ("time", None, None)


@pytest.mark.parametrize("snapshots, ended", [(False, "stopped"), (True, "answer")])
def test_code_that_had_to_be_stopped_is_the_students_own_failing(tokenizer: Any, snapshots: bool, ended: str) -> None:
    """Without snapshots its variables are gone, so the episode cannot go on; it is scored all the same."""
    replies = [PLAN, STEP, "<thought>t</thought><code>import os\nos._exit(1)</code>", ANSWER]
    chosen = {"snapshots": snapshots, "step_timeout_s": 0.3}
    episode = one(tokenizer, QUESTION, replies, interpreter=chosen).extra_fields["episode"]
    assert (episode["ended"], episode["unscored"]) == (ended, None)
    assert episode["turns"][2]["status"] == "killed"
    assert episode["answer"] == ("7" if snapshots else None)


class Doubler(BaseTool):  # type: ignore[misc]
    """A stateful tool in verl's style, as `tool_config_path` makes them."""

    released = 0

    async def execute(self, instance_id: str, parameters: dict[str, Any], **_: Any) -> Any:
        return ToolResponse(text=str(2 * parameters["n"] + (parameters.get("more") or 0))), 0.0, {}

    async def release(self, instance_id: str, **_: Any) -> None:
        Doubler.released += 1


def schema(name: str) -> Any:
    properties = {"more": {"type": "integer"}, "n": {"type": "integer"}}
    parameters = {"type": "object", "properties": properties, "required": ["n"]}
    function = {"name": name, "description": "Doubles.", "parameters": parameters}
    return OpenAIFunctionToolSchema.model_validate({"type": "function", "function": function})


async def broken(**_: Any) -> str:
    raise ConnectionError("the back end is down")


@pytest.mark.parametrize("call, answer", [("double(4)", "8"), ("double(n=4, more=1)", "9"), ("plain(3)", "n is 3")])
def test_tools_of_verls_tool_config_are_functions_for_the_students_code(tokenizer: Any, call: str, answer: str) -> None:
    async def plain(n: int) -> str:
        return f"n is {n}"

    tools = [Doubler({}, schema("double")), FunctionTool("plain", plain, schema("plain"), is_async=True)]
    script = [f"<thought>t</thought><code>r = {call}\nfinal_answer_print(r)</code>"]
    Doubler.released = 0
    episode = rollouts(tokenizer, QUESTION, [script], tools=tools)[0][0].extra_fields["episode"]
    assert (episode["answer"], episode["unscored"]) == (answer, None)
    assert Doubler.released == (1 if "double" in call else 0)


def test_a_tool_that_breaks_leaves_the_rollout_unscored_and_misuse_does_not(tokenizer: Any) -> None:
    tools = [FunctionTool("plain", broken, schema("plain"), is_async=True)]
    good = [PLAN, "<thought>t</thought><code>plain(1)</code>"]
    misuse = [PLAN, "<thought>t</thought><code>plain()</code>", ANSWER.replace("(a)", "(1)")]
    used, misused = rollouts(tokenizer, QUESTION, [good, misuse], tools=tools)[0]
    assert "back end is down" in used.extra_fields["episode"]["unscored"]
    assert misused.extra_fields["episode"]["unscored"] is None


class BreaksAt:
    """A tool whose back end answers all calls but one."""

    def __init__(self, broken: int):
        self.calls, self.broken = 0, broken

    async def __call__(self, n: int) -> str:
        self.calls += 1
        if self.calls == self.broken:
            raise ConnectionError("the back end is down")
        return f"n is {n}"


@pytest.mark.parametrize("broken", [2, 3, 4], ids=["the rollout's step", "the teacher's step", "the old mistake"])
def test_a_tool_that_breaks_while_steps_are_compared_leaves_the_rollout_unscored(tokenizer: Any, broken: int) -> None:
    """It says nothing of the steps, and the prompt's next rollout is compared anew."""
    key = {"chosen_step": "<code>r = plain(1)\nprint(r)</code>", "rejected_step": "<code>print(plain(2))</code>"}
    script = ["<thought>t</thought><code>print(plain(1))</code>", ANSWER.replace("(a)", "(1)")]
    tools = [FunctionTool("plain", BreaksAt(broken), schema("plain"), is_async=True)]

    async def run() -> list[Any]:
        bench = Workbench(settings(), as_functions(tools))
        try:
            async with bench.place("prompt", Prefix()):  # held, so that both rollouts share its state
                return [await rollout(tokenizer, bench, script, info=key) for _ in range(2)]
        finally:
            await bench.close()

    first, second = asyncio.run(run())
    assert "back end is down" in first["unscored"] and first["key"] is None
    assert second["unscored"] is None
    assert (second["key"]["teacher"]["same"], second["key"]["mistake"]["same"]) == (True, False)


def test_a_tool_that_breaks_in_a_prefix_is_no_difference_to_its_record(tokenizer: Any) -> None:
    messages = [
        *QUESTION,
        {"role": "assistant", "content": "<thought>t</thought><code>print(plain(1))</code>"},
        {"role": "user", "content": "Observation: n is 1"},
    ]
    tools = [FunctionTool("plain", BreaksAt(1), schema("plain"), is_async=True)]
    episode = one(tokenizer, messages, [ANSWER.replace("(a)", "(1)")], tools=tools).extra_fields["episode"]
    assert "back end is down" in episode["unscored"] and not episode["prefix_differs"]


def test_an_interpreter_that_is_gone_leaves_the_rollout_unscored(tokenizer: Any) -> None:
    async def run() -> Any:
        bench = Workbench(settings())
        bench._interpreter.start()
        bench._started = asyncio.get_running_loop().create_future()
        bench._started.set_result(bench._interpreter)
        bench._interpreter.close()
        return await rollout(tokenizer, bench, [PLAN, STEP])

    episode = asyncio.run(run())
    assert episode["unscored"].startswith("interpreter:") and episode["answer"] is None


class GivesUp(Scripted):
    """Stands for a server whose engine fails in turn `turn`, in one of the ways that verl hands on."""

    def __init__(self, tokenizer: Any, replies: list[str], *, turn: int, tokens: int, reason: str | None):
        super().__init__(tokenizer, replies)
        self.left, self.tokens, self.reason = turn, tokens, reason

    async def generate(self, **asked: Any) -> Any:
        made = await super().generate(**asked)
        self.left -= 1
        if not self.left:
            made.token_ids, made.log_probs, made.stop_reason = made.token_ids[: self.tokens], None, self.reason
        return made


@pytest.mark.parametrize("turn", [1, 3])
@pytest.mark.parametrize(
    "tokens, reason",
    [(0, "aborted"), (0, None), (99, "aborted"), (99, "abort")],
    ids=["vllm", "sglang", "half", "abort"],
)
def test_a_turn_that_the_engine_gave_up_leaves_the_rollout_unscored(
    tokenizer: Any, turn: int, tokens: int, reason: str | None
) -> None:
    replies = [PLAN, STEP, ANSWER]
    failing = {"server": GivesUp, "turn": turn, "tokens": tokens, "reason": reason}
    done = one(tokenizer, QUESTION, replies, **failing)
    episode = done.extra_fields["episode"]
    assert episode["unscored"].startswith(f"provider: the rollout server gave up turn {turn}")
    assert episode["answer"] is None and len(episode["turns"]) == turn - 1  # nothing of it was run
    sampled = [i for i, m in zip(done.response_ids, done.response_mask, strict=True) if m]
    end = tokenizer.eos_token
    assert tokenizer.decode(sampled) == "".join(f"{reply}{end}" for reply in replies[: turn - 1])
    # verl puts the score on the last token, whatever its mask.
    done.reward_score = 0.0
    assert len(done.as_dict()["rm_scores"]) == len(done.response_ids) == len(done.response_logprobs) > 0
