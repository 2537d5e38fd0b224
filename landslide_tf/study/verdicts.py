"""Is A better than B? Seeds and tiles must both say so, corrected for the number of questions.

Two sources of chance stand between the scores of two models and a verdict: another start gives
another model, and other test tiles give other scores. Two tests are made, and both must hold.

Seeds: the differences of the paired seeds are held to Student's t with K - 1 degrees of freedom. It
needs K >= 3 seeds; with fewer there is no verdict.

Tiles: test tiles are drawn with replacement (the bootstrap), the same ones for both models. Seeds
are drawn with them: where seeds and tiles spread alike, two tests that are each blind to the other
spread would call 9 % of equal models different.

The p-value of a comparison is the larger of the two. The p-values of all comparisons of one table
are then corrected by Holm's method (1979): the chance that a table holds any false verdict stays
near 5 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

LEAST_SEEDS = 3
ALPHA = 0.05  # intervals are of 95 %
BETTER, WORSE, CANNOT_TELL = "better", "worse", "cannot tell"
TOO_FEW, NO_COUNTS, NOT_RUN = "not enough seeds", "no counts of tiles", "not run"


@dataclass(frozen=True)
class Interval:
    """An interval of 95 %.

    >>> Interval(0.70, 0.75).high
    0.75
    """

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """Score of A minus that of B: mean over seeds, its two intervals, and the p-value of both.

    `over_seeds` is the t-interval, `over_draws` the bootstrap's. With fewer than three seeds
    `over_seeds` is None and `p` is NaN.

    >>> Difference(0.02, 1, None, Interval(0.01, 0.03), float("nan")).seeds
    1
    """

    value: float
    seeds: int
    over_seeds: Interval | None
    over_draws: Interval | None
    p: float


def measure(by_seed, resampled) -> Difference:
    """The difference of paired scores: `by_seed` (K,), and in each resample (R,).

    >>> found = measure([0.1, 0.1, 0.1], np.full(99, 0.1))
    >>> round(found.value, 3), found.seeds, round(found.p, 2)
    (0.1, 3, 0.02)
    """
    by_seed, resampled = np.asarray(by_seed, float), np.asarray(resampled, float)
    between = None
    if len(by_seed) >= LEAST_SEEDS:
        reach = stdtrit(len(by_seed) - 1, 1 - ALPHA / 2) * _standard_error(by_seed)
        between = Interval(float(by_seed.mean() - reach), float(by_seed.mean() + reach))
    p = float(np.maximum(seeds_p(by_seed), draws_p(resampled)))
    return Difference(float(by_seed.mean()), len(by_seed), between, percentiles(resampled), p)


def seeds_p(differences) -> np.ndarray:
    """Two-sided p-value of the paired t-test, over the last axis (…, K); NaN for K < 3.

    Equal differences have no spread: p is 1 where they are 0, else 0.

    >>> round(float(seeds_p([1.0, 2.0, 3.0])), 4)  # t = 2 / (1 / sqrt(3)), 2 degrees of freedom
    0.0742
    """
    differences = np.asarray(differences, float)
    mean, count = differences.mean(axis=-1), differences.shape[-1]
    if count < LEAST_SEEDS:
        return np.full(mean.shape, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(mean) / _standard_error(differences)
    return np.where(mean == 0, 1.0, 2 * stdtr(count - 1, -t))


def _standard_error(differences):
    return differences.std(axis=-1, ddof=1) / np.sqrt(differences.shape[-1])


def draws_p(resampled) -> np.ndarray:
    """Two-sided p-value of the bootstrap, over the first axis (R, …): do resamples change sign?

    It is twice the smaller share of resamples on one side of zero, those at zero counted on both.
    One is added to the counts, so that R resamples never give a p-value of 0.

    >>> float(draws_p([0.1] * 99))  # 2 x (0 + 1) / (99 + 1)
    0.02
    """
    resampled = np.asarray(resampled, float)
    kept = np.isfinite(resampled).sum(axis=0)
    sides = np.minimum((resampled <= 0).sum(axis=0), (resampled >= 0).sum(axis=0))
    return np.minimum(1.0, 2 * (sides + 1) / (kept + 1))


def percentiles(values) -> Interval | None:
    """The percentile interval of resampled values (R,); None where all are undefined.

    >>> percentiles(np.arange(1001))  # 2.5 % and 97.5 %
    Interval(low=25.0, high=975.0)
    """
    values = np.asarray(values, float)
    if not np.isfinite(values).any():
        return None
    tail = 100 * ALPHA / 2
    return Interval(*(float(v) for v in np.nanpercentile(values, [tail, 100 - tail])))


def holm(p) -> np.ndarray:
    """p-values of one table (M,), corrected by Holm's method; NaN stays, and does not count.

    The smallest is multiplied by M, the next by M - 1 and so on; none falls below one before it.

    >>> holm([0.01, 0.04, 0.03, float("nan")]).round(2).tolist()  # x 3; x 1, at least 0.06; x 2
    [0.03, 0.06, 0.06, nan]
    """
    p = np.asarray(p, float)
    corrected = np.full(p.shape, np.nan)
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested])]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factors))
    return corrected


def verdict(found: Difference | None, corrected_p: float) -> str:
    """What a comparison says, given its p-value after the correction for its table.

    >>> found = Difference(-0.1, 3, Interval(-0.2, -0.05), Interval(-0.15, -0.02), 0.01)
    >>> verdict(found, 0.03), verdict(found, 0.3), verdict(None, float("nan"))
    ('worse', 'cannot tell', 'no counts of tiles')
    """
    if found is None:
        return NO_COUNTS
    if found.seeds < LEAST_SEEDS:
        return TOO_FEW
    if not corrected_p < ALPHA:
        return CANNOT_TELL
    return BETTER if found.value > 0 else WORSE
