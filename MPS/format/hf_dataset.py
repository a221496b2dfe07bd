"""The converters' outputs as a Hugging Face dataset folder: parquet and a generated card, ready for `push_to_hub`.

    cd MPS && python format/hf_dataset.py --output output/hub --license apache-2.0

One subset for each output that exists (bc, sft, rl). Nothing is sent anywhere: look at the card, then

    hf upload-large-folder YOU/NAME output/hub --repo-type dataset

The card says how each subset was made, from the manifests beside the files: counts, seed and shares, the models'
names, the input's hash. Addresses, key variables and paths of this machine are left out of it.
"""

import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]

from format.convert import DEFAULT_CONFIG  # noqa: E402
from format.settings import FormatSettings  # noqa: E402

from score import cli  # noqa: E402
from score.errors import DataError  # noqa: E402
from score.json_stream import read_json_array  # noqa: E402
from score.settings import load_settings  # noqa: E402

ROWS_PER_FILE = 200_000
ROWS_AT_ONCE = 2_000
WHAT = {
    "bc": "correct trajectories of the teacher alone, for behaviour cloning (ShareGPT turns)",
    "sft": "mentored trajectories that ended correct, for fine-tuning (ShareGPT turns)",
    "rl": "prompts that end before a first critical error, with the teacher's and the student's step, for RL",
}


def schema_of(subset: str) -> Any:
    import pyarrow as pa

    text = pa.string()
    if subset != "rl":
        return pa.schema([("conversations", pa.list_(pa.struct([("from", text), ("value", text)])))])
    names = ("chosen", "chosen_observation", "rejected", "rejected_observation")
    return pa.schema(
        [
            ("id", text),
            ("prompt", pa.list_(pa.struct([("role", text), ("content", text)]))),
            *[(name, text) for name in names],
            ("correct_step", pa.int64()),
            ("gt_answer", pa.list_(text)),
        ]
    )


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of an output; an accepted answer is always a list, since a column has one type."""
    for _, row in read_json_array(path):
        if isinstance(row.get("gt_answer"), str):
            row["gt_answer"] = [row["gt_answer"]]
        yield row


def write_subset(subset: str, source: Path, folder: Path) -> int:
    """Write `<folder>/<subset>/*.parquet`; returns the number of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema, stream = schema_of(subset), rows(source)
    (folder / subset).mkdir(parents=True, exist_ok=True)
    for old in (folder / subset).glob("*.parquet"):
        old.unlink()
    total = number = 0
    while batch := list(islice(stream, ROWS_AT_ONCE)):
        with pq.ParquetWriter(folder / subset / f"train-{number:05}.parquet", schema) as writer:
            written = 0
            while batch:
                try:
                    writer.write_batch(pa.RecordBatch.from_pylist(batch, schema))
                except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                    raise DataError(f"{source}: rows {total + 1} to {total + len(batch)}: {error}") from None
                total, written = total + len(batch), written + len(batch)
                batch = list(islice(stream, ROWS_AT_ONCE)) if written < ROWS_PER_FILE else []
        number += 1
    return total


def manifest_of(path: Path) -> dict[str, Any]:
    """The manifest beside a file, or nothing."""
    beside = Path(f"{path}.manifest.json")
    found: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
    return found


CHOSEN = {  # the settings that decided what is in a subset
    "bc": ("seed",),
    "sft": ("seed", "sft_share", "sft.self_solved_kept"),
    "rl": ("seed", "sft_share", "rl.hard_kept", "rl.easy_kept", "rl.key_steps"),
}
ROLES = {"bc": ("teacher", "judge"), "sft": ("student", "teacher", "judge"), "rl": ("student", "teacher", "judge")}


def section(subset: str, source: Path, count: int) -> str:
    """What the card says of one subset."""
    made = manifest_of(source)
    used = made.get("settings", {})
    own = used.get(subset, {})
    endpoints = manifest_of(Path(own.get("input", ""))).get("settings", {}).get("endpoints", {})
    models = [f"{role} {endpoints[role]['model']}" for role in ROLES[subset] if role in endpoints]
    chosen = [f"{key} {value_in(used, key)}" for key in CHOSEN[subset] if value_in(used, key) is not None]
    counts = [f"{what} {number}" for what, number in made.get("counts", {}).items() if isinstance(number, int)]
    lines = [
        f"### {subset}",
        "",
        f"{count} rows: {WHAT[subset]}.",
        "",
        f"- settings: {', '.join(chosen) or 'not known, the file has no manifest'}",
        f"- counts: {', '.join(counts) or 'not known, the file has no manifest'}",
        f"- models: {', '.join(models) or 'not known, the trajectories have no manifest'}",
        *[f"- made from {Path(name).name}, SHA-256 {digest}" for name, digest in made.get("inputs", {}).items()],
        f"- made with score-toolkit at git {made.get('git', 'unknown')}, {made.get('written', 'at an unknown time')}",
    ]
    return "\n".join(lines)


def value_in(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def card(counts: dict[str, int], sources: dict[str, Path], settings: FormatSettings) -> str:
    """The README.md of the folder; its head is what the hub and `load_dataset` read."""
    import yaml

    head = {
        "license": settings.hub.license,
        "language": ["en"],
        "task_categories": ["text-generation"],
        "tags": ["agent", "code-as-action", "distillation", "score"],
        "pretty_name": settings.hub.title,
        "configs": [
            {"config_name": subset, "data_files": [{"split": "train", "path": f"{subset}/*.parquet"}]}
            for subset in counts
        ],
    }
    sections = [section(subset, sources[subset], count) for subset, count in counts.items()]
    return "\n".join(
        [
            "---",
            yaml.safe_dump(head, sort_keys=False).rstrip(),
            "---",
            "",
            f"# {settings.hub.title}",
            "",
            settings.hub.description,
            "",
            "SCoRe (arXiv 2509.14257) distils agents by correcting a student's first critical error.",
            "The questions come from the data sets that the task files were built from; their licences apply too.",
            "",
            "\n\n".join(sections),
            "",
        ]
    )


def main() -> int:
    example = "cd MPS && python format/hf_dataset.py --output output/hub --license apache-2.0"
    parser = cli.parser(__doc__ or "", example, DEFAULT_CONFIG)
    parser.add_argument("--output", help="the folder to write")
    parser.add_argument("--license", help="the hub's name of a licence, for example apache-2.0 or cc-by-4.0")
    options = parser.parse_args()
    given = {"hub.folder": options.output, "hub.license": options.license}
    overrides = [f"{key}={value}" for key, value in given.items() if value is not None]
    settings = load_settings(FormatSettings, options.config, [*options.set, *overrides])
    outputs = {"bc": settings.bc.output, "sft": settings.sft.output, "rl": settings.rl.output}
    sources = {subset: path for subset, path in outputs.items() if path.is_file()}
    if not sources:
        raise DataError(f"none of {', '.join(map(str, outputs.values()))} exists: run the converters first")
    folder = settings.hub.folder
    counts = {subset: write_subset(subset, path, folder) for subset, path in sources.items()}
    (folder / "README.md").write_text(card(counts, sources, settings), encoding="utf-8")
    print(f"{folder}: " + ", ".join(f"{subset} {count}" for subset, count in counts.items()))
    if settings.hub.license == "other":
        print("no licence was chosen: set hub.license (or --license) before this is shared")
    return 0


if __name__ == "__main__":
    cli.run(main)
