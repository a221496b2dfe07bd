"""What all scripts that work on task files share, as processes: resume, Ctrl-C, changed settings, costs."""

import json
import os
import re
import signal
import time

import pytest

from tests.moody_server import FINE, Mood, MoodyServer, completion
from tests.script_runs import ALL, TASKS, Runs


def test_manifest_summary_and_ledger_lie_beside_the_output(quick: Runs) -> None:
    ran = quick.run("--set", "seed=5")
    assert ran.returncode == 0, ran.stderr
    assert quick.units() == ALL
    manifest, summary, ledger = (quick.beside(name) for name in ("manifest", "summary", "ledger"))
    assert manifest["state"] == "finished" and manifest["served"] == {"student": "moody"}
    assert manifest["settings"]["seed"] == 5 and manifest["packages"] and manifest["git"] and manifest["started"]
    assert summary["rows"] == TASKS and summary["tokens"] == 15 * (TASKS + 1)  # one call was the check
    assert summary["tokens_per_kept"] == round(15 * (TASKS + 1) / TASKS, 1)
    assert summary["money"] is None and "unknown" in ran.stdout  # no price is not a price of 0
    assert {entry["purpose"]: entry["calls"] for entry in ledger["entries"]} == {"check": 1, "student": TASKS}
    row = json.loads(quick.output.read_text().splitlines()[0])
    assert row["usage"] == {"student": {"calls": 1, "prompt_tokens": 10, "completion_tokens": 5}}


def test_money_is_tokens_times_prices(quick: Runs) -> None:
    prices = quick.folder / "prices.yaml"
    prices.write_text("currency: EUR\nmodels:\n  m: {prompt: 2.0, completion: 4.0}\n")
    assert quick.run("--set", f"prices={prices}").returncode == 0
    assert quick.beside("summary")["money"] == pytest.approx((TASKS + 1) * (10 * 2 + 5 * 4) / 1e6)


def test_the_ledger_adds_up_over_a_kill(slow: Runs) -> None:
    running = slow.start()
    slow.wait_for_rows(16)
    time.sleep(1.2)  # a ledger is a second old at most
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    before = sum(entry["calls"] for entry in slow.beside("ledger")["entries"])
    assert before >= 16
    asked = len(slow.server.asked)
    ran = slow.run()
    assert ran.returncode == 0, ran.stderr
    assert slow.units() == ALL
    after = sum(entry["calls"] for entry in slow.beside("ledger")["entries"])
    assert after == before + len(slow.server.asked) - asked
    assert slow.beside("summary")["tokens"] == 15 * after


def test_ctrl_c_once_finishes_what_is_in_flight(slow: Runs) -> None:
    running = slow.start()
    slow.wait_for_rows(8)
    os.killpg(running.pid, signal.SIGINT)
    output, errors = running.communicate(timeout=60)
    assert running.returncode == 130, errors
    assert "in flight are finished" in errors and "run the same command again" in errors
    done = len(slow.units())
    assert 8 <= done < TASKS and done == len(slow.server.asked) - 1, "every call that went out became a row"
    assert slow.beside("manifest")["state"] == "interrupted"
    assert slow.run().returncode == 0 and slow.units() == ALL


def test_ctrl_c_twice_stops_now(quick: Runs) -> None:
    quick.server.close()
    server = MoodyServer([FINE, FINE, Mood(delay_s=30)])
    try:
        running = quick.start("--set", f"endpoints.student.base_url={server.address}")
        quick.wait_for_rows(1)
        began = time.monotonic()
        os.killpg(running.pid, signal.SIGINT)
        time.sleep(0.5)
        assert running.poll() is None, "the first one waits for what is in flight"
        os.killpg(running.pid, signal.SIGINT)
        _, errors = running.communicate(timeout=20)
        assert running.returncode == 130 and time.monotonic() - began < 15, errors
        assert quick.units() and not list(quick.folder.glob("*.lock*"))
    finally:
        server.close()


