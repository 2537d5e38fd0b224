"""Scores over test tiles drawn with replacement: intervals, and differences of two models.

Tiles, not pixels, are drawn (Efron 1979): pixels of one tile are not independent. Neighbouring
tiles are not either, so that intervals are, if anything, too narrow.
"""

from __future__ import annotations

import functools

import numpy as np

from landslide_tf.metrics import histogram_auc, scores_from_counts
from landslide_tf.study.records import Record, Result, on_common_seeds
from landslide_tf.study.verdicts import measure, percentiles

RESAMPLES = 9999


@functools.lru_cache(maxsize=4)
def draws(count: int, what: str = "tiles") -> np.ndarray:
    """How often each of `count` tiles (or seeds) is in each bootstrap resample, (RESAMPLES, count).

    All models with the same number of tiles get the same resamples. Seeds are drawn independently
    of tiles.

    >>> draws(5).sum(axis=1).tolist() == [5] * RESAMPLES
    True
    """
    generator = np.random.default_rng({"tiles": 0, "seeds": 1}[what])
    # float64 holds the counts of pixels exactly, and multiplies much faster than whole numbers
    return generator.multinomial(count, np.full(count, 1 / count), RESAMPLES).astype("float64")


def interval(result: Result, metric: str) -> tuple[float, float]:
    """The 95 % bootstrap interval over test tiles of a score (mean over seeds, threshold 0.5).

    NaN where nothing was run, a run kept no counts of its tiles, or the score is undefined.
    """
    if not result or any(record.tiles is None for record in result.records):
        return np.nan, np.nan
    drawn = [_score(r, metric, draws(len(r.tiles.names))) for r in result.records]
    return percentiles(np.mean(drawn, axis=0))


def ratio_interval(parts: np.ndarray, wholes: np.ndarray) -> tuple[float, float]:
    """The interval of sum(parts) / sum(wholes), both (N,), one a test tile.

    Resamples in which no tile counts are left out; NaN where that is all of them.

    >>> ratio_interval(np.array([1, 0]), np.array([1, 1]))  # either tile alone: 1 or 0
    (0.0, 1.0)
    """
    times = draws(len(parts))
    with np.errstate(invalid="ignore"):  # 0 / 0
        return percentiles((times @ parts) / (times @ wholes))


def difference(a: Result, b: Result, metric: str = "miou", chosen=None) -> dict | None:
    """A score of A minus that of B, over their common seeds, in the form of `verdicts.measure`.

    Each bootstrap resample draws tiles and seeds with replacement, the same ones for A and B.

    `chosen`, a function from a run's `TileScores` to bool (N,), restricts the score to the test
    tiles that are True. Each seed may have test tiles of its own. The result is None if a run is
    missing or kept no counts of its tiles, or if a score is undefined.
    """
    counted = [Result(x.experiment, tuple(r for r in x.records if r.tiles)) for x in (a, b)]
    pairs = list(zip(*(x.records for x in on_common_seeds(counted)), strict=True))
    if not pairs or any(x.tiles.names.tolist() != y.tiles.names.tolist() for x, y in pairs):
        return None

    def differences(weigh):
        """A row each seed; `weigh` gives the weights (R, N) of N tiles."""
        rows = []
        for x, y in pairs:
            weights = weigh(len(x.tiles.names))
            if chosen is not None:
                weights = weights * chosen(x.tiles)
            rows.append(_score(x, metric, weights) - _score(y, metric, weights))
        return np.stack(rows)

    by_seed = differences(lambda count: np.ones((1, count)))[:, 0]
    if not np.isfinite(by_seed).all():
        return None
    drawn = draws(len(pairs), "seeds").T  # (K, RESAMPLES)
    return measure(by_seed, np.average(differences(draws), axis=0, weights=drawn))


def _score(record: Record, metric: str, weights) -> np.ndarray:
    """A score at threshold 0.5 with each tile counted by its weight, (R, N) to (R,)."""
    if metric == "auc":
        counts = np.tensordot(weights, record.tiles.histogram, axes=1)  # (R, 2, BINS)
        return histogram_auc(counts[:, 0], counts[:, 1])
    tp, fp, fn, tn = (weights @ record.tiles.counts(0.5)).T
    return scores_from_counts(tp, fp, fn, tn)[metric]
