import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landslide_tf.geo.windows import MAX_WINDOWS, Layout, window_starts, window_weights


@st.composite
def axes(draw):
    window = draw(st.integers(1, 70))
    return draw(st.integers(1, 400)), window, draw(st.integers(0, window - 1))


@pytest.mark.parametrize(
    ("size", "window", "overlap", "starts"),
    [
        (110, 64, 32, [0, 32, 46]),  # the last ends with the axis
        (64, 64, 32, [0]),
        (65, 64, 32, [0, 1]),
        (1, 64, 32, [0]),
        (128, 64, 0, [0, 64]),
        (129, 64, 0, [0, 64, 65]),
        (96, 64, 32, [0, 32]),
        (4, 2, 1, [0, 1, 2]),
    ],
)
def test_starts(size, window, overlap, starts):
    assert window_starts(size, window, overlap) == starts


@given(axes())
@settings(max_examples=200, deadline=None)
def test_every_pixel_is_covered_and_weights_sum_to_one(axis):
    size, window, overlap = axis
    starts, weights = window_starts(*axis), window_weights(*axis)
    assert weights.shape == (len(starts), window)
    assert (weights > 0).all()
    total = np.zeros(max(size, window))
    for start, weight in zip(starts, weights, strict=True):
        total[start : start + window] += weight
    np.testing.assert_allclose(total, 1, atol=1e-12)
    # in order, none twice, within the scene, and sharing what was asked for
    steps = np.diff(starts)
    assert (steps >= 1).all()
    assert (steps <= window - overlap).all()
    assert starts[-1] + window == max(size, window)


def test_weights_of_two_windows_by_hand():
    # 6 pixels, windows of 4 sharing 2: a box of 2 smoothed by one of 3 is 1 2 2 1;
    # at pixel 2 these are 2 and 1, at pixel 3 they are 1 and 2
    weights = window_weights(6, 4, 2)
    np.testing.assert_allclose(weights, [[1, 1, 2 / 3, 1 / 3], [1 / 3, 2 / 3, 1, 1]])


@pytest.mark.parametrize(("window", "overlap"), [(128, 64), (96, 64), (128, 96), (30, 20)])
def test_a_slope_scaled_in_each_window_adds_up_to_a_constant(window, overlap):
    """Relief along a plane is a saw, x minus the window's start: blended, nothing of it is left."""
    step = window - overlap
    size = window + 12 * step
    starts, weights = window_starts(size, window, overlap), window_weights(size, window, overlap)
    assert set(np.diff(starts)) == {step}
    total, squares = np.zeros((2, size))
    for start, weight in zip(starts, weights, strict=True):
        total[start : start + window] += weight * (np.arange(window) - (window - 1) / 2)
        squares[start : start + window] += weight**2
    inner = np.s_[window:-window]
    assert np.abs(total[inner]).max() < 0.51  # of a saw of +- window / 2; pixels round it
    # how much windows that differ by chance are averaged hardly depends on the place
    if overlap >= 2 * step:
        assert squares[inner].max() / squares[inner].min() < 1.25


@given(axes(), axes())
@settings(max_examples=50, deadline=None)
def test_blocks_hold_every_window_once(y, x):
    layout = Layout((y[0], x[0]), (y[1], x[1]), (y[2], x[2]))
    seen = []
    total = np.zeros([max(a[0], a[1]) for a in (y, x)])
    for block in layout.blocks:
        top, left, bottom, right = layout.box(block)
        windows = list(layout.windows(block))
        assert len(windows) == layout.count(block) <= MAX_WINDOWS**2
        for row, column, weight in windows:
            h, w = weight.shape
            assert top <= row and left <= column and row + h <= bottom and column + w <= right
            total[row : row + h, column : column + w] += weight
            seen.append((row, column))
    assert len(seen) == len(set(seen)) == layout.count()
    np.testing.assert_allclose(total, 1, atol=1e-12)
