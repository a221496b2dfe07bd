import asyncio
import random

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from score.errors import DataError, ProviderError, SettingsError, TaskError
from score.serving import AsyncEngine, Engine, Sampling
from score.serving.forward import HFForward, Qwen2Forward

from .conftest import random_qwen2

GREEDY = Sampling(max_tokens=12, temperature=0)


def prompts(count: int, vocabulary: int, seed: int = 0, longest: int = 90) -> list[list[int]]:
    draw = random.Random(seed)
    return [[draw.randrange(vocabulary) for _ in range(draw.randrange(2, longest))] for _ in range(count)]


def engine_of(model, **options) -> Engine:
    return Engine(model, eos_token_ids=[], pad_id=0, max_context=256, **({"max_batch": 8} | options))


@torch.no_grad()
def trainer_log_probs(model, prompt, reply, temperature=1.0) -> torch.Tensor:
    """What a trainer computes: one uncached forward of the whole sequence."""
    logits = model(torch.tensor([prompt + reply])).logits[0, len(prompt) - 1 : -1] / temperature
    return logits.log_softmax(-1).gather(1, torch.tensor(reply)[:, None])[:, 0]


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probs_equal_those_of_an_uncached_forward(model, fast, temperature):
    engine = engine_of(model, fast=fast)
    assert type(engine.forward) is (Qwen2Forward if fast else HFForward)
    given = prompts(20, model.config.vocab_size, longest=150)  # more than run at once, longer than a query block
    samplings = [Sampling(max_tokens=5 + i, temperature=temperature, seed=i) for i in range(20)]
    for prompt, completion in zip(given, engine.generate(given, samplings), strict=True):
        expected = trainer_log_probs(model, prompt, completion.token_ids, temperature)
        torch.testing.assert_close(torch.tensor(completion.log_probs), expected, atol=1e-4, rtol=0)


def test_another_architecture_runs_through_its_own_forward():
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=100, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, initializer_range=0.2,
    )  # fmt: skip
    llama = LlamaForCausalLM(config).eval()
    given = prompts(5, 100)
    for prompt, completion in zip(given, engine_of(llama).generate(given, [Sampling(max_tokens=9)] * 5), strict=True):
        expected = trainer_log_probs(llama, prompt, completion.token_ids)
        torch.testing.assert_close(torch.tensor(completion.log_probs), expected, atol=1e-4, rtol=0)


def test_the_batch_does_not_change_a_greedy_reply(model):
    given = prompts(20, model.config.vocab_size)
    together = engine_of(model).generate(given, [GREEDY] * 20)
    alone = [engine_of(model).generate([prompt], [GREEDY])[0] for prompt in given]
    assert [c.token_ids for c in together] == [c.token_ids for c in alone]


def test_a_seed_repeats_its_reply_in_any_batch_and_no_seed_does_not(model):
    given = prompts(9, model.config.vocab_size)
    seeded = Sampling(max_tokens=20, seed=-5)
    alone = engine_of(model).generate(given[:1], [seeded])[0]
    others = [Sampling(max_tokens=3 + i) for i in range(8)]
    among = engine_of(model).generate(given[1:] + given[:1], [*others, seeded])[-1]
    assert among.token_ids == alone.token_ids
    free = engine_of(model).generate(given[:1] * 2, [Sampling(max_tokens=20)] * 2)
    assert free[0].token_ids != free[1].token_ids


def test_draws_follow_the_model_s_distribution(model):
    engine, prompt, times = engine_of(model, max_batch=128, seed=0), prompts(1, model.config.vocab_size)[0], 4000
    with torch.no_grad():
        expected = model(torch.tensor([prompt])).logits[0, -1].softmax(-1)
    drawn = engine.generate([prompt] * times, [Sampling(max_tokens=1)] * times)
    counts = torch.bincount(torch.tensor([c.token_ids[0] for c in drawn]), minlength=len(expected)) / times
    # Five standard deviations for each token's frequency.
    assert bool(((counts - expected).abs() <= 5 * (expected * (1 - expected) / times).sqrt() + 1e-3).all())


def test_rows_leave_on_a_stop_token_or_at_their_length(model):
    prompt = prompts(1, model.config.vocab_size)[0]
    free = engine_of(model).generate([prompt], [GREEDY])[0].token_ids
    stop = free[4]
    first = free.index(stop) + 1
    engine = engine_of(model)
    stopping = Sampling(max_tokens=12, temperature=0, stop_token_ids=(stop,))
    short, long = engine.generate([prompt, prompt], [stopping, GREEDY])
    assert (short.token_ids, short.finish_reason) == (free[:first], "stop")
    assert (long.token_ids, long.finish_reason) == (free, "length")
    by_eos = Engine(model, [stop], 0, 256).generate([prompt], [GREEDY])[0]
    assert (by_eos.token_ids, by_eos.finish_reason) == (free[:first], "stop")
    assert not engine.busy


