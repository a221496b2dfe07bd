"""The local index: what it reads, when it is built, and that it finds the best."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bm25s
import pyarrow
import pytest
from pyarrow import parquet
from search_corpus import queries, write_corpus

from score.errors import DataError, SettingsError
from score.search import SearchClient, SearchSettings, local_index
from score.search.local_index import LocalIndex

ROOT = Path(__file__).resolve().parents[3]
ROWS = [
    {"title": "Faust", "text": "A play by Goethe.", "url": "https://a.org/1"},
    {"title": "Goethe", "text": "He was born in Frankfurt."},
    {"id": "3", "contents": '"Frankfurt"\nA town on the Main.\nIt is old.'},
]


def write(path: Path, rows: Sequence[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def titles(index: LocalIndex, query: str, count: int = 3) -> list[str]:
    return [result.title for result in index.search(query, count)]


def test_both_forms_of_corpora_are_read(tmp_path: Path) -> None:
    index = LocalIndex(write(tmp_path / "c.jsonl", ROWS))
    (faust,) = index.search("play", 3)
    assert (faust.rank, faust.url, faust.title, faust.passage) == (1, "https://a.org/1", "Faust", "A play by Goethe.")
    (town,) = index.search("town", 3)
    assert (town.title, town.passage) == ("Frankfurt", "A town on the Main.\nIt is old.")
    assert titles(index, "zzz") == [] and titles(index, "") == [] and titles(index, "?!") == []


def test_chinese_is_found_by_its_characters(tmp_path: Path) -> None:
    rows = [
        {"title": "北京大学", "text": "创办于1898年，是中国第一所国立综合性大学。"},
        {"title": "巴黎", "text": "法国首都。"},
        {"title": "한국", "text": "서울은 수도이다."},
    ]
    index = LocalIndex(write(tmp_path / "c.jsonl", [*ROWS, *rows]))
    assert titles(index, "北京大学创办于哪一年")[0] == "北京大学"
    assert titles(index, "京")[0] == "北京大学" and titles(index, "法国的首都是哪里？")[0] == "巴黎"
    assert titles(index, "서울")[0] == "한국" and titles(index, "1898") == ["北京大学"] and titles(index, "猫") == []


def test_a_title_of_stop_words_or_one_character_is_found(tmp_path: Path) -> None:
    rows = [
        {"title": "It", "text": "A novel."},
        {"title": "C", "text": "A language."},
        {"title": "To Be", "text": "It is."},
    ]
    index = LocalIndex(write(tmp_path / "c.jsonl", [*ROWS, *rows]))
    assert titles(index, "It") == ["It"] and titles(index, "c?") == ["C"] and titles(index, "to be") == ["To Be"]
    assert titles(index, "novel") == ["It"] and titles(index, "the") == []


def test_an_index_whose_words_were_made_otherwise_is_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write(tmp_path / "c.jsonl", [*ROWS, {"title": "It", "text": "A novel."}])
    with monkeypatch.context() as before:
        before.setattr(local_index, "FORMAT", 1)
        before.setattr(local_index, "countable_passage", lambda title, text: f"{title} {text}")
        assert titles(LocalIndex(corpus), "It") == []
    assert titles(LocalIndex(corpus), "It") == ["It"]


def test_a_query_without_a_word_is_told_so(tmp_path: Path) -> None:
    client = SearchClient(SearchSettings(backend="local", corpus=write(tmp_path / "c.jsonl", ROWS)))
    assert asyncio.run(client.search("?!")).text() == "No results. The query holds no word."
    assert asyncio.run(client.search("zzz")).text() == "No results."


def test_parquet_gives_what_jsonl_gives(tmp_path: Path) -> None:
    rows = [
        {"title": "Größe", "text": "Eine Länge.", "url": "u"},
        {"title": "Zwei", "text": "Andere Länge.", "url": "v"},
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "c.parquet")
    ours = LocalIndex(tmp_path / "c.parquet").search("länge", 3)
    assert ours == LocalIndex(write(tmp_path / "c.jsonl", rows)).search("länge", 3) and len(ours) == 2


def test_the_index_is_built_once_and_again_when_the_corpus_changes(tmp_path: Path) -> None:
    corpus = write(tmp_path / "c.jsonl", ROWS)
    manifest = LocalIndex(corpus).folder / "manifest.json"
    built = manifest.stat().st_ino
    assert titles(LocalIndex(corpus), "born") == ["Goethe"] and manifest.stat().st_ino == built
    before = corpus.stat()
    changed = [{**ROWS[0], "title": "Fauxt"}, *ROWS[1:]]
    write(corpus, changed)  # as long as before, and as old
    os.utime(corpus, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert corpus.stat().st_size == before.st_size
    assert titles(LocalIndex(corpus), "fauxt") == ["Fauxt"]


def test_a_corpus_that_was_only_touched_is_not_indexed_again(tmp_path: Path) -> None:
    corpus = write(tmp_path / "c.jsonl", ROWS)
    offsets = LocalIndex(corpus).folder / "offsets.npy"
    built = offsets.stat().st_ino
    os.utime(corpus, (1, 1))
    LocalIndex(corpus)
    assert offsets.stat().st_ino == built


def test_the_rest_of_a_killed_build_does_no_harm(tmp_path: Path) -> None:
    corpus = write(tmp_path / "c.jsonl", ROWS)
    unfinished = tmp_path / "c.jsonl.bm25.building"
    unfinished.mkdir()
    (unfinished / "manifest.json").write_text("{")
    assert titles(LocalIndex(corpus), "play") == ["Faust"] and not unfinished.exists()


def test_a_folder_that_holds_other_files_is_left_as_it_is(tmp_path: Path) -> None:
    corpus = write(tmp_path / "c.jsonl", ROWS)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    for manifest in (None, "[]", '{"name": "an app of the web"}'):
        if manifest is not None:
            (mine / "manifest.json").write_text(manifest)
        with pytest.raises(SettingsError, match=r"mine holds other files \(.*thesis.tex\): name a folder"):
            LocalIndex(corpus, mine)
        assert (mine / "thesis.tex").read_text() == "years of work" and not (tmp_path / "mine.lock").exists()
    with pytest.raises(SettingsError, match="c.jsonl is no folder"):
        LocalIndex(corpus, corpus)
    assert corpus.is_file()


def test_files_that_came_to_lie_in_the_index_outlive_its_corpus(tmp_path: Path) -> None:
    corpus, folder = write(tmp_path / "c.jsonl", ROWS), tmp_path / "index"
    folder.mkdir()
    assert titles(LocalIndex(corpus, folder), "play") == ["Faust"]  # an empty folder may be filled
    (folder / "thesis.tex").write_text("years of work")
    assert titles(LocalIndex(corpus, folder), "play") == ["Faust"]
    write(corpus, ROWS[1:])
    with pytest.raises(SettingsError, match="holds other files"):
        LocalIndex(corpus, folder)
    (folder / "thesis.tex").unlink()
    assert titles(LocalIndex(corpus, folder), "play") == []
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["index"]


def test_processes_that_start_together_build_once(tmp_path: Path) -> None:
    corpus = tmp_path / "c.jsonl"
    write_corpus(corpus, 2000, 0)
    script = f"from pathlib import Path; from score.search.local_index import LocalIndex as L; L(Path({str(corpus)!r}))"
    trace = "import score.search.local_index as m; b = m._build; m._build = lambda *a: (print('built'), b(*a)); "
    started = [
        subprocess.Popen([sys.executable, "-c", trace + script], cwd=ROOT, stdout=subprocess.PIPE) for _ in range(4)
    ]
    said = [process.communicate()[0] for process in started]
    assert all(process.returncode == 0 for process in started) and b"".join(said) == b"built\n"


@pytest.mark.parametrize(
    "line, said",
    [('{"title": "x"}', "c.jsonl:2: a passage needs `text`"), ("{", "c.jsonl:2: not JSON"), ("[]", "c.jsonl:2: not a JSON object")],
)  # fmt: skip
def test_a_row_without_text_is_named(tmp_path: Path, line: str, said: str) -> None:
    corpus = tmp_path / "c.jsonl"
    corpus.write_text(json.dumps(ROWS[0]) + "\n" + line + "\n")
    with pytest.raises(DataError, match=said):
        LocalIndex(corpus)
    assert not (tmp_path / "c.jsonl.bm25").exists()


def test_a_corpus_that_is_missing_or_empty_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        LocalIndex(tmp_path / "c.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(DataError, match="holds no passage"):
        LocalIndex(tmp_path / "empty.jsonl")
    with pytest.raises(SettingsError, match="search.corpus"):
        SearchClient(SearchSettings(backend="local"))


def test_the_quick_selection_finds_what_a_full_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_corpus(tmp_path / "c.jsonl", 3000, 1)
    index = LocalIndex(tmp_path / "c.jsonl")
    plain = bm25s.BM25.load(index.folder, show_progress=False)
    monkeypatch.setattr(local_index, "SMALL", 0)
    for query in queries(200, 1):
        for count in (1, 3, 50):
            tokens = bm25s.tokenize(query, show_progress=False, return_ids=False)
            _, scores = plain.retrieve(tokens, k=count, show_progress=False)
            wanted = [round(float(score), 4) for score in scores[0] if score > 0]
            assert [result.score for result in index.search(query, count)] == wanted, query


def test_threads_find_what_one_finds(tmp_path: Path) -> None:
    write_corpus(tmp_path / "c.jsonl", 1000, 2)
    index, asked = LocalIndex(tmp_path / "c.jsonl"), queries(100, 2)
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda query: index.search(query, 3), asked)) == [index.search(q, 3) for q in asked]


def test_the_client_cuts_long_passages_to_what_fits_the_query(tmp_path: Path) -> None:
    text = "Filler is said here at length. " * 40 + "Goethe wrote Faust in Weimar. " + "More filler follows. " * 40
    client = SearchClient(
        SearchSettings(backend="local", corpus=write(tmp_path / "c.jsonl", [{"title": "Faust", "text": text}]), passage_chars=100)
    )  # fmt: skip
    (result,) = asyncio.run(client.search("Who wrote Faust in Weimar?")).results
    assert "Goethe wrote Faust in Weimar." in result.passage and len(result.passage) <= 100
