"""What every script's command line has: `--config`, `--set`, `--help` with an example; errors without a stack."""

import argparse
import logging
import sys
from collections.abc import Callable

from score.errors import ScoreError


def parser(description: str, example: str, default_config: str | None) -> argparse.ArgumentParser:
    """A parser with the common options; `default_config` is the script's config for real models."""
    made = argparse.ArgumentParser(
        description=description, epilog=f"example:\n  {example}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if default_config is not None:
        made.add_argument("--config", default=default_config, help=f"settings (YAML); default: {default_config}")
        made.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE", help="override one setting; may be repeated"
        )
    return made


def add_run_options(made: argparse.ArgumentParser) -> None:
    """The options of scripts that work on many tasks (`score.run`)."""
    made.add_argument("--limit", type=int, metavar="N", help="only the first N tasks")
    made.add_argument("--samples", type=int, metavar="K", help="work on each task K times")
    made.add_argument("--shard", metavar="I/N", help="only the I-th of N parts; merge them with python -m score.shards")
    made.add_argument(
        "--dry-run", type=int, nargs="?", const=8, metavar="N",
        help="check everything, try N tasks (default 8) into a temporary file, estimate the cost; write nothing",
    )  # fmt: skip
    made.add_argument(
        "--accept-changes", action="store_true", help="go on although model, prompts, settings or tasks changed since"
    )
    made.add_argument("--ray", metavar="ADDRESS", help="run shards as tasks of this Ray cluster (`local` starts one)")
    made.add_argument("--ray-shards", type=int, metavar="N", help="number of shards (default: the cluster's nodes)")


def overrides(options: argparse.Namespace) -> list[str]:
    """What `--set` and the options above say, as `key=value` texts."""
    named = {name: getattr(options, name) for name in ("limit", "samples", "shard")}
    return [*options.set, *(f"{name}={value}" for name, value in named.items() if value is not None)]


def run(main: Callable[[], int]) -> None:
    """Run a script's main: a `ScoreError` is printed as one message (exit 2), Ctrl-C ends with 130."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        code = main()
    except ScoreError as error:
        print(f"error ({error.kind}): {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("interrupted: what was finished is kept; run the same command again to go on", file=sys.stderr)
        code = 130
    sys.exit(code)
