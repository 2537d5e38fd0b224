"""Landslides against landslides, by SciPy's labels on whole arrays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.transform import from_origin
from scipy import ndimage

from landslide_tf.data.ground import Ground
from landslide_tf.geo.accuracy import ObjectScorer
from landslide_tf.geo.frequency import density

PLACE = from_origin(470000, 3445000, 2, 2)


def score(folder, truth, mapped, heights, min_area=0):
    ground = Ground(CRS.from_epsg(32647), PLACE, truth.shape)
    scorer, top = ObjectScorer(folder, ground, min_area), 0
    for height in heights:
        scorer.add(top, truth[top : top + height], mapped[top : top + height])
        top += height
    assert top == len(truth)
    return scorer.result()


@pytest.mark.slow
@given(seed=st.integers(0, 10**6), heights=st.lists(st.integers(1, 7), min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_against_labels(tmp_path_factory, seed, heights):
    rng = np.random.default_rng(seed)
    truth = rng.random((sum(heights), 15)) < 0.5
    mapped = truth ^ (rng.random(truth.shape) < 0.15)
    result = score(tmp_path_factory.mktemp("objects"), truth, mapped, heights)
    (a, present), (b, found) = ndimage.label(truth), ndimage.label(mapped)
    shared = np.zeros((present + 1, found + 1))
    np.add.at(shared, (a, b), 1)
    shared = shared[1:, 1:]
    union = np.bincount(a.ravel(), minlength=1)[1:, None] + np.bincount(b.ravel())[1:] - shared
    assert (result["reference"], result["mapped"]) == (present, found)
    for name, pairs in (("any_overlap", shared > 0), ("iou_over_0.5", shared > union / 2)):
        expected = {"found": pairs.any(1).sum(), "false_alarms": (~pairs.any(0)).sum()}
        assert result[name] == expected
    for key in ("reference", "mapped"):
        assert sum(part[key] for part in result["by_size_m2"].values()) == result[key]


def test_both_sides_are_cleaned(tmp_path):
    truth, mapped = np.zeros((2, 40, 60), bool)
    truth[10:20, 10:20] = truth[30, 30] = True  # 100 pixels; a speck
    mapped[10:20, 10:20] = True
    mapped[15, 15] = False  # a hole: filled, so IoU is 1
    mapped[35, 50] = mapped[30, 30] = True  # two specks
    result = score(tmp_path, truth, mapped, [12, 28], min_area=36)
    assert (result["reference"], result["mapped"]) == (1, 1)
    assert result["iou_over_0.5"] == {"found": 1, "false_alarms": 0}
    # 100 pixels of 4.003 m2
    assert result["by_size_m2"]["100 to 1000"]["reference"] == 1


def test_half_is_not_over_half(tmp_path):
    truth, mapped = np.zeros((2, 20, 40), bool)
    truth[5:10, 5:15] = True  # 50
    mapped[5:10, 5:10] = True  # 25 of them: IoU 0.5
    assert score(tmp_path, truth, mapped, [20])["iou_over_0.5"]["found"] == 0
    mapped[5, 10] = True
    result = score(tmp_path, truth, mapped, [20])
    assert result["iou_over_0.5"]["found"] == result["any_overlap"]["found"] == 1


def test_nothing_on_either_side(tmp_path):
    nothing, square = np.zeros((2, 20, 20), bool)
    square[5:15, 5:15] = True
    for truth, mapped in ((nothing, nothing), (square, nothing), (nothing, square)):
        result = score(tmp_path, truth, mapped, [20])
        assert result["any_overlap"]["found"] == 0
        assert result["any_overlap"]["false_alarms"] == int(mapped.any())


def test_density_by_hand():
    # five bins a decade: edges 100, 158.5, 251.2; two of three landslides in the first
    middle, p = density([110, 120, 200])
    np.testing.assert_allclose(
        middle, [np.sqrt(100 * 158.489), np.sqrt(158.489 * 251.189)], rtol=1e-4
    )
    np.testing.assert_allclose(p, [2 / 3 / 58.489, 1 / 3 / 92.7], rtol=1e-3)
    # over all bins the density sums up to 1
    rng = np.random.default_rng(0)
    areas = 10 ** rng.uniform(2, 4, 500)
    middle, p = density(areas)
    widths = middle * (10**0.1 - 10**-0.1)
    assert np.isclose((p * widths).sum(), 1)
