"""The rollouts' log-probabilities are the trainer's, over whole episodes with code run between the turns."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from agent_loop import Rollout
from rl_settings import RLSettings
from transformers import AutoModelForCausalLM
from turns import Turns
from verl_cpu import packed
from verl_cpu.log_probs import fuse
from verl_cpu.rollout import sampling_of
from workbench import Workbench

from score.interpreter import InterpreterSettings
from score.serving import AsyncEngine, Engine

PROMPTS, EACH, ROOM, CONTEXT = 10, 20, 160, 400
SAMPLED = {"temperature": 1.0, "top_p": 1.0, "top_k": -1}


def question(number: int) -> list[Any]:
    return [{"role": "user", "content": f"Ann has {number} apples and buys 4 more. How many?"}]


def said(number: int) -> list[Any]:
    """What the student is taught to say: a plan, a step that prints, the answer."""
    turns = [
        "<first_thought>a = 3 + 4</first_thought>",
        f"<thought>Ann buys</thought><code>a = {number} + 4\nprint(a)</code>",
        "<thought>Observation</thought><code>final_answer_print(a)</code>",
    ]
    seen = ["None", str(number + 4)]
    dialogue = question(number)
    for turn, observation in zip(turns, [*seen, ""], strict=True):
        dialogue += [{"role": "assistant", "content": turn}, {"role": "user", "content": f"Observation: {observation}"}]
    return dialogue[:-1]


@pytest.fixture(scope="module")
def student(tiny_student: Path, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny student after some steps of training: at temperature 1 it mostly takes several turns, each its own."""
    model = AutoModelForCausalLM.from_pretrained(tiny_student, dtype=torch.float32)
    rows = [torch.tensor(tokenizer.apply_chat_template(said(n), return_dict=False)) for n in range(PROMPTS)]
    batch = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=tokenizer.pad_token_id)
    labels = batch.masked_fill(batch == tokenizer.pad_token_id, -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    torch.manual_seed(0)
    for _ in range(60):
        model(input_ids=batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("taught")
    model.save_pretrained(folder)
    return folder


class Server:
    """verl's server manager, without Ray between it and the engine. `sampled` counts tokens."""

    def __init__(self, student: Path, tokenizer: Any):
        model = AutoModelForCausalLM.from_pretrained(student, dtype=torch.float32, attn_implementation="sdpa")
        stops = {tokenizer.eos_token_id}
        self.engine = AsyncEngine(Engine(model, stops, tokenizer.pad_token_id, max_context=CONTEXT, max_batch=64))
        self.sampled = 0

    async def generate(self, *, prompt_ids: list[int], sampling_params: dict[str, Any], **_: Any) -> Any:
        done = await self.engine.generate(prompt_ids, sampling_of(sampling_params, CONTEXT - len(prompt_ids)))
        self.sampled += len(done.token_ids)
        reason = "completed" if done.finish_reason == "stop" else "length"
        return SimpleNamespace(token_ids=done.token_ids, log_probs=done.log_probs, stop_reason=reason, extra_fields={})


@pytest.fixture(scope="module")
def episodes(student: Path, tokenizer: Any) -> tuple[list[Any], int]:
    """The outputs of the rollouts, and how many tokens were sampled in all."""

    async def run() -> tuple[list[Any], int]:
        settings = RLSettings(interpreter=InterpreterSettings(preload=["math"], step_timeout_s=20))
        bench, server = Workbench(settings), Server(student, tokenizer)
        limits = SimpleNamespace(max_assistant_turns=8)
        loop: Any = SimpleNamespace(
            settings=settings,
            workbench=bench,
            turns=Turns(tokenizer),
            rollout_config=SimpleNamespace(response_length=ROOM, prompt_length=80, multi_turn=limits),
            server_manager=server,
        )
        try:
            made = [
                Rollout(loop, SAMPLED, question(number), str(number)).run()
                for number in range(PROMPTS)
                for _ in range(EACH)
            ]
            return list(await asyncio.gather(*made)), server.sampled
        finally:
            await bench.close()

    return asyncio.run(run())


def test_the_log_probabilities_of_200_episodes_are_the_trainers(episodes: tuple[list[Any], int], student: Path) -> None:
    outputs, _ = episodes
    turns = [len(output.extra_fields["episode"]["turns"]) for output in outputs]
    assert len(outputs) == 200 and sum(number > 2 for number in turns) > 100, turns
    packed.register()
    trainer = AutoModelForCausalLM.from_pretrained(student, dtype=torch.float32, attn_implementation=packed.NAME)
    fuse(trainer)
    furthest = 0.0
    for start in range(0, len(outputs), EACH):  # a micro-batch is one prompt's rollouts
        group = outputs[start : start + EACH]
        whole = [torch.tensor(output.prompt_ids + output.response_ids) for output in group]
        ids = torch.cat(whole)[None]
        with torch.no_grad():
            found = trainer(
                input_ids=ids,
                attention_mask=None,
                position_ids=torch.cat([torch.arange(len(row)) for row in whole])[None],
                use_cache=False,
                temperature=1.0,
                shift_labels=ids.roll(-1, 1),
                return_dict=True,
            ).log_probs[0]
        for output, theirs in zip(group, found.split([len(row) for row in whole]), strict=True):
            mask = torch.tensor(output.response_mask) == 1
            difference = theirs[len(output.prompt_ids) - 1 : -1] - torch.tensor(output.response_logprobs)
            furthest = max(furthest, float(difference[mask].abs().max()))
    assert furthest < 1e-4


def test_no_token_of_an_observation_is_trained_on(episodes: tuple[list[Any], int]) -> None:
    outputs, sampled = episodes
    assert sum(sum(output.response_mask) for output in outputs) == sampled
    between = sum(output.response_mask.count(0) for output in outputs)
    assert between > 1000, "hardly an episode has an observation"
