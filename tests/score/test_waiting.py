"""How long a server asks to wait: seconds or a date; what is neither is unknown, not an error."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from score.llm.client import retry_after
from score.waiting import seconds_of


@pytest.mark.parametrize(("text", "seconds"), [("2", 2.0), ("0.5", 0.5), ("-3", 0.0), ("", None), ("soon", None)])
def test_seconds_are_read_and_nothing_else_is_guessed(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


def test_a_date_is_the_time_until_then_and_a_past_one_is_no_wait() -> None:
    now = datetime.now(UTC)
    assert 55 < (seconds_of(format_datetime(now + timedelta(minutes=1), usegmt=True)) or 0) <= 60
    assert seconds_of(format_datetime(now - timedelta(minutes=1), usegmt=True)) == 0.0


def test_unreadable_milliseconds_leave_the_plain_header_to_be_read() -> None:
    assert retry_after({"retry-after-ms": "1500"}) == 1.5
    assert retry_after({"retry-after-ms": "soon", "retry-after": "3"}) == 3.0
    assert retry_after({"retry-after-ms": "soon"}) is None