def test_a_prompt_of_one_token_is_continued(model):
    engine = engine_of(model)
    for _ in range(2):  # the second time beside a kept row that begins with it
        (completion,) = engine.generate([[7]], [Sampling(max_tokens=5)])
        expected = trainer_log_probs(model, [7], completion.token_ids)
        torch.testing.assert_close(torch.tensor(completion.log_probs), expected, atol=1e-4, rtol=0)


def test_a_finished_row_leaves_the_batch_at_once(model):
    engine = engine_of(model)
    engine.waiting = [engine.prepare([1, 2, 3], Sampling(max_tokens=n)) for n in (2, 9, 4)]
    sizes = []
    while engine.busy:
        engine.step()
        sizes.append(len(engine.live))
    # The first step draws two tokens: one after the prompt, one with the batch.
    assert sizes == [2, 2, 1, 1, 1, 1, 1, 0]


def counted(engine) -> list[int]:
    """Tokens computed by each pass from here on."""
    sizes, forward = [], engine.forward

    def counting(this):
        sizes.append(len(this.tokens))
        return forward(this)

    engine.forward = counting
    return sizes


def test_a_second_turn_computes_only_what_is_new(model):
    engine, prompt = engine_of(model), prompts(1, model.config.vocab_size)[0] * 2
    first = engine.generate([prompt], [GREEDY])[0]
    second = prompt + first.token_ids + [7, 8, 9]
    sizes = counted(engine)
    again = engine.generate([second], [GREEDY])[0]
    assert sizes[0] == 4  # the last token of the reply had not been fed, and the observation
    assert again.token_ids == engine_of(model, kept_rows=0).generate([second], [GREEDY])[0].token_ids
    expected = trainer_log_probs(model, second, again.token_ids)
    torch.testing.assert_close(torch.tensor(again.log_probs), expected, atol=1e-4, rtol=0)


def test_samples_of_one_prompt_compute_it_once(model):
    engine, prompt = engine_of(model), list(range(100, 160))
    sizes = counted(engine)
    completions = engine.generate([prompt] * 8, [Sampling(max_tokens=3)] * 8)
    assert sizes[:2] == [60, 7]
    for completion in completions:
        expected = trainer_log_probs(model, prompt, completion.token_ids)
        torch.testing.assert_close(torch.tensor(completion.log_probs), expected, atol=1e-4, rtol=0)


def test_many_conversations_over_few_rows_stay_right(model):
    """Rows move, are kept, extended and evicted: the log-probabilities tell whether any key went astray."""
    engine, draw = engine_of(model, max_batch=4, kept_rows=5), random.Random(3)
    talks = [prompt[:40] for prompt in prompts(10, model.config.vocab_size, seed=2)]
    for _ in range(4):
        samplings = [Sampling(max_tokens=draw.randrange(1, 12), seed=draw.randrange(99)) for _ in talks]
        for i, completion in enumerate(engine.generate(talks, samplings)):
            expected = trainer_log_probs(model, talks[i], completion.token_ids)
            torch.testing.assert_close(torch.tensor(completion.log_probs), expected, atol=1e-4, rtol=0)
            talks[i] = talks[i] + completion.token_ids + [draw.randrange(200) for _ in range(draw.randrange(1, 20))]
        draw.shuffle(talks)


@pytest.mark.parametrize("fast", [True, False])
def test_loaded_weights_take_effect_and_what_was_cached_is_forgotten(model, fast):
    engine, prompt = engine_of(model, fast=fast), prompts(1, model.config.vocab_size)[0]
    before = engine.generate([prompt], [GREEDY])[0]
    other = random_qwen2(model.config.vocab_size, seed=9)
    engine.load_state(other.state_dict().items())
    after = engine.generate([prompt], [GREEDY])[0]
    assert after.token_ids != before.token_ids
    assert after.token_ids == engine_of(other, fast=fast).generate([prompt], [GREEDY])[0].token_ids


def test_wrong_weights_are_refused_by_name(model):
    with pytest.raises(DataError, match="no weight named 'nonsense'"):
        engine_of(model).load_state([("nonsense", torch.zeros(1))])
    with pytest.raises(DataError, match=r"model.norm.weight has shape \(3,\), expected \(64,\)"):
        engine_of(model).load_state([("model.norm.weight", torch.zeros(3))])


