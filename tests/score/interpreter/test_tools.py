"""The host's functions inside a session."""

import asyncio
import time

import pytest

from score.errors import InterpreterError, ToolError
from score.interpreter import Interpreter, InterpreterSettings, Session


async def web_search(query: str, k: int = 3) -> str:
    """Search."""
    if query == "down":
        raise ToolError("the back end does not answer")
    return f"{k} pages on {query}"


CALLS = {
    "web_search('a')": "3 pages on a",
    "web_search(query='a', k=1)": "1 pages on a",
    "web_search(f'{1 + 1}b')": "3 pages on 2b",
    "web_search(*['a'], **{'k': 2})": "2 pages on a",
    "(lambda q: web_search(q))('a')": "3 pages on a",
    "' | '.join(web_search(q) for q in 'ab')": "3 pages on a | 3 pages on b",
    "list(map(web_search, ['a']))[0].upper()": "3 PAGES ON A",
    "(search := web_search)('a')": "3 pages on a",
}


def test_a_tool_may_be_called_in_any_form(observe):
    seen = observe(*(f"print({call})" for call in CALLS), tools={"web_search": web_search})
    assert dict(zip(CALLS, seen, strict=True)) == CALLS


def test_a_tool_may_be_called_from_threads(observe):
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(4) as pool: print(list(pool.map(web_search, 'abcd')))"
    )
    assert observe(code, "print(1)", tools={"web_search": web_search}) == [
        str([f"3 pages on {q}" for q in "abcd"]),
        "1",
    ]


def test_an_ordinary_function_serves_as_a_tool(observe):
    assert observe("print(double(21))", tools={"double": lambda n: str(2 * n)}) == ["42"]


def test_a_failing_tool_raises_inside_and_is_recorded(play):
    async def scene(session: Session):
        return [
            await session.run("web_search('down')"),
            await session.run("try:\n    web_search('down')\nexcept Exception as e:\n    print('caught', e)"),
            await session.run("print(web_search('up'))"),
        ]

    failed, caught, fine = play(scene, tools={"web_search": web_search})
    message = "web_search failed: ToolError: the back end does not answer"
    assert failed.status == "tool_error" and failed.observation.endswith(f"ToolError: {message}")
    assert caught.status == "ok" and caught.observation == f"caught {message}"
    assert failed.tool_errors == caught.tool_errors == (message,)
    assert fine.observation == "3 pages on up" and fine.tool_errors == ()


def test_a_wrong_call_is_the_codes_own_error(play):
    async def scene(session: Session):
        return await session.run("web_search(pages=3)")

    result = play(scene, tools={"web_search": web_search})
    assert result.status == "error" and "TypeError: web_search() missing a required argument" in result.observation


def test_the_clock_of_a_step_stands_still_while_a_tool_works(play):
    async def slow() -> str:
        await asyncio.sleep(0.8)
        return "done"

    async def scene(session: Session):
        return await session.run("print(slow())", timeout_s=0.5)

    result = play(scene, tools={"slow": slow})
    assert result.observation == "done" and result.seconds < 0.5


def test_the_seconds_of_a_step_that_timed_out_are_without_its_tools_time_too(play):
    async def slow() -> str:
        await asyncio.sleep(1.5)
        return "done"

    async def scene(session: Session):
        return await session.run("slow()\nwhile True: pass", timeout_s=0.3)

    result = play(scene, tools={"slow": slow})
    assert result.status == "timeout" and 0.3 <= result.seconds < 1.5


def test_a_step_calls_tools_so_often_and_no_more(play):
    asked: list[str] = []

    async def search(query: str) -> str:
        asked.append(query)
        return query

    async def scene(session: Session):
        endless = await session.run("n = 0\nwhile True:\n    search(str(n))\n    n += 1")
        caught = "for _ in range(9):\n    try: search('a')\n    except Exception as error: print(error)"
        return endless, await session.run(caught), await session.run("print(search('on'))")

    endless, caught, after = play(scene, tools={"search": search}, tool_calls=5)
    message = "search was not called: a step may call tools 5 times, and this is its call 6"
    assert endless.status == "error" and endless.observation.endswith(f"RuntimeError: {message}")
    assert endless.tool_errors == caught.tool_errors == (), "it is the code's mistake, and no failure of the tool"
    assert caught.status == "ok" and len(caught.observation.splitlines()) == 4
    assert after.observation == "on" and asked == ["0", "1", "2", "3", "4", *"aaaaa", "on"]


def test_tools_work_in_a_fork_and_after_a_time_out(play):
    async def scene(session: Session):
        copy = await session.fork()
        await session.run("while True: pass", timeout_s=0.3)
        return [(await s.run("print(web_search('a'))")).observation for s in (session, copy)]

    assert play(scene, tools={"web_search": web_search}) == ["3 pages on a"] * 2


ALARM = """
import signal
def end(*_): raise TimeoutError
signal.signal(signal.SIGALRM, end)
signal.setitimer(signal.ITIMER_REAL, 0.1)
"""
THREAD = """
import ctypes, threading
here = ctypes.c_ulong(threading.get_ident())
end = lambda: ctypes.pythonapi.PyThreadState_SetAsyncExc(here, ctypes.py_object(TimeoutError))
threading.Timer(0.1, end).start()
"""
ENDED = "\ntry: slow('a')\nexcept TimeoutError: print('ended')\n"


async def slow(query: str) -> str:
    await asyncio.sleep(0.3)
    return query[:1]


@pytest.mark.parametrize("rest", ["", "print(slow('b'), slow('c'))"], ids=["last", "more"])
@pytest.mark.parametrize("end", [ALARM, THREAD], ids=["while waiting", "in the middle of an answer"])
def test_a_call_that_an_exception_ends_leaves_its_answer_to_no_other(play, end, rest):
    async def scene(session: Session):
        await session.run("x = 1")
        ended = await session.run(end + ENDED + rest)
        return ended.observation.split(), [(await session.run("print(x, slow('d'))")).observation for _ in range(2)]

    assert play(scene, tools={"slow": slow}) == (["ended", *("bc" if rest else "")], ["1 d", "1 d"])


def test_a_call_that_an_exception_ends_before_it_is_sent_leaves_the_next_ones_whole(play):
    async def scene(session: Session):
        await session.run("import time\nx = 1")
        code = "time.sleep(0.1)" + ALARM + ENDED.replace("'a'", "'a' * 4_000_000") + "print(slow('b'))"
        step = asyncio.create_task(session.run(code))
        await asyncio.sleep(0.05)
        time.sleep(0.5)  # noqa: ASYNC251 - nobody reads meanwhile, so a part of the call is all that fits
        return (await step).observation, (await session.run("print(x, slow('d'))")).observation

    assert play(scene, tools={"slow": slow}) == ("ended\nb", "1 d")


def test_the_name_of_a_tool_has_to_be_a_name():
    async def scene():
        async with Interpreter(InterpreterSettings(isolation="limits", preload=[])) as interpreter:
            with pytest.raises(InterpreterError, match="web-search"):
                await interpreter.open({"web-search": web_search})

    asyncio.run(scene())
