"""`InputSpec` and `Preprocessor`: scaling, normalisation and stacking, worked out by hand."""

import dataclasses
import math

import keras
import numpy as np
import pytest

from landslide_tf.checks import InputError
from landslide_tf.inputs import InputSpec, Preprocessor
from landslide_tf.inputs.preprocess import Sized


def everywhere(dem):
    return np.ones(dem.shape, bool)


def normalise_dem(dem, valid, how="relief", statistics=None):
    spec = InputSpec(dem_normalisation=how, dem_statistics=statistics)
    found = Preprocessor(spec).normalise_dem(dem[None, ..., None], valid[None, ..., None])
    return np.asarray(found)[0, ..., 0]


@pytest.mark.parametrize(
    "dtype, value, scaled", [("uint8", 51, 0.2), ("uint16", 13107, 0.2), ("float32", 0.2, 0.2)]
)
def test_brightness_by_type(dtype, value, scaled):
    result = np.asarray(Preprocessor(InputSpec()).scale(np.full((1, 1, 1, 3), value, dtype)))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, scaled, rtol=1e-6)


def test_brightness_by_a_given_value():
    def scale(values, brightest):
        return np.asarray(Preprocessor(InputSpec(rgb_scale=brightest)).scale(values))

    # Sentinel-2 reflectance x 10000
    np.testing.assert_allclose(scale(np.array([2500], "uint16"), 10000), 0.25)
    np.testing.assert_allclose(scale(np.array([127.5], "float32"), 255), 0.5)
    # a cloud is white, and below nothing is nothing
    assert scale(np.array([-5, 2500, 20000], "int16"), 10000).tolist() == [0, 0.25, 1]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((1, 8, 8, 3), "int64"), "int64 image does not say.*uint8"),
        (np.zeros((1, 8, 8, 3), "uint32"), "uint32 image does not say.*uint8"),
        (np.zeros((8, 8, 3), "uint8"), r"`image` must be \(B, h, w, 3\). Received \(8, 8, 3\)"),
        (np.zeros((1, 8, 8, 4), "uint8"), r"`image` must be \(B, h, w, 3\)"),
        (np.zeros((1, 8, 8, 3), "uint8"), "needs `dem`"),
    ],
)
def test_what_is_no_input_is_refused(image, message):
    with pytest.raises(InputError, match=message):
        Preprocessor(InputSpec(tile_px=16))(image)


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
def test_the_input_is_zero_in_all_channels_without_data(options, expected):
    rgb = np.tile(np.float32([0.3, 0.4, 0.5]), (1, 4, 1))
    dem = np.float32([[100, 150, 200, 9999]])
    terrain = np.full((1, 4, 1), 0.7, "float32")
    valid = np.array([[True, True, True, False]])
    spec = InputSpec(**options, dem_statistics=(200.0, 50.0))
    mask = valid[None, ..., None]
    x, found = Preprocessor(spec).stack(
        Sized(rgb[None], dem[None, ..., None], terrain[None], mask, mask)
    )
    x = np.asarray(x)[0]
    assert x.dtype == np.float32
    np.testing.assert_array_equal(found, mask)
    np.testing.assert_allclose(x[0, 1], expected, rtol=1e-6)
    assert (x[0, 3] == 0).all()


def raw_tiles(rng):
    image = rng.integers(0, 255, (3, 40, 24, 3)).astype("uint8")
    dem = 1000 + 50 * rng.random((3, 20, 12)).astype("float32")
    dem[0, :5] = np.nan
    return image, dem, rng.random((3, 40, 24)) > 0.1


def test_a_call_is_resizing_then_stacking_by_hand(rng):
    """A 32 px tile needs no resizing: x is the raw values scaled, relief, and 0 without data."""
    image = rng.integers(0, 255, (1, 32, 32, 3)).astype("uint8")
    dem = 1000 + 50 * rng.random((1, 32, 32)).astype("float32")
    dem[0, :4] = np.nan
    x, valid = map(np.asarray, Preprocessor(InputSpec(tile_px=32))(image, dem))
    keep = np.isfinite(dem)
    np.testing.assert_array_equal(valid[..., 0], keep)
    np.testing.assert_allclose(x[keep][:, :3], image[keep] / 255, rtol=1e-6)
    low, high = np.nanmin(dem), np.nanmax(dem)
    np.testing.assert_allclose(x[keep][:, 3], (dem[keep] - low) / (high - low), atol=1e-5)
    assert not x[~keep].any()


