"""The trainer's forward on a CPU: what rollouts share is computed once, and nothing else changes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM
from verl_cpu import packed
from verl_cpu.log_probs import fuse

PREFIX, OTHER = torch.arange(3, 43), torch.arange(50, 65)


@pytest.fixture(scope="module", autouse=True)
def registered() -> None:
    packed.register()


@pytest.fixture
def models(tiny_student: Path) -> tuple[Any, Any]:
    """The student as Hugging Face computes it, and as the trainer does."""
    plain = AutoModelForCausalLM.from_pretrained(tiny_student, dtype=torch.float32, attn_implementation="sdpa")
    fused = AutoModelForCausalLM.from_pretrained(tiny_student, dtype=torch.float32, attn_implementation=packed.NAME)
    fuse(fused)
    return plain, fused


def sequences() -> list[torch.Tensor]:
    """Three rollouts of one prompt, the second and third alike for a while longer; one of another; one cut short."""
    replies = [[7, 8, 9, 10], [11, 12, 13, 14, 15, 16], [11, 12, 20]]
    return [*(torch.cat([PREFIX, torch.tensor(reply)]) for reply in replies), OTHER, OTHER[:9]]


def row(parts: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.cat(parts)[None], torch.cat([torch.arange(len(part)) for part in parts])[None]


def reference(model: Any, parts: list[torch.Tensor], temperature: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities of each sequence's own next tokens, and all entropies, one sequence at a time."""
    chosen, entropies = [], []
    for part in parts:
        logs = (model(input_ids=part[None]).logits[0] / temperature).log_softmax(-1)
        chosen.append(logs[:-1].gather(-1, part[1:, None])[:, 0])
        entropies.append(-(logs.exp() * logs).sum(-1))
    return torch.cat(chosen), torch.cat(entropies)


def inner(parts: list[torch.Tensor]) -> torch.Tensor:
    """Where in the row a token's next one is of the same sequence."""
    return torch.cat([torch.arange(len(part)) < len(part) - 1 for part in parts])


def fused_output(model: Any, parts: list[torch.Tensor], temperature: float = 1.0) -> Any:
    ids, positions = row(parts)
    return model(
        input_ids=ids,
        attention_mask=None,
        position_ids=positions,
        use_cache=False,
        temperature=temperature,
        shift_labels=ids.roll(-1, 1),
        return_dict=True,
    )


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_and_entropies_are_the_plain_models(models: tuple[Any, Any], temperature: float) -> None:
    plain, fused = models
    parts = sequences()
    expected, entropies = reference(plain, parts, temperature)
    output = fused_output(fused, parts, temperature)
    assert torch.allclose(output.log_probs[0][inner(parts)], expected, atol=1e-5)
    assert torch.allclose(output.entropy[0], entropies, atol=1e-5)


def test_gradients_are_the_plain_models(models: tuple[Any, Any]) -> None:
    plain, fused = models
    parts = sequences()
    weights = torch.randn(int(inner(parts).sum()), generator=torch.Generator().manual_seed(0))
    (reference(plain, parts)[0] * weights).sum().backward()
    (fused_output(fused, parts).log_probs[0][inner(parts)] * weights).sum().backward()
    for (name, expected), found in zip(plain.named_parameters(), fused.parameters(), strict=True):
        assert torch.allclose(expected.grad, found.grad, atol=1e-5), name


def test_what_neighbours_share_is_computed_once() -> None:
    parts = sequences()
    shared = packed.Shared.find(*(tensor[0] for tensor in row(parts)))
    assert shared.new == [44, 6, 1, 15, 0]
    assert len(shared.kept) == 66 and len(shared.place) == sum(map(len, parts))
    ids = row(parts)[0][0]
    assert ids[shared.kept][shared.place].equal(ids)


def test_attention_without_the_forward_keeps_sequences_apart(tiny_student: Path, models: tuple[Any, Any]) -> None:
    packed_model = AutoModelForCausalLM.from_pretrained(
        tiny_student, dtype=torch.float32, attn_implementation=packed.NAME
    )
    parts = sequences()
    ids, positions = row(parts)
    logits = packed_model(input_ids=ids, position_ids=positions, attention_mask=None, use_cache=False).logits[0]
    alone = torch.cat([models[0](input_ids=part[None]).logits[0] for part in parts])
    assert torch.allclose(logits, alone, atol=1e-5)


def test_a_padded_batch_is_refused(models: tuple[Any, Any]) -> None:
    ids = torch.ones(2, 5, dtype=torch.long)
    positions = torch.arange(5).expand(2, 5)
    with pytest.raises(ValueError, match="use_remove_padding"):
        models[1](input_ids=ids, position_ids=positions, temperature=1.0, shift_labels=ids)
