"""A few tasks through the benchmark of evaluation: every part runs, and the whole is what `inference_api.py` writes."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_benchmark_of_evaluation_measures_every_part(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "benchmarks/evaluation.py", "--tasks", "4", "--rounds", "1", "--json", f"{tmp_path}/r.json"],
        cwd=ROOT, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "answered 4" in ran.stderr and "in the time of the whole: interpreter alone" in ran.stdout
    parts = json.loads((tmp_path / "r.json").read_text())["parts"]
    assert list(parts) == ["whole", "interpreter alone", "calls alone", "chat", "scoring"]
    assert all(part["seconds"] > 0 for part in parts.values())