def test_a_task_that_takes_too_long_fails_alone_and_is_tried_again(quick: Runs) -> None:
    server = MoodyServer([FINE, Mood(delay_s=3), FINE])
    try:
        ran = quick.run("--set", f"endpoints.student.base_url={server.address}", "--set", "task_timeout_s=1")
        assert ran.returncode == 3, ran.stderr
        failure = json.loads((quick.folder / "out.failures.jsonl").read_text())
        assert failure["kind"] == "task" and "task_timeout_s = 1" in failure["message"]
        assert len(quick.units()) == TASKS - 1
        assert quick.run("--set", f"endpoints.student.base_url={server.address}").returncode == 0
        assert quick.units() == ALL and not (quick.folder / "out.failures.jsonl").exists()
    finally:
        server.close()


def test_time_in_which_the_endpoint_is_down_is_not_the_tasks(quick: Runs) -> None:
    """The outage takes longer than a task may."""
    arguments = ["--set", "task_timeout_s=2", "--set", "endpoints.student.give_up_after_s=60"]
    arguments += ["--set", "endpoints.student.outage_after=5", "--set", "endpoints.student.attempts=5"]
    broken = Mood(500)
    server = MoodyServer([FINE] * 6 + [broken] * 10 + [FINE])
    try:
        ran = quick.run("--set", f"endpoints.student.base_url={server.address}", *arguments)
        assert ran.returncode == 0, ran.stderr
        assert quick.units() == ALL
        assert server.asked[-1] - server.asked[6] > 2.5, "there was an outage"
        assert "is down" in ran.stderr and "answers again" in ran.stderr
    finally:
        server.close()


def test_a_changed_setting_is_named_and_refused_until_accepted(quick: Runs) -> None:
    (quick.folder / "a.prompt.txt").write_text("one")
    assert quick.run("--limit", "5").returncode == 0
    (quick.folder / "a.prompt.txt").write_text("two")
    other = ["--set", "style=bold", "--set", "endpoints.student.sampling.temperature=0.3"]
    refused = quick.run(*other)
    assert refused.returncode == 2 and len(quick.units()) == 5
    for named in ("style: was 'plain', is 'bold'", "endpoints.student.sampling.temperature: was None, is 0.3",
                  "prompts.a.prompt.txt: was", "--accept-changes"):  # fmt: skip
        assert named in refused.stderr
    assert quick.run(*other, "--accept-changes").returncode == 0 and quick.units() == ALL
    (change,) = quick.beside("manifest")["changes"]
    assert change["rows_before"] == 5 and change["changed"]["style"] == {"was": "plain", "is": "bold"}


def test_tasks_that_were_corrected_since_are_named_and_refused_until_accepted(quick: Runs) -> None:
    assert quick.run("--limit", "8").returncode == 0
    file = quick.folder / "tasks.jsonl"
    tasks = [json.loads(line) for line in file.read_text().splitlines()]

    def correct(number: int, **corrected: object) -> None:
        tasks[number] |= corrected
        file.write_text("".join(json.dumps(task) + "\n" for task in tasks))

    correct(9, true_answer="no row of it yet")
    correct(2, true_answer=["yes"])  # the same, as a list
    assert quick.run("--limit", "8").returncode == 0
    correct(3, true_answer="no")
    correct(5, question="5, or what?")
    refused = quick.run()
    assert refused.returncode == 2 and len(quick.units()) == 8
    assert "tasks: was '2 with another question or answer (t3, t5)', is 'as in " in refused.stderr
    assert "--accept-changes" in refused.stderr and "taken out of the file are made anew" in refused.stderr
    assert quick.run("--limit", "10", "--accept-changes").returncode == 0 and len(quick.units()) == 10
    assert quick.beside("manifest")["changes"][0]["changed"]["tasks"]["was"].startswith("2 with another")
    for limit in ("2", "12"):
        assert quick.run("--limit", limit).returncode == 0, "what was accepted is not asked again"
    correct(3, true_answer="neither")
    assert quick.run().returncode == 2 and len(quick.units()) == 12


