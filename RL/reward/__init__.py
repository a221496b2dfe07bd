"""The key-step reward: which tier a rollout reaches, and which layer decided it."""

from reward.tiers import Evidence, KeyStep, Score, score

__all__ = ["Evidence", "KeyStep", "Score", "score"]
