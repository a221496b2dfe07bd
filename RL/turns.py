"""The tokens around the student's turns, exactly as its chat template writes them.

What the student sampled is never decoded and encoded again. Between two of its turns stand the end of the turn (if it
was not sampled), the observation and the headers; since the end of a turn is one special token, and text is never
merged across a special token, these can be encoded apart and still are what `apply_chat_template` gives.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from score.dialogue import Message, render_observation
from score.errors import SettingsError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_QUESTION, _REPLY, _OBSERVATION = "@@question@@", "@@reply@@", "@@observation@@"


class Turns:
    """Token ids of prompts and of what comes between two turns. Raises `SettingsError` for a chat template that puts
    anything else than one token at the end of an assistant's turn."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase"):
        self.tokenizer = tokenizer
        text = self._text(
            [
                {"role": "user", "content": _QUESTION},
                {"role": "assistant", "content": _REPLY},
                {"role": "user", "content": _OBSERVATION},
            ]
        )
        before, found, self._after = text.partition(_OBSERVATION)
        _, replied, self._before = before.partition(_REPLY)
        if not found or not replied:
            raise SettingsError("the tokenizer's chat template changes what the turns say: use the student's own")
        self.end_of_turn = self._encode(self._before)[0]
        if not self._before.startswith(tokenizer.decode([self.end_of_turn])) or self._encode("x" + self._before)[
            len(self._encode("x")) :
        ] != self._encode(self._before):
            raise SettingsError("the tokenizer's chat template does not end an assistant's turn with a special token")
        # Not all special tokens: where the six tags were added as special ones, a turn ends with `</code>`.
        self.stops = {self.end_of_turn, tokenizer.eos_token_id, tokenizer.pad_token_id}

    def _text(self, messages: Sequence[Message]) -> str:
        text = self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        assert isinstance(text, str)
        return text

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """The ids of a dialogue that ends on a user's turn, ready for the assistant's."""
        return self._encode(self._text(messages))

    def bridge(self, observation: str, *, ended: bool) -> list[int]:
        """The ids from the end of the assistant's turn to the start of its next one. `ended`: the end of the turn
        was sampled and is there already."""
        ids = self._encode(self._before + render_observation(observation) + self._after)
        return ids[1:] if ended else ids

    def text(self, reply: Sequence[int]) -> str:
        """What a sampled turn says, without the stop tokens at its end."""
        return str(self.tokenizer.decode(list(reply), skip_special_tokens=False))
