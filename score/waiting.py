"""How long a server asks us to wait, as HTTP says it."""

import email.utils
import time


def seconds_of(text: str) -> float | None:
    """The seconds that a `Retry-After` asks for: a number of them, or an HTTP date (RFC 9110, section 10.2.3). Never
    negative; None for a text that is neither."""
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
