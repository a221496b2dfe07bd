"""The result file: nothing lost, nothing doubled, whatever happens to the process that writes it."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from score.errors import DataError, ProviderError, ScoreError, ToolError
from score.journal import Journal
from score.runner import Watch, run_tasks
from score.tasks import Task

TASKS = [Task(id=str(number), question=f"{number}?", true_answer="1") for number in range(200)]


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


async def answer(task: Task, sample: int) -> dict[str, Any]:
    await asyncio.sleep(0.001)
    return {"id": task.id}


def run(path: Path, work: Any = answer, concurrency: int = 8) -> Any:
    async def main() -> Any:
        with Journal(path) as journal:
            return await run_tasks(TASKS, work, journal, concurrency=concurrency, label="test")

    return asyncio.run(main())


def test_every_task_is_written_once(tmp_path: Path) -> None:
    summary = run(tmp_path / "out.jsonl")
    assert sorted(ids(tmp_path / "out.jsonl")) == sorted(task.id for task in TASKS)
    assert (summary.done, summary.skipped, summary.failures) == (200, 0, 0)
    assert run(tmp_path / "out.jsonl").skipped == 200


def test_a_killed_run_resumes_without_repeating_or_losing_a_task(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    program = f"import sys; sys.path[:0] = {sys.path!r}\nfrom pathlib import Path\nimport test_journal\ntest_journal.run(Path({str(out)!r}))"
    for seconds in (0.9, 1.0, 1.1):
        running = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parent)
        time.sleep(seconds)
        running.send_signal(signal.SIGKILL)
        running.wait()
    run(out)
    assert sorted(ids(out)) == sorted(task.id for task in TASKS)


def test_a_run_leaves_the_same_file_whichever_task_ended_first(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text('{"id": "of an older task file"}\n{"id": "150"}\n')

    async def the_first_ends_last(task: Task, sample: int) -> dict[str, Any]:
        await asyncio.sleep(0.01 - int(task.id) % 10 * 0.001)
        return {"id": task.id}

    run(out, the_first_ends_last, concurrency=10)
    assert ids(out) == [*(task.id for task in TASKS), "of an older task file"]
    assert run(out).skipped == 200
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl"]


def test_a_torn_last_line_is_healed(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text('{"id": "0"}\n{"id": "1"}\n{"id": "2", "text": "torn')
    run(out)
    assert sorted(ids(out)) == sorted(task.id for task in TASKS)


def test_a_second_writer_is_refused_with_the_holder(tmp_path: Path) -> None:
    with Journal(tmp_path / "out.jsonl"):
        with pytest.raises(ScoreError, match="is being written by process"):
            Journal(tmp_path / "out.jsonl").__enter__()


def test_a_foreign_file_is_not_appended_to(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text("no json\n")
    with pytest.raises(DataError, match=r"out.jsonl:1"):
        Journal(tmp_path / "out.jsonl").__enter__()


def test_a_failure_is_recorded_by_kind_and_tried_again(tmp_path: Path) -> None:
    async def fails_on_seven(task: Task, sample: int) -> dict[str, Any]:
        if task.id == "7":
            raise ToolError("the search is down")
        return {"id": task.id}

    summary = run(tmp_path / "out.jsonl", fails_on_seven)
    assert summary.failed == {"tool": 1} and "7" not in ids(tmp_path / "out.jsonl")
    recorded = json.loads((tmp_path / "out.failures.jsonl").read_text())
    assert recorded == {"id": "7", "kind": "tool", "message": "the search is down"}
    run(tmp_path / "out.jsonl")
    assert "7" in ids(tmp_path / "out.jsonl") and not (tmp_path / "out.failures.jsonl").exists()


def test_a_fatal_provider_error_stops_the_run(tmp_path: Path) -> None:
    async def refused(task: Task, sample: int) -> dict[str, Any]:
        raise ProviderError("the key was refused", fatal=True)

    with pytest.raises(ProviderError, match="refused"):
        run(tmp_path / "out.jsonl", refused, concurrency=1)
    assert ids(tmp_path / "out.jsonl") == []


def test_a_ledger_that_cannot_be_saved_for_a_moment_is_a_warning_and_clocks_go_on_standing_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class FullDisk(Watch):
        saves = 0

        def paused(self) -> bool:
            return True

        def save(self) -> None:
            self.saves += 1
            if self.saves <= 3:
                raise OSError(28, "No space left on device")

    async def longer_than_the_limit(task: Task, sample: int) -> dict[str, Any]:
        await asyncio.sleep(0.8)
        return {"id": task.id}

    monkeypatch.setattr("score.runner.TICK_S", 0.02)
    watch = FullDisk()

    async def main() -> Any:
        with Journal(tmp_path / "out.jsonl") as journal:
            return await run_tasks(
                TASKS[:2], longer_than_the_limit, journal, concurrency=2, label="test", task_timeout_s=0.4, watch=watch
            )

    summary = asyncio.run(main())
    assert (summary.done, summary.failures) == (2, 0) and watch.saves > 4
    assert capsys.readouterr().err.count("No space left on device") == 1


def test_half_a_surrogate_pair_does_not_stop_the_run(tmp_path: Path) -> None:
    """A model may write it, JSON may hold it, UTF-8 may not."""
    with Journal(tmp_path / "out.jsonl") as journal:
        journal.append({"id": "1", "text": "\ud83d and ü"})
        journal.append({"id": "2", "text": "ü"})
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["text"] for row in rows] == ["\ud83d and ü", "ü"]
    with Journal(tmp_path / "out.jsonl") as journal:
        assert journal.done == {"1", "2"}


def test_failures_of_tasks_that_a_run_does_not_touch_stand(tmp_path: Path) -> None:
    with Journal(tmp_path / "out.jsonl") as journal:
        journal.fail("1", "tool", "down")
        journal.fail("2", "tool", "down")
    with Journal(tmp_path / "out.jsonl") as journal:
        journal.append({"id": "2"})
    assert journal.standing == 1
    assert json.loads((tmp_path / "out.failures.jsonl").read_text())["id"] == "1"