def test_another_model_behind_the_same_name_is_noticed(quick: Runs) -> None:
    assert quick.run("--limit", "5").returncode == 0
    server = MoodyServer([Mood(body=completion("yes", model="moody-2"))])
    try:
        refused = quick.run("--set", f"endpoints.student.base_url={server.address}")
        assert refused.returncode == 2 and "endpoints.student.served: was 'moody', is 'moody-2'" in refused.stderr
    finally:
        server.close()


def test_concurrency_addresses_and_limits_may_change(quick: Runs) -> None:
    assert quick.run("--limit", "5").returncode == 0
    other = ["--set", "concurrency=3", "--set", "endpoints.student.timeout_s=9", "--set", "task_timeout_s=99"]
    assert quick.run(*other).returncode == 0 and quick.units() == ALL


def test_samples_of_a_task_are_units_of_their_own(quick: Runs) -> None:
    assert quick.run("--limit", "5", "--set", "seed=1").returncode == 0
    assert quick.run("--limit", "5", "--samples", "3", "--set", "seed=1").returncode == 0
    assert quick.units() == sorted((f"t{number}", sample) for number in range(5) for sample in range(3))
    rows = [json.loads(line) for line in quick.output.read_text().splitlines()]
    assert len({row["seed"] for row in rows}) == 15


def test_a_column_of_the_task_file_is_not_taken_for_the_number_of_a_sample(quick: Runs) -> None:
    tasks = [
        {"id": f"t{number}", "question": "?", "true_answer": "1", "sample": sample}
        for number, sample in enumerate([2, "b", None])
    ]
    (quick.folder / "tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks))
    assert quick.run().returncode == 0 and quick.units() == [("t0", 0), ("t1", 0), ("t2", 0)]
    again = quick.run("--samples", "2")
    assert again.returncode == 0 and "3 of these tasks before" in again.stdout
    assert quick.units() == [(f"t{number}", sample) for number in range(3) for sample in range(2)]
    assert json.loads(quick.output.read_text().splitlines()[0])["task_sample"] == 2


def test_a_dry_run_estimates_and_writes_nothing(quick: Runs) -> None:
    prices = quick.folder / "prices.yaml"
    prices.write_text("models:\n  m: {prompt: 2.0, completion: 4.0}\n")
    before = sorted(path.name for path in quick.folder.iterdir())
    ran = quick.run("--dry-run", "4", "--set", f"prices={prices}")
    assert ran.returncode == 0, ran.stderr
    assert sorted(path.name for path in quick.folder.iterdir()) == before
    assert len(quick.server.asked) == 1 + 4, "one call to check the endpoint, four tasks"
    assert "40 to do" in ran.stdout and "40 calls, 400 tokens read, 200 written" in ran.stdout
    assert f"{40 * (10 * 2 + 5 * 4) / 1e6:.4g} USD" in ran.stdout and re.search(r"time +[\d.]+ min, if", ran.stdout)


def test_a_dry_run_of_a_begun_file_estimates_from_its_rows(quick: Runs) -> None:
    assert quick.run("--limit", "10").returncode == 0
    asked = len(quick.server.asked)
    held = {path: path.read_bytes() for path in quick.folder.iterdir()}
    ran = quick.run("--dry-run", "8")
    assert ran.returncode == 0, ran.stderr
    assert len(quick.server.asked) == asked + 1
    assert "30 to do" in ran.stdout and "30 calls, 300 tokens read, 150 written" in ran.stdout
    assert {path: path.read_bytes() for path in quick.folder.iterdir()} == held


def test_a_dry_run_passes_over_the_torn_last_line_of_a_killed_run(quick: Runs) -> None:
    assert quick.run("--limit", "10").returncode == 0
    torn = quick.output.read_bytes()[:-20]
    quick.output.write_bytes(torn)
    ran = quick.run("--dry-run", "8")
    assert ran.returncode == 0, ran.stderr
    assert "31 to do" in ran.stdout and quick.output.read_bytes() == torn
