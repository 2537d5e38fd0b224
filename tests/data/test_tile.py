"""One tile: its files are checked against each other before anything is computed from them."""

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from rasterio.transform import from_origin

from conftest import write_raster
from landslide_tf.checks import InputError
from landslide_tf.data.index import Sample
from landslide_tf.data.raster import read_raster
from landslide_tf.data.tile import read_tile
from landslide_tf.inputs import InputSpec

PX = 32
CONFIG = InputSpec(tile_px=PX)
GRID = from_origin(500_000, 3_000_000, 10, 10)


@pytest.fixture
def write(tmp_path, rng):
    """Write a tile from arrays, plain ones where none are given; returns its `Sample`."""

    def write_sample(image=None, dem=None, mask=None, suffix=".tif", **places):
        arrays = {
            "image": rng.integers(1, 256, (PX, PX, 3)).astype("uint8") if image is None else image,
            "dem": dem,
            "mask": np.ones((PX, PX), "uint8") if mask is None else mask,
        }
        paths = {
            kind: write_raster(
                tmp_path / kind / f"a{suffix}", array, **places.get(f"place_{kind}", {})
            )
            for kind, array in arrays.items()
            if array is not None
        }
        return Sample("a", paths["image"], paths.get("dem"), paths["mask"])

    return write_sample


def check_refused(sample, *parts, config=CONFIG):
    with pytest.raises(InputError) as error:
        read_tile(sample, config)
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message
    return message


def slope_dem(dtype="float32", size=(PX, PX)):
    return np.add.outer(np.arange(size[0]), 100 + 2 * np.arange(size[1])).astype(dtype)


# ---- masks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values, labels",
    [((0, 1), (0, 1)), ((0, 255), (0, 1)), ((0, 0), (0, 0)), ((1, 1), (1, 1)), ((255, 0), (1, 0))],
)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_mask_values(values, labels, dtype, write):
    mask = np.zeros((PX, PX), dtype)
    mask[:10], mask[10:] = values
    tile, _ = read_tile(write(mask=mask), CONFIG)
    assert tile.mask.dtype == np.uint8
    assert (tile.mask[:10] == labels[0]).all() and (tile.mask[10:] == labels[1]).all()
    assert tile.valid.all()


@pytest.mark.parametrize(
    "values", [(0, 128, 255), (0, 254), (1, 255), (0, 1, 255), (0, 1, 2), (0, 65535), (-1, 0)]
)
def test_mask_with_other_values(values, write):
    mask = np.zeros((PX, PX), "int32")
    mask[0, : len(values)] = values
    mask[1:] = values[0]
    mask[0, len(values) :] = values[0]
    sample = write(mask=mask)
    message = check_refused(sample, sample.mask, "0 and 1, or 0 and 255")
    assert ", ".join(str(value) for value in values) in message


def rows(first, other, dtype="uint8", shape=(PX, PX)):
    """A mask whose first five rows are of one number, the rest of another."""
    mask = np.full(shape, other, dtype)
    mask[:5] = first
    return mask


@pytest.mark.parametrize(
    "mask, options, words",
    [
        (rows(2, 1), {}, ['gdal_calc --calc="A==2"']),
        (rows(38, 0), {}, ['gdal_calc --calc="A==38"']),
        (rows(254, 0), {}, ['gdal_calc --calc="A==254"']),
        (rows(1, 0), {"place_mask": {"nodata": 0}}, ["0 is no data", "gdal_edit -unsetnodata"]),
        (np.linspace(0, 1, PX * PX, dtype="float32").reshape(PX, PX), {}, ["mask values must be"]),
        (rows(255, 0, shape=(PX, PX, 3)), {"suffix": ".jpg"}, ["without compression"]),
        (rows((255, 0, 255), 0, shape=(PX, PX, 3)), {"suffix": ".png"}, ["bands differ"]),
    ],
)
def test_a_mask_is_refused_with_its_repair(mask, options, words, write):
    sample = write(mask=mask, **options)
    check_refused(sample, sample.mask, *words)


def test_mask_is_checked_after_its_nodata_tag(write):
    nan = rows(np.nan, 1, "float32")
    tile, _ = read_tile(write(mask=nan), CONFIG)
    assert not tile.valid[:5].any() and tile.valid[5:].all()
    mask = np.zeros((PX, PX), "uint8")
    mask[:8], mask[8:12] = 255, 1
    check_refused(write(mask=mask), "mask values must be")
    tile, _ = read_tile(write(mask=mask, place_mask={"nodata": 255}), CONFIG)
    assert not tile.valid[:8].any() and tile.valid[8:].all()
    assert (tile.mask[8:12] == 1).all() and tile.mask.sum() == 4 * PX
    # the mask is no input: the model sees the image there
    assert tile.input_valid.all()


