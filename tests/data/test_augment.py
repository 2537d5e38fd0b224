"""Random changes move image, mask and weight together; only the light of the RGB changes."""

import itertools

import numpy as np
import pytest

from landslide_tf.data import augment as module
from landslide_tf.data.augment import BRIGHTNESS, CONTRAST, draw

PX = 8
KEYS = [(0, epoch, tile) for epoch in range(20) for tile in range(10)]


def augment(x, y, w, key, names=("flips", "light")):
    """One tile changed by the numbers of key = (seed, epoch, tile)."""
    seed, epoch, tile = key
    numbers = draw(10, seed, epoch)[tile : tile + 1]
    changed = module.augment(x[None], y[None], w[None], numbers, names)
    return tuple(np.asarray(array)[0] for array in changed)


def flat(value=0.5):
    """A tile of one grey, a DEM without two equal values, all valid."""
    x = np.full((PX, PX, 4), value, "float32")
    x[..., 3] = np.arange(PX * PX).reshape(PX, PX) / 64
    return x, np.zeros((PX, PX, 1), "float32"), np.ones((PX, PX, 1), "float32")


def where(array):
    return tuple(int(i) for i in np.argwhere(array)[0])


def test_image_mask_and_weight_move_together():
    x, y, w = flat()
    # one marked pixel off every axis of symmetry
    x[1, 2, :3], y[1, 2], w[1, 2] = 0.9, 1, 0
    mark = x[1, 2, 3]
    places = set()
    for key in KEYS:
        new_x, new_y, new_w = augment(x, y, w, key)
        place = where(new_y[..., 0] == 1)
        assert new_y.sum() == 1 and (new_w == 0).sum() == 1
        assert where(new_w[..., 0] == 0) == place
        assert where(new_x[..., 3] == mark) == place
        for channel in range(3):
            assert np.unravel_index(new_x[..., channel].argmax(), (PX, PX)) == place
        places.add(place)
    # the eight places of (1, 2) under flips and quarter turns of 8 x 8
    pairs = [(a, b) for a in (1, 6) for b in (2, 5)]
    assert places == {*pairs, *((b, a) for a, b in pairs)}


def test_dem_and_terrain_keep_their_values():
    x, y, w = flat()
    x = np.concatenate([x, np.sqrt(x[..., 3:])], axis=-1)
    for key in KEYS[:20]:
        new_x, _, _ = augment(x, y, w, key)
        np.testing.assert_array_equal(np.sort(new_x[..., 3], axis=None), np.sort(x[..., 3], None))
        # channels move as one
        np.testing.assert_array_equal(new_x[..., 4], np.sqrt(new_x[..., 3]))


def test_all_eight_orientations_are_about_equally_frequent():
    x, y, w = flat()
    dem = x[..., 3]
    orientations = [
        np.rot90(base, turns) for base, turns in itertools.product((dem, dem.T), range(4))
    ]
    counts = np.zeros(8, int)
    for key in KEYS:
        new = augment(x, y, w, key)[0][..., 3]
        counts += [np.array_equal(new, orientation) for orientation in orientations]
    # 200 keys: 25 each on average, with a deviation of sqrt(200 * 1/8 * 7/8) = 4.7
    assert counts.sum() == len(KEYS) and counts.min() >= 10 and counts.max() <= 45


def test_light_changes_within_its_limits():
    brightness, contrast = [], []
    x, y, w = flat()
    x[:, :4, :3], x[:, 4:, :3] = 0.4, 0.6  # mean 0.5, spread 0.2, never clipped
    for key in KEYS:
        rgb = augment(x, y, w, key)[0][..., :3]
        brightness.append(rgb.mean() - 0.5)
        contrast.append(np.ptp(rgb) / 0.2)
    for values, limit in ((brightness, BRIGHTNESS), (np.array(contrast) - 1, CONTRAST)):
        assert np.abs(values).max() <= limit + 1e-5
        # spread over the whole range, to both sides
        assert np.max(values) > 0.9 * limit and np.min(values) < -0.9 * limit


