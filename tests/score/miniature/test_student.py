"""The student's tokenizer and chat template: exact, one token per digit, the same ids in every engine."""

import json
from pathlib import Path

import pytest

from score.dialogue import TAGS, Message, render
from score.miniature.student import FIXED, SYSTEM_PROMPT, make_student
from score.miniature.world import write_world
from score.trajectory import Step

transformers = pytest.importorskip("transformers")

ODD_TEXTS = [
    "  two  spaces\tand a tab\n\n ",
    "x1 = ' '; print(x1 , 12)",
    "ünï 漢字 🙂 e\u0301",
    "<code>print(3 ** 4)</code> <thought>",
    "Observation: 57",
    "it 's n't do n't , .",
    "<|im_end|>",
    "\r\nprint(a)\r\n",
]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("student")
    write_world(folder / "world", 0, {"bc": 400, "mps": 200, "validation": 20, "test": 20})
    make_student(folder / "world", folder / "checkpoint", seed=0)
    return folder / "checkpoint"


@pytest.fixture(scope="module")
def tokenizer(student: Path):  # type: ignore[no-untyped-def]
    return transformers.AutoTokenizer.from_pretrained(student)


@pytest.fixture(scope="module")
def dialogues(student: Path) -> list[list[Message]]:
    dialogues = []
    for line in (student.parent / "world" / "answer_key.jsonl").read_text(encoding="utf-8").splitlines()[::13]:
        task = json.loads(line)
        steps = [Step(thought=s["thought"], code=s["code"], observation=s["value"]) for s in task["steps"]]
        dialogues.append(render(task["question"], task["plan"], steps))
    return dialogues


def test_the_model_is_a_small_float32_qwen2_with_random_weights_under_the_seed(student: Path, tmp_path: Path) -> None:
    parameters = make_student(student.parent / "world", tmp_path / "again", seed=0)
    assert 1_000_000 <= parameters <= 3_000_000
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (student / "model.safetensors").read_bytes()
    assert (tmp_path / "again" / "tokenizer.json").read_bytes() == (student / "tokenizer.json").read_bytes()
    config = json.loads((student / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["Qwen2ForCausalLM"] and config["dtype"] == "float32"
    assert (student / "generation_config.json").exists()


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_decoding_gives_back_what_was_encoded(tokenizer, text: str) -> None:  # type: ignore[no-untyped-def]
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_digits_and_tags_are_single_tokens(tokenizer) -> None:  # type: ignore[no-untyped-def]
    assert [tokenizer.decode([i]) for i in tokenizer.encode("9075")] == ["9", "0", "7", "5"]
    for text in (*TAGS, *FIXED):
        assert len(tokenizer.encode(text)) == 1
    assert tokenizer.decode(tokenizer.encode(TAGS[0]), skip_special_tokens=True) == TAGS[0]


def test_the_chat_template_gives_qwens_text(tokenizer) -> None:  # type: ignore[no-untyped-def]
    messages = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    turns = "<|im_start|>user\none<|im_end|>\n<|im_start|>assistant\ntwo<|im_end|>\n"
    default = f"<|im_start|>system\n{SYSTEM_PROMPT}<|im_end|>\n"
    assert tokenizer.apply_chat_template(messages, tokenize=False) == default + turns
    own = [{"role": "system", "content": "own"}, *messages]
    assert tokenizer.apply_chat_template(own, tokenize=False) == "<|im_start|>system\nown<|im_end|>\n" + turns
    prompt = tokenizer.apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True)
    assert prompt == default + "<|im_start|>user\none<|im_end|>\n<|im_start|>assistant\n"


def test_a_dialogues_ids_are_those_of_its_turns(tokenizer, dialogues: list[list[Message]]) -> None:  # type: ignore[no-untyped-def]
    for messages in dialogues:
        whole = tokenizer.apply_chat_template(messages, return_dict=False)
        prompt = tokenizer.apply_chat_template(messages[:1], return_dict=False, add_generation_prompt=True)
        grown = list(prompt)
        for turn, message in enumerate(messages[1:], 1):
            if message["role"] == "assistant":
                grown += tokenizer.encode(message["content"]) + tokenizer.encode("<|im_end|>\n")
            else:
                text = f"<|im_start|>user\n{message['content']}<|im_end|>\n<|im_start|>assistant\n"
                grown += tokenizer.encode(text)
            assert whole[: len(grown)] == grown, f"turn {turn}"
        assert whole == grown


def test_llama_factory_trains_on_the_chat_templates_ids(student: Path, dialogues: list[list[Message]]) -> None:
    pytest.importorskip("llamafactory")
    from llamafactory.data.template import get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments

    plain = transformers.AutoTokenizer.from_pretrained(student)
    fixed = transformers.AutoTokenizer.from_pretrained(student)
    template = get_template_and_fix_tokenizer(fixed, DataArguments(template="qwen"))
    assert len(fixed) == len(plain)
    for messages in dialogues:
        pairs = template.encode_multiturn(fixed, [dict(m) for m in messages])
        ids = [i for source, target in pairs for i in (*source, *target)]
        assert ids == plain.apply_chat_template(messages, return_dict=False)
