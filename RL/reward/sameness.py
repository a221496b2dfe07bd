"""Do two steps do the same? Decided on code and what it does, never on wording; cheapest layer first.

1. ast: the code is identical once comments, formatting and the names of new variables are out of the way.
2. execution: both ran from the same prefix; they printed the same, and what they made of variables does not speak
   against it; or they printed nothing, and made the same variables under whatever names.
3. undecided: nothing printed and no variable made, searches worded differently, equal prints beside unequal variables,
   another plan. A judge may be asked; without one such steps count as different.
"""

import ast
from collections.abc import Iterable

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
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)
_EVALUATED: dict[type[ast.AST], tuple[str, ...]] = {  # where that is another order than the fields'
    ast.Assign: ("value", "targets"),
    ast.AnnAssign: ("annotation", "value", "target"),
    ast.NamedExpr: ("value", "target"),
    ast.comprehension: ("iter", "target", "ifs"),
    ast.ListComp: ("generators", "elt"),
    ast.SetComp: ("generators", "elt"),
    ast.GeneratorExp: ("generators", "elt"),
    ast.DictComp: ("generators", "key", "value"),
}


class _NewNames(ast.NodeTransformer):
    """Renames variables in the order in which the step first assigns them. Names that it only reads stay, and so do
    those of `stays` and those that a loop's first round reads before they are assigned. `unsure` are those that it read
    where a branch may have assigned them or not: the prefix's value may have been meant."""

    def __init__(self, stays: set[str]) -> None:
        self.names: dict[str, str] = {}
        self.stays, self.made, self.loops = stays, 0, 0
        self.sure: set[str] = set()  # assigned on every way to here
        self.unsure: set[str] = set()

    def visit_Name(self, node: ast.Name) -> ast.Name:
        if node.id not in self.names:
            if isinstance(node.ctx, ast.Store) and node.id not in self.stays:
                self.names[node.id] = f"<new {self.made}>"  # no name that code can have
                self.made += 1
            elif self.loops:
                self.stays.add(node.id)
        elif not isinstance(node.ctx, ast.Store) and node.id not in self.sure:
            self.unsure.add(node.id)
        if isinstance(node.ctx, ast.Store):
            self.sure.add(node.id)
        return ast.Name(self.names.get(node.id, node.id), node.ctx)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        return self._visit(node, _EVALUATED.get(type(node), node._fields))

    def _visit(self, node: ast.AST, fields: Iterable[str]) -> ast.AST:
        for name in fields:
            value = getattr(node, name, None)
            if isinstance(value, list):
                value[:] = [self.visit(item) if isinstance(item, ast.AST) else item for item in value]
            elif isinstance(value, ast.AST):
                setattr(node, name, self.visit(value))
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        if isinstance(node.target, ast.Name):  # `total += 5` reads total before it assigns it
            read = self.visit_Name(ast.Name(node.target.id, ast.Load()))
            return ast.AugAssign(ast.Name(read.id, ast.Store()), node.op, self.visit(node.value))
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST:
        self._visit(node, ["test"])
        ways = self._branch(node, ["body"]), self._branch(node, ["orelse"])
        self.sure |= ways[0] & ways[1]
        return node

    def visit_Try(self, node: ast.Try | ast.TryStar) -> ast.AST:
        ways = [self._branch(node, ["body", "orelse"])]
        ways += [self._branch(handler, handler._fields) for handler in node.handlers]
        self.sure |= set.intersection(*ways)
        return self._visit(node, ["finalbody"])

    visit_TryStar = visit_Try

    def visit_match_case(self, node: ast.match_case) -> ast.AST:
        self._branch(node, node._fields)
        return node

    def _branch(self, node: ast.AST, fields: Iterable[str]) -> set[str]:
        """Go through what may not be run, or not to its end. Returns what is assigned where it was."""
        before = set(self.sure)
        self._visit(node, fields)
        after, self.sure = self.sure, before
        return after

    def visit_For(self, node: ast.For | ast.AsyncFor) -> ast.AST:
        self._visit(node, ["iter"])
        return self._loop(node, ["target", "body", "orelse"])

    visit_AsyncFor = visit_For

    def visit_While(self, node: ast.While) -> ast.AST:
        return self._loop(node, node._fields)

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> ast.AST:
        outer, sure = dict(self.names), set(self.sure)
        kept = {inner.target.id for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr)}  # by `:=`
        self._loop(node, _EVALUATED[type(node)]) if kept else self.generic_visit(node)
        self.names, self.sure = outer | {name: new for name, new in self.names.items() if name in kept}, sure
        return node

    visit_SetComp = visit_GeneratorExp = visit_DictComp = visit_ListComp

    def _loop(self, node: ast.AST, fields: Iterable[str]) -> ast.AST:
        self.loops += 1
        self._branch(node, fields)
        self.loops -= 1
        return node


def _not_new(tree: ast.AST) -> set[str]:
    """Names that are not renamed: those that a function or class mentions, which reads them when it is called, and
    those that something else than an assignment binds."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, _SCOPES):
            found |= {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
        if isinstance(node, _NAMED) and node.name:
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).partition(".")[0])
    return found


def normalised(code: str) -> str | None:
    """The code without comments, formatting and the choice of new names; None where it is no Python."""
    try:
        stays = _not_new(ast.parse(code))
        while True:
            names = _NewNames(set(stays))
            renamed = ast.dump(names.visit(ast.parse(code)))
            if not names.unsure:
                return renamed
            stays |= names.unsure
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


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
    the recorded observations are compared, where there are both."""
    by_code = same_code(ours, theirs)
    if by_code.same is not None or parse_student(ours.turn).code is None:
        return by_code
    if effects is None:
        if not (ours.observation.strip() and theirs.observation.strip()):
            return UNDECIDED  # no record: a step that prints nothing has one that says so
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
