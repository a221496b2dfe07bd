"""How the expert marks an attempt: read it from a prompt, walk it along the answer key, write the next right step.

A step of a word problem is right if it prints the next value of the key, whatever its code looks like; one that merges
steps and prints a later value is right, too, and so is a step whose successor prints the expected value (one operation
in two steps). A look-up step is right if a line of its observation holds both the article's title and the fact.
A step that prints nothing new is not wrong, but if the attempt runs out of steps it is the one to blame.
"""

import ast
import re
from dataclasses import dataclass, field
from typing import Any, Self

_LABELS = re.compile(
    r"^(?:(?:Question|Tools|Reference answer|Candidate answer|Steps so far|Outcome|Diagnosis|Suggestion"
    r"|Step \d+ as the student wrote it):|Write (?:step \d+|the plan)\b.*)$",
    re.MULTILINE,
)
_STEP = re.compile(r"^Step (\d+):\n", re.MULTILINE)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_TITLE = re.compile(r'web_search\("([^"]*)"\)')


def section(prompt: str, label: str) -> str:
    """The text below `label:` up to the next label; empty if the prompt has no such section."""
    start = prompt.find(f"{label}:\n")
    if start < 0:
        return ""
    start += len(label) + 2
    following = _LABELS.search(prompt, start)
    return prompt[start : following.start() if following else len(prompt)].strip()


@dataclass(frozen=True)
class KeyedStep:
    """A step of the answer key. `value`: what it prints, or for a look-up the fact that its search must show."""

    thought: str
    code: str
    value: str


@dataclass(frozen=True)
class Problem:
    """A task with its solution: `work` are the steps before the last, `last` hands in the answer."""

    question: str
    answer: str
    kind: str
    plan: str
    work: tuple[KeyedStep, ...]
    last: KeyedStep

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        steps = [KeyedStep(**step) for step in row["steps"]]
        return cls(row["question"], row["true_answer"], row["kind"], row["plan"], tuple(steps[:-1]), steps[-1])


@dataclass(frozen=True)
class AttemptedStep:
    """A step of the student as the prompt shows it."""

    thought: str
    code: str
    observation: str
    final: bool


@dataclass(frozen=True)
class Attempt:
    """The plan and the steps of a prompt's `Steps so far:`; step 1 is the plan, so `steps[0]` is step 2."""

    plan: str
    steps: list[AttemptedStep] = field(default_factory=list)


def read_attempt(prompt: str) -> Attempt:
    """The steps so far of a prompt; headings inside an observation do not count, because numbers run on."""
    text = section(prompt, "Steps so far")
    starts: list[re.Match[str]] = []
    for found in _STEP.finditer(text):
        if int(found.group(1)) == len(starts) + 1:
            starts.append(found)
    if not starts:
        return Attempt("")
    ends = [found.start() for found in starts[1:]] + [len(text)]
    bodies = [text[found.end() : end].rstrip("\n") for found, end in zip(starts, ends, strict=True)]
    return Attempt(bodies[0].removeprefix("First Thought: "), [_read_step(body) for body in bodies[1:]])


def _read_step(body: str) -> AttemptedStep:
    thought, _, rest = body.partition("\nCode:\n```python\n")
    code, _, outcome = rest.partition("\n```\n")
    if not rest:
        thought, _, outcome = body.partition("\nObservation: ")
        outcome = f"Observation: {outcome}"
    final = outcome.startswith("Final answer: ")
    observation = outcome.removeprefix("Final answer: ").removeprefix("Observation: ")
    return AttemptedStep(thought.removeprefix("Thought: "), code, observation, final)


def _failed(step: AttemptedStep) -> bool:
    return "Error" in step.observation or not step.code


def _reached(problem: Problem, done: int, step: AttemptedStep) -> int:
    """How many steps of the key are done after this one, if `done` were done before; `done` if it led nowhere."""
    if problem.kind == "lookup":
        searches = max(1, step.code.count("web_search"))  # none: it prints what an earlier step found
        while searches and done < len(problem.work) and _shows(problem.work[done], step.observation):
            done, searches = done + 1, searches - 1
        return done
    printed = _NUMBER.findall(step.observation)
    if not printed or _failed(step):
        return done
    value = float(printed[-1])
    for position in range(done, len(problem.work)):
        if float(problem.work[position].value) == value:
            return position + 1
    return done


def _shows(key: KeyedStep, observation: str) -> bool:
    title = _TITLE.search(key.code)
    return title is not None and any(title.group(1) in line and key.value in line for line in observation.splitlines())


def _leads_nowhere(problem: Problem, step: AttemptedStep) -> bool:
    """The step printed no number, or one without computing anything: no error, but no progress either."""
    if _failed(step) or problem.kind == "lookup":
        return False
    return not _NUMBER.search(step.observation) or not _computes(step.code)


def _computes(code: str) -> bool:
    tree = _parse(code)
    nodes = list(ast.walk(tree)) if tree else []
    calls = [node.func for node in nodes if isinstance(node, ast.Call)]
    return any(isinstance(node, ast.BinOp) for node in nodes) or any(
        not (isinstance(called, ast.Name) and called.id == "print") for called in calls
    )


