"""The teacher's roles: what they are shown, which replies are accepted, and what is asked again."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from roles import PROMPTS, Diagnosis, NotAsAsked, RoleSampling, Teacher

from score.episode import Episode
from score.llm import Endpoint, EndpointSettings
from score.tasks import Task
from score.trajectory import Step
from tests.chat_server import ChatServer

TASK = Task(
    id="1", question="A box holds 12 rows of 9 eggs. Half of them are sold. How many are left?", true_answer="54"
)
STEP = Step(thought="All eggs.", code="n = 12 * 9\nprint(n)", observation="108", status="ok")
WRONG = Step(thought="Half.", code="m = n - 2\nprint(m)", observation="106", status="ok")
END = Step(thought="Done.", code="final_answer_print(m)", observation="106", is_finished=True, status="ok")
BLAME = {
    "step": 3,
    "evidence": "m = n - 2",
    "diagnosis": "It takes 2 away; the value must be 54.",
    "suggestion": "Halve.",
}
Say = Callable[..., ChatServer]


@pytest.fixture
def say() -> Iterator[Say]:
    servers: list[ChatServer] = []

    def start(*replies: object) -> ChatServer:
        servers.append(ChatServer([r if isinstance(r, str) else json.dumps(r) for r in replies]))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def attempt() -> Episode:
    return Episode(TASK.question, 8, plan="Count, then halve.", steps=[STEP, WRONG, END])


def ask(server: ChatServer, role: str, *arguments: Any, **options: Any) -> tuple[Any, Teacher]:
    async def call() -> tuple[Any, Teacher]:
        endpoint = Endpoint("teacher", EndpointSettings(base_url=server.address, model="m"))
        teacher = Teacher(endpoint, ["web_search"], max_steps=8)
        return await getattr(teacher, role)(*arguments, **options), teacher

    return asyncio.run(call())


def fenced(thought: str, code: str) -> str:
    return f"Thought: {thought}\nCode:\n```python\n{code}\n```"


def test_every_prompt_names_its_role_first() -> None:
    firsts = {path.stem: path.read_text().split(":")[0] for path in PROMPTS.glob("*.txt")}
    assert firsts == {
        "plan": "You are the planner",
        "act": "You are the actor",
        "localise": "You are the localiser",
        "correct": "You are the corrector",
    }


def test_the_actor_sees_question_tools_and_steps_in_one_message(say: Say) -> None:
    server = say(fenced("Halve.", "print(n / 2)"))
    episode = Episode(TASK.question, 8, plan="Count, then halve.", steps=[STEP])
    step, teacher = ask(server, "act", episode)
    assert (step.thought, step.code) == ("Halve.", "print(n / 2)")
    system, user = server.asked[0]
    assert system["content"] == (PROMPTS / "act.txt").read_text().strip()
    assert user["content"].startswith(f"Question:\n{TASK.question}\n\nTools:\n- web_search(query)")
    assert (
        "Step 1:\nFirst Thought: Count, then halve.\nStep 2:\nThought: All eggs.\nCode:\n```python" in user["content"]
    )
    assert user["content"].endswith("Observation: 108\n\nWrite step 3 of at most 9.")
    assert teacher.usage["act"].prompt_tokens == 10


def test_a_reply_without_code_is_asked_again_once_and_then_fails_the_task(say: Say) -> None:
    episode = Episode(TASK.question, 8, plan="Count.")
    server = say("I would count.", fenced("Count.", "print(12 * 9)"))
    step, teacher = ask(server, "act", episode)
    assert step.code == "print(12 * 9)"
    assert teacher.asked_again == {"act: no code": 1}
    assert [message["role"] for message in server.asked[1]] == ["system", "user", "assistant", "user"]
    stubborn = say("I would count.")
    with pytest.raises(NotAsAsked, match="I would count"):
        ask(stubborn, "act", episode)
    assert len(stubborn.asked) == 2


@pytest.mark.parametrize(
    "role, arguments, reply",
    [
        ("plan", [TASK.question], "First Thought: I will count, then halve."),
        ("act", [Episode(TASK.question, 8, plan="Count.")], fenced("Count.", "print(12 * 9)")),
        ("localise", [TASK, attempt()], json.dumps(BLAME)),
        ("correct", [TASK, attempt(), Diagnosis(**BLAME)], fenced("Half.", "m = n // 2\nprint(m)")),
    ],
)
def test_a_reply_that_the_limit_of_tokens_cut_is_asked_again_in_every_role(
    role: str, arguments: list[Any], reply: str
) -> None:
    """However whole it looks."""
    server = ChatServer([reply], cut=1)
    options = {"retries": 1} if role in ("localise", "correct") else {}
    _, teacher = ask(server, role, *arguments, **options)
    server.close()
    assert teacher.asked_again == {f"{role}: cut off": 1}
    assert "cut off at the limit of tokens" in server.asked[1][-1]["content"]


def test_a_reply_whose_block_or_thinking_was_not_closed_is_asked_again(say: Say) -> None:
    whole = fenced("Count.", "print(12 * 9)")
    for torn in (whole.removesuffix("\n```"), f"<think>{whole}"):
        step, teacher = ask(say(torn, whole), "act", Episode(TASK.question, 8, plan="Count."))
        assert step.code == "print(12 * 9)" and teacher.asked_again == {"act: no code": 1}
    plan, teacher = ask(say("<think>I could count", "First Thought: Count."), "plan", TASK.question)
    assert plan == "Count." and teacher.asked_again == {"plan: no plan": 1}


def test_what_was_tolerated_is_counted(say: Say) -> None:
    step, teacher = ask(say("<think>Hm.</think>Count.\n```python\nprint(1)\n```"), "act", Episode(TASK.question, 8))
    assert (step.thought, step.code) == ("Count.", "print(1)")
    assert teacher.tolerated == {"act: no Thought:": 1, "act: <think> block": 1}
    invented = fenced("Count.", "print(1)") + "\nObservation: 1"
    step, teacher = ask(say(invented), "act", Episode(TASK.question, 8))
    assert step.code == "print(1)" and teacher.tolerated == {"act: text after the code": 1}
    _, teacher = ask(say("```json\n" + json.dumps(BLAME) + "\n```"), "localise", TASK, attempt(), retries=0)
    assert teacher.tolerated == {"localise: words around JSON": 1}


def test_the_localiser_is_believed_only_with_evidence_from_the_step(say: Say) -> None:
    server = say(BLAME | {"step": 9}, BLAME | {"evidence": "m = n - 3"}, BLAME)
    diagnosis, teacher = ask(server, "localise", TASK, attempt(), retries=2)
    assert (diagnosis.step, diagnosis.evidence) == (3, "m = n - 2")
    assert teacher.asked_again == {"localise: no such step": 1, "localise: no evidence": 1}
    prompt = server.asked[0][1]["content"]
    assert "Reference answer:\n54\n" in prompt and "Final answer: 106" in prompt


@pytest.mark.parametrize(
    "reply",
    [BLAME | {"step": 0}, BLAME | {"step": 5}, BLAME | {"step": True}, BLAME | {"step": "3"}, BLAME | {"evidence": ""}]
    + [{"step": 3}, "no JSON at all"],
)
def test_a_blame_that_stays_unusable_is_refused(say: Say, reply: object) -> None:
    server = say(reply)
    with pytest.raises(NotAsAsked):
        ask(server, "localise", TASK, attempt(), retries=2)
    assert len(server.asked) == 3


def test_the_corrector_never_sees_the_answer(say: Say) -> None:
    server = say(fenced("Half of them.", "m = n // 2\nprint(m)"))
    step, _ = ask(server, "correct", TASK, attempt(), Diagnosis(**BLAME), retries=2)
    assert step.code == "m = n // 2\nprint(m)"
    prompt = server.asked[0][1]["content"]
    assert "54" not in prompt and "the value must be [...]" in prompt
    assert "Step 3 as the student wrote it:\nThought: Half." in prompt
    assert "final_answer_print(m)" not in prompt, "what came after the mistake is not shown"
    assert prompt.endswith("Write step 3.")


def test_a_leaking_correction_is_rewritten_up_to_a_limit(say: Say) -> None:
    leaking, clean = fenced("It is 54.", "print(54)"), fenced("Half of them.", "m = n // 2\nprint(m)")
    step, teacher = ask(say(leaking, leaking, clean), "correct", TASK, attempt(), Diagnosis(**BLAME), retries=2)
    assert step.code == "m = n // 2\nprint(m)"
    assert teacher.asked_again == {"correct: leak": 2}
    with pytest.raises(NotAsAsked) as refused:
        ask(say(leaking), "correct", TASK, attempt(), Diagnosis(**BLAME), retries=2)
    assert refused.value.reason == "leak"


def test_a_correction_that_repeats_the_students_step_is_asked_again(say: Say) -> None:
    repeated, clean = (
        fenced("Take half.", "m = n-2  # half\nprint( m )"),
        fenced("Half of them.", "m = n // 2\nprint(m)"),
    )
    server = say(repeated, clean)
    step, teacher = ask(server, "correct", TASK, attempt(), Diagnosis(**BLAME), retries=1)
    assert step.code == "m = n // 2\nprint(m)" and teacher.asked_again == {"correct: unchanged": 1}
    assert "step 3 as the student wrote it" in server.asked[1][-1]["content"]
    with pytest.raises(NotAsAsked) as refused:
        ask(say("First Thought: Count,\nthen  halve."), "correct", TASK, attempt(), Diagnosis(1, "", "", ""), retries=0)
    assert refused.value.reason == "unchanged plan"


def test_a_correction_may_be_one_of_indentation_alone(say: Say) -> None:
    inside = Step(thought="Add.", code="for k in [1, 2]:\n    n += k\n    print(n)", observation="1\n3", status="ok")
    episode = Episode(TASK.question, 8, plan="Count.", steps=[STEP, inside])
    server = say(fenced("Add, then print.", "for k in [1, 2]:\n    n += k\nprint(n)"))
    step, _ = ask(server, "correct", TASK, episode, Diagnosis(3, "", "It prints too often.", "Print once."), retries=0)
    assert step.code.endswith("\nprint(n)")


def test_corrections_and_their_leaks_are_counted(say: Say) -> None:
    leaking, clean = fenced("It is 54.", "print(54)"), fenced("Half of them.", "m = n // 2\nprint(m)")
    _, teacher = ask(say(leaking, clean), "correct", TASK, attempt(), Diagnosis(**BLAME), retries=2)
    assert teacher.correcting == {"asked for": 1, "leaked": 1, "written": 1}

    async def given_up() -> Teacher:
        endpoint = Endpoint("teacher", EndpointSettings(base_url=say(leaking).address, model="m"))
        teacher = Teacher(endpoint, [], max_steps=8)
        with pytest.raises(NotAsAsked):
            await teacher.correct(TASK, attempt(), Diagnosis(**BLAME), retries=1)
        return teacher

    assert asyncio.run(given_up()).correcting == {"asked for": 1, "leaked": 1, "given up: leak": 1}


def test_a_step_that_was_found_otherwise_is_only_diagnosed(say: Say) -> None:
    server = say(BLAME | {"step": 2, "evidence": "n = 12 * 9"}, BLAME)
    diagnosis, teacher = ask(server, "localise", TASK, attempt(), retries=1, blamed=3)
    assert diagnosis.step == 3 and teacher.asked_again == {"localise: no such step": 1}
    assert server.asked[0][1]["content"].endswith("\n\nDiagnose step 3.")
    assert '"step" must be 3.' in server.asked[1][-1]["content"]


def outcome_told(say: Say, episode: Episode, **options: Any) -> str:
    server = say(BLAME)
    ask(server, "localise", TASK, episode, retries=0, **options)
    told: str = server.asked[0][1]["content"].partition("\nOutcome:\n")[2]
    return told


def test_the_localiser_is_told_of_circles_stops_and_how_the_attempt_ended(say: Say) -> None:
    assert outcome_told(say, attempt()) == "The final answer is wrong."
    killed = Step(thought="On.", code="while True: pass", observation="stopped", status="timeout")
    circling = Episode(TASK.question, 5, "Count.", [STEP, WRONG, killed, STEP, STEP])
    assert outcome_told(say, circling) == (
        "No final answer was handed in within the limit.\n"
        "Steps 2, 5 and 6 run the same code and print the same: the student goes round in circles.\n"
        "Step 4 had to be stopped (timeout)."
    )
    other = STEP.model_copy(update={"observation": "109"})
    repeated = Episode(TASK.question, 5, "Count.", [STEP, WRONG, other])
    assert "circles" not in outcome_told(say, repeated), "the same code may see something new"
    assert "outgrew" in outcome_told(say, attempt_unfinished(), out_of_context=True)


def attempt_unfinished() -> Episode:
    return Episode(TASK.question, 8, plan="Count, then halve.", steps=[STEP, WRONG])


def test_each_role_has_its_sampling_and_its_seed(say: Say) -> None:
    sampling = RoleSampling.model_validate({"localise": {"temperature": 0, "top_k": 1}, "correct": {"top_p": 0.5}})
    server = say(BLAME, fenced("Half of them.", "m = n // 2\nprint(m)"))

    async def call() -> None:
        own = EndpointSettings.model_validate(
            {"base_url": server.address, "model": "m", "sampling": {"temperature": 0.7, "top_k": 20}}
        )
        teacher = Teacher(Endpoint("teacher", own), [], max_steps=8, sampling=sampling)
        await teacher.localise(TASK, attempt(), retries=0, seed=5)
        await teacher.correct(TASK, attempt(), Diagnosis(**BLAME), retries=0, seed=6)

    asyncio.run(call())
    first, second = (
        {key: body.get(key) for key in ("temperature", "top_k", "top_p", "seed")} for body in server.bodies
    )
    assert first == {"temperature": 0, "top_k": 1, "top_p": None, "seed": 5}
    assert second == {"temperature": 0.7, "top_k": 20, "top_p": 0.5, "seed": 6}
    assert "json_schema" in server.bodies[0]["response_format"] and "response_format" not in server.bodies[1]


def test_a_blamed_plan_is_written_anew_as_a_plan(say: Say) -> None:
    diagnosis = Diagnosis(1, "Count", "It does not say what to halve.", "Plan the halving.")
    server = say("First Thought: Multiply, then halve the product.")
    step, _ = ask(server, "correct", TASK, attempt(), diagnosis, retries=0)
    assert (step.thought, step.code) == ("Multiply, then halve the product.", "")
    assert "Steps so far:\n(none)" in server.asked[0][1]["content"]
