"""Do two steps do the same? Decided on code and what it does, never on wording; cheapest layer first.

1. ast: the code is identical once comments, formatting and the names of new variables are out of the way.
2. execution: both ran from the same prefix; they printed the same, and what they made of variables does not speak
   against it; or they printed nothing, and made the same variables under whatever names.
3. undecided: nothing printed and no variable made, searches worded differently, equal prints beside unequal variables,
   another plan. A judge may be asked; without one such steps count as different.
"""

import ast

from reward.effects import Effect
from reward.fingerprint import OPAQUE
from reward.tiers import KeyStep, Sameness
from score.answers import equal_by_rule
from score.dialogue import UNREADABLE, parse_student
from score.interpreter import NOTHING_PRINTED

SEARCH = "web_search"
_RECORDED_SILENCE = "Execution successful, no output."  # the original release's
_SILENT = {"", NOTHING_PRINTED.strip(), UNREADABLE.strip(), _RECORDED_SILENCE, "None"}
UNDECIDED = Sameness(None, "undecided")


class _NewNames(ast.NodeTransformer):
    """Renames variables in the order in which the step first assigns them; names that it only reads stay."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def visit_Name(self, node: ast.Name) -> ast.Name:
        if isinstance(node.ctx, ast.Store):
            self.names.setdefault(node.id, f"new{len(self.names)}")
        return ast.Name(self.names.get(node.id, node.id), node.ctx)

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        # The right-hand side is evaluated first: `x = x + 1` reads the prefix's x.
        value = self.visit(node.value)
        return ast.Assign([self.visit(target) for target in node.targets], value)


def normalised(code: str) -> str | None:
    """The code without comments, formatting and the choice of new names; None where it is no Python."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return ast.dump(_NewNames().visit(tree))


def runnable(step: KeyStep) -> str | None:
    """The step's code where running it again in a fork tells what it does: not a plan, and no search, which would ask
    the network once more."""
    code = parse_student(step.turn).code
    return code if code and code.strip() and SEARCH not in code else None


def same_code(ours: KeyStep, theirs: KeyStep) -> Sameness:
    """What the code alone tells; undecided where it has to be run."""
    mine, other = parse_student(ours.turn), parse_student(theirs.turn)
    if mine.code is None or other.code is None:
        if mine.code is not None or other.code is not None:
            return Sameness(False, "ast")  # a plan is no step
        return Sameness(True, "ast") if _words(mine.plan) == _words(other.plan) else UNDECIDED
    left, right = normalised(mine.code), normalised(other.code)
    return Sameness(True, "ast") if left is not None and left == right else UNDECIDED


def same_step(ours: KeyStep, theirs: KeyStep, effects: tuple[Effect, Effect] | None = None) -> Sameness:
    """Compare a rollout's turn with a recorded one. `effects` are what both do from the same prefix; without them only
    the recorded observations are compared."""
    by_code = same_code(ours, theirs)
    if by_code.same is not None or parse_student(ours.turn).code is None:
        return by_code
    if effects is None:
        effects = Effect("", ours.observation, None), Effect("", theirs.observation, None)
    searched = all(SEARCH in (parse_student(step.turn).code or "") for step in (ours, theirs))
    return same_effect(*effects, searched=searched)


def same_effect(ours: Effect, theirs: Effect, *, searched: bool = False) -> Sameness:
    """Compare what two steps do. `searched`: both asked the search, and prints may differ by the wording of a query."""
    printed, recorded = ours.printed.strip(), theirs.printed.strip()
    if "error" in (ours.status, theirs.status):
        # A traceback quotes the code; its last line says what went wrong.
        failed_alike = ours.status == theirs.status and _last_line(printed) == _last_line(recorded)
        return Sameness(failed_alike, "execution")
    made, expected = ours.changed, theirs.changed
    if printed in _SILENT and recorded in _SILENT:
        if not made or not expected or OPAQUE in {*made.values(), *expected.values()}:
            return UNDECIDED
        return Sameness(set(expected.values()) <= set(made.values()) and not _contradict(made, expected), "execution")
    if printed in _SILENT or recorded in _SILENT:
        return Sameness(False, "execution")
    if printed == recorded or equal_by_rule(recorded, printed)[0]:
        return UNDECIDED if made and expected and _contradict(made, expected) else Sameness(True, "execution")
    if searched:
        return UNDECIDED
    if made and expected and set(made.values()) == set(expected.values()) and OPAQUE not in made.values():
        # `print(total)` and `print("The total is", total)`: the same in other words.
        shorter, longer = sorted((_words(printed), _words(recorded)), key=len)
        if set(shorter) <= set(longer):
            return Sameness(True, "execution")
    return Sameness(False, "execution")


def _contradict(made: dict[str, str], expected: dict[str, str]) -> bool:
    """A variable of the same name became something else, and neither step has the other's value under another name."""
    differing = [
        n for n in made.keys() & expected.keys() if made[n] != expected[n] and OPAQUE not in (made[n], expected[n])
    ]
    return any(made[n] not in expected.values() and expected[n] not in made.values() for n in differing)


def _last_line(text: str) -> str:
    return text.splitlines()[-1].strip() if text else ""


def _words(text: str | None) -> list[str]:
    return (text or "").casefold().replace(":", " ").replace("=", " ").split()
