"""The progress line of long work, and the one that is made from a trainer's output."""

import subprocess
import sys
from pathlib import Path

import pytest

from score.progress import ProgressLine

LLAMAFACTORY = """Running tokenizer on dataset: 100%|██████████| 60/60 [00:00<00:00, 400.00 examples/s]
  5%|▌         | 1/20 [00:01<00:20, 1.00it/s]
{'loss': '2.5', 'grad_norm': '1.0', 'learning_rate': '0.001', 'epoch': '0.1'}
 50%|█████     | 10/20 [00:10<00:10, 1.00it/s]
100%|██████████| 20/20 [00:20<00:00, 1.00it/s]
"""
VERL = """(TaskRunner pid=1) step:1 - score/final_accuracy:0.4375 - actor/lr:0.0001
(TaskRunner pid=1) Training Progress:  50%|█████     | 1/2 [00:10<00:10, 10.00s/it]
(TaskRunner pid=1) step:2 - score/final_accuracy:0.5 - actor/lr:0.0001
(TaskRunner pid=1) Training Progress: 100%|██████████| 2/2 [00:20<00:00, 10.00s/it]
"""


@pytest.mark.parametrize(
    ("output", "total", "figure"),
    [
        (LLAMAFACTORY, "20/20 (100 %)", "loss 2.500"),
        (LLAMAFACTORY.replace("'2.5'", "'7.672e-06'"), "20/20 (100 %)", "loss 0.000"),
        (LLAMAFACTORY.replace("'2.5'", "'nan'"), "20/20 (100 %)", "loss nan"),
        (VERL, "2/2 (100 %)", "right 0.500"),
    ],
)
def test_a_trainers_output_is_kept_whole_and_shown_as_one_line(
    tmp_path: Path, output: str, total: str, figure: str
) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "score.trainer_log", str(tmp_path / "train.log"), "training x"],
        input=output, capture_output=True, text=True, timeout=60, cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    assert ran.returncode == 0
    assert (tmp_path / "train.log").read_text() == output
    last = ran.stderr.splitlines()[-1]
    assert last.startswith("training x: ") and total in last and figure in last
    assert "60/60" not in ran.stderr  # the tokenizer's bar counts examples, not steps


def test_the_rate_is_that_of_this_run_alone(capsys: pytest.CaptureFixture[str]) -> None:
    line = ProgressLine("resumed", total=100, done=90)
    line.update(100)
    line.close()
    shown = capsys.readouterr().err.splitlines()
    assert "90/100" in shown[0] and "0.0/s" in shown[0]
    assert "100/100 (100 %)" in shown[-1]
