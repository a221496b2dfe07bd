"""The expert marks attempts as a teacher would: first wrong step, other right ways, corrections that run."""

import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from score.leakage import find_leak
from score.miniature.expert import Expert, UnknownTask, load_key
from score.miniature.marking import KeyedStep, Problem
from score.miniature.world import write_world
from score.trajectory import Step

QUESTION = "Ava has 10 pens. She buys 5 more. They triple. She loses 4. She adds what she had before. How many?"
PLAN = "Count the pens."
PROBLEM = Problem(
    question=QUESTION,
    answer="86",
    kind="word",
    plan=PLAN,
    work=(
        KeyedStep("Add.", "a = 10 + 5\nprint(a)", "15"),
        KeyedStep("Triple.", "b = a * 3\nprint(b)", "45"),
        KeyedStep("Subtract.", "c = b - 4\nprint(c)", "41"),
        KeyedStep("Add the amount before.", "d = c + b\nprint(d)", "86"),
    ),
    last=KeyedStep("Done.", "final_answer_print(d)", "86"),
)
LOOKUP = Problem(
    question="Who is the mayor of the birthplace of Tamo Melk?",
    answer="Yara Brisk",
    kind="lookup",
    plan="Search Tamo Melk.",
    work=(
        KeyedStep("Look up the birthplace.", 'print(web_search("Tamo Melk"))', "Norwick"),
        KeyedStep("Look up the mayor.", 'print(web_search("Norwick"))', "Yara Brisk"),
    ),
    last=KeyedStep("It is Yara Brisk.", 'final_answer_print("Yara Brisk")', "Yara Brisk"),
)
MELK = "Tamo Melk: Tamo Melk is a baker born in Norwick."
NORWICK = "Norwick: Norwick is a town on the river Alba. Its mayor is Yara Brisk."


@pytest.fixture
def expert() -> Expert:
    return Expert({QUESTION: PROBLEM, LOOKUP.question: LOOKUP})


def shown(code: str, observation: str, number: int, final: bool = False) -> str:
    outcome = "Final answer" if final else "Observation"
    return f"Step {number}:\nThought: t{number}\nCode:\n```python\n{code}\n```\n{outcome}: {observation}"


def prompt_for(problem: Problem, steps: list[tuple[str, str]], closing: str, *, plan: str | None = None) -> str:
    """A prompt as `roles.Teacher` writes it; a step whose code hands in an answer is shown as final."""
    texts = [f"Step 1:\nFirst Thought: {problem.plan if plan is None else plan}"]
    texts += [shown(code, seen, n, "final_answer" in code) for n, (code, seen) in enumerate(steps, 2)]
    return f"Question:\n{problem.question}\n\nTools:\n- none\n\nSteps so far:\n" + "\n".join(texts) + f"\n\n{closing}"


def blamed(expert: Expert, problem: Problem, steps: list[tuple[str, str]], plan: str | None = None) -> int:
    prompt = prompt_for(problem, steps, "Outcome:\nThe final answer is wrong.", plan=plan)
    reply = json.loads(expert.localise(prompt))
    assert reply["evidence"] in prompt
    return int(reply["step"])


def correction(expert: Expert, problem: Problem, steps: list[tuple[str, str]]) -> str:
    reply = expert.correct(prompt_for(problem, steps, f"Write step {len(steps) + 2}."))
    return reply.partition("```python\n")[2].removesuffix("\n```")


