"""Rules decide first, the model decides the rest, and a verdict that cannot be read is no verdict."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from score.answers import Equivalence
from score.errors import JudgeError
from score.judging import Judge, json_object
from score.llm import Endpoint, EndpointSettings
from score.trajectory import Verdict
from tests.chat_server import ChatServer

Served = Callable[..., ChatServer]


@pytest.fixture
def served() -> Iterator[Served]:
    """Start a chat server that gives these replies in turn."""
    servers: list[ChatServer] = []

    def serve(*replies: str) -> ChatServer:
        servers.append(ChatServer(replies))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()


def verdict(references: list[str], answer: str, address: str | None = None) -> Verdict:
    async def judge() -> Verdict:
        endpoint = None
        if address is not None:
            endpoint = Endpoint("judge", EndpointSettings(base_url=address, model="judge-7b"))
        with Equivalence(workers=1) as equivalence:
            return await Judge(equivalence, endpoint).verdict("Where is it?", references, answer)

    return asyncio.run(judge())


@pytest.mark.parametrize("answer, correct", [("0.5", True), (r"\frac{1}{2}", True), ("2", False)])
def test_what_the_rules_can_decide_needs_no_model(answer: str, correct: bool) -> None:
    decided = verdict(["1/2"], answer)
    assert decided.correct is correct and decided.by


def test_the_model_decides_the_rest_and_is_named(served: Served) -> None:
    server = served('{"reason": "same place", "equivalent": true}')
    decided = verdict(["the Netherlands", "Holland"], "The Kingdom of the Netherlands", server.address)
    assert decided == Verdict(correct=True, by="judge-7b", evidence="same place")
    system, user = server.asked[0]
    assert system["content"].startswith("You are the judge")
    assert "Reference answer:\n- the Netherlands\n- Holland\n" in user["content"]
    assert user["content"].endswith("Candidate answer:\nThe Kingdom of the Netherlands")


def test_an_unreadable_verdict_is_asked_again_once(served: Served) -> None:
    server = served("Well, it depends.", '{"equivalent": false}')
    assert verdict(["Oslo"], "somewhere in Norway", server.address).correct is False
    assert len(server.asked) == 2 and server.asked[1][2]["content"] == "Well, it depends."


def test_a_verdict_that_stays_unreadable_leaves_the_task_unscored(served: Served) -> None:
    server = served('{"equivalent": "perhaps"}')
    with pytest.raises(JudgeError, match="no readable verdict"):
        verdict(["Oslo"], "somewhere in Norway", server.address)
    assert len(server.asked) == 2


def test_without_a_model_the_undecidable_is_unscored() -> None:
    with pytest.raises(JudgeError, match=r"endpoints\.judge"):
        verdict(["Oslo"], "somewhere in Norway")


@pytest.mark.parametrize(
    "text, value",
    [
        ('{"a": 1}', {"a": 1}),
        ('<think>{"a": 2}?</think>\n```json\n{"a": 1}\n```', {"a": 1}),
        ('Here it is: {"a": "{b}"} Good luck.', {"a": "{b}"}),
        (r'{"a": "\frac{1}{2} and \(x\)"}', {"a": r"\frac{1}{2} and \(x\)"}),
        ('{"a": "two\nlines"}', {"a": "two\nlines"}),
        ('{"a": ', None),
        ("[1, 2]", None),
        ("", None),
    ],
)
def test_a_json_object_is_found_in_a_models_reply(text: str, value: object) -> None:
    assert json_object(text) == value
