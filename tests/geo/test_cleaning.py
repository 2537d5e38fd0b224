"""Holes, smoothed edges and minimum area, against arithmetic and SciPy's labels."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import shapes
from scipy import ndimage

from landslide_tf.geo.cleaning import default_min_area_m2, fill_holes, smooth


def outlines(mask):
    """Outlines of the 4-connected parts of a mask, in pixels."""
    labels, count = ndimage.label(mask)
    found = [[] for _ in range(count)]
    for outline, label in shapes(labels.astype("int32"), mask, connectivity=4):
        found[int(label) - 1].append(shapely.geometry.shape(outline).buffer(0))
    return [shapely.union_all(parts) for parts in found]


@pytest.mark.parametrize(
    ("pixel_m", "expected"),
    # 9 pixels: 2.25 m2, 36 m2, 225 m2, 900 m2
    [(0.5, 100), (2, 100), (5, 225), (10, 900)],
)
def test_default_minimum_area(pixel_m, expected):
    assert default_min_area_m2(pixel_m**2) == expected


def test_holes_below_the_limit_are_filled():
    ring = shapely.box(0, 0, 10, 10) - shapely.box(1, 1, 3, 3) - shapely.box(5, 5, 8, 8)
    filled, count = fill_holes(ring, 5)  # holes of 4 and 9
    assert (filled.area, count, len(filled.interiors)) == (91, 1, 1)
    assert fill_holes(ring, 4) == (ring, 0)
    assert fill_holes(ring, 100)[0].equals(shapely.box(0, 0, 10, 10))


def test_a_staircase_becomes_straight():
    stairs = shapely.union_all([shapely.box(0, 19 - i, i + 1, 20 - i) for i in range(20)])
    smoothed = smooth(stairs)
    assert smoothed.area == pytest.approx(stairs.area, rel=0.005)
    # the slanting side runs through the middles of the steps, x + y = 20: one straight line
    points = shapely.get_coordinates(smoothed)
    assert len(points) <= 8
    line = shapely.LineString([(1, 19), (19, 1)])
    assert shapely.hausdorff_distance(
        line, shapely.intersection(smoothed.exterior, line.buffer(0.8, cap_style="flat"))
    ) < 1.6  # fmt: skip


def test_a_square_keeps_its_sides_and_area():
    smoothed = smooth(shapely.box(0, 0, 20, 20))
    assert smoothed.area == pytest.approx(400, rel=1e-3)
    assert smoothed.intersects(shapely.LineString([(5, 0), (15, 0)]).buffer(0.01))


@given(st.integers(0, 10**6), st.floats(0.3, 0.8))
@settings(max_examples=150, deadline=None)
def test_smoothed_outlines_are_valid_apart_and_of_the_same_area(seed, density):
    rng = np.random.default_rng(seed)
    noise = rng.random((24, 24))
    mask = (ndimage.uniform_filter(noise, 3) if seed % 2 else noise) < (
        np.quantile(ndimage.uniform_filter(noise, 3), density) if seed % 2 else density
    )
    raw = [fill_holes(shape, 9)[0] for shape in outlines(mask)]
    raw = [shape for shape in raw if shape.area >= 9]  # an island in a filled hole goes
    smoothed = [smooth(shape) for shape in raw]
    for before, after in zip(raw, smoothed, strict=True):
        assert after.is_valid and after.geom_type == "Polygon"
        assert after.area == pytest.approx(before.area, rel=0.02)
        assert shapely.hausdorff_distance(before.exterior, after.exterior) <= 0.75
    array = np.array(smoothed, object)
    for i, j in zip(*shapely.STRtree(array).query(array), strict=True):
        if i < j:
            assert smoothed[i].intersection(smoothed[j]).area < 1e-9
