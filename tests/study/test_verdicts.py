"""The rule for 'better': against SciPy, by hand, and in simulated studies whose truth is known."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from landslide_tf.study.bootstrap import draws
from landslide_tf.study.verdicts import (
    CANNOT_TELL,
    NO_COUNTS,
    TOO_FEW,
    draws_p,
    holm,
    measure,
    percentiles,
    seeds_p,
    verdict,
)

SCORES = st.lists(st.floats(0, 1, width=32), min_size=3, max_size=6, unique=True)


@given(SCORES, st.integers(0, 99))
def test_seeds_against_scipys_paired_t_test(ours, seed):
    theirs = np.random.default_rng(seed).random(len(ours))
    differences = np.array(ours) - theirs
    expected = ttest_rel(ours, theirs)
    assert float(seeds_p(differences)) == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    found = measure(differences, np.zeros(9))
    between = expected.confidence_interval(0.95)
    assert (found["seeds_low"], found["seeds_high"]) == pytest.approx(tuple(between))


def test_two_seeds_are_not_tested():
    assert np.isnan(seeds_p([0.1, 0.2]))
    found = measure([0.1, 0.1], np.full(99, 0.1))
    assert np.isnan([found["seeds_low"], found["p"]]).all()
    assert verdict(found["seeds"], found["difference"], 0.001) == TOO_FEW


def test_seeds_without_spread():
    assert float(seeds_p([0.0, 0.0, 0.0])) == 1
    assert float(seeds_p([0.25, 0.25, 0.25])) == 0


def test_share_of_resamples_beyond_zero():
    values = np.array([-0.1] * 4 + [0.0] + [0.1] * 94)
    assert float(draws_p(values)) == pytest.approx(2 * (5 + 1) / 100)
    # undefined resamples do not count
    assert float(draws_p([*values, np.nan])) == pytest.approx(2 * (5 + 1) / 100)
    assert float(draws_p([0.0] * 99)) == 1
    assert np.isnan(percentiles([np.nan, np.nan])).all()


def test_holm_by_hand():
    """0.01 x 4 = 0.04; 0.02 x 3 = 0.06; 0.03 x 2 = 0.06; 0.04 x 1, but at least 0.06."""
    assert holm([0.03, 0.01, 0.04, 0.02]).tolist() == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.6]).tolist() == [1, 1]
    assert holm([]).tolist() == []


def rejected_by_closure(p, level):
    """Holm's method as the closed test of all Bonferroni tests: an independent definition."""
    count = len(p)
    subsets = [s for n in range(1, count + 1) for s in itertools.combinations(range(count), n)]
    return [
        all(min(p[i] for i in s) <= level / len(s) for s in subsets if hypothesis in s)
        for hypothesis in range(count)
    ]


@settings(max_examples=60)
@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=6), st.floats(0.01, 0.2))
def test_holm_against_its_definition_as_a_closed_test(p, level):
    assert (holm(p) <= level).tolist() == rejected_by_closure(p, level)


def test_a_comparison_without_a_p_value_does_not_count():
    found = holm([0.02, np.nan, 0.03])
    assert found[[0, 2]].tolist() == pytest.approx([0.04, 0.04])
    assert np.isnan(found[1])


def test_both_must_exclude_zero():
    steady, tiles_agree = [0.1, 0.11, 0.09, 0.1, 0.1], np.full(9999, 0.1)
    tiles_differ = np.linspace(-0.1, 0.3, 9999)
    seeds_differ = [0.3, -0.1, 0.1, 0.4, -0.2]

    def say(by_seed, resampled):
        found = measure(by_seed, resampled)
        return verdict(found["seeds"], found["difference"], holm([found["p"]])[0])

    assert say(steady, tiles_agree) == "better"
    assert say(-np.array(steady), -tiles_agree) == "worse"
    assert say(steady, tiles_differ) == CANNOT_TELL
    assert say(seeds_differ, tiles_agree) == CANNOT_TELL


