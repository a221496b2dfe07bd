"""How runs/regime.sh finds a student of a regime; training and validation are played by functions of bash."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run_bash(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Runs a script behind regime.sh, with cpu.sh's options and RUN."""
    begin = f"set -euo pipefail; source {ROOT}/runs/regime.sh; RUN={folder}; mkdir -p $RUN/bc; "
    return subprocess.run(["bash", "-c", begin + script], capture_output=True, text=True, timeout=60, check=False)


def cold_start(folder: Path, losses: list[float], limit: str = "0.03") -> list[str]:
    """The trainings, `FROM TO` each, whose tens of logged losses end at one after the other of `losses`."""
    script = f"""
        ends=({" ".join(map(str, losses))}) COLD_LOSS={limit}
        train() {{
          echo "$1 $2" >> $RUN/trained
          local end=${{ends[0]}}; ends=("${{ends[@]:1}}")
          printf '{{"log_history": [%s {{"loss": %s}}, {{"train_runtime": 1}}]}}' \\
            "$(for n in 1 2 3 4 5 6 7 8 9; do echo '{{"loss": 1}},'; done)" $end > $RUN/bc/trainer_state.json
        }}
        cold_start"""
    ended = run_bash(folder, script)
    assert ended.returncode == 0, ended.stderr
    return (folder / "trained").read_text().splitlines()


def test_a_cold_start_goes_on_from_where_it_ended_until_its_loss_is_down(tmp_path: Path) -> None:
    assert cold_start(tmp_path, [0.06, 0.01]) == ["student bc", "bc bc"]


def test_a_cold_start_is_tried_three_times_at_most(tmp_path: Path) -> None:
    assert cold_start(tmp_path, [0.06, 0.05, 0.04, 0.01]) == ["student bc", "bc bc", "bc bc"]


def test_without_a_limit_there_is_one_round(tmp_path: Path) -> None:
    assert cold_start(tmp_path, [0.06, 0.01], limit="") == ["student bc"]


def find_share(folder: Path, right: str, shares: str = "0.1 0.07 0.05") -> subprocess.CompletedProcess[str]:
    """`right`: bash's `case` patterns of how often the student of a share is right."""
    return run_bash(
        folder,
        f"""
        SHARES=({shares}) RIGHT=(0.05 0.15)
        sft_format() {{ echo "format $(share)" >> $RUN/did; }}
        sft_train() {{ echo train >> $RUN/did; }}
        sample_validation() {{
          case $(< $RUN/sft_share) in {right} esac
          printf '{{"kinds": {{"word": {{"sampled": {{"accuracy": %s}}}}}}}}' $is > $RUN/regime.json
        }}
        sft_in_regime; echo "chosen $(share)" """,
    )


def test_sft_takes_the_largest_share_whose_student_is_right_seldom_enough(tmp_path: Path) -> None:
    ended = find_share(tmp_path, "0.1) is=0.29;; 0.07) is=0.15;; *) is=0.06;;")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "chosen --set sft_share=0.07"
    assert (tmp_path / "did").read_text().splitlines() == [
        "format --set sft_share=0.1", "train", "format --set sft_share=0.07", "train",
    ]  # fmt: skip


def test_a_resumed_run_does_not_train_again_on_shares_that_were_too_many(tmp_path: Path) -> None:
    assert find_share(tmp_path, "0.1) is=0.29;; *) is=0.16;;", shares="0.1 0.07").returncode == 1
    (tmp_path / "did").unlink()
    ended = find_share(tmp_path, "*) is=0.06;;", shares="0.1 0.07 0.05")
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "did").read_text().splitlines() == ["format --set sft_share=0.05", "train"]
    assert ended.stdout.splitlines()[-1] == "chosen --set sft_share=0.05"


def test_a_run_resumed_twice_trains_again_on_the_share_that_was_right(tmp_path: Path) -> None:
    for _ in range(3):  # killed between its last look and the end of the stage, which cpu.sh marks
        ended = find_share(tmp_path, "0.1) is=0.29;; *) is=0.06;;")
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.splitlines()[-1] == "chosen --set sft_share=0.07"


@pytest.mark.parametrize(("right", "why"), [("*) is=0.01;;", "begins at 0.05"), ("*) is=0.3;;", "ends at 0.15")])
def test_a_seed_without_a_student_of_the_regime_stops_the_road(tmp_path: Path, right: str, why: str) -> None:
    ended = find_share(tmp_path, right)
    assert ended.returncode == 1
    assert why in ended.stderr
    assert "chosen" not in ended.stdout


def test_a_regime_without_shares_trains_once_on_the_share_of_the_config(tmp_path: Path) -> None:
    ended = find_share(tmp_path, "*) is=0.9;;", shares="")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["chosen "]
    assert (tmp_path / "did").read_text().splitlines() == ["train"]
