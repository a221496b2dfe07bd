"""The script `small_run.py` as a process on forty tasks, for tests of what all such scripts share."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from tests.moody_server import MoodyServer

SCRIPT = Path(__file__).with_name("score") / "small_run.py"
TASKS = 40
ALL = sorted((f"t{number}", 0) for number in range(TASKS))


class Runs:
    """A folder with tasks and settings, and the command on it."""

    def __init__(self, folder: Path, server: MoodyServer):
        self.folder, self.server, self.output = folder, server, folder / "out.jsonl"
        tasks = [{"id": f"t{number}", "question": f"{number}?", "true_answer": "yes"} for number in range(TASKS)]
        (folder / "tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks))
        endpoint = {"base_url": server.address, "model": "m", "attempts": 2, "give_up_after_s": 1}
        settings: dict[str, Any] = {
            "tasks": str(folder / "tasks.jsonl"), "output": str(self.output), "concurrency": 8,
            "endpoints": {"student": endpoint},
        }  # fmt: skip
        (folder / "small.yaml").write_text(yaml.safe_dump(settings))

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(SCRIPT), "--config", str(self.folder / "small.yaml"), *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*arguments), cwd=self.folder, capture_output=True, text=True, timeout=100)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """In a process group of its own, as a shell starts it: Ctrl-C reaches every process of it."""
        return subprocess.Popen(
            self.command(*arguments), cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip

    def wait_for_rows(self, number: int) -> None:
        deadline = time.monotonic() + 60
        while not (self.output.is_file() and self.output.read_bytes().count(b"\n") >= number):
            assert time.monotonic() < deadline, "no rows"
            time.sleep(0.01)

    def units(self, path: Path | None = None) -> list[tuple[str, int]]:
        rows = [json.loads(line) for line in (path or self.output).read_text().splitlines()]
        return sorted((row["id"], row.get("sample", 0)) for row in rows)

    def beside(self, name: str) -> Any:
        return json.loads(Path(f"{self.output}.{name}.json").read_text())