def test_rgb_stays_between_zero_and_one():
    x, y, w = flat()
    x[..., :3] = np.linspace(0.001, 1, PX * PX).reshape(PX, PX, 1)
    for key in KEYS[:50]:
        rgb = augment(x, y, w, key)[0][..., :3]
        assert rgb.min() >= 0 and rgb.max() <= 1


def no_data_in_half():
    x, y, w = flat()
    x[:, :4], w[:, :4] = 0, 0
    return x, y, w


def test_no_data_stays_zero():
    x, y, w = no_data_in_half()
    for key in KEYS[:20]:
        new_x, _, new_w = augment(x, y, w, key)
        assert (new_x[new_w[..., 0] == 0] == 0).all()
        assert (new_x[new_w[..., 0] == 1] != 0).any(axis=-1).all()


def test_no_data_does_not_count_in_the_mean_colour():
    # contrast does nothing to a tile of one colour, also where part of it is no data
    x, y, w = no_data_in_half()
    for key in KEYS[:50]:
        half, _, new_w = augment(x, y, w, key)
        whole = augment(*flat(), key)[0]
        expected = whole[0, 0, 0]
        assert half[new_w[..., 0] == 1][:, :3] == pytest.approx(expected, abs=1e-5)


def test_the_key_decides_all_of_it():
    x, y, w = flat()
    for key in KEYS[:20]:
        for a, b in zip(augment(x, y, w, key), augment(x, y, w, key), strict=True):
            np.testing.assert_array_equal(a, b)
    first = augment(x, y, w, (0, 0, 0))[0]
    for other in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        assert not np.array_equal(first, augment(x, y, w, other)[0])


def test_input_is_left_as_it_was():
    x, y, w = flat()
    before = x.copy()
    for key in KEYS[:10]:
        augment(x, y, w, key)
    np.testing.assert_array_equal(x, before)


def test_each_change_alone():
    x, y, w = flat()
    x[..., :3] = np.linspace(0.2, 0.8, PX * PX).reshape(PX, PX, 1)
    for key in KEYS[:20]:
        moved = augment(x, y, w, key, ("flips",))[0]
        np.testing.assert_array_equal(np.sort(moved, axis=None), np.sort(x, axis=None))
        lit = augment(x, y, w, key, ("light",))[0]
        np.testing.assert_array_equal(lit[..., 3], x[..., 3])
        assert not np.array_equal(lit[..., :3], x[..., :3])
        np.testing.assert_array_equal(augment(x, y, w, key, ())[0], x)


def test_scale_enlarges_a_square_of_the_tile():
    """Enlarged, a plane is a plane of smaller gradient, its values within the old ones."""
    row, column = np.mgrid[:PX, :PX].astype("float32")
    x = np.stack([row, column, row, column], axis=-1)
    y, w = np.zeros((PX, PX, 1), "float32"), np.ones((PX, PX, 1), "float32")
    sides = []
    for key in KEYS[:80]:
        new, _, new_w = augment(x, y, w, key, ("scale",))
        assert new_w.all()
        steps = np.diff(new[..., 0], axis=0)[1:-1], np.diff(new[..., 1], axis=1)[:, 1:-1]
        side = steps[0].max()
        for step in steps:  # one side for both axes
            np.testing.assert_allclose(step, side, atol=1e-4)
        assert new.min() >= 0 and new.max() <= PX - 1
        sides.append(side)
    assert 0.6 <= min(sides) < 0.65 and 0.95 < max(sides) <= 1


