"""Answer equivalence: by rule (`rules`, exact and fast), then math-verify in worker processes (`pool`)."""

from score.answers.pool import Equivalence, Match
from score.answers.rules import equal_by_rule
from score.answers.text import clean

__all__ = ["Equivalence", "Match", "clean", "equal_by_rule"]
