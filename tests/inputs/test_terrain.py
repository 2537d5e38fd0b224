"""Slope and hillshade, worked out by hand."""

import math

import numpy as np
import pytest

from landslide_tf.inputs import terrain as module


def _one(function):
    def call(dem, valid, *options):
        return np.asarray(function(dem[None, ..., None], valid[None, ..., None], *options))[0]

    return call


def slope(dem, valid, resolution):
    return _one(module.slope)(dem, valid, resolution)[..., 0]


def hillshade(dem, valid, resolution):
    return _one(module.hillshade)(dem, valid, resolution)[..., 0]


# float32 holds a height of 1000 m to 6e-5 m: over 2 m that is a gradient of 3e-5
TOLERANCE = 2e-5


def plane(dz_dx, dz_dy, resolution=(10.0, 10.0), size=(5, 6)):
    """A DEM of constant gradient: metres per metre to the east and down the rows (south)."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    return 1000 + dz_dy * rows * resolution[0] + dz_dx * columns * resolution[1]


def everywhere(dem):
    return np.ones(dem.shape, bool)


@pytest.mark.parametrize(
    "dz_dx, dz_dy, degrees",
    [
        (0, 0, 0),
        (1, 0, 45),
        (0, -1, 45),
        (math.sqrt(3), 0, 60),
        (1 / math.sqrt(3), 0, 30),
        (-1, 1, math.degrees(math.atan(math.sqrt(2)))),  # 54.7
        (0.6, 0.8, 45),
    ],
)
@pytest.mark.parametrize("resolution", [(10.0, 10.0), (30.0, 2.0)])
def test_slope_of_planes(dz_dx, dz_dy, degrees, resolution):
    dem = plane(dz_dx, dz_dy, resolution)
    result = slope(dem, everywhere(dem), resolution)
    assert result.dtype == np.float32 and result.shape == dem.shape
    # also at the border
    np.testing.assert_allclose(result, degrees / 90, atol=TOLERANCE)


@pytest.mark.parametrize(
    "dz_dx, dz_dy, brightness",
    [
        # sun direction (east, north, up) = (-1/2, 1/2, 1/sqrt 2), 45 degrees high in the north-west
        (0, 0, math.sqrt(0.5)),
        # rising to the east = facing west: normal (-1, 0, 1) / sqrt 2 -> (1/2 + 1/sqrt 2) / sqrt 2
        (1, 0, (0.5 + math.sqrt(0.5)) / math.sqrt(2)),
        (-1, 0, (-0.5 + math.sqrt(0.5)) / math.sqrt(2)),
        # rising to the south = facing north
        (0, 1, (0.5 + math.sqrt(0.5)) / math.sqrt(2)),
        (0, -1, (-0.5 + math.sqrt(0.5)) / math.sqrt(2)),
        # 45 degrees, facing the sun; and facing away: grazed, then in the shade
        (math.sqrt(0.5), math.sqrt(0.5), 1),
        (-math.sqrt(0.5), -math.sqrt(0.5), 0),
        (-3, -3, 0),
    ],
)
def test_hillshade_of_planes(dz_dx, dz_dy, brightness):
    dem = plane(dz_dx, dz_dy)
    result = hillshade(dem, everywhere(dem), (10.0, 10.0))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, brightness, atol=TOLERANCE)


def test_slope_is_the_mean_of_both_sides():
    # steps of 0 and 20 m per 10 m: the mean is 1, 45 degrees; the ends see one side
    result = slope(np.array([[0.0, 0.0, 20.0]]), np.ones((1, 3), bool), (10.0, 10.0))
    expected = [0, 0.5, math.degrees(math.atan(2)) / 90]
    np.testing.assert_allclose(result[0], expected, atol=TOLERANCE)


def test_terrain_beside_no_data_looks_to_the_valid_side():
    dem = plane(1, 0)
    valid = everywhere(dem)
    dem[:, 2], valid[:, 2] = -9999, False
    dem[1, 4], valid[1, 4] = np.nan, False
    for function, expected in (
        (slope, 0.5),
        (hillshade, (0.5 + math.sqrt(0.5)) / math.sqrt(2)),
    ):
        result = function(dem, valid, (10.0, 10.0))
        # in row 1, columns 3 and 5 have no valid neighbour to the side: level there
        others = np.delete(result, 1, axis=0)[:, [0, 1, 3, 4, 5]]
        np.testing.assert_allclose(others, expected, atol=TOLERANCE)
        assert np.isfinite(result).all()


def test_a_lone_pixel_is_level():
    dem = np.array([[-9999, 10.0, -9999]])
    valid = np.array([[False, True, False]])
    assert slope(dem, valid, (1.0, 1.0))[0, 1] == 0
    assert hillshade(dem, valid, (1.0, 1.0))[0, 1] == pytest.approx(math.sqrt(0.5))


def test_terrain_channels_come_in_the_order_asked_for():
    dem = plane(1, 0)
    both = _one(module.terrain_channels)(dem, everywhere(dem), ("hillshade", "slope"), (10.0, 10.0))
    assert both.shape == (5, 6, 2)
    np.testing.assert_allclose(both[2, 2], [0.8535534, 0.5], atol=TOLERANCE)


def test_integer_dem_does_not_wrap_around():
    dem = np.array([[250, 5]], "uint8")  # 5 - 250 is 11 in uint8
    # 245 m down in 245 m
    assert slope(dem, everywhere(dem), (245.0, 245.0))[0, 0] == pytest.approx(0.5)
