"""The one interpolation, against TensorFlow's own and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landslide_tf.inputs import resize


def resize_bilinear(values, size, valid=None):
    """Of one map (h, w, C), with a valid mask in any case, as NumPy."""
    valid = np.ones(values.shape[:2], bool) if valid is None else valid
    values, keep = resize.resize_bilinear(values[None], size, valid[None, ..., None])
    return np.asarray(values)[0], np.asarray(keep)[0, ..., 0]


def resize_nearest(values, size):
    """Of one map (h, w) or (h, w, C), as NumPy."""
    flat = values[..., None] if values.ndim == 2 else values
    found = np.asarray(resize.resize_nearest(flat[None], size))[0]
    return found[..., 0] if values.ndim == 2 else found


def resize_weights(size_in, size_out):
    return np.asarray(resize._weights(size_in, size_out))


SIZES = [
    ((61, 61), (128, 128)),  # the smallest tile of the paper's data set
    ((1239, 827), (128, 128)),  # its largest side
    ((100, 150), (128, 128)),  # one side grows, one shrinks
    ((227, 225), (128, 128)),
    ((7, 5), (3, 11)),
    ((33, 17), (64, 64)),
    ((1, 9), (16, 1)),
    ((128, 128), (1239, 61)),
    ((64, 64), (64, 64)),
]


@pytest.mark.parametrize("size_in, size_out", SIZES)
def test_bilinear_is_tensorflows(size_in, size_out, rng):
    import tensorflow as tf

    # elevations: large values with small differences show a loss of precision
    values = (3000 + 500 * rng.random((*size_in, 2))).astype("float32")
    ours, valid = resize_bilinear(values, size_out)

    @tf.function
    def graph(x):
        return tf.image.resize(x, size_out, method="bilinear", antialias=True)

    theirs = graph(values).numpy()
    assert ours.dtype == np.float32 and ours.shape == (*size_out, 2)
    assert valid.shape == size_out and valid.all()
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    rgb = rng.random((*size_in, 3)).astype("float32")
    np.testing.assert_allclose(resize_bilinear(rgb, size_out)[0], graph(rgb), rtol=0, atol=1e-5)


def test_sizes_known_only_at_run_time_give_the_same(rng):
    import tensorflow as tf

    values = rng.random((2, 150, 100, 3)).astype("float32")
    valid = rng.random((2, 150, 100, 1)) > 0.3

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, None, 3), tf.float32),
            tf.TensorSpec((None, None, None, 1), tf.bool),
            tf.TensorSpec((2,), tf.int32),
        ]
    )
    def graph(x, valid, size):
        return (
            *resize.resize_bilinear(x, (64, 128), valid),
            resize.resize_bilinear(x, (size[0], size[1]))[0],
            resize.resize_nearest(valid, (size[0], size[1])),
        )

    small, keep, full, near = (a.numpy() for a in graph(values, valid, [170, 33]))
    expected, expected_keep = resize.resize_bilinear(values, (64, 128), valid)
    np.testing.assert_allclose(small, expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(keep, expected_keep)
    expected, _ = resize.resize_bilinear(values, (170, 33))
    np.testing.assert_allclose(full, expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(near, resize.resize_nearest(valid, (170, 33)))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 400), st.integers(1, 400))
def test_bilinear_weights_sum_to_one(size_in, size_out):
    weights = resize_weights(size_in, size_out)
    assert weights.shape == (size_out, size_in) and weights.dtype == np.float32
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    # the same from either end
    np.testing.assert_allclose(weights, weights[::-1, ::-1], atol=1e-6)


def test_bilinear_weights_by_hand():
    # 2 pixels to 4: centres at -0.25, 0.25, 0.75, 1.25 in pixels of the old
    expected = [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]]
    np.testing.assert_allclose(resize_weights(2, 4), expected)
    # 4 to 2: centre 0.5, a triangle 2 wide each side: 1 - |i - 0.5| / 2 = 3/4, 3/4, 1/4 of 7/4
    np.testing.assert_allclose(resize_weights(4, 2)[0], [3 / 7, 3 / 7, 1 / 7, 0], rtol=1e-6)


def test_invalid_pixels_carry_no_weight():
    # 4 to 1: centre 1.5, weights 1 - |i - 1.5| / 4 = 5, 7, 7, 5 eighths -> of 24
    values = np.array([[[10.0], [20.0], [np.nan], [-9999.0]]])
    valid = np.array([[True, True, False, False]])
    # valid weight 12 / 24 is just half; mean (5 * 10 + 7 * 20) / 12
    resized, keep = resize_bilinear(values, (1, 1), valid)
    assert keep.tolist() == [[True]]
    assert resized[0, 0, 0] == pytest.approx(190 / 12, rel=1e-6)
    # weight 7 / 24 is less than half
    resized, keep = resize_bilinear(values, (1, 1), np.array([[False, True, False, False]]))
    assert keep.tolist() == [[False]] and resized[0, 0, 0] == 0


def test_invalid_pixels_do_not_leak_into_neighbours():
    values = np.full((64, 48, 1), 5.0)
    valid = np.ones((64, 48), bool)
    values[:30, :20], valid[:30, :20] = 1e30, False
    resized, keep = resize_bilinear(values, (24, 40), valid)
    np.testing.assert_allclose(resized[keep], 5, rtol=1e-6)
    assert (resized[~keep] == 0).all()
    assert 0.7 < keep.mean() < 0.9  # 30 * 20 of 64 * 48 are invalid: 0.80 stay


@pytest.mark.parametrize("size_in, size_out", [s for s in SIZES if s[1] != (1239, 61)])
def test_nearest_is_tensorflows_and_makes_no_new_values(size_in, size_out, rng):
    import tensorflow as tf

    labels = rng.choice([0, 1, 7], (*size_in, 1)).astype("uint8")
    ours = resize_nearest(labels, size_out)
    theirs = tf.image.resize(labels, size_out, method="nearest").numpy()
    np.testing.assert_array_equal(ours, theirs)
    assert ours.dtype == np.uint8 and set(np.unique(ours)) <= {0, 1, 7}


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 1300), st.integers(1, 1300))
def test_nearest_in_whole_numbers(size_in, size_out):
    # floor((i + 0.5) * in / out) without rounding; TensorFlow's float32 is off by one in places
    expected = [(2 * i + 1) * size_in // (2 * size_out) for i in range(size_out)]
    assert resize_nearest(np.arange(size_in)[None], (1, size_out))[0].tolist() == expected


def test_nearest_by_hand():
    # 5 to 3: (i + 0.5) * 5 / 3 = 0.83, 2.5, 4.17
    assert resize_nearest(np.arange(5)[None], (1, 3)).tolist() == [[0, 2, 4]]
    # 3 to 6: each twice
    assert resize_nearest(np.arange(3)[:, None], (6, 1))[:, 0].tolist() == [0, 0, 1, 1, 2, 2]
