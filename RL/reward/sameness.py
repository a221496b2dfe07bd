"""Do two steps do the same? Decided on code and observation, never on wording; cheapest layer first.

1. ast: the code is identical once comments, formatting and the names of new variables are out of the way.
2. execution: both ran from the same prefix; what they printed is the same, or not.
3. undecided: nothing was printed, or a search was worded differently. A judge may be asked; without one the steps
   count as different.
"""

import ast

from reward.tiers import KeyStep, Sameness
from score.answers import equal_by_rule
from score.dialogue import UNREADABLE, parse_student
from score.interpreter import NOTHING_PRINTED

_SILENT = {"", NOTHING_PRINTED.strip(), UNREADABLE.strip(), "None"}


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
    except (SyntaxError, ValueError):
        return None
    return ast.dump(_NewNames().visit(tree))


def same_step(ours: KeyStep, theirs: KeyStep) -> Sameness:
    """Compare a rollout's turn with a recorded one."""
    mine, other = parse_student(ours.turn), parse_student(theirs.turn)
    if mine.code is None or other.code is None:
        if mine.code is not None or other.code is not None:
            return Sameness(False, "ast")  # a plan is no step
        return Sameness(True, "ast") if _words(mine.plan) == _words(other.plan) else Sameness(None, "undecided")
    left, right = normalised(mine.code), normalised(other.code)
    if left is not None and left == right:
        return Sameness(True, "ast")
    printed, recorded = ours.observation.strip(), theirs.observation.strip()
    if printed in _SILENT and recorded in _SILENT:
        return Sameness(None, "undecided")
    if printed in _SILENT or recorded in _SILENT:
        return Sameness(False, "execution")
    if printed == recorded or equal_by_rule(recorded, printed)[0]:
        return Sameness(True, "execution")
    if "web_search" in mine.code and "web_search" in other.code:
        return Sameness(None, "undecided")
    return Sameness(False, "execution")


def _words(text: str | None) -> list[str]:
    return (text or "").casefold().split()