def test_mask_stored_as_rgb(write):
    mask = np.zeros((PX, PX, 3), "uint8")
    mask[:5] = 255
    tile, _ = read_tile(write(mask=mask, suffix=".png"), CONFIG)
    assert tile.mask.sum() == 5 * PX


# ---- what belongs together ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, size", [("mask", (PX, 2 * PX)), ("dem", (PX, PX + 8)), ("mask", (PX - 2, PX + 2))]
)
def test_another_aspect(kind, size, write):
    sample = write(**{kind: np.ones(size, "uint8")})
    check_refused(sample, getattr(sample, kind), sample.image, f"{size[0]} x {size[1]}", "32 x 32")


def test_sizes_may_differ_within_the_rounding_of_a_pixel(write, rng):
    image = rng.integers(1, 256, (101, 150, 3)).astype("uint8")
    # 101 / 3 and 150 / 3, rounded up and down
    for size in ((34, 50), (33, 50), (202, 300)):
        sample = write(image=image, dem=slope_dem(size=size), mask=0 * image[..., 0])
        tile, _ = read_tile(sample, CONFIG)
        assert tile.dem.shape == (PX, PX) and tile.rgb.shape == (PX, PX, 3)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64"])
def test_dem_of_another_size(dtype, write):
    # a plane stays a plane: 16 x 16 pixels of 2 units, enlarged
    dem = 100 + 4 * np.arange(16)[None] + np.zeros((16, 1))
    tile, _ = read_tile(write(dem=dem.astype(dtype)), CONFIG)
    assert tile.dem.dtype == np.float32
    # new pixel centres lie at (j + 0.5) / 2 - 0.5 of the old; beyond the outermost they stop
    expected = 100 + 4 * np.clip((np.arange(PX) + 0.5) / 2 - 0.5, 0, 15)
    np.testing.assert_allclose(tile.dem, np.tile(expected, (PX, 1)), rtol=1e-6)


def test_dem_stored_as_grey_rgb(write):
    dem = np.repeat(slope_dem("uint8")[..., None], 3, axis=-1)
    tile, _ = read_tile(write(dem=dem, suffix=".png"), CONFIG)
    np.testing.assert_array_equal(tile.dem, dem[..., 0])
    dem[3, 3, 2] += 1
    sample = write(dem=dem, suffix=".png")
    check_refused(sample, sample.dem, "one band of elevation")


def placed(crs="EPSG:32647", transform=GRID):
    return {"crs": crs, "transform": transform}


def test_dem_of_another_crs(write):
    sample = write(dem=slope_dem(), place_image=placed(), place_dem=placed("EPSG:32648"))
    check_refused(sample, sample.dem, sample.image, "EPSG:32648", "EPSG:32647", "gdalwarp -t_srs")


@pytest.mark.parametrize(
    "place, side",
    [
        (placed(), PX),
        (placed(CRS.from_string("EPSG:32647+5773")), PX),
        (placed(CRS.from_string("+proj=utm +zone=47 +ellps=WGS84 +units=m")), PX),
        (placed(transform=from_origin(500_000, 3_000_000, 40, 40)), 8),  # coarser
        ({}, PX),  # a plain file
    ],
)
def test_dems_of_the_same_ground_fit(place, side, write):
    sample = write(dem=slope_dem(size=(side, side)), place_image=placed(), place_dem=place)
    assert read_tile(sample, CONFIG)[0].valid.all()


def test_a_dem_a_turn_around_the_globe(write):
    def here(west):
        return placed("EPSG:4326", from_origin(west, 10, 0.01, 0.01))

    for west, fits in ((-180.1, True), (179.9, True), (-180.2, False)):
        sample = write(dem=slope_dem(), place_image=here(179.9), place_dem=here(west))
        if fits:
            assert read_tile(sample, CONFIG)[0].valid.all()
        else:
            check_refused(sample, sample.dem, "resample")


def test_feet_of_a_dem_become_metres(write):
    feet = placed(CRS.from_string("EPSG:26911+6360"))
    dem = slope_dem()
    sample = write(dem=dem, place_image=placed("EPSG:26911"), place_dem=feet)
    tile, _ = read_tile(sample, CONFIG)
    np.testing.assert_allclose(tile.dem, dem * 1200 / 3937, rtol=1e-6)


