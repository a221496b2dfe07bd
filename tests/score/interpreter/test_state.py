"""What a session keeps from step to step, and what its steps show."""

import asyncio

import pytest

from score.interpreter import NOTHING_PRINTED, Session


def test_variables_functions_lambdas_classes_and_generators_live_on(observe):
    seen = observe(
        "x = 2\nf = lambda y: x * y\ndef g(z): return f(z) + 1\nclass A:\n    n = 5\n"
        "numbers = (i * i for i in range(9))",
        "print(f(3), g(3), A().n, next(numbers), next(numbers), next(numbers))",
        "x = 10\nprint(f(3), next(numbers))",
    )
    assert seen == [NOTHING_PRINTED, "6 7 5 0 1 4", "30 9"]


def test_a_fresh_session_holds_its_tools_and_nothing_else(observe):
    (seen,) = observe(
        "import linecache, os\nprint(sorted(name for name in globals() if not name.startswith('__')))\n"
        "print([name for name in linecache.cache if name.startswith('<step')], os.listdir())\n"
        "fds = os.listdir('/proc/self/fd')\nprint(len(fds))",
        tools={"look": lambda query: ""},
    )
    # Input, output and errors, two sockets, the output file, and the folder that is being listed.
    assert seen.splitlines() == ["['final_answer_print', 'linecache', 'look', 'os']", "['<step 1>'] []", "7"]


def test_code_runs_as_the_main_program(observe):
    assert observe("if __name__ == '__main__':\n    print('main')") == ["main"]


def test_preloaded_modules_still_have_to_be_imported(observe):
    missing, imported = observe("print(math.pi)", "import math\nprint(round(math.pi, 2))")
    assert "NameError: name 'math' is not defined" in missing
    assert imported == "3.14"


def test_numpy_and_sympy_work_within_the_default_memory_limit(observe):
    code = "import numpy as np, sympy as sp\nx = sp.symbols('x')\nprint(sp.solve(x**2 - 2), np.arange(3).sum())"
    assert observe(code, preload=["math", "numpy", "sympy"]) == ["[-sqrt(2), sqrt(2)] 3"]


def test_the_interpreters_own_modules_cannot_be_imported(observe):
    (seen,) = observe("import inside")
    assert seen.endswith("ModuleNotFoundError: No module named 'inside'")


def test_a_trailing_expression_is_not_echoed(observe):
    assert observe("1 + 1") == [NOTHING_PRINTED]


def test_stdout_stderr_and_subprocess_output_come_in_order(observe):
    code = "import os, sys\nprint('a')\nprint('b', file=sys.stderr)\nos.system('echo c')\nprint('d')"
    assert observe(code) == ["a\nb\nc\nd"]


def test_an_error_shows_what_was_printed_and_the_students_own_line(observe):
    (seen,) = observe("def half(n):\n    return n / 0\nprint('before')\nhalf(3)")
    lines = seen.splitlines()
    assert lines[0] == "before"
    assert '  File "<step 1>", line 4, in <module>' in lines and "    half(3)" in lines
    assert '  File "<step 1>", line 2, in half' in lines
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert "worker.py" not in seen and "exec" not in seen


def test_a_library_error_shows_no_line_of_the_library(observe):
    (seen,) = observe("import json\njson.loads('{')")
    assert seen.count("File ") == 1 and "json.loads('{')" in seen
    assert "JSONDecodeError: Expecting property name" in seen


def test_a_syntax_error_shows_its_line(observe):
    (seen,) = observe("x = (1,\nprint(x")
    assert "SyntaxError" in seen and "<step 1>" in seen


def test_an_error_in_a_function_of_an_earlier_step_shows_that_steps_line(observe):
    _, seen = observe("def f():\n    raise ValueError('old')", "f()")
    assert 'File "<step 1>", line 2, in f' in seen and "raise ValueError('old')" in seen


@pytest.mark.parametrize("code", ["exit()", "import sys\nsys.exit(0)", "raise SystemExit"])
def test_leaving_the_program_ends_the_step_only(observe, code):
    assert observe("x = 1", code, "print(x)") == [NOTHING_PRINTED, NOTHING_PRINTED, "1"]


