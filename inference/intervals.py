"""Intervals: how sure a share, and a difference between two students on the same tasks, is."""

import math
from collections.abc import Sequence

Z_95 = 1.959963984540054  # two-sided 95 % quantile of the normal distribution


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a share (E. B. Wilson 1927), as shares in [0, 1]."""
    if total == 0:
        return 0.0, 1.0
    share, z2 = right / total, Z_95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z_95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def paired_difference(first: Sequence[bool], second: Sequence[bool]) -> tuple[float, float, float]:
    """Mean of second - first over the same tasks, with its 95 % normal interval (mean, low, high) as shares.

    The interval rests on the variance of the per-task differences: tasks that both get right or both wrong add
    nothing to it. Raises `ValueError` if the two differ in length or are empty.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"paired comparison needs the same tasks: {len(first)} and {len(second)} given")
    differences = [int(b) - int(a) for a, b in zip(first, second, strict=True)]
    mean = sum(differences) / len(differences)
    if len(differences) == 1:
        return mean, -1.0, 1.0
    variance = sum((difference - mean) ** 2 for difference in differences) / (len(differences) - 1)
    half = Z_95 * math.sqrt(variance / len(differences))
    return mean, mean - half, mean + half