@pytest.mark.parametrize(
    "steps, step",
    [
        ([("a = 10 + 5\nprint(a)", "15"), ("b = a + 3\nprint(b)", "18"), ("c = b - 4\nprint(c)", "14")], 3),
        ([("a = 10 - 5\nprint(a)", "5"), ("final_answer_print(a)", "5")], 2),
        ([("a = 10 + 5\nprint(a)", "15"), ("final_answer_print(a)", "15")], 3),
        ([("a = 10 + 5\nprint(a)", "15"), ("print(q)", "NameError: name 'q' is not defined")], 3),
        ([("a = 10 + 5\nprint(a)", "15"), ("", "Error: no code")], 3),
        ([("d = (10 + 5) * 3 - 4 + (10 + 5) * 3\nprint(d)", "86"), ("final_answer_print(68)", "68")], 3),
    ],
    ids=["wrong operation", "first action", "premature answer", "failing code", "no code", "wrong answer at the end"],
)
def test_the_first_wrong_step_is_blamed(expert: Expert, steps: list[tuple[str, str]], step: int) -> None:
    assert blamed(expert, PROBLEM, steps) == step


@pytest.mark.parametrize(
    "right_way",
    [
        [("total = 15\nprint(total)", "15"), ("total = total * 3\nprint(total)", "45")],
        [("print((10 + 5) * 3)", "45")],
        [("a = 10 + 5\nprint(a)", "15"), ("b = a + a\nprint(b)", "30"), ("b = b + a\nprint(b)", "45")],
        [("a = 10 + 5\nprint(a)", "15"), ("b = a * 3", "(Nothing was printed.)"), ("print(b)", "45")],
        [("print('pens:', 10 + 5)", "pens: 15"), ("b = 15 * 3\nprint(b)", "45.0")],
    ],
    ids=["other names", "merged steps", "one operation in two steps", "printed later", "words and floats"],
)
def test_other_right_ways_are_accepted(expert: Expert, right_way: list[tuple[str, str]]) -> None:
    wrong = [("x = 45 - 40\nprint(x)", "5"), ("final_answer_print(x)", "5")]
    assert blamed(expert, PROBLEM, [*right_way, *wrong]) == len(right_way) + 2


def test_running_out_of_steps_blames_the_first_that_did_not_advance(expert: Expert) -> None:
    steps = [("a = 10 + 5\nprint(a)", "15"), ("print(a)", "15"), ("print(a)", "15"), ("print(a)", "15")]
    assert blamed(expert, PROBLEM, steps) == 3


def test_a_search_for_the_wrong_thing_is_blamed_and_the_right_one_accepted(expert: Expert) -> None:
    right = ('print(web_search("Tamo Melk"))', MELK)
    wrong = ('print(web_search("Tamo Vint"))', "Tamo Vint: Tamo Vint is a baker born in Norwick.")
    assert blamed(expert, LOOKUP, [right, wrong, ("final_answer_print('x')", "x")]) == 3
    assert (
        blamed(expert, LOOKUP, [right, ('print(web_search("Norwick"))', NORWICK), ("final_answer_print('x')", "x")])
        == 4
    )


def test_a_plan_that_names_the_wrong_subject_is_blamed(expert: Expert) -> None:
    wrong = ('print(web_search("Tamo Vint"))', "Tamo Vint: Tamo Vint is a baker born in Norwick.")
    assert blamed(expert, LOOKUP, [wrong], plan="Search Tamo Vint.") == 1
    assert "Search Tamo Melk." in expert.correct(prompt_for(LOOKUP, [], "Write step 1."))


@pytest.mark.parametrize(
    "before, code",
    [
        ([("a = 10 + 5\nprint(a)", "15")], "b = a * 3\nprint(b)"),
        ([("pens = 10 + 5\nprint(pens)", "15")], "b = pens * 3\nprint(b)"),
        ([("print(10 + 5)", "15")], "b = 15 * 3\nprint(b)"),
        ([("b = 10 + 5\nprint(b)", "15")], "c = b * 3\nprint(c)"),
        ([("b = (10 + 5) * 3\nprint(b)", "45"), ("c = b - 4\nprint(c)", "41")], "d = c + b\nprint(d)"),
        ([("print((10 + 5) * 3 - 4)", "41")], "d = 41 + ((10 + 5) * 3)\nprint(d)"),
    ],
    ids=["key's names", "own names", "no names", "name taken", "merged", "value never seen"],
)
def test_a_correction_runs_in_the_students_state(expert: Expert, before: list[tuple[str, str]], code: str) -> None:
    assert correction(expert, PROBLEM, before) == code
    scope: dict[str, object] = {"print": lambda *_: None}
    for earlier, _ in before:
        exec(earlier, scope)
    exec(code, scope)
    variable = code.partition(" = ")[0]
    assert str(scope[variable]) in {step.value for step in PROBLEM.work}


