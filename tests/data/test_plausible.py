"""Warnings about values that cannot be what they are taken for."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.transform import from_origin

from landslide_tf.data.plausible import (
    dem_warnings,
    image_warnings,
    mask_warnings,
    share_warnings,
    slopes,
    steep_warnings,
    tile_warnings,
)
from landslide_tf.data.raster import Raster


def raster(values, valid=None, scale=None):
    values = np.atleast_3d(values)
    valid = np.ones(values.shape[:2], bool) if valid is None else valid
    return Raster(values, valid, scale=scale)


def relief(low, high, dtype="float32", px=32):
    """A DEM of an even ramp; with `px` of 32 it has 1024 distinct steps from low to high."""
    return np.linspace(low, high, px * px).reshape(px, px).astype(dtype)


# ---- elevation ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dem",
    [
        relief(1000, 1300),
        relief(-430, -400),  # the Dead Sea
        relief(-10_900, -9000, "int16"),  # a trench
        relief(-5834, 6988, "int16"),  # Mars, MMLSv2
        relief(0, 200, "uint8"),
        relief(0, 3, "float64"),  # a coast
        np.where(relief(0, 1) < 0.5, 0, relief(-40, 40)),  # half of it sea
    ],
)
def test_elevations_that_can_be_give_no_warning(dem):
    assert dem_warnings(raster(dem)) == []


@pytest.mark.parametrize("mark", [-32768, 32767, -9999, 0, 9999, -999, 65535, -3.4028235e38])
@pytest.mark.parametrize("low, high", [(1000, 1300), (300, 2500)])
def test_one_value_far_from_all_others_is_named_with_the_option(mark, low, high):
    dem = relief(low, high, "float64")
    dem[4:6, 4:6] = mark
    (line,) = dem_warnings(raster(dem))
    assert line.endswith(f"give --nodata={mark:.10g}")


def test_one_high_pixel_is_a_mast_and_no_mark():
    dem = relief(1000, 1030)
    dem[3, 3] = 1150
    assert dem_warnings(raster(dem)) == []
    dem[3, 4] = 1150
    assert dem_warnings(raster(dem))[0].endswith("give --nodata=1150")


def test_two_marks_are_both_named():
    dem = relief(1000, 1300)
    dem[0, 0], dem[5, 5] = -9999, -32768
    (line,) = dem_warnings(raster(dem))
    assert "holds the values -32768 and -9999" in line
    assert line.endswith("give --nodata=-32768,-9999")


def test_what_is_already_no_data_is_not_looked_at():
    dem = relief(1000, 1300)
    dem[4:6, 4:6] = -32768
    assert dem_warnings(raster(dem, valid=dem > -32768)) == []


def test_voids_blended_into_the_ground_are_told_as_values_the_earth_does_not_have():
    dem = relief(1000, 1300)
    dem[4, :16] = np.linspace(-32000, 900, 16)  # steps of 2193 m, a gap below the ramp's range x 8
    (line,) = [line for line in dem_warnings(raster(dem)) if "the Earth has" in line]
    assert "before resampling" in line


def test_centimetres_are_told_as_another_unit():
    (line,) = dem_warnings(raster(relief(100_000, 130_000)))
    assert line.startswith("the DEM goes from 100000 to 130000") and "unit" in line


def test_coarse_steps_of_another_unit_are_no_marks():
    (line,) = dem_warnings(raster(relief(1_000_000, 1_300_000)))  # mm, in steps of 293
    assert "unit" in line


@pytest.mark.parametrize("high, told", [(229, False), (230, True), (255, True)])
def test_a_picture_in_place_of_a_dem(high, told):
    lines = dem_warnings(raster(relief(20, high, "uint8")))
    assert ["hillshade" in line for line in lines] == [True] * told
    assert dem_warnings(raster(relief(20, high, "int16"))) == []


def on_ground(values, metres):
    place = from_origin(470000, 3445000, metres, metres)
    return dataclasses.replace(raster(values), crs=CRS.from_epsg(32647), transform=place)


@pytest.mark.parametrize("metres", [0.5, 2, 10, 30])
def test_ground_that_is_too_steep_has_another_unit(metres):
    # 0.35 m a metre along x and y: a slope of 26.3 degrees; in decimetres 78.6, in centimetres 88.8
    rise = 0.35 * metres * np.add.outer(np.arange(64.0), np.arange(64.0))
    for factor, degrees in ((1, 26.3), (10, 78.6), (100, 88.8)):
        rises = slopes(on_ground(factor * rise, metres))
        assert np.degrees(np.arctan(np.median(rises))) == pytest.approx(degrees, abs=0.1)
        assert len(steep_warnings(rises)) == (factor > 1)
        image = raster(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype("uint8"))
        lines = tile_warnings(image, on_ground(factor * rise, metres), None)
        assert any("half of the DEM" in line for line in lines) == (factor == 100)


def test_trees_and_no_data_are_no_steep_ground(rng):
    trees = on_ground(rng.choice([0.0, 15.0], (200, 200)), 0.5)  # 15 m high, at every second pixel
    assert steep_warnings(slopes(trees)) == []
    mark = np.full((64, 64), -9999.0)
    mark[::2] = 5
    dem = dataclasses.replace(on_ground(mark, 10), valid=mark > 0)
    assert len(slopes(dem)) == 0 and steep_warnings(slopes(dem)) == []
    assert len(slopes(raster(mark))) == 0  # of no known size
    # the rim of a survey: 20 x 20 pixels with data, 10 m a pixel, have 19 x 19 slopes of 87 degrees
    steep = 200.0 * np.add.outer(np.arange(64), np.zeros(64))
    valid = np.zeros((64, 64), bool)
    valid[:20, :20] = True
    assert len(slopes(dataclasses.replace(on_ground(steep, 10), valid=valid))) == 361
    assert steep_warnings(slopes(dataclasses.replace(on_ground(steep, 10), valid=valid))) == []
    assert len(steep_warnings(slopes(on_ground(steep, 10)))) == 1
    # no data that is infinite gives no warning of NumPy's
    nowhere = np.zeros((64, 64), bool)
    infinite = dataclasses.replace(on_ground(np.full((64, 64), np.inf), 10), valid=nowhere)
    assert slopes(infinite).size == 0


@pytest.mark.parametrize("landslide, told", [(0, False), (60, False), (61, True), (100, True)])
def test_a_mask_that_is_landslide_mostly(landslide, told):
    lines = share_warnings(landslide, 100)
    assert [f"cover {landslide}%" in line for line in lines] == [True] * told
    assert share_warnings(0, 0) == []


def test_flat_dem():
    (line,) = dem_warnings(raster(np.full((8, 8), 12.0)))
    assert line.startswith("the DEM is 12 everywhere")


@given(
    low=st.integers(-10_000, 8000),
    height=st.integers(1, 900),
    mark=st.sampled_from([-32768, 32767, -32767]),
    corner=st.integers(0, 30),
)
def test_an_srtm_void_is_found_on_any_ground(low, height, mark, corner):
    dem = relief(low, low + height, "int16")
    assert dem_warnings(raster(dem)) == []
    dem[corner : corner + 2, corner] = mark
    (line,) = dem_warnings(raster(dem))
    assert line.endswith(f"give --nodata={mark}")


# ---- image -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "high, dtype, scale, dark",
    [
        (255, "uint8", None, False),
        (60, "uint8", None, False),  # a dark picture, 24 % of 255
        (11, "uint8", None, True),  # 4 %
        (3300, "uint16", None, True),  # 5 % of 65535
        (10_000, "uint16", None, True),  # 15 %
        (40_000, "uint16", None, False),
        (3300, "uint16", 3000, False),
        (0.3, "float32", None, False),
        (0.02, "float32", None, True),
    ],
)
def test_an_image_far_below_full_scale_is_named(high, dtype, scale, dark):
    values = np.linspace(0, high, 32 * 32 * 3).reshape(32, 32, 3).astype(dtype)
    lines = image_warnings(raster(values, scale=scale))
    assert [("--rgb-scale" in line) for line in lines] == [True] * dark


def test_an_image_of_one_colour():
    (line,) = image_warnings(raster(np.full((8, 8, 3), 128, "uint8")))
    assert "one colour" in line


# ---- masks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", [1, 255])
def test_masks_of_one_class(one):
    mask = np.zeros((8, 8), "uint8")
    assert "no landslide" in mask_warnings(raster(mask))[0]
    assert "everywhere" in mask_warnings(raster(mask + np.uint8(one)))[0]
    assert "says nothing" in mask_warnings(raster(mask, valid=mask > 0))[0]
    mask[2, 2] = one
    assert mask_warnings(raster(mask)) == []
    # background that is no data leaves one class
    assert "everywhere" in mask_warnings(raster(mask, valid=mask > 0))[0]


def test_a_good_tile_has_no_warning_and_an_empty_one_does_not_fail():
    image = raster(np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype("uint8"))
    assert tile_warnings(image, None, None) == []
    assert tile_warnings(image, raster(relief(0, 9, px=8)), raster(np.eye(8))) == []
    nothing = np.zeros((8, 8), bool)
    assert (
        tile_warnings(raster(image.values, nothing), raster(relief(0, 9, px=8), nothing), None)
        == []
    )