def test_what_does_not_fit_is_refused(model):
    engine = engine_of(model)
    with pytest.raises(TaskError, match="250 tokens and the reply may have 12, but the context holds 256"):
        engine.generate([[1] * 250], [GREEDY])
    with pytest.raises(TaskError, match="empty"):
        engine.generate([[]], [GREEDY])
    with pytest.raises(SettingsError, match="positions up to 256"):
        Engine(model, [], 0, 257)
    with pytest.raises(SettingsError, match="float32"):
        engine_of(random_qwen2(50).to(torch.bfloat16))
    config = MistralConfig(
        vocab_size=20, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, sliding_window=8, max_position_embeddings=256,
    )  # fmt: skip
    sliding = MistralForCausalLM(config)
    with pytest.raises(SettingsError, match="full attention only"):
        engine_of(sliding)
    full = engine.generate([[1] * 244], [GREEDY])[0]  # up to the last position
    assert len(full.token_ids) == 12


def run(engine, work):
    async def main():
        served = AsyncEngine(engine)
        try:
            return await asyncio.wait_for(work(served), 60)
        finally:
            served.close()

    return asyncio.run(main())


def test_async_requests_join_a_running_batch(model):
    given = prompts(30, model.config.vocab_size)
    samplings = [Sampling(max_tokens=2 + i, temperature=0) for i in range(30)]
    expected = engine_of(model).generate(given, samplings)

    async def work(served):
        async def late(i):
            await asyncio.sleep(0.002 * i)
            return await served.generate(given[i], samplings[i])

        return await asyncio.gather(*map(late, range(30)))

    assert [c.token_ids for c in run(engine_of(model), work)] == [c.token_ids for c in expected]


def test_a_failed_step_reaches_its_callers_and_the_engine_goes_on(model):
    healthy = {name: weight.clone() for name, weight in model.state_dict().items()}

    async def work(served):
        await served.load_state([("model.norm.weight", torch.full((64,), torch.nan))])
        failed = await asyncio.gather(*[served.generate([1, 2], GREEDY) for _ in range(3)], return_exceptions=True)
        await served.load_state(healthy.items())
        return failed, await served.generate([1, 2], GREEDY)

    failed, completion = run(engine_of(model), work)
    assert [type(error) for error in failed] == [ProviderError] * 3
    assert completion.token_ids == engine_of(model).generate([[1, 2]], [GREEDY])[0].token_ids


def test_a_failing_watch_fails_its_own_request_only(model):
    def broken(ids: list[int]) -> bool:
        raise RuntimeError("broken watch")

    async def work(served):
        calls = [served.generate([1, 2], GREEDY, broken), served.generate([1, 2], GREEDY, lambda ids: len(ids) == 3)]
        return await asyncio.gather(*calls, served.generate([1, 2], GREEDY), return_exceptions=True)

    failed, watched, plain = run(engine_of(model), work)
    assert isinstance(failed, RuntimeError)
    assert (watched.token_ids, watched.finish_reason) == (plain.token_ids[:3], "stop")
    assert len(plain.token_ids) == 12


def test_a_refused_async_request_leaves_the_others_alone(model):
    async def work(served):
        good = asyncio.create_task(served.generate([1, 2, 3], GREEDY))
        with pytest.raises(TaskError):
            await served.generate([1] * 256, GREEDY)
        with pytest.raises(DataError):
            await served.load_state([("nonsense", torch.zeros(1))])
        return await good

    assert len(run(engine_of(model), work).token_ids) == 12


def test_a_cancelled_call_leaves_the_batch(model):
    engine = engine_of(model)

    async def work(served):
        call = asyncio.create_task(served.generate([1, 2], Sampling(max_tokens=250)))
        while not engine.live:  # noqa: ASYNC110 - the worker thread sends no event
            await asyncio.sleep(0.001)
        call.cancel()
        await served.generate([1, 2], Sampling(max_tokens=2))
        return len(engine.live), len(served._running)

    assert run(engine, work) == (0, 0)


def test_a_call_cancelled_while_it_waits_is_forgotten(model):
    engine = engine_of(model, max_batch=1)

    async def work(served):
        running = asyncio.create_task(served.generate([1, 2], Sampling(max_tokens=60)))
        waiting = asyncio.create_task(served.generate([3, 4], Sampling(max_tokens=60)))
        while not engine.waiting:  # noqa: ASYNC110 - the worker thread sends no event
            await asyncio.sleep(0.0005)
        waiting.cancel()
        await running
        await served.generate([1, 2], Sampling(max_tokens=2))
        return len(engine.waiting), len(served._running)

    assert run(engine, work) == (0, 0)
