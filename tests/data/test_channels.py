"""Scaling, terrain and normalisation, worked out by hand."""

import math

import numpy as np
import pytest

from landslide_tf.checks import InputError
from landslide_tf.config import TrainConfig
from landslide_tf.data.channels import (
    hillshade,
    normalise_dem,
    scale_rgb,
    slope,
    stack_channels,
    terrain_channels,
)
from landslide_tf.data.dataset import model_input


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
    np.testing.assert_allclose(result, degrees / 90, atol=1e-6)


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
    np.testing.assert_allclose(result, brightness, atol=1e-6)


def test_slope_is_the_mean_of_both_sides():
    # steps of 0 and 20 m per 10 m: the mean is 1, 45 degrees; the ends see one side
    result = slope(np.array([[0.0, 0.0, 20.0]]), np.ones((1, 3), bool), (10.0, 10.0))
    expected = [0, 0.5, math.degrees(math.atan(2)) / 90]
    np.testing.assert_allclose(result[0], expected, atol=1e-6)


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
        np.testing.assert_allclose(others, expected, atol=1e-6)
        assert np.isfinite(result).all()


def test_a_lone_pixel_is_level():
    dem = np.array([[-9999, 10.0, -9999]])
    valid = np.array([[False, True, False]])
    assert slope(dem, valid, (1.0, 1.0))[0, 1] == 0
    assert hillshade(dem, valid, (1.0, 1.0))[0, 1] == pytest.approx(math.sqrt(0.5))


def test_terrain_channels_come_in_the_order_asked_for():
    dem = plane(1, 0)
    both = terrain_channels(dem, everywhere(dem), ("hillshade", "slope"), (10.0, 10.0))
    assert both.shape == (5, 6, 2)
    np.testing.assert_allclose(both[2, 2], [0.8535534, 0.5], atol=1e-6)
    with pytest.raises(InputError, match="'slope', 'hillshade'"):
        terrain_channels(dem, everywhere(dem), ("aspect",), (10.0, 10.0))


def test_integer_dem_does_not_wrap_around():
    dem = np.array([[250, 5]], "uint8")  # 5 - 250 is 11 in uint8
    # 245 m down in 245 m
    assert slope(dem, everywhere(dem), (245.0, 245.0))[0, 0] == pytest.approx(0.5)


@pytest.mark.parametrize(
    "dtype, value, scaled", [("uint8", 51, 0.2), ("uint16", 13107, 0.2), ("float32", 0.2, 0.2)]
)
def test_scale_rgb(dtype, value, scaled):
    result = scale_rgb(np.full((1, 1, 3), value, dtype))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, scaled, rtol=1e-6)


def test_scale_rgb_by_a_given_value():
    # Sentinel-2 reflectance x 10000
    np.testing.assert_allclose(scale_rgb(np.array([2500], "uint16"), 10000), 0.25)
    np.testing.assert_allclose(scale_rgb(np.array([127.5], "float32"), 255), 0.5)
    # a cloud is white, and below nothing is nothing
    assert scale_rgb(np.array([-5, 2500, 20000], "int16"), 10000).tolist() == [0, 0.25, 1]


@pytest.mark.parametrize("values", [[0.0, 255.0], [-1.0, 0.5]])
def test_scale_rgb_refuses_floats_beyond_one(values):
    with pytest.raises(InputError, match="--rgb-scale") as error:
        scale_rgb(np.array(values, "float32"))
    assert f"{values[0]:g} to {values[1]:g}" in str(error.value)


DEM = np.array([[1.0, 2.0], [3.0, 9999.0]])
VALID = np.array([[True, True], [True, False]])


@pytest.mark.parametrize(
    "how, statistics, expected",
    [
        ("relief", None, [0, 0.5, 1]),
        # mean 2, variance (1 + 0 + 1) / 3
        ("zscore", None, [-math.sqrt(1.5), 0, math.sqrt(1.5)]),
        ("dataset", (5.0, 4.0), [-1, -0.75, -0.5]),
    ],
)
def test_normalise_dem(how, statistics, expected):
    result = normalise_dem(DEM, VALID, how, statistics)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result[VALID], expected, rtol=1e-6)
    assert result[1, 1] == 0


@pytest.mark.parametrize("how", ["relief", "zscore"])
def test_level_ground_is_zero(how):
    # what a resize leaves of a level plain of 4000 m: rounding of float32
    dem = np.float32(4000) + np.float32([[0, 2.5e-4], [0, -2.5e-4]])
    assert (normalise_dem(dem, everywhere(dem), how) == 0).all()
    # a metre of relief is not level
    assert normalise_dem(dem + np.float32([[0, 1], [0, 0]]), everywhere(dem), how).any()


def test_normalise_dem_without_data_or_statistics():
    assert (normalise_dem(DEM, np.zeros((2, 2), bool)) == 0).all()
    assert (normalise_dem(DEM, VALID, "dataset", (5.0, 0.0)) == 0).all()
    with pytest.raises(InputError, match="statistics"):
        normalise_dem(DEM, VALID, "dataset")
    with pytest.raises(InputError, match="'relief', 'zscore', 'dataset'"):
        normalise_dem(DEM, VALID, "minmax")


def test_stack_channels():
    rgb, dem, terrain = np.zeros((2, 3, 3)), np.ones((2, 3)), np.full((2, 3, 2), 2.0)
    stacked = stack_channels(rgb, dem, terrain)
    assert stacked.shape == (2, 3, 6) and stacked.dtype == np.float32
    assert stacked[0, 0].tolist() == [0, 0, 0, 1, 2, 2]
    assert stack_channels(rgb).shape == (2, 3, 3)


@pytest.mark.parametrize(
    "options, expected",
    [
        # DEM 100, 150, 200 of the valid pixels
        ({}, [0.3, 0.4, 0.5, 0.5]),
        ({"terrain": ("slope",)}, [0.3, 0.4, 0.5, 0.5, 0.7]),
        ({"fusion": "rgb"}, [0.3, 0.4, 0.5]),
        ({"dem_normalisation": "dataset"}, [0.3, 0.4, 0.5, -1.0]),
    ],
)
def test_model_input_is_zero_in_all_channels_without_data(options, expected):
    rgb = np.tile(np.float32([0.3, 0.4, 0.5]), (1, 4, 1))
    dem = np.float32([[100, 150, 200, 9999]])
    terrain = np.full((1, 4, 1), 0.7, "float32")
    valid = np.array([[True, True, True, False]])
    x = model_input(rgb, dem, terrain, valid, TrainConfig(**options), (200.0, 50.0))
    assert x.dtype == np.float32
    np.testing.assert_allclose(x[0, 1], expected, rtol=1e-6)
    assert (x[0, 3] == 0).all()
