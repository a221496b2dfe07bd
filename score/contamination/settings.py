"""When two questions overlap."""

from pydantic import Field

from score.settings import Strict


class ContaminationSettings(Strict):
    """`ngram` words in a row (twice as many Chinese, Japanese or Korean characters) are too many; `near` is the Jaccard
    similarity of word trigrams from which two questions are near duplicates; a run of words that more than `common`
    evaluation questions share tells nothing."""

    ngram: int = Field(default=13, ge=3)
    near: float = Field(default=0.7, gt=0, le=1)
    common: int = Field(default=3, ge=1)
