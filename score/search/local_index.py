"""BM25 over a corpus on this machine: an index built once beside the corpus and memory-mapped from then on.

`CORPUS.bm25/` holds bm25s's own files, `offsets.npy` (where each passage begins in the JSONL) and `manifest.json`,
which says which corpus was indexed: a corpus that has changed is indexed again. A folder that holds anything else is
never written over. Processes that start together build
once: one holds the lock, the others wait for it. Passages are read from the corpus when they are asked for, so that a
search process holds little more than the vocabulary; the postings are shared by all processes through the page cache.
"""

import hashlib
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from score.errors import DataError, SettingsError
from score.progress import ProgressLine
from score.search.corpus import Passages, lines_of, parquet_to_jsonl, read_line
from score.search.results import Result
from score.search.tokens import asked_for, countable_passage
from score.whole_file import write_whole

FORMAT = 2  # of our own files in the folder, and of the words in the index (tokens.py)
PROGRESS_FROM_BYTES = 20_000_000
SMALL = 20_000  # passages: up to here bm25s's own selection is quick enough
MANIFEST, OFFSETS, COPY = "manifest.json", "offsets.npy", "passages.jsonl"
BM25S_FILES = "*.index.*"


def index_folder(corpus: Path, folder: Path | None = None) -> Path:
    return folder if folder is not None else corpus.with_name(corpus.name + ".bm25")


def _file_state(path: Path) -> dict[str, int]:
    """What changes whenever a file is written. The inode's own time is among it: that one cannot be set back."""
    state = path.stat()
    return {"size": state.st_size, "mtime_ns": state.st_mtime_ns, "ctime_ns": state.st_ctime_ns}


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of an index of ours, of whatever version; None where there is none."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and {"format", "bm25s", "corpus"} <= found.keys() else None


def _refuse_other_files(folder: Path) -> None:
    """Raises `SettingsError` for a folder that building would empty of more than an index of ours."""
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir():
        raise SettingsError(f"search.index: {folder} is no folder: name a folder of the index's own")
    held = list(folder.iterdir())
    own = {MANIFEST, OFFSETS, COPY} if _manifest(folder) else set()
    others = sorted(path.name for path in held if path.name not in own and not (own and path.match(BM25S_FILES)))
    if others:
        listed = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        raise SettingsError(f"search.index: {folder} holds other files ({listed}): name a folder of the index's own")


def _is_of(folder: Path, corpus: Path) -> bool:
    """Is the index in `folder` that of `corpus`, and of our versions? A file that was only touched or copied is
    recognised by its hash."""
    from bm25s import __version__

    manifest = _manifest(folder)
    if manifest is None or manifest["format"] != FORMAT or manifest["bm25s"] != __version__:
        return False
    if manifest["state"] == (state := _file_state(corpus)):
        return True
    if manifest["state"]["size"] != state["size"] or manifest["sha256"] != _sha256(corpus):
        return False
    try:
        _write_manifest(folder, manifest | {"state": state})  # so that the next start need not hash again
    except OSError:
        pass  # a read-only folder: it is hashed every time
    return True


def _write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    write_whole(folder / MANIFEST, json.dumps(manifest, indent=1), shared=True)


