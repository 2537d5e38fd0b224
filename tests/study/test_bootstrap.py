"""Intervals and comparisons from counts of tiles, against cases known by hand."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import ttest_1samp
from sklearn.metrics import roc_auc_score

from landslide_tf.config import TrainConfig
from landslide_tf.metrics import histogram_auc
from landslide_tf.study.bootstrap import difference, interval
from landslide_tf.study.comparisons import small_tiles
from landslide_tf.study.matrices import Experiment
from landslide_tf.study.records import Record, Result
from landslide_tf.training.evaluation import Predictions, score
from landslide_tf.training.tile_scores import tile_scores


def result(probability, mask, *, names=None, seed=0):
    """One run whose test tiles are (N, H, W)."""
    probability = np.asarray(probability, "float32")
    mask = np.asarray(mask)
    names = names or [str(i) for i in range(len(mask))]
    valid = np.ones(mask.shape, bool)
    scores = score(Predictions(probability, mask, valid, np.zeros(len(mask), bool)), 0.5)
    counts = tile_scores(names, probability, mask, valid)
    config = dataclasses.replace(TrainConfig(), seed=seed)
    record = Record(None, config, {"test": scores}, {}, [], {}, counts, {})
    return Result(Experiment("unet", "none", "bce"), (record,))


def joined(*results):
    return Result(results[0].experiment, tuple(r.records[0] for r in results))


# Tile 0: landslide IoU 1/2 (tp 1, fp 1); tile 1: 1/4 (tp 1, fn 3).
MASK = [[[1, 0, 0, 0]], [[1, 1, 1, 1]]]
P = [[[0.9, 0.9, 0.1, 0.1]], [[0.9, 0.1, 0.1, 0.1]]]


def test_interval_of_two_tiles_by_hand():
    """A quarter of the resamples holds tile 0 alone, a quarter tile 1 alone: the extremes."""
    found = interval(result(P, MASK), "iou")
    assert found == pytest.approx((1 / 4, 1 / 2))
    # recall: tile 0 has 1 of 1, tile 1 has 1 of 4
    found = interval(result(P, MASK), "recall")
    assert found == pytest.approx((1 / 4, 1))


def test_equal_tiles_leave_no_spread():
    found = interval(result([P[0]] * 5, [MASK[0]] * 5), "iou")
    assert found == pytest.approx((0.5, 0.5))


def test_interval_agrees_with_resampling_pixels_anew(rng):
    """Against drawing tiles one by one and counting their pixels."""
    mask = (rng.random((30, 6, 6)) < 0.3).astype(int)
    mask *= rng.random((30, 1, 1)) < 0.7
    p = np.clip(0.5 * mask + rng.random(mask.shape) * 0.7, 0, 1)
    scores = []
    for _ in range(1500):
        chosen = rng.integers(0, 30, 30)
        y, guess = mask[chosen] > 0, p[chosen] >= 0.5
        landslide = (y & guess).sum() / (y | guess).sum()
        background = (~y & ~guess).sum() / (~y | ~guess).sum()
        scores.append((landslide + background) / 2)
    found = interval(result(p, mask), "miou")
    assert list(found) == pytest.approx(np.percentile(scores, [2.5, 97.5]), abs=0.02)


def test_auc_of_a_histogram(rng):
    mask = (rng.random((1, 50, 50)) < 0.3).astype(int)
    p = np.clip(0.3 * mask + rng.random(mask.shape) * 0.7, 0, 1).astype("float32")
    counts = result(p, mask).records[0].tiles
    expected = roc_auc_score(mask.ravel(), p.ravel())
    assert histogram_auc(*counts.histogram[0]) == pytest.approx(expected, abs=1e-3)


def test_auc_of_saturated_scores(rng):
    """All background below 1e-3, landslide little above: percent bins alone would say 0.5."""
    mask = (rng.random((1, 50, 50)) < 0.3).astype(int)
    p = (10.0 ** (-5 + 1.5 * mask + rng.random(mask.shape))).astype("float32")
    expected = roc_auc_score(mask.ravel(), p.ravel())
    assert expected > 0.99
    counts = result(p, mask).records[0].tiles
    assert histogram_auc(*counts.histogram[0]) == pytest.approx(expected, abs=0.02)


def test_one_class_has_no_auc():
    found = interval(result(np.zeros((3, 2, 2)), np.zeros((3, 2, 2), int)), "auc")
    assert np.isnan(found).all()


def test_a_model_does_not_differ_from_itself():
    found = difference(result(P, MASK), result(P, MASK))
    assert [found[x] for x in ("difference", "draws_low", "draws_high")] == [0, 0, 0]
    assert np.isnan(found["seeds_low"])
    assert np.isnan(found["p"])


def seeds(p, mask, count):
    return joined(*(result(p, mask, seed=seed) for seed in range(count)))


def test_a_difference_by_hand():
    perfect = np.array(MASK) * 0.9
    found = difference(seeds(perfect, MASK, 3), seeds(P, MASK, 3), "iou")
    # pooled IoU of P: tp 2, fp 1, fn 3; of tile 0 alone 1/2, of tile 1 alone 1/4
    assert found["difference"] == pytest.approx(1 - 2 / 6)
    assert (found["draws_low"], found["draws_high"]) == pytest.approx((1 / 2, 3 / 4))
    assert found["seeds_low"] == pytest.approx(2 / 3)  # equal seeds have no spread
    assert found["p"] == pytest.approx(2 / 10_000)  # no resample is at or below zero


def test_a_difference_among_some_tiles():
    perfect = np.array(MASK) * 0.9

    def last(tiles):
        return np.array([False, True])

    found = difference(seeds(perfect, MASK, 3), seeds(P, MASK, 3), "iou", last)
    assert found["difference"] == pytest.approx(3 / 4)
    # a quarter of the resamples holds no such tile and does not count
    assert (found["draws_low"], found["draws_high"]) == pytest.approx((3 / 4, 3 / 4))


def test_each_seed_may_have_test_tiles_of_its_own():
    """The tile with one landslide pixel is the first of two, and the last of three."""
    own = {0: [0, 1], 1: [1, 1, 0]}
    ours, theirs = [], []
    for seed, order in own.items():
        mask, p = np.array(MASK)[order], np.array(P)[order]
        names = [f"{seed}{i}" for i in range(len(order))]
        ours.append(result(0.9 * mask, mask, names=names, seed=seed))
        theirs.append(result(p, mask, names=names, seed=seed))
    found = difference(joined(*ours), joined(*theirs), "iou", small_tiles)
    assert found["difference"] == pytest.approx(1 - 1 / 2)  # in both seeds
    found = difference(joined(*ours), joined(*theirs), "iou")
    # IoU of P: tp 2, fp 1, fn 3 in seed 0; tp 3, fp 1, fn 6 in seed 1
    assert found["difference"] == pytest.approx(1 - (2 / 6 + 3 / 10) / 2)


def test_better_on_half_of_the_tiles_has_no_small_p():
    a = seeds([[[0.9, 0.1]], [[0.1, 0.1]]], [[[1, 0]], [[1, 0]]], 3)
    b = seeds([[[0.1, 0.1]], [[0.9, 0.1]]], [[[1, 0]], [[1, 0]]], 3)
    assert difference(a, b)["p"] > 0.9


def test_pairs_are_formed_by_seed():
    a = joined(result(P, MASK, seed=0), result(np.array(MASK) * 0.9, MASK, seed=1))
    b = joined(result(P, MASK, seed=0), result(P, MASK, seed=2))
    found = difference(a, b, "iou")  # seed 0 is in both
    assert found["difference"] == 0
    assert difference(result(P, MASK, seed=3), b) is None


def test_seeds_are_held_to_students_t():
    """Equal tiles, so that only the seeds spread: differences in IoU of 1/2, 1/2 and -1/2."""
    good, bad = [[0.9, 0.1, 0.1, 0.1]] * 3, [[0.1, 0.1, 0.1, 0.1]] * 3
    middle, mask = [[0.9, 0.9, 0.1, 0.1]] * 3, [[1, 0, 0, 0]] * 3  # IoU 1, 0 and 1/2
    a = joined(*(result([p], [mask], seed=s) for s, p in enumerate((good, good, bad))))
    b = seeds([middle], [mask], 3)
    found = difference(a, b, "iou")
    # mean 1/6, standard error (1/sqrt(3)) / sqrt(3) = 1/3, t of 2 degrees of freedom 4.303
    assert found["difference"] == pytest.approx(1 / 6)
    assert found["seeds_low"] == pytest.approx(1 / 6 - 4.3027 / 3, abs=1e-4)
    assert found["p"] == pytest.approx(ttest_1samp([0.5, 0.5, -0.5], 0).pvalue)


def test_other_tiles_cannot_be_compared():
    assert difference(result(P, MASK), result(P, MASK, names=["a", "b"])) is None


def test_interval_is_of_the_mean_over_seeds():
    two = joined(result(P, MASK, seed=0), result(np.array(MASK) * 0.9, MASK, seed=1))
    found = interval(two, "iou")  # of (1/2 + 1)/2 with tile 0 alone, (1/4 + 1)/2 with tile 1
    assert found == pytest.approx((0.625, 0.75))


def test_nothing_run_has_no_interval():
    assert np.isnan(interval(Result(Experiment("unet", "none", "bce"), ()), "miou")).all()


def test_no_difference_of_what_is_undefined():
    """Tiles without a landslide have no IoU of it: nothing was missed, nothing was hit."""
    empty = result(np.full((2, 1, 4), 0.1), np.zeros((2, 1, 4), int))
    assert np.isnan(empty.records[0].test["iou"])
    assert difference(empty, empty, "iou") is None
