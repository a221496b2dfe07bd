"""What a student's turn becomes: the plan, a step, or a step that cannot be read."""

import pytest

from score.dialogue import UNREADABLE
from score.episode import Episode


@pytest.mark.parametrize(
    "text, plan",
    [
        ("<first_thought>I add.</first_thought>", "I add."),
        ("<first_thought>I add.</first_thought><thought>So.</thought><code>print(1", "I add."),
        ("I add.", "I add."),
        ("<first_thought>I add the", "I add the"),
        ("<first_thought>I add.</thought>", "I add."),
        ("<thought>I add.</thought>", "I add."),
    ],
)
def test_a_first_turn_without_code_is_the_plan_and_holds_no_tags(text: str, plan: str) -> None:
    episode = Episode("How much is 1 + 2?", 8)
    assert episode.student_reply(text) is None and episode.plan == plan
    assert episode.messages()[1]["content"] == f"<first_thought>{plan}</first_thought>"


@pytest.mark.parametrize("opening", ["", "<first_thought>"])
def test_a_first_turn_that_was_cut_off_within_its_code_is_a_step_that_runs_nothing(opening: str) -> None:
    episode = Episode("How much is 1 + 2?", 8)
    step = episode.student_reply(f"{opening}<thought>I add.</thought><code>print(1 + 2")
    assert step is not None and episode.plan is None
    assert (step.thought, step.code, step.observation, step.status) == ("I add.", "", UNREADABLE, "unreadable")


def test_a_student_that_acts_at_once_has_no_plan() -> None:
    episode = Episode("How much is 1 + 2?", 8)
    step = episode.student_reply("<thought>I add.</thought><code>print(1 + 2)</code>")
    assert step is not None and step.code == "print(1 + 2)" and episode.plan is None
