"""The command line that the converters share: settings, what was left out, the report."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from format.settings import FormatSettings

from score import cli
from score.recorded import Recorded
from score.settings import load_settings

DEFAULT_CONFIG = "configs/format_config.yaml"
Select = Callable[[FormatSettings, Counter[str]], Iterator[Recorded]]
Said = Callable[[FormatSettings, Counter[str]], str]


def settings_from_command_line(section: Literal["bc", "sft", "rl"], description: str, example: str) -> FormatSettings:
    """`--config`, `--set`, and the shorthands `--input`, `--output`, `--seed` for the converter's own section."""
    parser = cli.parser(description, example, DEFAULT_CONFIG)
    parser.add_argument("--input", type=Path, help="trajectories (JSONL)")
    parser.add_argument("--output", type=Path, help="the file to write")
    parser.add_argument("--seed", type=int, help="decides which questions go to SFT and which to RL")
    options = parser.parse_args()
    overrides = [f"{section}.{name}={getattr(options, name)}" for name in ("input", "output") if getattr(options, name)]
    if options.seed is not None:
        overrides.append(f"seed={options.seed}")
    return load_settings(FormatSettings, options.config, [*options.set, *overrides])


def report(title: str, counts: Counter[str]) -> None:
    print(
        f"{title}: " + ", ".join(f"{what} {count}" for what, count in sorted(counts.items(), key=lambda item: -item[1]))
    )


def convert(
    section: Literal["bc", "sft"], select: Select, description: str, example: str, said: Said | None = None
) -> None:
    """Run one of the two converters to LLaMA-Factory; exit code 3 if lines of the input could not be read. `said` gives
    a line of its own for the report."""

    def main() -> int:
        settings = settings_from_command_line(section, description, example)
        from format import llamafactory
        from format.contaminated import ContaminationFilter

        from score.manifest import write_manifest

        own = settings.bc if section == "bc" else settings.sft
        counts: Counter[str] = Counter()
        contamination = ContaminationFilter(settings, own.output, counts)
        with contamination as clean:
            lengths = llamafactory.write(filter(clean, select(settings, counts)), own, settings.dataset_info, counts)
        tokens = {"tokens": lengths.summary()} if lengths else {}
        write_manifest(own.output, settings, counts | tokens, inputs=[own.input, *contamination.files])
        report(f"{own.output} (dataset {own.dataset!r})", counts)
        if said is not None:
            print(said(settings, counts))
        print(contamination.said())
        if lengths:
            print(lengths.report())
        return 3 if counts["unreadable lines"] else 0

    cli.run(main)
