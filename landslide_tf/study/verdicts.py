"""Is A better than B? Two tests must agree, corrected for multiple comparisons.

The scores of two models vary for two reasons: another seed gives another model, and other test
tiles give other scores. There is a test for each, and both must be significant.

Seeds: a paired t-test (Student) of the differences of the K seeds, with K - 1 degrees of freedom.
It needs K >= 3 seeds; with fewer there is no verdict.

Tiles: a bootstrap draws test tiles with replacement, the same ones for both models. It draws seeds
too: if each test ignored the variance that the other one covers, the two would call 9 % of equal
models different where both variances are alike.

The p-value of a comparison is the larger of the two. The p-values of all comparisons of one table
are then corrected by Holm's method (1979): the chance that a table holds any false verdict stays
near 5 %.
"""

from __future__ import annotations

import numpy as np
from scipy.special import stdtr, stdtrit

LEAST_SEEDS = 3
ALPHA = 0.05  # intervals are of 95 %
BETTER, WORSE, CANNOT_TELL = "better", "worse", "cannot tell"
TOO_FEW, NO_COUNTS, NOT_RUN = "not enough seeds", "no counts of tiles", "not run"


def measure(by_seed, resampled) -> dict[str, float]:
    """The mean difference of paired scores, two 95 % intervals of it, and its p-value.

    `by_seed` (K,) are the differences of the seeds, `resampled` (R,) those of bootstrap resamples.
    `seeds_low` and `seeds_high` are the t-interval, `draws_low` and `draws_high` the bootstrap's,
    `p` is the larger of both p-values. With fewer than three seeds the t-interval and p are NaN.

    >>> found = measure([0.1, 0.1, 0.1], np.full(99, 0.1))
    >>> found["seeds"], round(found["difference"], 3), round(found["p"], 2)
    (3, 0.1, 0.02)
    """
    by_seed = np.asarray(by_seed, float)
    mean, reach = by_seed.mean(), np.nan
    if len(by_seed) >= LEAST_SEEDS:
        reach = stdtrit(len(by_seed) - 1, 1 - ALPHA / 2) * _standard_error(by_seed)
    low, high = percentiles(resampled)
    return {
        "seeds": len(by_seed),
        "difference": float(mean),
        "seeds_low": float(mean - reach),
        "seeds_high": float(mean + reach),
        "draws_low": low,
        "draws_high": high,
        "p": float(np.maximum(seeds_p(by_seed), draws_p(resampled))),
    }


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


def percentiles(values) -> tuple[float, float]:
    """The percentile interval of resampled values (R,); NaN where all are undefined.

    >>> percentiles(np.arange(1001))  # 2.5 % and 97.5 %
    (25.0, 975.0)
    """
    values = np.asarray(values, float)
    if not np.isfinite(values).any():
        return np.nan, np.nan
    tail = 100 * ALPHA / 2
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return float(low), float(high)


def holm(p) -> np.ndarray:
    """p-values of one table, corrected by Holm's method (same shape); NaN stays and does not count.

    Of M p-values the smallest is multiplied by M, the next by M - 1 and so on. A corrected value is
    never smaller than the one before it.

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


def verdict(seeds: int, difference: float, corrected_p: float) -> str:
    """What a comparison says, given its p-value after the correction for its table.

    >>> verdict(3, -0.1, 0.03), verdict(3, -0.1, 0.3), verdict(2, -0.1, float("nan"))
    ('worse', 'cannot tell', 'not enough seeds')
    """
    if not seeds:
        return NO_COUNTS
    if seeds < LEAST_SEEDS:
        return TOO_FEW
    if not corrected_p < ALPHA:
        return CANNOT_TELL
    return BETTER if difference > 0 else WORSE
