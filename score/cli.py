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
