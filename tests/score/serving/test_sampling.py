import pytest
import torch
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from score.errors import SettingsError
from score.serving import Sampling
from score.serving.sampling import SamplingBatch, draw, process

SAMPLINGS = [
    Sampling(max_tokens=1),
    Sampling(max_tokens=1, temperature=0.6, top_k=5),
    Sampling(max_tokens=1, top_p=0.7),
    Sampling(max_tokens=1, repetition_penalty=1.3),
    Sampling(max_tokens=1, temperature=1.4, top_p=0.5, top_k=20, repetition_penalty=0.8),
    Sampling(max_tokens=1, top_p=0.01),
    Sampling(max_tokens=1, top_k=1000),
]


def of_transformers(sampling: Sampling, ids: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    chain = LogitsProcessorList([RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty)])
    chain.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        chain.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        chain.append(TopPLogitsWarper(sampling.top_p))
    return chain(ids[None], logits[None])[0]


def test_scores_equal_those_of_transformers_processors_in_a_mixed_batch():
    torch.manual_seed(0)
    logits = 3 * torch.randn(len(SAMPLINGS), 60)
    ids = torch.randint(60, (len(SAMPLINGS), 12))
    seen = torch.zeros(logits.shape, dtype=torch.bool).scatter(1, ids, True)
    mixed = process(logits, SamplingBatch(SAMPLINGS), seen)
    for row, sampling in enumerate(SAMPLINGS):
        expected = of_transformers(sampling, ids[row], logits[row])
        torch.testing.assert_close(mixed[row].softmax(-1), expected.softmax(-1))
        assert torch.equal(mixed[row].isinf(), expected.isinf())


def test_greedy_and_sampled_rows_share_a_batch():
    torch.manual_seed(0)
    logits = torch.randn(2, 50)
    batch = SamplingBatch([Sampling(max_tokens=1, temperature=0, top_p=0.5), Sampling(max_tokens=1, top_k=1)])
    tokens, log_probs = draw(logits, batch, [0.999, 0.999], None)
    assert tokens.tolist() == logits.argmax(-1).tolist()
    assert log_probs[0] == logits[0].log_softmax(-1).max()  # of the distribution before truncation
    assert log_probs[1] == 0  # the only token left


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-53])
def test_a_token_that_was_cut_is_never_drawn(uniform):
    logits = torch.tensor([[9.0, 1.0, 9.0, 0.0]])
    tokens, log_probs = draw(logits, SamplingBatch([Sampling(max_tokens=1, top_k=2)]), [uniform], None)
    assert tokens.item() in (0, 2)
    torch.testing.assert_close(log_probs, torch.tensor([0.5]).log())


@pytest.mark.parametrize(
    "values",
    [{"max_tokens": 0}, {"temperature": -1}, {"top_p": 0}, {"top_p": 1.5}, {"top_k": -2}, {"repetition_penalty": 0}],
)
def test_a_value_out_of_range_is_named(values):
    with pytest.raises(SettingsError, match=next(iter(values))):
        Sampling(**({"max_tokens": 1} | values))
