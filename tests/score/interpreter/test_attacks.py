"""The attack list, each attack a case of its own, in every isolation that this machine has."""

import asyncio
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from score.interpreter.__main__ import main
from score.interpreter.arena import Arena, Row
from score.interpreter.attacks import ATTACKS, Attack
from score.interpreter.selfcheck import support

SUPPORT = support()


@pytest.fixture(scope="module", params=["strict", "limits"])
def attack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Attack], Row]]:
    """`attack(one)` runs an attack in a session of an arena that all cases share. Nothing may be left of it at the end."""
    if (answer := SUPPORT[request.param]) != "yes":
        pytest.skip(f"isolation {request.param!r} does not work here: {answer}")
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner:
        patch.setattr(tempfile, "tempdir", str(folder))
        arena = Arena(request.param)
        runner.run(arena.__aenter__())
        try:
            yield lambda one: runner.run(arena.attack(one))
        finally:
            runner.run(arena.__aexit__())
    assert list(folder.iterdir()) == [], "temporary files are left"


@pytest.mark.parametrize("one", ATTACKS, ids=lambda one: one.name)
def test_an_attack_stays_inside(attack: Callable[[Attack], Row], one: Attack, request: pytest.FixtureRequest) -> None:
    row = attack(one)
    assert row.verdict != "failed", row.why
    covered = one.contained_by == "limits" or request.node.callspec.params["attack"] == "strict"
    if covered and not (one.needs_seccomp and SUPPORT["seccomp"] != "yes"):
        assert row.verdict == "contained"


@pytest.mark.parametrize("code, verdict, exit_code", [("print(<escaped>)", "failed", 1), ("x = 1", "contained", 0)])
def test_the_selfcheck_says_what_it_found(code, verdict, exit_code, monkeypatch, tmp_path, capsys):
    file = tmp_path / "report.json"
    monkeypatch.setattr("score.interpreter.selfcheck.ATTACKS", [Attack("the only one", code)])
    monkeypatch.setattr("sys.argv", ["interpreter", "selfcheck", "--isolation", "limits", "--json", str(file)])
    assert main() == exit_code
    report = json.loads(file.read_text())
    assert report["support"] == SUPPORT
    assert [(row["attack"], row["verdict"]) for row in report["attacks"]["limits"]] == [("the only one", verdict)]
    assert f"1 {verdict}" in capsys.readouterr().out


def test_the_list_is_long_and_has_no_two_of_a_name() -> None:
    assert len(ATTACKS) >= 80
    assert len({one.name for one in ATTACKS}) == len(ATTACKS)


@pytest.mark.parametrize(
    "code, why",
    [
        ("print(<escaped>)", "it succeeded"),
        ("final_answer_print(<escaped>)", "it succeeded"),
        ("1 / 0", "it ended with error"),
        ("del kept", "the session did not go on"),
    ],
)
def test_what_is_not_contained_is_reported(attack: Callable[[Attack], Row], code: str, why: str) -> None:
    row = attack(Attack("an attack that gets its way", code, ("ok",)))
    assert row.verdict == "failed" and why in row.why


def test_a_dangerous_attack_is_tried_only_where_it_is_covered(attack: Callable[[Attack], Row], tmp_path: Path) -> None:
    harmful = f"open({str(tmp_path / 'harm')!r}, 'w')"
    row = attack(replace(Attack("harm", harmful, contained_by="strict"), dangerous=True))
    assert row.verdict in ("contained", "not tried")
    assert not (tmp_path / "harm").exists()
