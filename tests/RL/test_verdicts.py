"""A question to the judge is asked once, its verdict is kept on disk, and a failure is not kept."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reward import entry
from reward.judge import StepJudge
from reward.tiers import KeyStep
from rl_settings import RLSettings

from score.errors import JudgeError
from score.llm import Endpoint, Endpoints, EndpointSettings
from score.verdicts import CLAIM_S, Costs, Verdicts
from tests.moody_server import Mood, MoodyServer, completion


class Asked:
    """Something slow to ask; counts how often it was."""

    def __init__(self, fails: int = 0):
        self.times, self.fails = 0, fails

    async def __call__(self) -> dict[str, Any]:
        self.times += 1
        await asyncio.sleep(0.1)
        if self.times <= self.fails:
            raise JudgeError("no readable verdict")
        return {"same": True}


def run(work: Callable[[], Any]) -> Any:
    return asyncio.run(work())


def test_a_question_in_flight_is_not_asked_again_by_this_worker_or_another(tmp_path: Path) -> None:
    asked, costs = Asked(), Costs()

    async def work() -> list[Any]:
        workers = [Verdicts(tmp_path / "cache.sqlite") for _ in range(2)]
        calls = [worker.once(("a", "b"), asked, costs) for worker in workers for _ in range(8)]
        return await asyncio.gather(*calls)

    assert run(work) == [{"same": True}] * 16
    assert (asked.times, costs.calls) == (1, 1) and costs.seconds >= 0.1


def test_a_verdict_outlives_the_run(tmp_path: Path) -> None:
    first, second = Asked(), Asked()
    run(lambda: Verdicts(tmp_path / "cache.sqlite").once(("a",), first, Costs()))
    assert run(lambda: Verdicts(tmp_path / "cache.sqlite").once(("a",), second, Costs())) == {"same": True}
    assert (first.times, second.times) == (1, 0)
    run(lambda: Verdicts(tmp_path / "cache.sqlite").once(("another",), second, Costs()))
    assert second.times == 1


def test_a_failure_reaches_all_who_asked_and_is_tried_again(tmp_path: Path) -> None:
    asked = Asked(fails=1)

    async def work() -> list[Any]:
        verdicts = Verdicts(tmp_path / "cache.sqlite")
        failed = await asyncio.gather(
            *(verdicts.once(("a",), asked, Costs()) for _ in range(3)), return_exceptions=True
        )
        return [*failed, await verdicts.once(("a",), asked, Costs())]

    *failed, good = run(work)
    assert all(isinstance(error, JudgeError) for error in failed) and good == {"same": True}
    assert asked.times == 2


def test_the_claim_of_a_worker_that_died_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = Verdicts(tmp_path / "cache.sqlite")
    began = time.time() - CLAIM_S - 1
    monkeypatch.setattr(time, "time", lambda: began)

    assert dead._claim_or_read("k") is None  # claimed, and never answered
    assert Verdicts(tmp_path / "cache.sqlite")._claim_or_read("k") == ""  # at that time it still counts
    monkeypatch.undo()
    assert Verdicts(tmp_path / "cache.sqlite")._claim_or_read("k") is None


def computed(settings: RLSettings, **info: Any) -> dict[str, Any]:
    """What verl gets for a rollout that answered in words which no rule can tell from `Paris`."""
    outcome = {"answer": "the city of light", "turns": [], "unscored": None, "generated_tokens": 1}
    outcome |= {"prefix_differs": False, **info.pop("episode", {})}
    row = {"question": "q", "references": ["Paris"], "chosen_step": "", **info, "episode": outcome}

    async def work() -> Any:
        scorer = entry._scorers["test"] = entry.Scorer(settings)
        try:
            return await entry.compute_score("", "", "", row, "test")
        finally:
            await scorer.close()

    return dict(run(work))


TOO_LONG = b'{"error": {"message": "too long", "code": "context_length_exceeded"}}'


@pytest.mark.parametrize(
    "mood",
    [Mood(body=completion("no idea")), Mood(500), Mood(400, body=TOO_LONG)],
    ids=["unreadable", "a broken server", "longer than its context"],
)
def test_a_judge_without_a_verdict_leaves_the_rollout_unscored(mood: Mood) -> None:
    server = MoodyServer([mood])
    endpoint = EndpointSettings(base_url=server.address, model="m", attempts=1, timeout_s=5, give_up_after_s=1)
    made = computed(RLSettings(endpoints=Endpoints(reward=endpoint)))
    server.close()
    assert (made["unscored"], made["final_correct"], made["tier"]) == (1.0, None, "unscored")
    assert made["unscored_reason"].startswith(("judge:", "provider:")) and made["judge_calls"] == 0.0


def test_steps_longer_than_the_judges_context_are_not_compared() -> None:
    server = MoodyServer([Mood(400, body=TOO_LONG)])
    judge = StepJudge(Endpoint("reward", EndpointSettings(base_url=server.address, model="m")))
    with pytest.raises(JudgeError, match="no room for the steps"):
        run(lambda: judge.same("q", KeyStep("a"), KeyStep("b")))
    server.close()


@pytest.mark.parametrize("turns, hit", [(1, None), (0, 0.0)], ids=["a plan that nobody compared", "no key turn"])
def test_a_key_turn_that_nobody_compared_is_no_miss(turns: int, hit: float | None) -> None:
    plan = {"plan": "Look it up.", "thought": "", "code": "", "observation": "None", "is_finished": False}
    step = "<first_thought>Ask an atlas.</first_thought>"
    episode = {"answer": "Paris", "turns": [plan] * turns}
    made = computed(RLSettings(), chosen_step=step, rejected_step=step.replace("an atlas", "Ann"), episode=episode)
    assert (made["tier"], made["key_step_hit"]) == ("correct", hit)
