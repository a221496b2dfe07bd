"""Put benchmarks into `data/`, from the Hugging Face hub, in the task format: the converters then leave out of training
what overlaps with them, and inference reads them there.

    cd inference && python fetch.py --suite all
    cd inference && python fetch.py aime24 math500

A benchmark that lies there already stays as it is. One that cannot be had says how to get it; then the exit code is 3.
"""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from score import cli  # noqa: E402


def main() -> int:
    parser = cli.parser(__doc__ or "", "python fetch.py --suite qa", "inference_config.yaml")
    parser.add_argument("benchmarks", nargs="*", metavar="NAME", help="benchmarks, by name or YAML")
    parser.add_argument("--suite", choices=("math", "qa", "deepsearch", "all"), help="all benchmarks of a suite")
    options = parser.parse_args()
    if not options.benchmarks and not options.suite:
        parser.error("give names or --suite")

    from configuration import InferenceSettings
    from registry import find, suite
    from sources import load_benchmark, local_file, write_tasks

    from score.errors import DataError
    from score.settings import load_settings

    data = load_settings(InferenceSettings, options.config, options.set).data
    missing = False
    for benchmark in [*map(find, options.benchmarks), *(suite(options.suite) if options.suite else [])]:
        if (there := local_file(benchmark, data)) is not None:
            print(f"{benchmark.name}: {there} is there already")
            continue
        try:
            tasks, problems, source = load_benchmark(benchmark, data)
        except DataError as error:
            print(f"left out: {error}", file=sys.stderr)
            missing = True
            continue
        path = data / f"{benchmark.name}.jsonl"
        write_tasks(tasks, problems, source, path)
        print(f"{benchmark.name}: {len(tasks)} tasks of {source} in {path}")
    return 3 if missing else 0


if __name__ == "__main__":
    cli.run(main)
