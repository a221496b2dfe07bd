"""What calls cost."""

from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass
class Usage:
    """What calls cost: counts, tokens as the server reports them, seconds of waiting for replies.

    `uncounted` calls came without the server's counts (a stream of `llamafactory-cli api`, for one): then the tokens
    are those of the other calls only, and `generated` is None. `cached_tokens` are those of the prompt that the server
    had at hand (they cost less); `retries` are attempts that failed, whose tokens nobody reports; `shortened` calls got
    what was left of the context, which had no room for `max_tokens`.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    uncounted: int = 0
    cached_tokens: int = 0
    retries: int = 0
    shortened: int = 0

    @property
    def generated(self) -> int | None:
        """The tokens generated, None where they are not known."""
        return None if self.uncounted else self.completion_tokens

    @property
    def tokens(self) -> int | None:
        """The tokens read and written, None where they are not known."""
        return None if self.uncounted else self.prompt_tokens + self.completion_tokens

    def add(self, other: "Usage") -> None:
        self.calls += other.calls
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.seconds += other.seconds
        self.uncounted += other.uncounted
        self.cached_tokens += other.cached_tokens
        self.retries += other.retries
        self.shortened += other.shortened


@dataclass(frozen=True)
class Completion:
    """A model's reply. `finish_reason` is the server's (`stop`, `length` ...), `model` the id that it reports."""

    text: str
    finish_reason: str
    usage: Usage = field(default_factory=Usage)
    model: str = ""

    @property
    def cut(self) -> bool:
        """Did the limit of tokens end it?"""
        return self.finish_reason == "length"


Account = dict[str, Usage]  # what was spent, by purpose: `plan`, `act`, `localise`, `correct`, `judge`, `student` ...
_account: ContextVar[Account | None] = ContextVar("account", default=None)


def open_account() -> Account:
    """An account to which all calls from here on are charged, those of coroutines that start from here included."""
    account: Account = {}
    _account.set(account)
    return account


def charge(accounts: Account, purpose: str, usage: Usage) -> None:
    """Add to one of several accounts."""
    accounts.setdefault(purpose, Usage()).add(usage)


def charge_current(purpose: str, usage: Usage) -> None:
    """Add to the account that `open_account` opened around this call, if any."""
    account = _account.get()
    if account is not None:
        charge(account, purpose, usage)