def progress(problem: Problem, steps: list[AttemptedStep]) -> int:
    """How many steps of the key these steps have done."""
    done = 0
    for step in steps:
        done = _reached(problem, done, step)
    return done


def first_wrong_step(problem: Problem, attempt: Attempt) -> tuple[int, str, str]:
    """The number of the first wrong step (1 is the plan), what is wrong with it, and what to do instead."""
    done = 0
    idle: int | None = None
    for position, step in enumerate(attempt.steps):
        number = position + 2
        expected = problem.work[done] if done < len(problem.work) else problem.last
        suggestion = f"Do this: {expected.thought}"
        if step.final:
            if done < len(problem.work):
                return number, "An answer is handed in before all that is needed has been worked out.", suggestion
            return number, "What is handed in is not what the steps before it found.", suggestion
        reached = _reached(problem, done, step)
        if reached > done:
            done = reached
            continue
        if _leads_nowhere(problem, step):
            idle = idle if idle is not None else number
            continue
        following = attempt.steps[position + 1] if position + 1 < len(attempt.steps) else None
        if following is not None and not following.final and not _failed(step):
            if _reached(problem, done, following) == done + 1:
                continue  # one operation in two steps
        if position == 0 and problem.kind == "lookup" and not _names_subject(problem, attempt.plan):
            return 1, "The plan does not name what has to be looked up.", f"Plan this: {problem.plan}"
        if _failed(step):
            return number, "The code of this step fails, so it finds nothing.", suggestion
        return number, "What this step does is not what the question says at this point.", suggestion
    blamed = idle if idle is not None else len(attempt.steps) + 1
    expected = problem.work[done] if done < len(problem.work) else problem.last
    return blamed, "This step makes no progress, and the steps ran out.", f"Do this: {expected.thought}"


def diagnose_step(problem: Problem, attempt: Attempt, number: int) -> tuple[int, str, str]:
    """Like `first_wrong_step`, for a step that somebody else found."""
    if number == 1:
        return 1, "The plan does not lead to the answer.", f"Plan this: {problem.plan}"
    done = progress(problem, attempt.steps[: number - 2])
    expected = problem.work[done] if done < len(problem.work) else problem.last
    return number, "What this step does is not what is needed at this point.", f"Do this: {expected.thought}"


def _names_subject(problem: Problem, plan: str) -> bool:
    title = _TITLE.search(problem.work[0].code)
    return title is None or title.group(1) in plan


def corrected_step(problem: Problem, steps: list[AttemptedStep]) -> tuple[str, str]:
    """Thought and code of the next right step after `steps`, written for the session that ran them.

    The key calls its values a, b, c ...; a student may call them otherwise or have printed them without a name. Each
    name in the key's code is replaced by the student's variable of that value, by the number if only that was
    observed, or by the key's own expression if neither is there.
    """
    done = progress(problem, steps)
    key = problem.work[done] if done < len(problem.work) else problem.last
    if problem.kind == "lookup":
        return key.thought, key.code
    variables = _variables(steps)
    observed = {number for step in steps for number in _NUMBER.findall(step.observation)}
    known = {_assigned(earlier.code): earlier for earlier in problem.work[:done]}

    def in_students_words(name: str) -> str:
        earlier = known[name]
        for variable in [name, *variables]:
            if variables.get(variable) == earlier.value:
                return variable
        if earlier.value in observed:
            return earlier.value
        return f"({translate(_expression(earlier.code))})"

    def translate(code: str) -> str:
        return re.sub(r"\b[a-z]\b", lambda found: in_students_words(found[0]) if found[0] in known else found[0], code)

    if key is problem.last:
        return key.thought, translate(key.code)
    expression = translate(_expression(key.code))
    own = _assigned(key.code)
    # A name that holds something else in the student's session gives way to the next free letter.
    free = [letter for letter in "abcdefghijklmnopqrstuvwxyz" if letter >= own and letter not in variables]
    target = free[0] if free else own
    return key.thought, f"{target} = {expression}\nprint({target})"


def _assigned(code: str) -> str:
    return code.partition(" = ")[0]


def _expression(code: str) -> str:
    return code.partition(" = ")[2].partition("\n")[0]


def _variables(steps: list[AttemptedStep]) -> dict[str, str]:
    """The student's variables: name -> the value as it was printed; empty where it was never printed."""
    variables: dict[str, str] = {}
    for step in steps:
        tree = _parse(step.code)
        if tree is None:
            continue  # nothing of it was run
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                variables[node.id] = ""
        printed = _printed_name(tree)
        if printed is not None and _NUMBER.fullmatch(step.observation.strip()):
            variables[printed] = step.observation.strip()
    return variables


def _parse(code: str) -> ast.Module | None:
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError):
        return None


def _printed_name(tree: ast.Module) -> str | None:
    """The variable of a step that ends on `print(variable)`."""
    match tree.body[-1] if tree.body else None:
        case ast.Expr(value=ast.Call(func=ast.Name(id="print"), args=[ast.Name(id=name)])):
            return name
    return None