def test_scale_moves_image_and_mask_together_and_keeps_no_data_out():
    x, y, w = flat()
    y[2:6], x[2:6, :, :3] = 1, 0.9
    x[:, :2], w[:, :2] = 0, 0
    for key in KEYS[:20]:
        new_x, new_y, new_w = augment(x, y, w, key, ("scale",))
        keep = new_w[..., 0] == 1
        assert set(np.unique(new_y)) <= {0, 1} and set(np.unique(new_w)) <= {0, 1}
        assert not new_x[~keep].any()
        # colours are between the two of the tile: the 0 of no data never mixes in
        assert new_x[keep][:, :3].min() >= 0.5 - 1e-5 and new_x[keep][:, :3].max() <= 0.9 + 1e-5
        # a pixel nearer to one colour has that label
        bright = new_x[..., 0] > 0.7
        assert (bright == (new_y[..., 0] == 1))[keep].mean() > 0.99


def test_colour_changes_each_band_by_its_own_gain():
    x, y, w = flat(0.5)
    gains = []
    for key in KEYS[:50]:
        new = augment(x, y, w, key, ("colour",))[0]
        np.testing.assert_array_equal(new[..., 3], x[..., 3])
        gain = new[0, 0, :3] / 0.5
        np.testing.assert_allclose(new[..., :3], 0.5 * gain * np.ones((PX, PX, 1)), rtol=1e-6)
        gains.append(gain)
    gains = np.array(gains)
    assert np.abs(gains - 1).max() <= 0.15 + 1e-6
    assert np.abs(np.corrcoef(gains.T)[np.triu_indices(3, 1)]).max() < 0.5  # not one gain for all


def test_tone_is_a_power_and_a_distance_to_grey():
    x = np.full((1, 2, 2, 3), 0.0, "float32")
    x[0, 0, 0] = 0.25, 0.5, 0.75  # the other pixels are no data
    key = np.full((1, module.DRAWS), 0.5, "float32")
    key[0, 12] = (1.0 - 0.4) / (1.3 - 0.4)  # saturation 1: colours stay
    same = np.asarray(module.augment(x, x[..., :1], x[..., :1], key, ("tone",))[0])
    np.testing.assert_allclose(same, x, atol=1e-6)  # the middle of the exponents is 1
    key[0, 11] = 1.0  # exponent 1.8
    darker = np.asarray(module.augment(x, x[..., :1], x[..., :1], key, ("tone",))[0])
    np.testing.assert_allclose(darker[0, 0, 0], [0.25**1.8, 0.5**1.8, 0.75**1.8], rtol=1e-5)
    key[0, 11], key[0, 12] = 0.5, 0.0  # saturation 0.4: 0.5 + 0.4 (c - 0.5)
    paler = np.asarray(module.augment(x, x[..., :1], x[..., :1], key, ("tone",))[0])
    np.testing.assert_allclose(paler[0, 0, 0], [0.4, 0.5, 0.6], rtol=1e-5)
    assert not darker[0, 1].any() and not paler[0, 1].any()


def test_edges_leave_no_data_beyond_a_line():
    x, y, w = np.ones((1, 4, 4, 3), "float32"), *np.ones((2, 1, 4, 4, 1), "float32")
    key = np.zeros((1, module.DRAWS), "float32")
    key[0, 13:] = 0.29, 0.0, 0.7  # an edge; to the right; at 0.25 from the centre
    new_x, new_y, new_w = map(np.asarray, module.augment(x, y, w, key, ("edges",)))
    # columns lie at -0.375, -0.125, 0.125 and 0.375: the last is beyond
    np.testing.assert_array_equal(new_w[0, :, :, 0], [[1, 1, 1, 0]] * 4)
    np.testing.assert_array_equal(new_x[0, ..., 0], new_w[0, ..., 0])
    assert new_y.all()  # without weight, the label does not count
    key[0, 14] = 0.25  # a quarter turn: downwards
    np.testing.assert_array_equal(
        np.asarray(module.augment(x, y, w, key, ("edges",))[2])[0, :, 0, 0], [1, 1, 1, 0]
    )
    key[0, 13] = 0.31  # seven in ten tiles stay whole
    assert np.asarray(module.augment(x, y, w, key, ("edges",))[2]).all()
