"""Overlap of training with evaluation questions: what is found, what is not, and that the short cut loses nothing."""

import json
import random
import re
from pathlib import Path

import pytest

from score.contamination import ContaminationSettings, Index, Question, overlaps, read_questions
from score.contamination.index import _trigrams
from score.errors import DataError
from score.json_stream import JsonArrayWriter, read_json_array
from score.questions import words

EVALUATION = [
    Question("test.jsonl", "a", "Who was the first director of the observatory that stands on the hill above Tartu?"),
    Question("test.jsonl", "b", "A train leaves at 9 and runs 60 miles an hour; when has it gone 150 miles in all, if it never stops?"),
    Question("test.jsonl", "c", "What is 3 + 4?"),
]  # fmt: skip


@pytest.mark.parametrize(
    "question, item, how",
    [
        ("what is  3 + 4?", "c", "same question"),
        ("Think of it: a train leaves at 9 and runs 60 miles an hour; when has it gone 150 by night?", "b", "n-gram"),
        ("Who was the first director of the observatory which stands on the hill above Tartu?", "a", "near duplicate"),
        ("What is 3 + 5?", None, None),
        ("Who was the second director of a theatre in Tartu?", None, None),
        ("", None, None),
    ],
)
def test_each_kind_of_overlap_is_found_and_strangers_are_not(question: str, item: str | None, how: str | None) -> None:
    found = Index(EVALUATION, ContaminationSettings(near=0.6)).find(question)
    assert (found and found.item.id, found and found.how) == (item, how)


def test_phrases_of_the_trade_do_not_count_as_overlap() -> None:
    phrase = "where m and n are relatively prime positive integers find the value of m plus n"
    items = [Question("test", str(number), f"Problem {number} {'x' * number} is this, {phrase}") for number in range(9)]
    asked = f"Something else entirely was asked about circles, triangles, primes and trains of thought, {phrase}"
    assert Index(items).find(asked) is None
    assert Index(items[:2]).find(asked) is not None


def test_the_short_cut_over_trigrams_loses_no_near_duplicate() -> None:
    random.seed(4)
    vocabulary = [f"word{number}" for number in range(400)]
    items = [Question("test", str(number), " ".join(random.choices(vocabulary, k=30))) for number in range(60)]
    index = Index(items, ContaminationSettings(ngram=100, near=0.5))
    missed = 0
    near = 0
    for item in items * 5:
        tokens = item.text.split()
        for _ in range(random.randint(1, 4)):
            tokens[random.randrange(30)] = random.choice(vocabulary)
        mine, theirs = set(_trigrams(tokens)), set(_trigrams(words(item.text)))
        if len(mine & theirs) / len(mine | theirs) >= 0.5:
            near += 1
            found = index.find(" ".join(tokens))
            missed += found is None or found.item != item
    assert near > 100 and missed == 0


def test_words_are_those_of_the_regular_expression() -> None:
    text = "".join(map(chr, range(128))) + r" Let $x_1 = \frac{1}{2}$; f(x)+G\tA\x00b"
    assert words(text) == re.findall(r"\w+", text.casefold())
    more = text + " É-ß Ελλάδα кириллица עברית हिन्दी ไทย x²Ⅳ"
    assert words(more) == re.findall(r"\w+", more.casefold())


CHINESE = "2023年诺贝尔物理学奖的三位获奖者中，哪一位曾在瑞典的隆德大学任教，并且研究阿秒脉冲的产生方法？"


@pytest.mark.parametrize(
    "question, how",
    [
        (f"请问：{CHINESE}", "n-gram"),
        ("哪一位曾在瑞典的隆德大学任教，并且研究阿秒脉冲的产生方法：2023年诺贝尔物理学奖的三位获奖者中？", "n-gram"),
        ("谁主持了华侨大学计算机科学与技术学院的结业仪式？2023年诺贝尔物理学奖的三位获奖者中有谁？", None),
        ("2022年诺贝尔化学奖的两位获奖者中，谁曾在德国的海德堡大学学习？", None),
    ],
)
def test_overlap_of_chinese_is_found_by_its_characters(question: str, how: str | None) -> None:
    found = Index([Question("xbench", "1", CHINESE)]).find(question)
    assert (found.how if found else None) == how
    short = Index([Question("xbench", "1", CHINESE)], ContaminationSettings(ngram=100))
    near = short.find(question)
    assert (near.how if near else None) == ("near duplicate" if how else None)