@pytest.mark.parametrize("unit", ["degree", "metre"])
def test_local_coordinates(unit, write):
    factor = {"degree": 0.0174532925199433, "metre": 1}[unit]
    crs = CRS.from_wkt(f'LOCAL_CS["here",UNIT["{unit}",{factor}],AXIS["X",EAST],AXIS["Y",NORTH]]')
    sample = write(dem=slope_dem(), place_image=placed(crs), place_dem=placed(crs))
    assert read_tile(sample, CONFIG)[0].valid.all()
    metres = read_raster(sample.image).resolution_m()
    assert metres == ((10, 10) if unit == "metre" else None)


@pytest.mark.parametrize("kind", ["dem", "mask"])
@pytest.mark.parametrize("shift, fits", [(0, True), (4, True), (6, False), (-320, False)])
def test_a_file_on_a_shifted_grid(shift, fits, kind, write):
    moved = placed(transform=from_origin(500_000, 3_000_000 + shift, 10, 10))  # half a pixel is 5
    sample = write(dem=slope_dem(), place_image=placed(), **{f"place_{kind}": moved})
    if fits:
        assert read_tile(sample, CONFIG)[0].valid.all()
    else:
        check_refused(sample, getattr(sample, kind), sample.image, "resample")


def test_dem_whose_rows_run_the_other_way(write):
    # the same bounds, but the first row is the southernmost
    upwards = Affine(10, 0, 500_000, 0, 10, 3_000_000 - 10 * PX)
    sample = write(dem=slope_dem(), place_image=placed(), place_dem=placed(transform=upwards))
    check_refused(sample, sample.dem, sample.image)


def test_place_is_the_centre_and_the_side(write):
    # 32 pixels of 10 m from the corner
    assert read_tile(write(place_image=placed()), CONFIG)[1] == (500_160, 2_999_840, 320)
    assert read_tile(write(), CONFIG)[1] is None


# ---- no data -----------------------------------------------------------------------------------


def holes(rng):
    """Image without data in rows 0-7, DEM in rows 8-11, mask in columns 0-3."""
    image = rng.integers(1, 256, (PX, PX, 3)).astype("uint8")
    image[:8] = 0
    dem, mask = slope_dem(), np.ones((PX, PX), "uint8")
    dem[8:12], mask[:, :4] = np.nan, 9
    return {
        "image": image,
        "dem": dem,
        "mask": mask,
        "place_image": {"nodata": 0},
        "place_mask": {"nodata": 9},
    }


@pytest.mark.parametrize("fusion", ["early", "bottleneck", "rgb"])
def test_the_valid_mask_joins_all_files_in_every_fusion(fusion, write, rng):
    tile, _ = read_tile(write(**holes(rng)), InputSpec(tile_px=PX, fusion=fusion))
    rows, columns = np.mgrid[:PX, :PX]
    np.testing.assert_array_equal(tile.input_valid, rows >= 12)
    np.testing.assert_array_equal(tile.valid, (rows >= 12) & (columns >= 4))
    assert np.isfinite(tile.rgb).all() and np.isfinite(tile.dem).all()


def test_no_data_does_not_darken_what_lies_beside_it(write):
    image = np.full((3 * PX, 3 * PX, 3), 200, "uint8")
    image[: PX + 1] = 0
    mask = np.zeros((3 * PX, 3 * PX), "uint8")
    tile, _ = read_tile(write(image=image, mask=mask), InputSpec(tile_px=PX, nodata=0))
    np.testing.assert_allclose(tile.rgb[tile.valid], 200 / 255, rtol=1e-6)
    # 33 of 96 rows: 11 of 32
    assert not tile.valid[:11].any() and tile.valid[11:].all()


@pytest.mark.parametrize(
    "dtype, mark, tag",
    [
        ("float32", np.nan, {}),
        ("float64", -1.7976931348623157e308, {"nodata": -1.7976931348623157e308}),
        ("float32", -3.4028234663852886e38, {"nodata": -3.4028234663852886e38}),
    ],
)
def test_no_data_of_a_dem(dtype, mark, tag, write):
    dem = slope_dem(dtype)
    dem[:4] = mark
    tile, _ = read_tile(write(dem=dem, place_dem=tag), CONFIG)
    assert not tile.valid[:4].any() and tile.valid[4:].all()
    np.testing.assert_allclose(tile.dem[4:], dem[4:])


