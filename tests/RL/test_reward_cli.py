"""Rollouts from a file are scored by the same code as in training."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from score.interpreter import NOTHING_PRINTED

ROOT = Path(__file__).resolve().parents[2]
PREFIX = [
    {"role": "assistant", "content": "<thought>t</thought><code>a = 3\nprint(a)</code>"},
    {"role": "user", "content": "Observation: 3"},
]
KEY = {"prefix": PREFIX, "chosen_step": "<code>b = a * 2</code>", "rejected_step": "b = a + 2"}


def rollout(*codes: str) -> list[dict[str, str]]:
    turns = [{"role": "assistant", "content": f"<thought>t</thought><code>{code}</code>"} for code in codes]
    return [message for turn in turns for message in (turn, {"role": "user", "content": "Observation: -"})]


def searching(*messages: str, truth: str, **more: Any) -> dict[str, Any]:
    """Replies and observations in turn."""
    roles = ["assistant", "user"] * len(messages)
    turns = [{"role": role, "content": said} for role, said in zip(roles, messages, strict=False)]
    return {"question": "q", "ground_truth": truth, "rollout": turns, **more}


FOUND = "<code>r = web_search('capital')\nprint(r)</code>", "Observation: Paris, 2 million"
SILENT = f"Observation: {NOTHING_PRINTED}"
KEPT = "<code>r = web_search('capital')</code>", SILENT
HELPER = "<code>def look(q): return web_search(q)</code>", SILENT
BY_HELPER = "<code>r = look('capital')\nprint(r)</code>", FOUND[1]
ANSWER = "<code>final_answer_print(r.split(',')[0])</code>"
WRONG = "<code>final_answer_print(7)</code>"
WITHOUT_RECORDS = [{"role": "assistant", "content": said} for said in (FOUND[0], ANSWER)]
STEPS = {"chosen_step": "<code>print(web_search('city'))</code>", "rejected_step": "print(web_search('x'))"}
RECORDS = {"chosen_step_obs": FOUND[1], "rejected_step_obs": "No results."}
LOOKING = {
    "prefix": [{"role": role, "content": said} for role, said in zip(("assistant", "user"), HELPER, strict=True)],
    "chosen_step": "print(look('city'))",
    "rejected_step": "print(1)",
}


def row(*codes: str, truth: Any = "6", **more: Any) -> dict[str, Any]:
    return {"question": "q", "prefix": "", "chosen_step": "", "rejected_step": "", "ground_truth": truth} | more | {
        "rollout": rollout(*codes)
    }  # fmt: skip


ROWS = [
    (row("final_answer_print(a + 3)", **KEY), 1.0, "correct", "text"),
    (row("twice = a + a", "final_answer_print(7)", **KEY), 0.5, "same_as_teacher", "execution"),
    (row("c = a * 2", "final_answer_print(7)", **KEY), 0.5, "same_as_teacher", "ast"),
    (row("c = a ** 2", "final_answer_print(7)", **KEY), 0.1, "new_way", "execution"),
    (row("c = 2 + a", "final_answer_print(7)", **KEY), 0.0, "nothing", "execution"),
    (row("c = a * 2", "print(c)", **KEY), 0.0, "nothing", "no answer"),
    (row("final_answer_print('6 or 7')"), 0.0, "nothing", "no answer: several"),
    (row("final_answer_print(6.0)", truth=["six", 6]), 1.0, "correct", "number"),
    ({**row(), "prefix": "", "rollout": "<code>final_answer_print(6)</code>"}, 1.0, "correct", "text"),
    (row("final_answer_print('the light')", truth="Paris"), None, "unscored", None),
    (row("final_answer_print(6)", prefix=[PREFIX[0], {"role": "user", "content": "Observation: 4"}]), None, "unscored", None),
    ({"question": "q"}, None, "malformed", None),
    (searching(*FOUND, "<code>final_answer_print(r.split(',')[0])</code>", truth="Paris"), 1.0, "correct", "text"),
    (searching("<code>web_search('q')\nfinal_answer_print('Paris')</code>", truth="Paris"), 1.0, "correct", "text"),
    (searching("<code>final_answer_print(web_search('q'))</code>", truth="Paris"), None, "unscored", None),
    (searching("<code>print(len(web_search('q')))</code>", "Observation: 99", truth="Paris"), None, "unscored", None),
    ({**row(), "rollout": [{"from": "gpt", "value": "<code>final_answer_print(6)</code>"}]}, None, "malformed", None),
    (row("final_answer_print(6)", prefix=PREFIX[:1]), None, "malformed", None),
    (row("final_answer_print(6)", truth=[]), None, "malformed", None),
    (searching(*HELPER, *BY_HELPER, ANSWER, truth="Paris"), 1.0, "correct", "text"),
    (searching(*HELPER, "<code>final_answer_print(look('q')[-3:])</code>", truth="Paris"), None, "unscored", None),
    (searching(*KEPT, "<code>print(r)</code>", FOUND[1], ANSWER, truth="Paris"), None, "unscored", None),
    (searching(*KEPT, ANSWER, truth="Paris"), None, "unscored", None),
    (searching(*KEPT, "<code>print(1)</code>", "Observation: 1", WRONG, truth="6"), 0.0, "nothing", "number"),
    ({**searching(truth="Paris"), "rollout": WITHOUT_RECORDS}, None, "unscored", None),
    (searching(*FOUND, WRONG, truth="6", **STEPS, **RECORDS), 0.5, "same_as_teacher", "execution"),
    (searching(*FOUND, WRONG, truth="6", **STEPS), 0.1, "new_way", "undecided"),
    (searching(*BY_HELPER, WRONG, truth="6", **LOOKING), 0.1, "new_way", "undecided"),
    (searching(*BY_HELPER, ANSWER, truth="Paris", **LOOKING), 1.0, "correct", "text"),
]  # fmt: skip


def test_rows_are_scored_in_order_with_tier_and_layer(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row, *_ in ROWS))
    done = subprocess.run(
        [sys.executable, "RL/reward_cli.py", str(tmp_path / "rows.jsonl")],
        cwd=ROOT, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr  # a row is malformed
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    found = [(line["reward"], line["tier"], line["layer"]) for line in lines]
    assert found == [(reward, tier, layer) for _, reward, tier, layer in ROWS]
    assert [number for number, line in enumerate(lines) if "is not recorded" in line["reason"]] == [
        14,
        15,
        20,
        21,
        22,
        24,
    ]
    assert "rollout.0.role" in lines[16]["reason"] and "pairs" in lines[17]["reason"]
    assert "judge" in lines[9]["reason"] and "prefix" in lines[10]["reason"] and "rows.jsonl:12" in lines[11]["reason"]
