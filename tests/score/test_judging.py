"""Rules decide first, the model decides the rest, and a verdict that cannot be read is no verdict."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from score.answers import Equivalence
from score.errors import JudgeError, ProviderError
from score.judging import Judge, json_object
from score.llm import Endpoint, EndpointSettings
from score.trajectory import Verdict
from tests.chat_server import ChatServer
from tests.moody_server import Mood, MoodyServer

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
    assert (decided.references, decided.answer) == (["1/2"], answer)


def test_the_model_decides_the_rest_and_is_named(served: Served) -> None:
    server = served('{"reason": "same place", "equivalent": true}')
    decided = verdict(["the Netherlands", "Holland"], "The Kingdom of the Netherlands", server.address)
    assert (decided.correct, decided.by, decided.evidence) == (True, "judge-7b", "same place")
    assert decided.references == ["the Netherlands", "Holland"]
    assert decided.answer == "The Kingdom of the Netherlands"
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


def test_a_verdict_that_the_limit_of_tokens_cut_is_asked_again_and_then_unscored() -> None:
    for cut in (1, 2):
        server = ChatServer(['{"reason": "no", "equivalent": false}'], cut=cut)
        if cut == 1:
            assert verdict(["Oslo"], "somewhere in Norway", server.address).correct is False
        else:
            with pytest.raises(JudgeError, match="no readable verdict"):
                verdict(["Oslo"], "somewhere in Norway", server.address)
        assert len(server.asked) == 2
        server.close()


def test_what_is_longer_than_the_judges_context_is_unscored() -> None:
    server = MoodyServer([Mood(400, body=b'{"error": {"message": "long", "code": "context_length_exceeded"}}')])
    with pytest.raises(JudgeError, match="no room for what was to be judged"):
        verdict(["Oslo"], "somewhere in Norway", server.address)
    server.close()


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
        (r'{"a": "\\frac{1}{2} and \(x\)"}', {"a": r"\frac{1}{2} and \(x\)"}),
        (r'{"a": "\frac{1}{2}, \binom{3}{2} \times \theta"}', {"a": r"\frac{1}{2}, \binom{3}{2} \times \theta"}),
        (r'{"a": "\rho \neq 3, \text{so \boxed{3}}", "n": 2}', {"a": r"\rho \neq 3, \text{so \boxed{3}}", "n": 2}),
        (r'{"a": "\underline{x}"}', {"a": r"\underline{x}"}),
        (r'{"a": "\\frac{1}{2}\nnu = 3\neq = 4"}', {"a": "\\frac{1}{2}\nnu = 3\neq = 4"}),
        (r'{"a": "one\nnext\n\ttext = 1\r\nright"}', {"a": "one\nnext\n\ttext = 1\r\nright"}),
        (
            r'{"a": "lo = 0\nmid = (lo + hi) // 2\n\tan = 1\n\tan apple"}',
            {"a": "lo = 0\nmid = (lo + hi) // 2\n\tan = 1\n\tan apple"},
        ),
        (r'{"a": "\tan(x), \tan x, \tau_1"}', {"a": "\\tan(x), \tan x, \\tau_1"}),
        ('<think>Perhaps {"a": 1}, or', None),
        ('{"a": "two\nlines"}', {"a": "two\nlines"}),
        ('{"a": ', None),
        ('The set {1,2} equals \\text{} {2,1}. {"a": true}', {"a": True}),
        ('{"a": 1} or {"a": 2}', None),
        ("[1, 2]", None),
        ("", None),
    ],
)
def test_a_json_object_is_found_in_a_models_reply(text: str, value: object) -> None:
    assert json_object(text) == value


def test_what_was_tolerated_in_json_is_counted() -> None:
    tolerated: Counter[str] = Counter()
    assert json_object('{"a": 1}', tolerated) and not tolerated
    assert json_object('<think>Hm.</think>```json\n{"a": "\\frac"}\n```', tolerated)
    assert set(tolerated) == {"<think> block", "words around JSON", "single backslashes in JSON"}
    assert json_object(r'{"a": "\(x\)"}', tolerated) and json_object(r'{"a": "\\frac and \\(x\\)"}', tolerated)
    assert tolerated["single backslashes in JSON"] == 2


def judged_twice(server: ChatServer, json_schema: str) -> Endpoint:
    async def judge() -> Endpoint:
        settings = EndpointSettings.model_validate(
            {"base_url": server.address, "model": "judge-7b", "json_schema": json_schema}
        )
        endpoint = Endpoint("judge", settings)
        with Equivalence(workers=1) as equivalence:
            for _ in range(2):
                assert (await Judge(equivalence, endpoint).verdict("Where?", ["Oslo"], "in Norway")).correct is False
        return endpoint

    return asyncio.run(judge())


def test_a_server_with_json_mode_is_given_the_schema(served: Served) -> None:
    server = served('{"reason": "no", "equivalent": false}')
    assert judged_twice(server, "auto").schema_refusals == 0
    for body in server.bodies:
        form = body["response_format"]
        assert form["type"] == "json_schema"
        assert list(form["json_schema"]["schema"]["properties"]) == ["reason", "equivalent"]


def test_a_server_that_refuses_the_schema_is_asked_without_and_remembered() -> None:
    server = ChatServer(['{"equivalent": false}'], refuses="response_format")
    assert judged_twice(server, "auto").schema_refusals == 1
    assert ["response_format" in body for body in server.bodies] == [True, False, False]
    server.close()


def test_off_never_sends_the_schema_and_on_insists(served: Served) -> None:
    server = ChatServer(['{"equivalent": false}'], refuses="response_format")
    judged_twice(server, "off")
    assert not any("response_format" in body for body in server.bodies)
    with pytest.raises(ProviderError, match="400"):
        judged_twice(server, "on")
    server.close()


def test_a_refusal_that_is_not_about_the_schema_is_a_failure() -> None:
    server = ChatServer([], status=400)
    with pytest.raises(ProviderError, match="400"):
        judged_twice(server, "auto")
    assert len(server.bodies) == 2
    server.close()
