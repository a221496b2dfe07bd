"""metrics.jsonl tells of the run as it went on, whatever starts it took: no step twice, none of its figures lost."""

import json
from pathlib import Path
from typing import Any

import pytest
from training_metrics import LAYER, VALIDATION, joined

from score.errors import DataError

TOKENS, RIGHT = "score/generated_tokens", f"{VALIDATION.format('final_correct')}@1"


def write(log: Path, start: int, *rows: tuple[int, dict[str, Any]]) -> None:
    lines = [json.dumps({"step": step, "data": data}) + "\n" for step, data in rows]
    (log / f"verl_20261126_10000{start}.jsonl").write_text("".join(lines))


def figures(log: Path) -> list[tuple[int, Any, Any]]:
    return [(row["step"], row.get("generated_tokens"), row["val_accuracy"]) for row in joined(log)]


def test_a_resumed_run_repeats_the_steps_after_its_checkpoint_and_the_later_ones_count(tmp_path: Path) -> None:
    write(tmp_path, 1, (1, {TOKENS: 10}), (2, {TOKENS: 20, RIGHT: 0.5}), (3, {TOKENS: 30}))
    write(tmp_path, 2, (3, {TOKENS: 31}), (4, {TOKENS: 41, RIGHT: 0.6}))
    assert figures(tmp_path) == [(1, 10, None), (2, 20, 0.5), (3, 31, None), (4, 41, 0.6)]


def test_a_step_that_is_done_again_keeps_no_figure_of_the_first_time(tmp_path: Path) -> None:
    """Nor a validation that it does not have now, nor shares of layers that decided nothing now."""
    write(tmp_path, 1, (1, {TOKENS: 10}), (2, {TOKENS: 20, RIGHT: 0.5, f"{LAYER}judge": 0.4, f"{LAYER}text": 0.6}))
    write(tmp_path, 2, (2, {TOKENS: 21, f"{LAYER}text": 1.0}), (3, {TOKENS: 31}))
    assert figures(tmp_path) == [(1, 10, None), (2, 21, None), (3, 31, None)]
    assert joined(tmp_path)[1]["layers"] == {"text": 1.0}


def test_a_validation_before_the_first_step_leaves_the_figures_of_the_checkpoints_step(tmp_path: Path) -> None:
    write(tmp_path, 1, (0, {RIGHT: 0.1}), (1, {TOKENS: 10}), (2, {TOKENS: 20, RIGHT: 0.5}), (3, {TOKENS: 30}))
    write(tmp_path, 2, (2, {RIGHT: 0.5}), (3, {TOKENS: 31}))
    assert figures(tmp_path) == [(0, None, 0.1), (1, 10, None), (2, 20, 0.5), (3, 31, None)]


def test_steps_of_a_start_that_left_no_checkpoint_do_not_outlive_it(tmp_path: Path) -> None:
    write(tmp_path, 1, *((step, {TOKENS: step}) for step in range(1, 9)))
    write(tmp_path, 2, (1, {TOKENS: 11}), (2, {TOKENS: 12}))
    assert figures(tmp_path) == [(1, 11, None), (2, 12, None)]


def test_half_a_line_of_a_killed_run_is_passed_over_and_no_log_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no finished step"):
        joined(tmp_path)
    write(tmp_path, 1, (1, {TOKENS: 10}))
    with open(tmp_path / "verl_20261126_100001.jsonl", "a") as log:
        log.write('{"step": 2, "da')
    write(tmp_path, 2)
    assert figures(tmp_path) == [(1, 10, None)]