def test_the_same_in_a_graph_and_on_single_tiles(rng):
    import tensorflow as tf

    image, dem, known = raw_tiles(rng)
    preprocess = Preprocessor(InputSpec(tile_px=16, terrain=("slope",)))
    options = {"image_valid": known, "resolution_m": (5.0, 5.0)}
    x, valid = map(np.asarray, preprocess(image, dem, **options))
    assert x.shape == (3, 16, 16, 5) and valid.dtype == bool and 0 < valid.mean() < 1

    @tf.function
    def graph(image, dem, known):
        return preprocess(image, dem, image_valid=known, resolution_m=(5.0, 5.0))

    for got, wanted in zip(graph(image, dem, known), (x, valid), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-6)
    for i in range(3):
        one = slice(i, i + 1)
        options["image_valid"] = known[one]
        np.testing.assert_allclose(
            preprocess(image[one], dem[one], **options)[0], x[one], atol=1e-6
        )


def test_nan_of_the_image_is_no_data_in_all_channels():
    image = np.full((1, 16, 16, 3), 0.5)
    image[0, 3, 4, 1] = np.nan
    x, valid = map(np.asarray, Preprocessor(InputSpec(tile_px=16, fusion="rgb"))(image))
    assert (~valid).sum() == 1 and not valid[0, 3, 4, 0]
    assert np.isfinite(x).all() and not x[0, 3, 4].any()


def test_a_huge_mark_of_no_data_does_not_overflow():
    dem = np.full((1, 16, 16), 100.0)
    dem[0, :, :8] = -1.7e308  # a float64 that float32 cannot hold
    valid = dem > 0
    image = np.zeros((1, 16, 16, 3), "uint8")
    x, _ = Preprocessor(InputSpec(tile_px=16))(image, dem, dem_valid=valid)
    assert np.isfinite(np.asarray(x)).all()


def test_restore_is_the_inverse_on_the_ground():
    spec = InputSpec(tile_px=16)
    valid = np.ones((1, 32, 48, 1), bool)
    dem_valid = np.ones((1, 16, 24, 1), bool)
    dem_valid[0, 0, 0] = False
    full = Preprocessor(spec).restore(
        np.full((1, 16, 16, 1), 0.25, "float32"), (32, 48), valid, dem_valid
    )
    full = np.asarray(full)[0, ..., 0]
    # the DEM's pixel covers 2 x 2 of the image's
    assert np.isnan(full[:2, :2]).all() and np.isnan(full).sum() == 4
    np.testing.assert_allclose(full[2:], 0.25)


def test_terrain_needs_the_pixels_size():
    preprocess = Preprocessor(InputSpec(tile_px=16, terrain=("slope",)))
    with pytest.raises(InputError, match="--resolution-m"):
        preprocess(np.zeros((1, 16, 16, 3)), np.zeros((1, 16, 16)))


@pytest.mark.parametrize(
    "options, words",
    [
        ({"tile_px": 100}, "divisible by 16"),
        ({"fusion": "late"}, "'early', 'bottleneck', 'rgb'"),
        ({"terrain": ("aspect",)}, "'slope', 'hillshade'"),
        ({"terrain": ("slope", "slope")}, "twice"),
        ({"terrain": ("slope",), "fusion": "rgb"}, "needs the DEM"),
        ({"bands": (1, 2)}, "three numbers"),
        ({"bands": (0, 1, 2)}, "at least 1"),
        ({"rgb_scale": 0}, "above 0"),
        ({"nodata": float("nan")}, "finite"),
        ({"dem_normalisation": "minmax"}, "'relief', 'zscore', 'dataset'"),
    ],
)
def test_illegal_values_name_the_legal_ones(options, words):
    with pytest.raises(InputError, match=words):
        InputSpec(**options)


def test_the_file_holds_all_of_it(tmp_path):
    spec = InputSpec(
        tile_px=64, bands=(4, 3, 2), rgb_scale=3000.0, nodata=-1.0, terrain=("slope", "hillshade"),
        resolution_m=10.0, dem_normalisation="dataset", dem_statistics=(812.5, 301.25),
    )  # fmt: skip
    spec.save(tmp_path)
    assert InputSpec.load(tmp_path) == spec
    (tmp_path / "input.json").write_text('{"tile_px": ')
    with pytest.raises(InputError, match="input.json: is damaged"):
        InputSpec.load(tmp_path)
    with pytest.raises(InputError, match="is missing"):
        InputSpec.load(tmp_path / "elsewhere")


def test_channel_names():
    assert InputSpec(fusion="rgb").channel_names == ("red", "green", "blue")
    spec = InputSpec(terrain=("hillshade",))
    assert spec.channel_names == ("red", "green", "blue", "dem", "hillshade")
    assert spec.channels == 5 and spec.shape == (128, 128, 5)
    assert dataclasses.replace(spec, fusion="bottleneck").uses_dem
    assert keras.Input(spec.shape).shape == (None, 128, 128, 5)
