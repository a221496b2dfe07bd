"""Task files, trajectory files and the dialogue, on generated and on the original release's rows."""

import json
from pathlib import Path

import pytest

from score.dialogue import parse_student, parse_teacher, render
from score.errors import DataError
from score.leakage import find_leak
from score.tasks import Task, read_tasks
from score.trajectory import (
    KeyStep,
    Step,
    Trajectory,
    Verdict,
    bc_row,
    mps_row,
    parse_row,
    read_trajectories,
    still_holds,
)

RELEASED = {
    "math_bc_init_trajectories": (77, 75),
    "math_mps_trajectories_head24": (24, 22),
    "search_bc_init_trajectories_head30": (30, 26),
    "search_mps_trajectories_head120": (120, 117),
}


@pytest.mark.parametrize(
    "row, why",
    [
        ({"true_answer": []}, "true_answer: the reference answer is empty"),
        ({"true_answer": ["", " "]}, "true_answer: the reference answer is empty"),
        ({"true_answer": "\n"}, "true_answer: the reference answer is empty"),
        ({"true_answer": float("nan")}, "true_answer: nan is no reference answer"),
        ({"question": " "}, "question: the question is empty"),
    ],
)
def test_a_task_that_no_answer_could_solve_is_named(tmp_path: Path, row: dict[str, object], why: str) -> None:
    whole = {"id": "a", "question": "1+1?", "true_answer": ["", "2"]}
    file = tmp_path / "tasks.jsonl"
    file.write_text(json.dumps(whole) + "\n" + json.dumps(whole | {"id": "b"} | row) + "\n")
    tasks, problems = read_tasks(file)
    assert [task.id for task in tasks] == ["a"]
    assert [str(problem) for problem in problems] == [f"{file}:2: {why}"]


def test_a_malformed_task_line_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_text(
        '{"id": "a", "question": "1+1?", "true_answer": 2, "level": 3}\n{"id": "b", "question"\n\n'
        '{"id": "c", "question": "?"}\n{"id": "a", "question": "again", "true_answer": "2"}\n'
    )
    tasks, problems = read_tasks(file)
    assert [task.id for task in tasks] == ["a"]
    assert tasks[0].true_answer == "2" and tasks[0].model_dump()["level"] == 3
    assert [str(problem).split(":")[1] for problem in problems] == ["2", "4", "5"]
    assert "true_answer" in str(problems[1]) and "occurred before" in str(problems[2])


