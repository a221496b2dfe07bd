"""A tiny student for RL's tests: random weights, the miniature's kind of tokenizer."""

from pathlib import Path
from typing import Any

import pytest

from score.miniature.student import TURN_END, make_tokenizer

TEXTS = [
    "Ann has 3 apples and buys 4 more. How many?",
    "a = 3 + 4\nprint(a)",
    "final_answer_print(a)",
    "Observation: 7",
    "user\nassistant\nsystem\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
]


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return make_tokenizer(iter(TEXTS * 3), vocabulary=400)


@pytest.fixture(scope="session")
def tiny_student(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("student")
    torch.manual_seed(0)
    stop = tokenizer.convert_tokens_to_ids(TURN_END)
    config = Qwen2Config(
        vocab_size=(len(tokenizer) + 63) // 64 * 64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=stop,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    model = Qwen2ForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=[stop], pad_token_id=tokenizer.pad_token_id)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
