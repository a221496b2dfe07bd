"""The rollout's tokens are the chat template's, its mask is on what was sampled, its prefix runs once."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from agent_loop import Rollout
from rl_settings import RLSettings
from turns import Turns
from workbench import Workbench

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


def settings() -> RLSettings:
    return RLSettings(interpreter=InterpreterSettings(preload=["math"], step_timeout_s=5))


def rollouts(tokenizer: Any, messages: list[Any], scripts: list[list[str]], room: int = 400, **scripted: Any) -> Any:
    """Run one rollout for each script, all of one prompt at once; returns (outputs, workbench)."""

    async def run() -> Any:
        bench = Workbench(settings())
        verl = SimpleNamespace(
            response_length=room, prompt_length=400, multi_turn=SimpleNamespace(max_assistant_turns=8)
        )
        try:
            loops = [
                SimpleNamespace(
                    settings=settings(),
                    workbench=bench,
                    turns=Turns(tokenizer),
                    rollout_config=verl,
                    server_manager=Scripted(tokenizer, script, **scripted),
                )
                for script in scripts
            ]
            running = [Rollout(loop, {}, messages, "prompt").run() for loop in loops]  # type: ignore[arg-type]
            return await asyncio.gather(*running), bench
        finally:
            await bench.close()

    return asyncio.run(run())


def one(tokenizer: Any, messages: list[Any], script: list[str], **more: Any) -> Any:
    return rollouts(tokenizer, messages, [script], **more)[0][0]


def test_a_full_rollout_is_what_the_chat_template_writes(tokenizer: Any) -> None:
    done = one(tokenizer, QUESTION, [PLAN, STEP, ANSWER])
    messages = [
        *QUESTION,
        {"role": "assistant", "content": PLAN},
        {"role": "user", "content": "Observation: None"},
        {"role": "assistant", "content": STEP},
        {"role": "user", "content": "Observation: 7"},
        {"role": "assistant", "content": ANSWER},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    whole = tokenizer.encode(text.removesuffix("\n"), add_special_tokens=False)
    assert done.prompt_ids + done.response_ids == whole
    assert done.extra_fields["episode"]["answer"] == "7"


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


def test_the_prefix_runs_once_for_all_rollouts_of_a_prompt(tokenizer: Any) -> None:
    prefix = [
        *QUESTION,
        {"role": "assistant", "content": PLAN},
        {"role": "user", "content": "Observation: None"},
        {"role": "assistant", "content": STEP},
        {"role": "user", "content": "Observation: 7"},
    ]
    change = "<thought>t</thought><code>a = a + {}\nprint(a)</code>"
    scripts = [[change.format(number), ANSWER] for number in range(8)]
    outputs, bench = rollouts(tokenizer, prefix, scripts)
    episodes = [output.extra_fields["episode"] for output in outputs]
    assert [episode["unscored"] for episode in episodes] == [None] * 8
    assert [episode["answer"] for episode in episodes] == [str(7 + number) for number in range(8)]
    assert bench.prefixes_run == 1
    assert not any(episode["prefix_differs"] for episode in episodes)


def test_an_interpreter_that_is_gone_leaves_the_rollout_unscored(tokenizer: Any) -> None:
    async def run() -> Any:
        bench = Workbench(settings())
        bench._interpreter.start()
        bench._started = asyncio.get_running_loop().create_future()
        bench._started.set_result(bench._interpreter)
        bench._interpreter.close()
        loop = SimpleNamespace(
            settings=settings(),
            workbench=bench,
            turns=Turns(tokenizer),
            rollout_config=SimpleNamespace(
                response_length=200, prompt_length=400, multi_turn=SimpleNamespace(max_assistant_turns=8)
            ),
            server_manager=Scripted(tokenizer, [PLAN, STEP]),
        )
        return await Rollout(loop, {}, QUESTION, "prompt").run()  # type: ignore[arg-type]

    episode = asyncio.run(run()).extra_fields["episode"]
    assert episode["unscored"].startswith("interpreter:") and episode["answer"] is None
