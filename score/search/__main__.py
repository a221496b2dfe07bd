"""Search from the command line, build a local index, or serve one: `python -m score.search query|index|serve`."""

import argparse
import asyncio
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from score import cli
from score.errors import SettingsError, ToolError

if TYPE_CHECKING:
    from score.search.settings import SearchSettings

FOUND, FAILED = 0, 1

_ABOUT = """Search as the phases do.

  query "..."   what `web_search` finds, with a local corpus or any back end: exit code 0 also where nothing was found,
                1 where the search failed (then stderr, and with --json stdout, say why), 2 for wrong settings
  index         build the index of a corpus now instead of at the first search
  serve         serve a corpus over Search-R1's protocol: POST /retrieve

A corpus is JSONL or parquet with `title`, `text` and `url`, or with `contents` as Search-R1 has them."""


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m score.search", description=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.epilog = 'example:\n  python -m score.search query "Who wrote Faust?" --set backend=wikipedia --json'
    commands = made.add_subparsers(dest="command", required=True)
    query = commands.add_parser("query", help="search once")
    query.add_argument("query")
    query.add_argument("--json", action="store_true", help="one JSON object instead of text")
    query.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of `search:`")
    query.add_argument("--results", type=int, default=3)
    index = commands.add_parser("index", help="build a corpus's index")
    serve = commands.add_parser("serve", help="serve a corpus over POST /retrieve")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8000)
    serve.add_argument("--topk", type=int, default=3, help="for requests that do not say it")
    for command in (query, index, serve):
        command.add_argument("--corpus", type=Path, required=command is not query, help="JSONL or parquet")
        command.add_argument("--index", type=Path, help="the index's folder; default: CORPUS.bm25")
    return made


def _settings(options: argparse.Namespace) -> "SearchSettings":
    from pydantic import ValidationError

    from score.search.settings import SearchSettings
    from score.settings import merge, value_of
    from score.tasks import problem_in

    values: dict[str, Any] = {"results": options.results}
    if options.corpus is not None:
        values |= {"backend": "local", "corpus": options.corpus, "index": options.index}
    for setting in options.set:
        key, separator, text = setting.partition("=")
        if not separator:
            raise SettingsError(f"--set {setting!r}: expected key=value, for example --set backend=wikipedia")
        over: Any = value_of(text) if text else None
        for part in reversed(key.strip().split(".")):
            over = {part: over}
        values = merge(values, over)
    if values.get("backend") is None:
        raise SettingsError("what to search with? give --corpus FILE, or --set backend=NAME")
    try:
        return SearchSettings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(f"search.{problem_in(error)}") from None


async def _query(options: argparse.Namespace) -> int:
    from score.search.client import SearchClient

    client = SearchClient(_settings(options))
    try:
        found = await client.search(options.query)
    except ToolError as error:
        if options.json:
            print(json.dumps({"query": options.query, "outcome": "failed", "error": str(error), "results": []}))
        print(f"the search failed: {error}", file=sys.stderr)
        return FAILED
    finally:
        await client.close()
    if options.json:
        outcome = "nothing found" if found.nothing else "results"
        rows = [asdict(result) for result in found.results]
        print(json.dumps({"query": found.query, "outcome": outcome, "results": rows}, ensure_ascii=False))
    else:
        print(found.text())
    return FOUND


def _serve(options: argparse.Namespace) -> int:
    import uvicorn

    from score.search.local_index import LocalIndex
    from score.search.server import create_app

    began = time.monotonic()
    index = LocalIndex(options.corpus, options.index)
    seconds = time.monotonic() - began
    print(
        f"{len(index.passages)} passages of {options.corpus} ready after {seconds:.1f} s: "
        f"http://{options.host}:{options.port}/retrieve",
        file=sys.stderr,
        flush=True,
    )
    uvicorn.run(create_app(index, options.topk), host=options.host, port=options.port, log_level="warning")
    return FOUND


def main() -> int:
    options = _parser().parse_args()
    if options.command == "query":
        return asyncio.run(_query(options))
    if options.command == "serve":
        return _serve(options)
    from score.search.local_index import LocalIndex

    index = LocalIndex(options.corpus, options.index)
    print(f"{index.folder}: {len(index.passages)} passages")
    return FOUND


if __name__ == "__main__":
    cli.run(main)
