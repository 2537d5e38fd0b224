import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from landslide_tf.geo.components import Components
from landslide_tf.geo.polygons import whole


def run(mask, layer, heights):
    components, found, top = Components(), [], 0
    for height in heights:
        part = np.s_[top : top + height]
        found += components.add(top, mask[part], {"z": layer[part]})
        top += height
    assert top == len(mask)
    return found + components.end()


@given(st.integers(0, 10**6), st.lists(st.integers(1, 7), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_division_into_strips_gives_the_components_of_thewhole(seed, heights):
    rng = np.random.default_rng(seed)
    shape = (sum(heights), int(rng.integers(1, 20)))
    mask, layer = rng.random(shape) < rng.uniform(0.2, 0.7), rng.integers(0, 50, shape)
    labels, count = ndimage.label(mask)  # SciPy, all at once
    index = range(1, count + 1)
    expected = sorted(
        zip(
            ndimage.sum(mask, labels, index),
            ndimage.sum(layer, labels, index),
            ndimage.minimum(layer, labels, index),
            ndimage.maximum(layer, labels, index),
            strict=True,
        )
    )
    found = run(mask, layer, heights)
    assert sorted((c.px, c.sums["z"], c.lows["z"], c.highs["z"]) for c in found) == expected
    for component in found:
        outline = whole(component)
        assert outline.is_valid
        assert outline.geom_type == "Polygon"  # corners make no second part
        assert outline.area == component.px  # pixels have area 1


def test_a_ring_across_strips_keeps_its_hole():
    mask = np.zeros((6, 6), bool)
    mask[1:5, 1:5] = True
    mask[2:4, 2:4] = False
    (ring,) = run(mask, np.ones(mask.shape), [2, 1, 1, 2])
    outline = whole(ring)
    assert outline.equals(shapely.box(1, 1, 5, 5) - shapely.box(2, 2, 4, 4))


def test_corners_do_not_join():
    mask = np.array([[0, 1, 0], [1, 0, 1]], bool)
    for heights in ([2], [1, 1]):
        found = run(mask, np.ones(mask.shape), heights)
        assert [(c.px, whole(c).area) for c in found] == [(1, 1), (1, 1), (1, 1)]


@pytest.mark.parametrize("value", [0, 1])
def test_nothing_and_all(value):
    mask = np.full((5, 4), value, bool)
    found = run(mask, np.ones(mask.shape), [2, 3])
    assert [c.px for c in found] == [20] * value