def test_the_level_is_that_of_the_corrected_p():
    assert verdict(3, 0.1, 0.049) == "better"
    assert verdict(3, 0.1, 0.05) == CANNOT_TELL
    assert verdict(3, 0.1, float("nan")) == CANNOT_TELL
    assert verdict(0, float("nan"), float("nan")) == NO_COUNTS


STUDIES, TILES = 1050, 80


def simulated_p(difference, seeds, of_seeds, of_tiles, noise=0.05, skewed=False):
    """p-values of both tests in simulated comparisons, (2, STUDIES).

    The difference of two models on tile i with seed s is
    `difference` + seed effect + tile effect + noise.
    """
    rng = np.random.default_rng(0)
    tile = rng.normal(size=(STUDIES, 1, TILES))
    if skewed:  # a few tiles on which one model is much better
        tile = rng.exponential(size=tile.shape) - 1
    by_tile = (
        difference
        + of_seeds * rng.normal(size=(STUDIES, seeds, 1))
        + of_tiles * tile
        + noise * rng.normal(size=(STUDIES, seeds, TILES))
    )
    # both linear in the tiles: (RESAMPLES, STUDIES)
    resampled = sum(
        drawn[:, None] * (draws(TILES) @ by_tile[:, seed].T)
        for seed, drawn in enumerate(draws(seeds, "seeds").T)
    ) / (seeds * TILES)
    return seeds_p(by_tile.mean(axis=2)), draws_p(resampled)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize(
    ("of_seeds", "of_tiles", "skewed"),
    [
        (0.03, 0.0, False),  # seeds alone
        (0.0, 0.2, False),  # tiles alone
        (0.03, 0.2, False),  # both, about as strong in the mean of 80 tiles and few seeds
        (0.02, 0.4, False),
        (0.06, 0.1, False),
        (0.03, 0.2, True),
    ],
)
def test_a_difference_that_is_not_there_is_seldom_found(seeds, of_seeds, of_tiles, skewed):
    by_seed, by_tile = simulated_p(0.0, seeds, of_seeds, of_tiles, skewed=skewed)
    false = np.maximum(by_seed, by_tile) < 0.05
    assert false.mean() < 0.07


def test_seeds_alone_would_find_too_much():
    """What the tiles are for: all seeds share the luck of the test tiles."""
    by_seed, by_tile = simulated_p(0.0, 3, 0.03, 0.2)
    assert (by_seed < 0.05).mean() > 0.08
    # and tiles alone, where it is the seeds that spread
    by_seed, by_tile = simulated_p(0.0, 3, 0.03, 0.0)
    assert (by_tile < 0.05).mean() > 0.1


@pytest.mark.parametrize(("seeds", "difference"), [(3, 0.2), (5, 0.1)])
def test_a_large_difference_is_found(seeds, difference):
    """Ten and five times the spread of the seeds, as the only one of a table of 15 pairs."""
    by_seed, by_tile = simulated_p(difference, seeds, 0.02, 0.1)
    p = np.maximum(by_seed, by_tile)
    assert (p < 0.05).mean() > 0.95
    # in a table of 15 the others are without difference: Holm asks for 0.05 / 15
    corrected = np.array([holm([one, *[0.5] * 14])[0] for one in p])
    assert (corrected < 0.05).mean() > (0.5 if seeds == 3 else 0.8)
    assert (by_seed[p < 0.05] < 0.05).all()


def test_a_table_without_differences_holds_a_false_verdict_seldom():
    """15 comparisons of one study; without the correction half of such tables would."""
    by_seed, by_tile = simulated_p(0.0, 5, 0.03, 0.1)
    tables = np.maximum(by_seed, by_tile).reshape(-1, 15)
    corrected = np.array([holm(row) for row in tables])
    assert (corrected < 0.05).any(axis=1).mean() < 0.07
    assert (tables < 0.05).any(axis=1).mean() > 0.2
