"""`python -m score.answers FILE.jsonl`: a line for each row, in order, whatever the rows hold."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "score.answers", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_each_row_gives_its_line_in_order(tmp_path: Path) -> None:
    rows = [
        {"reference": "x^2+1", "answer": "1+x^2"},
        {"reference": ["NYC", "New York"], "answer": "the new york"},
        {"question": "Which is even? (A) 3 (B) 4", "reference": "B", "answer": "4"},
        {"reference": 8, "answer": 9},
        {"reference": "Berlin", "answer": "Paris"},
        {"reference": "4", "answer": None},
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + "\n")
    ran = run(str(file))
    assert ran.returncode == 0, ran.stderr
    assert [json.loads(line) for line in ran.stdout.splitlines()] == [
        {"equal": True, "by": "math-verify"},
        {"equal": True, "by": "text"},
        {"equal": True, "by": "choice"},
        {"equal": False, "by": "number"},
        {"equal": None, "by": "undecided"},
        {"equal": False, "by": "empty"},
    ]


def test_a_malformed_line_is_named_and_keeps_its_place(tmp_path: Path) -> None:
    good = json.dumps({"reference": "1/2", "answer": "0.5"}).encode()
    bad = [b"{", b'"text"', b'{"reference": "4"}', b'{"reference": [], "answer": "4"}', b"\xff\xfe", b"[" * 100_000]
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"\n".join([good, *bad, good]) + b"\n")
    ran = run(str(file))
    assert ran.returncode == 3
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert lines == [{"equal": True, "by": "number"}, *[{"equal": None, "by": "malformed"}] * 6, lines[0]]
    assert [f"{file}:{number}:" in ran.stderr for number in range(1, 9)] == [False, *[True] * 6, False]


def test_a_missing_file_is_wrong_input() -> None:
    ran = run("nowhere.jsonl")
    assert ran.returncode == 2 and "nowhere.jsonl does not exist" in ran.stderr


def test_help_shows_an_example() -> None:
    assert "python -m score.answers answers.jsonl" in run("--help").stdout
