"""Make the miniature's student: a Qwen2 model of about a million random weights with a tokenizer of its own.

    python -m score.miniature.student --corpus output/miniature/world --output output/miniature/student --seed 0

The tokenizer is a byte-level BPE with Qwen2's way of splitting text (one token per digit, any text encodable), trained
on the miniature's own training tasks. It has Qwen's turn markers, Qwen2.5's default system prompt in the chat template
and the dialogue's six tags as ordinary added tokens, which every server's decoding keeps. Unlike Qwen's there is no
Unicode normalisation: decoding gives back exactly the text that was encoded.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from score.dialogue import TAGS, render
from score.trajectory import Step

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SYSTEM_PROMPT = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

# How Qwen2's tokenizer splits text before BPE (transformers, models/qwen2/tokenization_qwen2.py, PRETOKENIZE_REGEX).
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# Gives the same text as Qwen2.5-7B-Instruct's template for conversations without tools.
CHAT_TEMPLATE = (
    "{%- if messages[0]['role'] != 'system' -%}"
    "{{- '<|im_start|>system\\n" + SYSTEM_PROMPT + "<|im_end|>\\n' -}}"
    "{%- endif -%}"
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)

# Fixed texts of the dialogue that are one token each: they say nothing, and would be a third of a short dialogue.
FIXED = (
    SYSTEM_PROMPT,
    "system\n",
    "user\n",
    "assistant\n",
    "Observation: ",
    "\nprint(",
    "final_answer_print(",
    "print(web_search(",
)

VOCABULARY = 1280  # enough that the encyclopedia's names are a token or two
ARTICLES_READ = 2000
MODEL = {
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
    # 1 / sqrt(hidden_size). With the usual 0.02 a model this narrow starts so near to zero that it learns to copy late
    # (seed 2, cold start alone: last loss 0.057, with this 0.032).
    "initializer_range": 0.088,
}


def corpus_texts(corpus: Path) -> Iterator[str]:
    """The texts the tokenizer learns from: training tasks as dialogues, and articles; nothing of validation or test."""
    with open(corpus / "answer_key.jsonl", encoding="utf-8") as lines:
        for line in lines:
            task = json.loads(line)
            if not task["id"].startswith(("bc-", "mps-")):
                continue
            steps = [Step(thought=s["thought"], code=s["code"], observation=s["value"]) for s in task["steps"]]
            for message in render(task["question"], task["plan"], steps):
                yield f"{message['role']}\n{message['content']}"
            yield f"system\n{SYSTEM_PROMPT}"
    with open(corpus / "encyclopedia.jsonl", encoding="utf-8") as lines:
        for _, line in zip(range(ARTICLES_READ), lines, strict=False):
            article = json.loads(line)
            yield f"{article['title']}: {article['text']}"
    yield "Error: Traceback NameError SyntaxError TypeError: name is not defined, invalid syntax"


def make_tokenizer(texts: Iterator[str], vocabulary: int = VOCABULARY) -> "PreTrainedTokenizerFast":
    """Train the tokenizer; `vocabulary` counts all tokens, the special and added ones included."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    specials = [END_OF_TEXT, TURN_START, TURN_END]
    ordinary = [AddedToken(text, normalized=False, special=False) for text in (*TAGS, *FIXED)]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(specials) - len(ordinary),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    pieces = (_without_added(text) for text in texts)
    tokenizer.train_from_iterator(pieces, trainer)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in specials])
    tokenizer.add_tokens(ordinary)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        additional_special_tokens=[TURN_START],
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
        model_max_length=MODEL["max_position_embeddings"],
    )


def _without_added(text: str) -> str:
    for token in (*TAGS, *FIXED):
        text = text.replace(token, "\n")
    return text


def make_student(corpus: Path, output: Path, seed: int) -> int:
    """Write model, tokenizer and generation settings into the folder `output`; returns the number of parameters."""
    import torch
    from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

    tokenizer = make_tokenizer(corpus_texts(corpus))
    stop = [tokenizer.convert_tokens_to_ids(TURN_END), tokenizer.convert_tokens_to_ids(END_OF_TEXT)]
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=(len(tokenizer) + 63) // 64 * 64,  # what LLaMA-Factory's resize_vocab pads to
        bos_token_id=None,
        eos_token_id=stop[0],
        pad_token_id=stop[1],
        dtype="float32",
        **MODEL,
    )
    model = Qwen2ForCausalLM(config)
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=1.0, top_p=1.0, top_k=0, eos_token_id=stop, pad_token_id=stop[1], max_new_tokens=128
    )
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    return sum(p.numel() for p in model.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="folder written by score.miniature.world")
    parser.add_argument("--output", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    parameters = make_student(arguments.corpus, arguments.output, arguments.seed)
    print(f"{arguments.output}: {parameters:,} parameters")


if __name__ == "__main__":
    main()
