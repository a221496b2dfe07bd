"""How many tokens dialogues have in the student's tokenizer, in batches, with a limit and a histogram."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from score.dialogue import Message

BINS = 10


class DialogueLengths:
    """Says which dialogues fit into `limit` tokens, the chat template's included.

    Tokenizing is by far the slowest part of a conversion. With `counted` below 1 only that share of the dialogues is
    counted for the histogram; of the others those are counted whose bytes do not already prove that they fit: a token
    of a byte-level tokenizer is at least one byte. Text outside ASCII is always counted, since a tokenizer may
    rewrite it first.
    """

    def __init__(self, tokenizer: Any, limit: int, *, reply_follows: bool, counted: float = 1.0):
        """`reply_follows`: the dialogue is a prompt, after which the template opens the assistant's turn."""
        self.tokenizer, self.limit, self.counted = tokenizer, limit, counted
        self._reply_follows = reply_follows
        self._seen = 0
        self._bins: Counter[int] = Counter()  # BINS stands for everything over the limit
        self.longest = 0
        self.proven = 0
        # What the template adds is the same for every pair of turns; its text is measured at one and at two pairs.
        pair: list[Message] = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "a"}]
        one, two = (len(text.encode()) - 2 * pairs for pairs, text in enumerate(self._texts([pair, pair * 2]), 1))
        self._per_pair, self._around = max(two - one, 0), max(one, 0)

    def fit(self, dialogues: Sequence[Sequence[Message]]) -> list[bool]:
        """For each dialogue of a batch: is it within the limit?"""
        fits = [True] * len(dialogues)
        to_count = []
        for place, dialogue in enumerate(dialogues):
            self._seen += 1
            in_sample = int(self._seen * self.counted) > int((self._seen - 1) * self.counted)
            if in_sample or not self._surely_fits(dialogue):
                to_count.append(place)
        self.proven += len(dialogues) - len(to_count)
        if to_count:
            encoded = self.tokenizer(
                self._texts([dialogues[place] for place in to_count]),
                add_special_tokens=False,
                return_attention_mask=False,
            )
            for place, ids in zip(to_count, encoded["input_ids"], strict=True):
                fits[place] = len(ids) <= self.limit
                self.longest = max(self.longest, len(ids))
                self._bins[min((len(ids) - 1) * BINS // self.limit, BINS)] += 1
        return fits

    def _texts(self, dialogues: Sequence[Sequence[Message]]) -> list[str]:
        texts: list[str] = self.tokenizer.apply_chat_template(
            [list(dialogue) for dialogue in dialogues], tokenize=False, add_generation_prompt=self._reply_follows
        )
        return texts

    def _surely_fits(self, dialogue: Sequence[Message]) -> bool:
        size = self._around + self._per_pair * len(dialogue)  # twice too much for the turns, to be safe
        for message in dialogue:
            if not message["content"].isascii():
                return False
            size += len(message["content"])
        return size <= self.limit

    def summary(self) -> dict[str, Any]:
        """For a manifest: the histogram (tokens -> dialogues), the longest, and how many were not counted."""
        edges = [place * self.limit // BINS for place in range(BINS + 1)]
        histogram = {f"{edges[place] + 1}-{edges[place + 1]}": self._bins[place] for place in range(BINS)}
        return {
            "limit": self.limit,
            "counted": sum(self._bins.values()),
            "fit by their bytes, not counted": self.proven,
            "longest": self.longest,
            "histogram": histogram | {f"over {self.limit}": self._bins[BINS]},
        }

    def report(self) -> str:
        """The histogram as text, a bar a line."""
        summary = self.summary()
        most = max(1, *summary["histogram"].values())
        width = max(map(len, summary["histogram"]))
        lines = [f"tokens ({summary['counted']} counted, {self.proven} fit by their bytes, longest {self.longest}):"]
        for interval, count in summary["histogram"].items():
            lines.append(f"  {interval:>{width}} {count:>8} {'#' * round(40 * count / most)}".rstrip())
        return "\n".join(lines)
