"""What the closing summary says of both generators: interventions, mistakes, and a correction's price in tokens."""

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from score.trajectory import Trajectory, read_trajectories

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_the_summary_agrees_with_the_rows_and_compares_corrections_with_whole_trajectories(
    run_script: Run, write_config: Callable[..., Path], student_url: Callable[[str], str], world: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone.jsonl"
    config = write_config("BC_data_gen_config.yaml", output=str(alone))
    assert run_script("BC_init_data_gen.py", "--config", str(config), "--limit", "20").returncode == 0
    whole = json.loads(Path(f"{alone}.summary.json").read_text())
    assert whole["correct"] == 20 and sum(whole["judged_by"].values()) == 20

    config = write_config("SCoRe_data_gen_config.yaml", tasks=str(world / "mps.jsonl"), student=student_url("wrong"))
    ran = run_script("SCoRe_data_gen.py", "--config", str(config), "--set", f"baseline={alone}", "--limit", "20")
    assert ran.returncode == 0, ran.stderr
    summary = json.loads((tmp_path / "out.jsonl.summary.json").read_text())
    rows = [row for row in read_trajectories(tmp_path / "out.jsonl") if isinstance(row, Trajectory)]
    key_steps = [key_step for row in rows for key_step in row.key_steps]
    assert key_steps, "the student errs in this world"
    assert summary["corrections"] == len(key_steps)
    assert summary["valid_corrections"] == sum(key_step.is_valid for key_step in key_steps)
    where = Counter(str(key_step.mistake_step_index) for key_step in key_steps)
    assert summary["mistake_step_index"] == dict(where)
    assert summary["interventions"]["hard"] == sum(row.is_hard for row in rows)
    assert sum(summary["interventions"].values()) == len(rows) == 20

    spent = [row.extra["usage"] for row in rows]
    corrected = sum(
        used[purpose]["prompt_tokens"] + used[purpose]["completion_tokens"]
        for used in spent
        for purpose in ("localise", "correct")
        if purpose in used
    )
    assert summary["teacher_tokens_per_intervention"] == round(corrected / len(key_steps), 1)
    assert summary["teacher_tokens_per_trajectory"] == whole["teacher_tokens_per_trajectory"] > 0
    assert "% of a whole teacher trajectory's" in ran.stdout