def test_the_actor_solves_a_task_to_its_end(expert: Expert) -> None:
    steps: list[tuple[str, str]] = []
    for key in (*PROBLEM.work, PROBLEM.last):
        reply = expert.act(prompt_for(PROBLEM, steps, f"Write step {len(steps) + 2} of at most 11."))
        assert f"```python\n{key.code}\n```" in reply and reply.startswith("Thought: ")
        steps.append((key.code, key.value))


def test_a_heading_inside_an_observation_does_not_confuse_the_steps(expert: Expert) -> None:
    steps = [("a = 10 + 5\nprint('Step 9:')\nprint(a)", "Step 9:\n15"), ("b = a + 3\nprint(b)", "18")]
    assert blamed(expert, PROBLEM, steps) == 3


@pytest.mark.parametrize(
    "candidate, same", [("86", True), (r"\boxed{86}", True), ("86.0", True), ("85", False), ("", False)]
)
def test_the_judge_compares_answers(expert: Expert, candidate: str, same: bool) -> None:
    prompt = f"Question:\n{QUESTION}\n\nReference answer:\n- 12\n- 86\n\nCandidate answer:\n{candidate}"
    assert json.loads(expert.judge(prompt))["equivalent"] is same


def test_the_system_prompt_decides_the_role_and_an_unknown_question_is_an_error(expert: Expert) -> None:
    question = {"role": "user", "content": f"Question:\n{QUESTION}\n\nWrite the plan."}
    planner = {"role": "system", "content": "You are the planner: plan."}
    assert expert.reply([planner, question]) == f"First Thought: {PLAN}"
    assert expert.reply([{"role": "user", "content": "Say OK."}]) == "OK."
    with pytest.raises(UnknownTask):
        expert.reply([planner, {"role": "user", "content": "Question:\nWhy?\n\nWrite the plan."}])


def test_knobs_make_it_err_at_their_rates() -> None:
    problems = {QUESTION: PROBLEM}
    steps = [("a = 10 + 5\nprint(a)", "15"), ("b = a + 3\nprint(b)", "18"), ("final_answer_print(b)", "18")]
    blaming = Expert(problems, wrong_blame=0.5, seed=1)
    verdicts = [blamed(blaming, PROBLEM, steps) for _ in range(400)]
    assert 0.25 < sum(verdict != 3 for verdict in verdicts) / 400 < 0.5  # a random step is the right one now and then
    spoiling = Expert(problems, wrong_correction=1.0, seed=1)
    assert correction(spoiling, PROBLEM, steps[:1]) != "b = a * 3\nprint(b)"
    rambling = Expert(problems, garbage=1.0, seed=1)
    assert "First Thought" not in rambling.reply(
        [{"role": "system", "content": "You are the planner"}, {"role": "user", "content": f"Question:\n{QUESTION}"}]
    )


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("expert_world")
    write_world(folder, 1, {"bc": 150, "mps": 150, "validation": 10, "test": 10})
    return folder / "answer_key.jsonl"


