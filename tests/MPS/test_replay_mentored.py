"""The release's mentored files through the unchanged script: the recorded teacher and student give the recorded key steps.

A key step is its place, the student's mistake, the teacher's correction and the steps before it. Of the 35 recorded
ones 18 come out the same: all 6 of the mathematics, 12 of the 29 of the search. The others, each with its reason:

- 12 of the search are corrections that give the answer away; the leak check refuses them, and the sample is hard. All
  12 are labelled as leaks (`tests/score/fixtures/leak_labels.jsonl`).
- 285d4a66: the recorded judge called `Fabian Nicieza` wrong and, after the correction, the same answer right. The rules
  find it equal to the reference the first time, so nobody corrects it. (The correction repeats the student's step: from
  the recorded file, RL's converter makes no row of it.)
- 6dd0eeab (2 key steps): the answer `Adventitious` is the text of option E, the reference. The rules know that, the
  recorded judge wanted the letter.
- e2fe73e1, bab330e9: the answers `Copenhagen, Denmark` and `Berlin, Germany`, where the references are the cities alone.
  The recorded judge had them corrected, and took `Rome, Italy` for `Rome` in another row; the rules take all three.

Among the tasks without a key step one ends otherwise: 28dd4651, where the recorded judge took `B. Inject morphine
without dilution` for the reference A.
"""

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from score.trajectory import KeyStep, Step, Trajectory, read_trajectories
from tests.replay import as_run

ROOT = Path(__file__).resolve().parents[2]
LABELS = ROOT / "tests" / "score" / "fixtures" / "leak_labels.jsonl"
# By the rules than by the recorded judge.
DECIDED_OTHERWISE = ("285d4a66", "6dd0eeab", "28dd4651", "e2fe73e1", "bab330e9")
QUERY = re.compile(r"""web_search\(\s*(?:query\s*=\s*)?(["'])(.*?)\1""")


def action(step: Step) -> tuple[str, str]:
    return step.thought.strip(), as_run(step.code).strip()


def different(then: KeyStep, recorded: Trajectory, now: KeyStep) -> list[str]:
    """In what a key step differs from the recorded one."""
    index = then.mistake_step_index
    before = recorded.steps[: index - 1] if index else []
    differences = {
        "place": now.mistake_step_index == index,
        "correction": action(now.teacher_guided_step) == action(then.teacher_guided_step),
        "mistake": action(now.student_mistake[0]) == action(then.student_mistake[0]),
        "prefix": [action(step) for step in now.prefix_steps or []] == [action(step) for step in before],
    }
    return [name for name, equal in differences.items() if not equal]


def searched(recorded: Iterable[Trajectory]) -> list[dict[str, str]]:
    """What the recorded searches found, as articles under their queries; one more for files without a search."""
    articles = [{"title": "nothing", "text": "nothing"}]
    for trajectory in recorded:
        mentoring = [[key.teacher_guided_step, *key.student_mistake] for key in trajectory.key_steps]
        for step in itertools.chain(trajectory.steps, *mentoring):
            for _, query in QUERY.findall(step.code):
                articles.append({"title": query, "text": step.observation})
    return articles


@pytest.mark.parametrize(
    ("name", "expected"), [("math_mps_trajectories_head24", (6, 0)), ("search_mps_trajectories_head120", (12, 12))]
)
def test_the_recorded_mentoring_gives_the_recorded_key_steps(
    shared_data: Path, start_server: Callable[..., str], tmp_path: Path, name: str, expected: tuple[int, int]
) -> None:
    recording = shared_data / "original_release" / f"{name}.jsonl"
    address = start_server("-m", "tests.replay", str(recording))
    recorded = {item.task.id: item for item in read_trajectories(recording) if isinstance(item, Trajectory)}
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(article) + "\n" for article in searched(recorded.values())))
    tasks, output = tmp_path / "tasks.jsonl", tmp_path / "out.jsonl"
    tasks.write_text("".join(item.task.model_dump_json() + "\n" for item in recorded.values()))
    settings = [f"tasks={tasks}", f"output={output}", "concurrency=8", "max_steps=12", "rewrites=0",
                "endpoints.student.stream=false", "search.backend=local", f"search.corpus={corpus}", "search.results=1", "search.passage_chars=100000",
                "interpreter.max_output_chars=100000"]  # fmt: skip
    for role in ("teacher", "judge", "student"):
        settings += [f"endpoints.{role}.base_url={address}", f"endpoints.{role}.api_key_env=null"]
    ran = subprocess.run(
        [sys.executable, "SCoRe_data_gen.py", *(part for setting in settings for part in ("--set", setting))],
        cwd=ROOT / "MPS",
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    ours = {item.task.id: item for item in read_trajectories(output) if isinstance(item, Trajectory)}
    assert ours.keys() == recorded.keys()
    labels = [json.loads(line) for line in LABELS.read_text(encoding="utf-8").splitlines()]
    leaks = {(label["id"], label["step"]) for label in labels if label.get("leaks")}

    equal, refused = 0, 0
    for task_id, then in recorded.items():
        now = ours[task_id]
        if task_id.startswith(DECIDED_OTHERWISE):
            assert not now.key_steps
            continue
        if not then.key_steps:
            assert now.correct == then.correct and not now.key_steps
            continue
        (key_step,) = then.key_steps
        if now.extra.get("error_analysis") == "not corrected: leak":
            assert (task_id, key_step.mistake_step_index + 1) in leaks
            refused += 1
            continue
        assert not different(key_step, then, now.key_steps[0]), task_id
        assert len(now.key_steps) == 1 and now.key_steps[0].is_valid
        equal += 1
    assert (equal, refused) == expected