def _build(corpus: Path, folder: Path) -> None:
    """Index the corpus into `folder` in one step: until it is finished, the folder is as it was. Raises `DataError` for
    a row without text."""
    import bm25s
    import numpy

    began, state = time.monotonic(), _file_state(corpus)
    building = folder.with_name(folder.name + ".building")
    shutil.rmtree(building, ignore_errors=True)  # of a build that was killed: we hold the lock
    building.mkdir(parents=True)
    source = corpus
    if corpus.suffix == ".parquet":
        source = building / COPY
        parquet_to_jsonl(corpus, source)
    size, offsets = source.stat().st_size, []
    line = ProgressLine(f"reading {corpus.name} (MB)", size // 10**6) if size > PROGRESS_FROM_BYTES else None

    def texts() -> Iterator[str]:
        for number, offset, row in lines_of(source):
            passage = read_line(row, f"{source}:{number}")
            offsets.append(offset)
            if line is not None:
                line.update(offset // 10**6)
            yield countable_passage(passage["title"], passage["text"])

    tokens = bm25s.tokenize(texts(), show_progress=False)
    if not offsets:
        raise DataError(f"{corpus} holds no passage")
    if line is not None:
        line.update(size // 10**6)
        line.close()
        print(f"scoring {len(offsets)} passages (once for this corpus) ...", file=sys.stderr, flush=True)
    index = bm25s.BM25()
    index.index(tokens, show_progress=False)
    index.save(building, show_progress=False)
    numpy.save(building / OFFSETS, numpy.array([*offsets, size], dtype=numpy.int64))
    manifest = {
        "format": FORMAT,
        "bm25s": bm25s.__version__,
        "corpus": corpus.name,
        "state": state,
        "sha256": _sha256(corpus),
        "passages": len(offsets),
        "build_s": round(time.monotonic() - began, 1),
    }
    if _file_state(corpus) != state:
        raise DataError(f"{corpus} was changed while it was indexed: start again when it is complete")
    _write_manifest(building, manifest)
    # Away in one step as well: what is left of an index half deleted would be a folder of other files.
    outdated = folder.with_name(folder.name + ".outdated")
    shutil.rmtree(outdated, ignore_errors=True)
    if folder.exists():
        os.replace(folder, outdated)
    os.replace(building, folder)
    shutil.rmtree(outdated, ignore_errors=True)


def ensure_index(corpus: Path, folder: Path | None = None) -> Path:
    """The folder of the corpus's index, built where it is missing or of another corpus. Raises `SettingsError` for a
    corpus that does not exist or a folder that holds other files, `DataError` for a corpus that cannot be indexed."""
    if not corpus.is_file():
        raise SettingsError(f"search.corpus: {corpus} does not exist (looked from {Path.cwd()})")
    folder = index_folder(corpus, folder)
    if _is_of(folder, corpus):
        return folder
    try:
        _refuse_other_files(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not _is_of(folder, corpus):  # another process may have built it meanwhile
                _build(corpus, folder)
    except OSError as error:
        raise SettingsError(
            f"the index of {corpus} cannot be written to {folder} ({error}): "
            "set search.index to a folder that can be written, with room for it"
        ) from None
    return folder


class LocalIndex:
    """A corpus's index, ready to be searched from many threads at once. Raises as `ensure_index`."""

    def __init__(self, corpus: Path, folder: Path | None = None):
        import bm25s
        import numpy

        logging.getLogger("bm25s").setLevel(logging.WARNING)  # it reports every index at DEBUG
        self.folder = ensure_index(corpus, folder)
        self._numpy = numpy
        self._index = bm25s.BM25.load(self.folder, mmap=True, show_progress=False)
        # Plain views of the maps: a memmap makes an object of its own of every slice.
        self._index.scores |= {name: numpy.asarray(self._index.scores[name]) for name in ("data", "indices", "indptr")}
        copied = self.folder / COPY
        offsets = numpy.load(self.folder / OFFSETS, mmap_mode="r")
        self.passages = Passages(copied if copied.is_file() else corpus, offsets)

    def search(self, query: str, count: int) -> list[Result]:
        """The best passages, best first; those that share no word with the query are left out."""
        tokens = asked_for(query)
        ids = self._index.get_tokens_ids(tokens)
        if not ids:
            return []
        if len(self.passages) <= SMALL:
            # The order of equals is bm25s's here, which the miniature's published tables were made with.
            found, scored = self._index.retrieve([tokens], k=min(count, len(self.passages)), show_progress=False)
            best = [(int(number), float(score)) for number, score in zip(found[0], scored[0], strict=True) if score > 0]
        else:
            scores = self._index.get_scores_from_ids(ids)
            best = [(int(number), float(scores[number])) for number in self._best(scores, ids, count)]
        results = []
        for rank, (number, score) in enumerate(best, 1):
            passage = self.passages[number]
            results.append(Result(rank, passage["url"], passage["title"], passage["text"], round(score, 4)))
        return results

    def _best(self, scores: Any, ids: list[int], count: int) -> Any:
        """The numbers of the `count` best of `scores` (one a passage, float32), of equals the first in the corpus.

        The passages that hold the query's rarest word of at least `count` passages already give a bound that the
        last of the best cannot fall below: only those above it have to be sorted, not the whole corpus.
        """
        starts, indices = self._index.scores["indptr"], self._index.scores["indices"]
        lists = sorted((int(starts[word + 1] - starts[word]), int(starts[word])) for word in set(ids))
        bound = 0.0
        for length, start in lists:
            if length >= count:
                sample = scores[indices[start : start + length]]
                bound = float(self._numpy.partition(sample, length - count)[length - count])
                break
        above = self._numpy.flatnonzero(scores >= bound if bound > 0 else scores > 0)
        return above[self._numpy.argsort(-scores[above], kind="stable")[:count]]