def test_no_correction_of_the_expert_leaks(key: Path) -> None:
    """Whatever the student called its variables, at every step of every task: the leak check lets it pass."""
    for problem in load_key(key).values():
        expert = Expert({problem.question: problem})
        plan = expert.correct(prompt_for(problem, [], "Write step 1.")).removeprefix("First Thought: ")
        assert find_leak(Step(thought=plan), [problem.answer], problem.question, []) is None, (problem.question, plan)
        steps: list[tuple[str, str]] = []
        for keyed in (*problem.work, problem.last):
            prompt = prompt_for(problem, steps, f"Write step {len(steps) + 2}.")
            thought, _, code = expert.correct(prompt).partition("\nCode:\n```python\n")
            step = Step(thought=thought.removeprefix("Thought: "), code=code.removesuffix("\n```"))
            before = [Step(thought="", code=code, observation=observation) for code, observation in steps]
            assert find_leak(step, [problem.answer], problem.question, before) is None, (problem.question, step)
            own = keyed.code.replace("a", "count_a") if len(steps) % 2 and problem.kind == "word" else keyed.code
            title = keyed.code.split('"')[1] if problem.kind == "lookup" else ""
            steps.append((own, f"{title}: it has {keyed.value}" if title else keyed.value))


def test_it_answers_fast_enough_for_the_road(key: Path) -> None:
    """The CPU road asks it about 25,000 times: a reply may take 1 ms of CPU (it takes about 0.1)."""
    problems = list(load_key(key).values())
    expert = Expert({problem.question: problem for problem in problems})
    dice = random.Random(0)
    prompts = []
    for problem in dice.choices(problems, k=500):
        steps = [(step.code, step.value) for step in problem.work]
        prompts.append(prompt_for(problem, [*steps, ("final_answer_print(0)", "0")], "Outcome:\nThe answer is wrong."))
    began = time.process_time()
    for prompt in prompts:
        expert.localise(prompt)
    assert (time.process_time() - began) / len(prompts) < 0.001


def test_the_server_speaks_the_chat_completions_api(start_server: Callable[..., str], key: Path) -> None:
    address = start_server("-m", "score.miniature.expert", "--key", str(key))
    question = next(iter(load_key(key)))

    def ask(user: str) -> dict[str, object]:
        messages = [{"role": "system", "content": "You are the planner."}, {"role": "user", "content": user}]
        body = json.dumps({"model": "any", "messages": messages}).encode()
        request = urllib.request.Request(f"{address}/chat/completions", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as response:
            reply: dict[str, object] = json.load(response)
            return reply

    reply = ask(f"Question:\n{question}\n\nWrite the plan.")
    assert reply["object"] == "chat.completion"
    usage = reply["usage"]
    assert isinstance(usage, dict) and usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 10
    with urllib.request.urlopen(f"{address}/models", timeout=20) as response:
        assert json.load(response)["data"][0]["id"] == "miniature-expert"
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask("Question:\nWhy?\n\nWrite the plan.")
    assert refused.value.code == 400


def test_a_step_that_somebody_else_found_is_diagnosed(expert: Expert) -> None:
    steps = [("a = 10 + 5\nprint(a)", "15"), ("b = a + 3\nprint(b)", "18"), ("c = b - 4\nprint(c)", "14")]
    for step in (1, 2, 4):
        reply = json.loads(expert.localise(prompt_for(PROBLEM, steps, f"Outcome:\nWrong.\n\nDiagnose step {step}.")))
        assert reply["step"] == step and reply["diagnosis"] and reply["suggestion"]
        assert reply["evidence"] in (PLAN if step == 1 else steps[step - 2][0])


def test_the_length_of_a_system_prompt_changes_no_reply(expert: Expert) -> None:
    steps = [("a = 10 - 5\nprint(a)", "5"), ("final_answer_print(a)", "5")]
    for role, closing in (("localiser", "Outcome:\nThe final answer is wrong."), ("corrector", "Write step 4.")):
        user = {"role": "user", "content": prompt_for(PROBLEM, steps, closing)}
        short, long = (
            {"role": "system", "content": f"You are the {role}: {rest}"}
            for rest in ("help.", "help.\n\nQuestion:\nWhich?\n\nSteps so far:\nStep 1:\nFirst Thought: None.\n" * 50)
        )
        assert expert.reply([short, user]) == expert.reply([long, user])
