"""The key-step reward: which tier a rollout reaches, and what does not get paid."""

import asyncio
from typing import Any

import pytest
from reward.entry import Scorer, compute_score
from reward.sameness import same_step
from reward.tiers import KeyStep
from rl_settings import Reward, RLSettings

CHOSEN = ("<thought>t</thought><code>b = 6 * 7\nprint(b)</code>", "42")
REJECTED = ("<thought>t</thought><code>b = 6 + 7\nprint(b)</code>", "13")


def turn(code: str, observation: str, *, finished: bool = False) -> dict[str, Any]:
    status = "ok"
    return {
        "plan": None,
        "thought": "t",
        "code": code,
        "observation": observation,
        "status": status,
        "is_finished": finished,
    }


def rollout(answer: str | None, *turns: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The `extra_info` that verl hands over."""
    outcome = {
        "answer": answer,
        "turns": list(turns),
        "unscored": None,
        "ended": "answer" if answer is not None else "turns",
        "generated_tokens": 10,
        "prefix_differs": False,
    }
    row = {
        "question": "q",
        "references": ["42"],
        "chosen_step": CHOSEN[0],
        "chosen_step_obs": CHOSEN[1],
        "rejected_step": REJECTED[0],
        "rejected_step_obs": REJECTED[1],
        "key_turn": 0,
        "episode": outcome,
    }
    return row | changes


SAME = turn("c = 6 * 7  # product\nprint(c)", "42")
OTHER_WAY = turn("print(sum([6] * 7))", "42")
MISTAKE = turn("x = 6 + 7\nprint(x)", "13")
NEW = turn("print(6 - 7)", "-1")
END = turn("final_answer_print(b)", "41", finished=True)
NO_KEY_STEP = {"chosen_step": "", "chosen_step_obs": "", "rejected_step": "", "rejected_step_obs": ""}

CASES = [
    ("right answer", rollout("42", NEW, END), 1.0, "correct"),
    ("right answer in another form", rollout("\\boxed{42.0}", NEW, END), 1.0, "correct"),
    ("the teacher's step, other names", rollout("41", SAME, END), 0.5, "same_as_teacher"),
    ("the teacher's step, by execution", rollout("41", OTHER_WAY, END), 0.5, "same_as_teacher"),
    ("a new way", rollout("41", NEW, END), 0.1, "new_way"),
    ("the old mistake", rollout("41", MISTAKE, END), 0.0, "nothing"),
    ("the teacher's step and then no answer", rollout(None, SAME, NEW), 0.0, "nothing"),
    ("no turn at all", rollout(None), 0.0, "nothing"),
    ("a wrong answer at once", rollout("41", END), 0.0, "nothing"),
    ("an empty answer", rollout("", NEW, END), 0.0, "nothing"),
    ("several answers in one", rollout("40 41 42 43", NEW, END), 0.0, "nothing"),
    ("wrong without a key step", rollout("41", NEW, END, **NO_KEY_STEP), 0.0, "nothing"),
    ("right without a key step", rollout("42", NEW, END, **NO_KEY_STEP), 1.0, "correct"),
    ("the key turn never came", rollout("41", NEW, END, key_turn=5), 0.0, "nothing"),
    (
        "long horizon: the turn at the key step's place",
        rollout("41", NEW, SAME, END, key_turn=1),
        0.5,
        "same_as_teacher",
    ),
]


@pytest.fixture
def settings_file(tmp_path: Any) -> str:
    path = tmp_path / "RL.yaml"
    path.write_text("reward: {}\n")
    return str(path)


def scored(info: dict[str, Any], settings: str) -> dict[str, Any]:
    return asyncio.run(compute_score("agent_distill", "", "42", info, settings))


@pytest.mark.parametrize("name, info, reward, tier", CASES, ids=[case[0] for case in CASES])
def test_each_rollout_reaches_its_tier(
    name: str, info: dict[str, Any], reward: float | None, tier: str | None, settings_file: str
) -> None:
    made = scored(info, settings_file)
    if reward is None:
        assert made["tier"] != "correct", f"{name} was paid as a right answer"
    else:
        assert (made["score"], made["tier"], made["unscored"]) == (pytest.approx(reward), tier, 0.0)


@pytest.mark.parametrize("split, of_training", [("train", 1.0), ("val", 0.0)])
def test_the_best_checkpoint_is_told_which_rows_are_of_training(
    split: str, of_training: float, settings_file: str
) -> None:
    assert scored(rollout("42", SAME, END, split=split), settings_file)["of_training"] == of_training


@pytest.mark.parametrize(
    "info, expected",
    [
        (rollout("42", NEW, END), 0.5),  # a way of its own that ended right
        (rollout("41", SAME, END), 0.5),
        (rollout("41", NEW, END), 0.1),
        (rollout("41", MISTAKE, END), 0.0),
        (rollout("42", NEW, END, key_turn=5), 1.0),  # the place of the key turn was never reached
        (rollout("42", NEW, END, **NO_KEY_STEP), None),
    ],
)
def test_what_the_key_turn_earned_is_told_apart(
    info: dict[str, Any], expected: float | None, settings_file: str
) -> None:
    assert scored(info, settings_file)["key_reward"] == expected


def test_a_broken_tool_leaves_the_rollout_unscored_and_not_wrong(settings_file: str) -> None:
    info = rollout(None)
    info["episode"]["unscored"] = "tool: the search is down"
    made = scored(info, settings_file)
    assert made["unscored"] == 1.0 and made["final_correct"] is None and "search" in made["unscored_reason"]


def test_an_answer_that_needs_a_judge_is_unscored_without_one(settings_file: str) -> None:
    made = scored(rollout("the one after forty-one", END), settings_file)
    assert made["unscored"] == 1.0 and "judge" in made["unscored_reason"]


@pytest.mark.parametrize(
    "changed, expected",
    [({"avoid": False}, 0.0), ({"key_step": False}, 0.0), ({"new_way": 0.2}, 0.2)],
    ids=["no_avoid", "sparse", "another value"],
)
def test_ablations_are_settings(changed: dict[str, Any], expected: float) -> None:
    scorer = Scorer(RLSettings(reward=Reward(**changed)))
    assert asyncio.run(scorer.score(rollout("41", NEW, END))).score.score == expected


def test_one_question_with_other_references_is_another_comparison() -> None:
    scorer = Scorer(RLSettings())
    rows = [rollout("42", NEW, END, references=references) for references in (["42"], ["43"], ["43", "42"])]

    async def run() -> list[str]:
        return [(await scorer.score(row)).score.tier for row in rows]

    assert asyncio.run(run()) == ["correct", "new_way", "correct"]


@pytest.mark.parametrize(
    "ours, theirs, same, layer",
    [
        (("<code>a = 1\nprint(a)</code>", ""), ("<code>z=1;print( z )</code>", "1"), True, "ast"),
        (("<code>x = x + 1</code>", ""), ("<code>y = x + 1</code>", ""), True, "ast"),
        (("<code>print(2)</code>", "2"), ("<code>print(1 + 1)</code>", "2"), True, "execution"),
        (("<code>print(3)</code>", "3"), ("<code>print(1 + 1)</code>", "2"), False, "execution"),
        (("<code>a = 2</code>", ""), ("<code>b = 1 + 1</code>", ""), None, "undecided"),
        (("<code>print(web_search('a'))</code>", "A"), ("<code>print(web_search('b'))</code>", "B"), None, "undecided"),
        (("<first_thought>Add.</first_thought>", "None"), ("<code>print(1)</code>", "1"), False, "ast"),
    ],
)
def test_sameness_is_decided_by_the_cheapest_layer_that_can(
    ours: tuple[str, str], theirs: tuple[str, str], same: bool | None, layer: str
) -> None:
    found = same_step(KeyStep(*ours), KeyStep(*theirs))
    assert (found.same, found.layer) == (same, layer)
