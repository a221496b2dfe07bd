"""Intervals and tests: how sure a share, a mean and a difference between two runs on the same tasks are.

All intervals are 95 %. Where a task was answered k > 1 times its answers are no independent evidence: means over tasks
are what is resampled, and a mean's error is clustered by task (Miller 2024, arXiv 2411.00640).
"""

import math
from collections.abc import Mapping, Sequence

Z_95 = 1.959963984540054  # two-sided 95 % quantile of the normal distribution
RESAMPLES = 10_000
SEED = 0

Interval = tuple[float, float]


def wilson(right: int, total: int) -> Interval:
    """The 95 % Wilson score interval of a share (E. B. Wilson 1927), as shares in [0, 1]."""
    if total == 0:
        return 0.0, 1.0
    share, z2 = right / total, Z_95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z_95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    # At the ends the bounds are 0 and 1; computed they miss them by the noise of floats.
    return max(0.0, centre - half) if right else 0.0, min(1.0, centre + half) if right < total else 1.0


def clustered(scores: Mapping[str, Sequence[float]]) -> Interval:
    """The 95 % normal interval of the mean of all scores, clustered by task (task -> its samples' scores in [0, 1]).

    Its variance is the sum over tasks of the squared sum of their residuals (Miller 2024), with the usual
    factor T / (T - 1) for T tasks. Where all are 0 or all are 1 that would be 0: then it is Wilson's over T tasks, as
    if a task's samples were one. Raises `ValueError` without a score.
    """
    values = [score for samples in scores.values() for score in samples]
    if not values:
        raise ValueError("no score to take an interval of")
    if len(scores) == 1:
        return 0.0, 1.0
    if set(values) in ({0.0}, {1.0}):
        return wilson(round(values[0]) * len(scores), len(scores))
    mean = math.fsum(values) / len(values)
    residuals = (math.fsum(score - mean for score in samples) for samples in scores.values())
    variance = math.fsum(residual**2 for residual in residuals) * len(scores) / (len(scores) - 1) / len(values) ** 2
    half = Z_95 * math.sqrt(variance)
    return max(0.0, mean - half), min(1.0, mean + half)


def bootstrap(values: Sequence[float], low: float = 0.0, high: float = 1.0, seed: int = SEED) -> Interval:
    """The 95 % percentile bootstrap interval of a mean: 10,000 resamples of the tasks (Efron 1979), seeded.

    `values` has one number a task, in [`low`, `high`], which is said of a single one: it tells nothing. Resampling
    cannot see beyond equal values: where all are at an end of [0, 1], Wilson's interval is given instead, and of equal
    differences `unvaried`.
    """
    import numpy
    from scipy import stats

    if len(values) < 2:
        return low, high
    sample = numpy.asarray(values, dtype=float)
    if (sample == sample[0]).all():  # every resample has the same mean
        if low < 0:
            return unvaried(values[0], len(values))
        at_an_end = values[0] in (low, high)
        return wilson(round(values[0]) * len(values), len(values)) if at_an_end else (values[0], values[0])
    found = stats.bootstrap(
        (sample,), numpy.mean, n_resamples=RESAMPLES, batch=500, method="percentile", rng=numpy.random.default_rng(seed)
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def unvaried(difference: float, tasks: int) -> Interval:
    """The 95 % interval of a mean difference in [-1, 1] that is the same for all tasks: as far to both sides as
    Wilson's of a share that was never seen. Neither a normal interval nor resampling can tell more than none there."""
    reach = wilson(0, tasks)[1]
    return max(-1.0, difference - reach), min(1.0, difference + reach)


def paired_difference(first: Sequence[bool], second: Sequence[bool]) -> tuple[float, float, float]:
    """Mean of second - first over the same tasks, with its 95 % normal interval (mean, low, high) as shares.

    The interval rests on the variance of the per-task differences: tasks that both get right or both wrong add
    nothing to it. Where they are all the same it is `unvaried`. Raises `ValueError` if the two differ in length or are
    empty.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"paired comparison needs the same tasks: {len(first)} and {len(second)} given")
    differences = [int(b) - int(a) for a, b in zip(first, second, strict=True)]
    mean = sum(differences) / len(differences)
    if len(differences) == 1:
        return mean, -1.0, 1.0
    variance = sum((difference - mean) ** 2 for difference in differences) / (len(differences) - 1)
    if not variance:
        return mean, *unvaried(mean, len(differences))
    half = Z_95 * math.sqrt(variance / len(differences))
    return mean, max(-1.0, mean - half), min(1.0, mean + half)


def paired_bootstrap(first: Sequence[float], second: Sequence[float], seed: int = SEED) -> Interval:
    """The 95 % bootstrap interval of the mean of second - first, resampling tasks so that pairs stay together."""
    return bootstrap([b - a for a, b in zip(first, second, strict=True)], -1.0, 1.0, seed)


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p-value of McNemar's test (1947): the tasks that only one of two got right, as coin flips."""
    from scipy import stats

    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second, 0.5).pvalue)


def pass_at_k(samples: int, right: int, k: int) -> float:
    """The unbiased estimate of the chance that one of k samples is right: 1 - C(n - c, k) / C(n, k) for c right ones of
    n (Chen et al. 2021, arXiv 2107.03374, equation 1). Raises `ValueError` for k > n: nothing is known of it."""
    if not 0 < k <= samples or not 0 <= right <= samples:
        raise ValueError(f"pass@{k} cannot be told from {samples} samples of which {right} are right")
    return 1.0 - math.comb(samples - right, k) / math.comb(samples, k)
