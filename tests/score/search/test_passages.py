"""Passages are cut to what fits the query."""

import pytest

from score.search.passages import cut

PAGE = (
    "The town lies on a river. It has 4,000 inhabitants. Its mayor is Yara Brisk since 2011. The church was built in 1450. "
    "A market is held on Mondays. The mayor lives in the old mill."
)


def test_a_short_text_is_left_as_it_is() -> None:
    assert cut("Two  spaces\n\nand lines. ", "spaces", 50) == "Two  spaces\n\nand lines. "


def test_the_sentences_that_fit_are_kept_in_their_order_with_gaps_marked() -> None:
    shown = cut(PAGE, "mayor", 80)
    assert shown == "Its mayor is Yara Brisk since 2011. … The mayor lives in the old mill."


@pytest.mark.parametrize("word", ["330.5", "$1.25", "www.bridge.org/a?b=1"])
def test_no_gap_or_space_comes_into_a_number_or_an_address(word: str) -> None:
    text = f"Nothing here. The bridge is {word} long, they say. Something else is here, too."
    assert cut(text, "bridge", 60) == f"The bridge is {word} long, they say."


def test_chinese_sentences_fit_by_their_characters() -> None:
    page = "这座小镇位于河边。" * 5 + "镇长叫王芳。" + "每周一有集市。" * 5
    assert "镇长叫王芳。" in cut(page, "谁是镇长", 30)


def test_without_a_sentence_that_fits_the_beginning_is_shown() -> None:
    assert cut(PAGE, "zzz", 60).startswith("The town lies on a river.") and len(cut(PAGE, "zzz", 60)) <= 60
    assert cut(PAGE, "", 60) == cut(PAGE, "zzz", 60)


@pytest.mark.parametrize("text", ["x" * 500, "word " * 200, "。" * 300, "\n" * 300, "a.b " * 99, "mayor " * 100 + "."])
@pytest.mark.parametrize("query", ["mayor", "?", "x"])
def test_no_passage_is_longer_than_its_limit(text: str, query: str) -> None:
    assert len(cut(text, query, 100)) <= 100