def test_float_image_with_a_nodata_tag(write, rng):
    image = rng.random((PX, PX, 3)).astype("float32")
    image[:4] = -9999
    tile, _ = read_tile(write(image=image, place_image={"nodata": -9999}), CONFIG)
    assert not tile.valid[:4].any() and tile.valid[4:].all()
    np.testing.assert_allclose(tile.rgb[4:], image[4:])
    # the same, told by option
    tile, _ = read_tile(write(image=image), InputSpec(tile_px=PX, nodata=-9999))
    assert not tile.valid[:4].any() and tile.valid[4:].all()


@pytest.mark.parametrize("fusion", ["early", "rgb"])
@pytest.mark.parametrize(
    "lost",
    [  # rows of each file that are no data; in the last there is none that all have
        {"image": np.s_[:]},
        {"dem": np.s_[:]},
        {"mask": np.s_[:]},
        {"image": np.s_[:16], "dem": np.s_[16:]},
    ],
)
def test_tile_without_any_data(lost, fusion, write):
    arrays = {"image": np.full((PX, PX, 3), 50, "uint8"), "dem": slope_dem()}
    arrays["mask"] = np.zeros((PX, PX), "uint8")
    for kind, where in lost.items():
        arrays[kind][where] = 9
    sample = write(**arrays, **{f"place_{kind}": {"nodata": 9} for kind in lost})
    config = InputSpec(tile_px=PX, fusion=fusion)
    check_refused(sample, sample.image, "no data throughout", "--skip-bad", config=config)


# ---- image and terrain -------------------------------------------------------------------------


@pytest.mark.parametrize("bands, suffix", [(1, ".tif"), (4, ".tif"), (5, ".tif"), (1, ".png")])
def test_image_of_other_bands(bands, suffix, write):
    sample = write(image=np.ones((PX, PX, bands), "uint16"), suffix=suffix)
    check_refused(sample, sample.image, f"{bands} bands", "expected 3")


def test_float_image_beyond_one(write, rng):
    image = (10000 * rng.random((PX, PX, 3))).astype("float32")
    sample = write(image=image)
    check_refused(sample, sample.image, "--rgb-scale")
    tile, _ = read_tile(sample, InputSpec(tile_px=PX, rgb_scale=10000))
    np.testing.assert_allclose(tile.rgb, image / 10000, rtol=1e-5)


def test_terrain_needs_a_resolution(write):
    config = InputSpec(tile_px=PX, terrain=("slope",))
    sample = write(dem=slope_dem())
    check_refused(sample, sample.image, "--resolution-m", config=config)


@pytest.mark.parametrize(
    "dem_place, option",
    [
        (None, 20.0),  # 20 m per image pixel of 64: the DEM of 32 has 40 m
        (("EPSG:32647", from_origin(0, 1280, 40, 40)), None),
        ("image", None),
    ],
)
def test_terrain_comes_from_the_dem_at_its_own_resolution(dem_place, option, write, rng):
    # 40 m up in each pixel of 40 m: 45 degrees, whatever size it is brought to
    dem = np.tile(40.0 * np.arange(32), (32, 1)).astype("float32")
    image = rng.integers(1, 256, (64, 64, 3)).astype("uint8")
    places = {}
    if dem_place == "image":
        places["place_image"] = placed(transform=from_origin(0, 1280, 20, 20))
    elif dem_place:
        places["place_dem"] = placed(*dem_place)
    config = InputSpec(tile_px=16, terrain=("slope",), resolution_m=option)
    tile, _ = read_tile(write(image=image, dem=dem, **places), config)
    assert tile.terrain.shape == (16, 16, 1)
    np.testing.assert_allclose(tile.terrain, 0.5, atol=1e-5)


def test_negative_tile_is_all_background(write):
    sample = write()
    tile, _ = read_tile(Sample("a", sample.image, None, None, True), CONFIG)
    assert tile.mask.shape == (PX, PX) and not tile.mask.any() and tile.valid.all()
    assert tile.dem is None and tile.terrain is None


def test_mask_is_resized_by_nearest_neighbour(write):
    mask = np.zeros((2 * PX, 2 * PX), "uint8")
    mask[1::2, 1::2] = 255
    image = np.ones((2 * PX, 2 * PX, 3), "uint8")
    # new centres (i + 0.5) * 2 = 2 i + 1: just the pixels set
    assert read_tile(write(image=image, mask=mask), CONFIG)[0].mask.all()


def test_sixteen_bit_image(write):
    image = np.full((PX, PX, 3), (13107, 26214, 65535), "uint16")
    tile, _ = read_tile(write(image=image), CONFIG)
    np.testing.assert_allclose(tile.rgb[3, 3], [0.2, 0.4, 1.0], rtol=1e-6)
