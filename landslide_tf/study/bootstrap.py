"""Bootstrap over test tiles: intervals of scores, and whether one model is better than another.

Tiles, not pixels, are drawn with replacement (Efron 1979): pixels of one tile are not independent.
Neighbouring tiles are not either, so that intervals are, if anything, too narrow. A comparison of
models draws their seeds as well: what one start alone gave is not a property of the model.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from landslide_tf.metrics import histogram_auc, scores_from_counts
from landslide_tf.study.records import Record, Result, on_common_seeds

RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A percentile interval of 95 %.

    >>> Interval(0.70, 0.75).high
    0.75
    """

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """Score of A minus that of B: its mean over seeds, and its interval over tiles and seeds.

    >>> Difference(0.02, Interval(0.01, 0.03)).verdict
    'better'
    >>> Difference(0.02, Interval(-0.01, 0.05)).verdict
    'cannot tell'
    """

    value: float
    interval: Interval

    @property
    def verdict(self) -> str:
        """'better', 'worse' or 'cannot tell', where the interval holds zero."""
        if self.interval.low > 0:
            return "better"
        return "worse" if self.interval.high < 0 else "cannot tell"


@functools.lru_cache(maxsize=8)
def draws(count: int, what: str = "tiles") -> np.ndarray:
    """How often each of `count` tiles, or seeds, is drawn, (RESAMPLES, count).

    The same for all models on as many tiles; seeds are drawn independently of tiles.

    >>> draws(5).sum(axis=1).tolist() == [5] * RESAMPLES
    True
    """
    generator = np.random.default_rng({"tiles": 0, "seeds": 1}[what])
    return generator.multinomial(count, np.full(count, 1 / count), RESAMPLES)


def resampled(record: Record, metric: str) -> np.ndarray:
    """A score of one run in each resample of its test tiles, (RESAMPLES,), at threshold 0.5.

    >>> from landslide_tf.study.records import read_record
    >>> values = resampled(read_record("study/unet-none-bce"), "miou")
    >>> values.shape
    (2000,)
    """
    times = draws(len(record.tiles.names))
    if metric == "auc":
        counts = np.tensordot(times, record.tiles.histogram, axes=1)  # (RESAMPLES, 2, BINS)
        return histogram_auc(counts[:, 0], counts[:, 1])
    tp, fp, fn, tn = (times @ record.tiles.counts(0.5)).T
    return scores_from_counts(tp, fp, fn, tn)[metric]


def _mean_over_seeds(result: Result, metric: str) -> np.ndarray | None:
    if not result or any(record.tiles is None for record in result.records):
        return None
    return np.mean([resampled(record, metric) for record in result.records], axis=0)


def interval(result: Result, metric: str) -> Interval | None:
    """The interval of a score's mean over seeds; None where a run kept no counts of its tiles.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> result = read_results(read_study("study"), "study")["unet-none-bce"]
    >>> found = interval(result, "miou")
    >>> found.low < result.mean("miou") < found.high
    True
    """
    return _percentiles(_mean_over_seeds(result, metric))


def ratio_interval(parts: np.ndarray, wholes: np.ndarray) -> Interval | None:
    """The interval of sum(parts) / sum(wholes), both (N,), one a test tile.

    Resamples in which no tile counts are left out; None where that is all of them.

    >>> ratio_interval(np.array([1, 0]), np.array([1, 1]))  # either tile alone: 1 or 0
    Interval(low=0.0, high=1.0)
    """
    times = draws(len(parts))
    with np.errstate(invalid="ignore"):  # 0 / 0
        return _percentiles((times @ parts) / (times @ wholes))


def _percentiles(values) -> Interval | None:
    if values is None or not np.isfinite(values).any():
        return None
    tail = 100 * (1 - LEVEL) / 2
    return Interval(*(float(v) for v in np.nanpercentile(values, [tail, 100 - tail])))


def difference(a: Result, b: Result, metric: str = "miou") -> Difference | None:
    """A minus B over the seeds that both have, each resample drawing the same tiles for both.

    Of several seeds each resample draws as many, with replacement: the interval then holds the
    luck of the start as well as that of the tiles, as far as so few seeds can show it. None where
    a run is missing or kept no counts of its tiles, or a score is undefined.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(read_study("study"), "study")
    >>> difference(results["unet-none-bce"], results["unet-none-bce"])
    Difference(value=0.0, interval=Interval(low=0.0, high=0.0))
    """
    counted = [Result(x.experiment, tuple(r for r in x.records if r.tiles)) for x in (a, b)]
    pairs = list(zip(*(x.records for x in on_common_seeds(counted)), strict=True))
    if not pairs:
        return None
    for ours, theirs in pairs:
        if ours.tiles.names.tolist() != theirs.tiles.names.tolist():
            return None
    scores = np.array([[x.test[metric], y.test[metric]] for x, y in pairs], float)
    if not np.isfinite(scores).all():  # None, of a metric that is undefined, is NaN by now
        return None
    values = np.stack([resampled(x, metric) - resampled(y, metric) for x, y in pairs], axis=1)
    value = float(np.mean(scores[:, 0] - scores[:, 1]))
    return Difference(value, _percentiles(np.average(values, 1, draws(len(pairs), "seeds"))))