def test_a_task_file_without_a_usable_task_stops(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(DataError, match="no usable task"):
        read_tasks(tmp_path / "empty.jsonl")
    with pytest.raises(DataError, match="does not exist"):
        read_tasks(tmp_path / "missing.jsonl")


@pytest.mark.parametrize("name", RELEASED)
def test_the_original_releases_trajectories_load(shared_data: Path, name: str) -> None:
    read = list(read_trajectories(shared_data / "original_release" / f"{name}.jsonl"))
    trajectories = [item for item in read if isinstance(item, Trajectory)]
    assert (len(trajectories), sum(item.correct for item in trajectories)) == RELEASED[name]
    assert all(item.plan for item in trajectories)
    assert not any(step.thought.startswith("Thought:") for item in trajectories for step in item.steps)


def trajectory() -> Trajectory:
    return Trajectory(
        task=Task(id="t", question="3^4?", true_answer="81"),
        plan="Raise it.",
        steps=[
            Step(thought="Compute.", code="print(3**4)", observation="81"),
            Step(thought="Done.", code="final_answer_print(81)", observation="81", is_finished=True),
        ],
        verdict=Verdict(correct=True, by="text"),
    )


@pytest.mark.parametrize("to_row", [bc_row, mps_row])
def test_a_trajectory_survives_its_file(to_row: object) -> None:
    written = json.loads(json.dumps(to_row(trajectory())))  # type: ignore[operator]
    read = parse_row(written)
    assert (read.plan, read.steps, read.correct, read.answer) == ("Raise it.", trajectory().steps, True, "81")


@pytest.mark.parametrize("to_row", [bc_row, mps_row])
def test_a_trajectory_without_a_plan_is_read_back_without_one(to_row: object) -> None:
    one = trajectory().model_copy(update={"plan": None})
    read = parse_row(json.loads(json.dumps(to_row(one))))  # type: ignore[operator]
    assert read.plan is None and read.steps == one.steps
    assert render(one.task.question, read.plan, read.steps)[1]["content"].startswith("<thought>Compute.")


def test_a_key_step_holds_in_its_file_as_it_did_in_memory() -> None:
    """Whatever labels and spaces its prefix was written with."""
    steps = [Step(thought="Thought: First.", code="print(1)"), Step(thought="Thought:\nNext.", code="print(2)")]
    key_step = KeyStep(
        teacher_guided_step=steps[1], student_mistake=[steps[0]], mistake_step_index=2, is_valid=True,
        prefix_steps=steps[:1], prefix_plan="First Thought: plan\n",
    )  # fmt: skip
    one = trajectory().model_copy(update={"plan": "First Thought: plan\n", "steps": steps, "key_steps": [key_step]})
    assert still_holds(key_step, one.plan, one.steps)
    read = parse_row(json.loads(json.dumps(mps_row(one))))
    assert still_holds(read.key_steps[0], read.plan, read.steps)


def test_the_dialogue_is_the_methods() -> None:
    one = trajectory()
    assert [message["content"] for message in render(one.task.question, one.plan, one.steps)] == [
        "3^4?",
        "<first_thought>Raise it.</first_thought>",
        "Observation: None",
        "<thought>Compute.</thought><code>print(3**4)</code>",
        "Observation: 81",
        "<thought>Done.</thought><code>final_answer_print(81)</code>",
    ]
    prompt = render(one.task.question, one.plan, one.steps[:1], ends_on_reply=False)
    assert prompt[-1] == {"role": "user", "content": "Observation: 81"}


def test_a_students_turn_is_read_as_it_was_rendered() -> None:
    reply = parse_student("<thought>a < b</thought><code>if 1 < 2:\n    print('</b>')\n</code>")
    assert (reply.thought, reply.code) == ("a < b", "if 1 < 2:\n    print('</b>')\n")
    assert parse_student("<code>print(1)").code is None
    assert parse_student("<code>print(1)").tolerated == ["unclosed code"]
    assert parse_student("<code>a</code><code>b</code>").code == "a"
    assert parse_student("<first_thought>\nplan\n</first_thought>").plan == "plan"


@pytest.mark.parametrize(
    ("text", "thought", "code"),
    [
        ("Thought: Add.\nCode:\n```python\nprint(1)\n```", "Add.", "print(1)"),
        ("<think>hm ```python\nno\n``` </think>Thought: Add.\nCode: ```py\nprint(1)\n```", "Add.", "print(1)"),
        ("Add them.\n```\nprint(1)\n```\nThat prints 1.", "Add them.", "print(1)"),
        ("Thought: Add.\nCode: print(1)", "Add.", "print(1)"),
        ("**Thought:** Add.\n\n**Code:**\n```python\nprint(1)\n```", "Add.", "print(1)"),
    ],
)
def test_a_teachers_turn_is_read_in_many_forms(text: str, thought: str, code: str) -> None:
    reply = parse_teacher(text)
    assert (reply.thought, reply.code) == (thought, code)


FENCED = "```python\nprint(1)\n```"


@pytest.mark.parametrize(
    "text",
    [
        f"**Thought**: Add.\n**Code**:\n{FENCED}",
        f"*Thought:* Add.\nCode:\n{FENCED}",
        f"### Thought: Add.\n### Code:\n{FENCED}",
        f"### Thought\nAdd.\n\n### Code\n{FENCED}",
        f"Step 2:\nThought: Add.\nCode:\n{FENCED}",
        f"**Step 2:**\n**Thought:** Add.\n{FENCED}",
        f"Thought 2: Add.\nCode:\n{FENCED}",
    ],
)
def test_a_decorated_label_is_no_part_of_the_thought_and_is_counted(text: str) -> None:
    reply = parse_teacher(text)
    assert (reply.thought, reply.code, reply.tolerated) == ("Add.", "print(1)", ["another form of Thought:"])
    assert find_leak(Step(thought=reply.thought, code="print(1)"), ["7"], "How many?", [Step(thought="Plan.")]) is None


def test_a_plan_and_a_thought_keep_what_is_no_label() -> None:
    assert parse_teacher("**First Thought:** I add.").thought == "I add."
    assert parse_teacher("Thought: **All** of them.").thought == "**All** of them."
    assert parse_teacher("**Thought**: **All** of them.").thought == "**All** of them."
    assert parse_teacher("First Thought: I add.").tolerated == []
    assert parse_teacher("Thought experiment: I add.").thought == "Thought experiment: I add."


@pytest.mark.parametrize(
    "block, said",
    [
        ("```PYTHON\nprint(1)\n```", []),
        ("```tool_code\nprint(1)\n```", ["another tag than python"]),
        ("```python3\nprint(1)\n```", ["another tag than python"]),
        ("```sage\nprint(1)\n```", ["another tag than python"]),
        ('```{.python title="a b"}\nprint(1)\n```', ["another tag than python"]),
        ("```python print(1)```", ["code in one line"]),
        ("```print(1)```", ["code in one line"]),
    ],
)
def test_a_fence_of_any_tag_holds_code_without_its_tag(block: str, said: list[str]) -> None:
    reply = parse_teacher(f"Thought: As ```n``` is 1.\nCode: {block}")
    assert (reply.thought, reply.code, reply.tolerated) == ("As ```n``` is 1.", "print(1)", said)


@pytest.mark.parametrize("quoted", ["```\n[3, 4]\n```", '```json\n{"a": 3}\n```', "```text\n3\n```"])
@pytest.mark.parametrize("block", ["```python\nprint(1)\n```", "```\nprint(1)\n```"])
def test_a_block_that_the_thought_quotes_is_not_the_code(quoted: str, block: str) -> None:
    reply = parse_teacher(f"Thought: It printed\n{quoted}\nso I add.\nCode:\n{block}")
    assert reply.code == "print(1)" and reply.thought.startswith("It printed") and reply.thought.endswith("so I add.")


@pytest.mark.parametrize(
    "text",
    [
        "Thought: I do not know.",
        "Thought: Add.\nCode:\n```tool_code\nprint(1)",
        "Thought: Add.\n```text\n1\n```",
        "Thought: Add.\nCode:\n```python\nprint(1)",
        "Thought: Add.\nCode: ```print(1)",
        "Thought: Add.\nCode:\n<code>print(1)",
        "<think>Perhaps\nCode:\n```python\nprint(1)\n```\nor rather",
        "<think>One.</think><think>Two.\n```python\nprint(1)\n```",
    ],
)
def test_a_teachers_turn_without_a_whole_block_of_code_has_none(text: str) -> None:
    assert parse_teacher(text).code is None


def test_a_teacher_that_was_cut_off_while_it_thought_said_nothing() -> None:
    assert parse_teacher("<think>First Thought: I could").thought == ""
    assert parse_teacher('Thought: Of the tag.\nCode:\n```python\nprint("<think>")\n```').code == 'print("<think>")'


def test_a_key_step_is_held_only_at_its_place_after_the_prefix_that_it_was_made_for() -> None:
    first, taught, last = (Step(thought=name, code=f"print({name!r})", observation=name) for name in "abc")
    key_step = KeyStep(
        teacher_guided_step=taught,
        student_mistake=[last],
        mistake_step_index=2,
        prefix_plan="plan",
        prefix_steps=[first],
    )
    assert still_holds(key_step, "plan", [first, taught, last])
    assert still_holds(key_step, "plan", [first.model_copy(update={"observation": "1.0"}), taught])
    assert not still_holds(key_step, "another plan", [first, taught, last])
    assert not still_holds(key_step, "plan", [last, taught]), "the step before it was corrected later"
    assert not still_holds(key_step, "plan", [first, last]) and not still_holds(key_step, "plan", [first])
    released = key_step.model_copy(update={"prefix_steps": None, "prefix_plan": None})
    assert still_holds(released, "plan", [last, taught]) and not still_holds(released, "plan", [first])
    plan = KeyStep(teacher_guided_step=Step(thought="plan"), student_mistake=[], mistake_step_index=0)
    assert still_holds(plan, "plan", []) and not still_holds(plan, "another plan", [first])


@pytest.mark.parametrize("name", ["math_mps_trajectories_head24", "search_mps_trajectories_head120"])
def test_every_valid_key_step_of_the_release_is_held_by_its_trajectory(shared_data: Path, name: str) -> None:
    valid = 0
    for trajectory in read_trajectories(shared_data / "original_release" / f"{name}.jsonl"):
        assert isinstance(trajectory, Trajectory)
        for key_step in trajectory.key_steps:
            valid += key_step.is_valid
            assert not key_step.is_valid or trajectory.correct
            assert not key_step.is_valid or still_holds(key_step, trajectory.plan, trajectory.steps)
    assert valid >= 6
