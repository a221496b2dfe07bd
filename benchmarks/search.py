"""How quickly the local index is built, started and searched, beside bm25s used plainly.

    python benchmarks/search.py [--passages 1000000] [--folder DIR] [--json FILE]

Generates a corpus (search_corpus.py: Zipf-like words from a seed, 100 a passage) in a temporary folder, which is
deleted afterwards. Plain bm25s holds index and passages in memory and selects the best with its own `retrieve`; the
ratio is of the time that both take for the same queries in this run. "From disk": the pages of the files are given
back to the system first; the time is that of a whole `python` process, from its start to its first answer.
"""

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import bm25s
import httpx
import numpy
from rich.console import Console
from rich.table import Table
from search_corpus import queries, write_corpus

from score.search import SearchClient, SearchSettings
from score.search.local_index import LocalIndex, index_folder

ROOT = Path(__file__).resolve().parents[1]
CONCURRENT = 16
NAIVE_QUERIES = 200
TARGETS = {  # (limit, is it a lower one?)
    "build_s": (900.0, False),
    "build_peak_gb": (8.0, False),
    "start_from_disk_s": (3.0, False),
    "query_median_ms": (20.0, False),
    "queries_per_s": (150.0, True),
    "served_queries_per_s": (150.0, True),
}
_FIRST_ANSWER = """
import sys
from pathlib import Path
from score.search.local_index import LocalIndex
assert LocalIndex(Path(sys.argv[1])).search(sys.argv[2], 3)
"""


def run_and_measure(*arguments: str) -> tuple[float, float]:
    """Wall seconds and peak memory in GB of a python process. Raises where it fails."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"python {' '.join(arguments[:2])} ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - began, used.ru_maxrss / 1e6


def forget_pages(corpus: Path) -> None:
    """Let the system drop what it holds of the corpus and its index in memory."""
    for path in [corpus, *index_folder(corpus).iterdir()]:
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def one_by_one(index: LocalIndex, asked: list[str]) -> list[float]:
    """Milliseconds of each query."""
    times = []
    for query in asked:
        began = time.perf_counter()
        index.search(query, 3)
        times.append(1000 * (time.perf_counter() - began))
    return times


async def many_at_once(search: Any, asked: list[str]) -> float:
    """Queries per second with `CONCURRENT` under way."""
    waiting = iter(asked)

    async def worker() -> None:
        for query in waiting:
            await search(query)

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(CONCURRENT)))
    return len(asked) / (time.perf_counter() - began)


async def through_client(corpus: Path, asked: list[str]) -> float:
    client = SearchClient(SearchSettings(backend="local", corpus=corpus))
    return await many_at_once(client.search, asked)


def through_server(corpus: Path, asked: list[str]) -> float:
    """Queries per second over POST /retrieve, one query a request; the asking process shares the machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["-m", "score.search", "serve", "--corpus", str(corpus), "--port", str(port)]
    server = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        return asyncio.run(ask_server(server, f"http://127.0.0.1:{port}", asked))
    finally:
        server.terminate()
        server.wait()


async def ask_server(server: subprocess.Popen[bytes], address: str, asked: list[str]) -> float:
    async with httpx.AsyncClient(base_url=address, timeout=60) as http:
        while True:
            try:
                await http.get("/health")
                break
            except httpx.TransportError:
                if server.poll() is not None:
                    raise RuntimeError(f"the server ended with {server.returncode}") from None
                await asyncio.sleep(0.1)

        async def search(query: str) -> None:
            body = {"queries": [query], "topk": 3, "return_scores": True}
            (await http.post("/retrieve", json=body)).raise_for_status()

        return await many_at_once(search, asked)


def plain_bm25s(corpus: Path, asked: list[str]) -> dict[str, float]:
    """Everything in memory: seconds to load, and the mean, median and 95th percentile of a query in milliseconds."""
    began = time.perf_counter()
    index = bm25s.BM25.load(index_folder(corpus), mmap=False, show_progress=False)
    with open(corpus, encoding="utf-8") as lines:
        passages = [json.loads(line) for line in lines]
    loaded, times = time.perf_counter() - began, []
    for query in asked:
        began = time.perf_counter()
        tokens = bm25s.tokenize(query, show_progress=False, return_ids=False)
        found, _ = index.retrieve(tokens, k=3, show_progress=False)
        _ = [passages[number] for number in found[0]]
        times.append(1000 * (time.perf_counter() - began))
    return {
        "plain_load_s": loaded,
        "plain_query_mean_ms": float(numpy.mean(times)),
        "plain_query_median_ms": float(numpy.percentile(times, 50)),
        "plain_query_p95_ms": float(numpy.percentile(times, 95)),
    }


def measure(corpus: Path, passages: int, seed: int) -> dict[str, float]:
    began = time.perf_counter()
    write_corpus(corpus, passages, seed)
    figures = {"passages": float(passages), "corpus_mb": corpus.stat().st_size / 1e6}
    print(f"generated in {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    figures["build_s"], figures["build_peak_gb"] = run_and_measure(
        "-m", "score.search", "index", "--corpus", str(corpus)
    )
    figures["index_mb"] = sum(path.stat().st_size for path in index_folder(corpus).iterdir()) / 1e6
    asked = queries(1000, seed)
    forget_pages(corpus)
    figures["start_from_disk_s"], figures["search_peak_gb"] = run_and_measure(
        "-c", _FIRST_ANSWER, str(corpus), asked[0]
    )
    index = LocalIndex(corpus)
    one_by_one(index, asked[:100])  # the pages of the commonest words
    times = one_by_one(index, asked)
    figures["query_median_ms"] = float(numpy.percentile(times, 50))
    figures["query_p95_ms"] = float(numpy.percentile(times, 95))
    figures["queries_per_s"] = asyncio.run(through_client(corpus, asked))
    figures["served_queries_per_s"] = through_server(corpus, asked)
    same = asked[:NAIVE_QUERIES]
    figures["same_query_mean_ms"] = float(numpy.mean(one_by_one(index, same)))
    figures |= plain_bm25s(corpus, same)
    figures["times_quicker_than_plain"] = figures["plain_query_mean_ms"] / figures["same_query_mean_ms"]
    return figures


def show(figures: dict[str, float]) -> bool:
    """Print the table; are all targets met?"""
    table = Table("figure", "value", "target", "met")
    met = True
    for name, value in figures.items():
        limit, lower = TARGETS.get(name, (None, False))
        holds = limit is None or (value >= limit if lower else value <= limit)
        met &= holds
        target = "" if limit is None else f"{'>=' if lower else '<='} {limit:g}"
        table.add_row(name, f"{value:.2f}", target, "" if limit is None else "yes" if holds else "NO")
    Console().print(table)
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to put the corpus (3 GB); default: the system's temporary")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="score-search-", dir=options.folder))
    try:
        figures = measure(folder / "corpus.jsonl", options.passages, options.seed)
    finally:
        shutil.rmtree(folder)
    figures["load_average"] = os.getloadavg()[0]
    met = show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