def test_characters_are_words_where_text_has_no_spaces() -> None:
    assert words("GDP是2.5万亿元 (约)") == ["gdp", "是", "2", "5", "万", "亿", "元", "约"]
    assert words("東京タワーは、いつ？ 한국어") == [*"東京タワーはいつ한국어"]


@pytest.mark.parametrize("key, role, said", [("messages", "role", "content"), ("prompt", "role", "content"),
                                             ("conversations", "from", "value")])  # fmt: skip
def test_the_question_is_what_the_user_asks_whatever_stands_before(
    tmp_path: Path, key: str, role: str, said: str
) -> None:
    user = "human" if role == "from" else "user"
    system, asked = {role: "system", said: "You are helpful."}, {role: user, said: "What is 3 + 4?"}
    file = tmp_path / "train.jsonl"
    file.write_text(json.dumps({key: [system, asked, {role: "assistant", said: "7"}]}) + "\n")
    assert [found.text for found in read_questions([file])] == ["What is 3 + 4?"]
    file.write_text(json.dumps({key: [system]}) + "\n")
    with pytest.raises(DataError, match="row 1: no question found"):
        list(read_questions([file]))


def test_every_marked_item_is_named_with_its_training_question(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"question": "What is 3 + 4?"}\n{"question": "What is 5 + 4?"}\n')
    twice = [*EVALUATION, Question("copy.jsonl", "c2", "what is 3 + 4?")]
    met = overlaps(twice, read_questions([tmp_path / "train.jsonl"]))
    assert {item.id for item in met} == {"c", "c2"}


def test_questions_are_read_from_every_file_of_the_project(tmp_path: Path) -> None:
    rows = [
        {"id": 7, "question": "q", "true_answer": "1"},
        {"steps": [], "original_task_info": {"id": "7", "question": "q", "true_answer": "1"}},
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "r"}]},
        {"prompt": [{"role": "user", "content": "q"}], "gt_answer": "1"},
    ]
    (tmp_path / "lines.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "array.json").write_text(json.dumps(rows, indent=2))
    for name in ("lines.jsonl", "array.json"):
        found = list(read_questions([tmp_path / name]))
        assert [question.text for question in found] == ["q"] * 4
        assert [question.id for question in found][:2] == ["7", "7"]
    (tmp_path / "other.jsonl").write_text('{"text": "no question here"}')
    with pytest.raises(DataError, match="row 1"):
        list(read_questions([tmp_path / "other.jsonl"]))
    with pytest.raises(DataError, match="does not exist"):
        list(read_questions([tmp_path / "absent.jsonl"]))


def test_the_released_search_seeds_hold_two_questions_of_hotpotqas_test(shared_data: Path) -> None:
    index = Index(read_questions([shared_data / "benchmarks" / "hqa.jsonl"]))
    seeds = read_questions([shared_data / "seeds" / "search_bc_init_seed_head500.jsonl"])
    assert sum(index.find(question.text) is not None for question in seeds) == 2


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_an_array_streams_whatever_its_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr("score.json_stream.CHUNK", chunk)
    rows = [{"a": 'x"]}, {'}, [1, 2], 12345, "é", None, {}]
    for indent in (None, 0, 1, 4):
        path = tmp_path / "rows.json"
        path.write_text(" " + json.dumps(rows, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")
        assert list(read_json_array(path)) == list(enumerate(rows, 1))
    path.write_text("[]")
    assert list(read_json_array(path)) == []


@pytest.mark.parametrize(
    "text, said",
    [('[{"a": 1}, {"a": ', "row 2"), ("[1 2]", "after row 1"), ("{}", "list of rows"), ("", "list of rows")],
)
def test_a_broken_array_names_the_row(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "rows.json").write_text(text)
    with pytest.raises(DataError, match=said):
        list(read_json_array(tmp_path / "rows.json"))


def test_an_array_that_could_not_be_finished_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text("[1]")
    with pytest.raises(ZeroDivisionError), JsonArrayWriter(path) as rows:
        rows.write(b"%d" % (1 // 0))
    assert path.read_text() == "[1]" and list(tmp_path.iterdir()) == [path]