def test_long_output_is_cut_in_the_middle_with_a_count(observe):
    (seen,) = observe("print('a' * 5000 + 'b' * 5000)", max_output_chars=1000)
    assert seen == "a" * 500 + "\n... [9000 characters left out] ...\n" + "b" * 500


def test_the_count_of_a_flood_counts_characters_not_bytes(observe):
    (seen,) = observe("print('é' * 100_000)", max_output_chars=100)
    assert "[99900 characters left out]" in seen


def test_only_the_end_of_line_is_stripped(observe):
    assert observe("print('  a  ')\nprint()") == ["  a  "]


def test_lone_surrogates_nul_bytes_and_unicode_do_not_harm(observe):
    odd, nul, plain = observe("print('\\ud800')", "print('a\x00b')", "print('ä 漢 🙂')")
    assert odd == "\\ud800" and "null bytes" in nul and plain == "ä 漢 🙂"


def test_a_redirected_stdout_does_not_swallow_the_next_step(observe):
    assert observe("import io, sys\nsys.stdout = io.StringIO()\nprint('gone')", "print('back')")[1] == "back"


def test_input_fails_at_once(observe):
    assert observe("input()")[0].endswith("EOFError: EOF when reading a line")


def test_sessions_do_not_draw_the_same_random_numbers_but_a_seed_holds_over_steps(play):
    async def scene(session: Session) -> list[str]:
        other = await session.fork()
        seeded = [(await s.run("import random\nrandom.seed(1)")).status for s in (session, other)]
        assert seeded == ["ok", "ok"]
        return [(await s.run("print(random.random())")).observation for s in (session, other)]

    first, second = play(scene)
    assert first == second == "0.13436424411240122"


def test_the_first_final_answer_of_a_step_counts(play):
    async def scene(session: Session):
        await session.run("final = final_answer_print")
        return [await session.run("final(6 * 7)\nfinal('later')\nprint('on')"), await session.run("print(1)")]

    answered, plain = play(scene)
    assert answered.final_answer == "42" and answered.observation == "42\nlater\non" and answered.status == "ok"
    assert plain.final_answer is None


def test_a_final_answer_is_kept_when_the_step_fails_after_it(play):
    async def scene(session: Session):
        return await session.run("final_answer_print(answer='x')\n1 / 0")

    result = play(scene)
    assert (result.status, result.final_answer) == ("error", "x")


RING = "import signal, threading, time\ndef ring(*_): raise TimeoutError('too long')\nsignal.signal(signal.SIGALRM, ring)\n"
THREAD = "threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n"


@pytest.mark.parametrize(
    "left",
    [
        RING + "signal.alarm(1)",
        RING + "signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)",
        RING + THREAD + "signal.alarm(1)",
        "import signal\nsignal.alarm(1)",  # without a handler it would end the process
    ],
)
def test_a_timer_that_a_step_has_left_stands_still_until_the_next_step(play, left):
    async def scene(session: Session) -> list[str]:
        await session.run("x = 6\n" + left)
        await asyncio.sleep(1.3)
        fork = await session.fork()
        seen = [
            await session.run("y = x * 7\nprint(y)"),
            await session.run("final_answer_print(y)"),
            await fork.run("print(x)"),
        ]
        return [one.observation for one in seen]

    assert play(scene) == ["42", "42", "6"]


def test_a_timer_goes_on_with_its_rest_in_the_next_step(observe):
    _, went_on, after = observe(
        "x = 6\n" + RING + "signal.setitimer(signal.ITIMER_REAL, 0.3)", "time.sleep(9)", "print(x * 7)"
    )
    assert went_on.endswith("TimeoutError: too long") and after == "42"


def test_an_alarm_in_the_last_microseconds_of_a_step_does_not_end_the_session(play):
    async def scene(session: Session) -> set[str]:
        await session.run("x = 6\n" + RING)
        steps = [f"signal.setitimer(signal.ITIMER_REAL, {us}e-6)\nprint(x)" for us in range(20, 320, 2)]
        return {(await session.run(step)).status for step in steps}

    assert play(scene, snapshots=False) <= {"ok", "error"}


def test_an_alarm_still_ends_the_step_that_set_it(observe):
    (seen,) = observe(RING + "signal.setitimer(signal.ITIMER_REAL, 0.1)\ntime.sleep(9)")
    assert seen.endswith("TimeoutError: too long")
