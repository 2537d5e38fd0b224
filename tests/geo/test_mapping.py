import dataclasses
import os

import geopandas
import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
import rasterio.features
import shapely
from made_maps import FLOAT, make_map, read, read_pixels
from rasterio.transform import Affine, from_origin
from scene_runs import WINDOW, make_run

from conftest import write_raster
from landslide_tf.checks import InputError
from landslide_tf.geo.job import MapOptions
from landslide_tf.geo.mapping import scene_warnings
from landslide_tf.geo.source import open_scene
from landslide_tf.inputs import InputSpec
from landslide_tf.runs.run import load_run


def test_a_constant_model_gives_a_constant_map(constant_run, make_scene, tmp_path):
    report = make_map(constant_run, make_scene((77, 133)), tmp_path / "map")
    p = read(tmp_path / "map/probability.tif")
    np.testing.assert_allclose(p, 1 / (1 + np.exp(-1)), atol=1e-6)
    # half overlap of 32: 77 / 16 and 133 / 16 need 4 and 8 windows
    assert report["windows"] == {"all": 32, "with_data": 32, "computed_now": 32}
    assert report["landslides"] == 1
    # on the ellipsoid, where UTM is 0.08 % off here
    place = shapely.box(470000, 3445000 - 77 * 2, 470000 + 133 * 2, 3445000)
    to_degrees = pyproj.Transformer.from_crs(32647, 4326, always_xy=True).transform
    area, _ = pyproj.Geod(ellps="WGS84").geometry_area_perimeter(
        shapely.transform(shapely.segmentize(place, 10), to_degrees, interleaved=False)
    )
    assert report["area_km2"] == pytest.approx(abs(area) / 1e6, rel=1e-4)
    assert report["mapped_km2"] == pytest.approx(abs(area) / 1e6, rel=1e-4)
    make_map(constant_run, make_scene((77, 133)), tmp_path / "percent", MapOptions())
    assert (read(tmp_path / "percent/probability.tif") == 73).all()


@pytest.mark.parametrize("overlap", [0, 8, 31])
def test_a_model_of_pixels_is_mapped_pixel_by_pixel(red_run, make_scene, tmp_path, overlap):
    scene = make_scene((50, 61))
    make_map(red_run, scene, tmp_path / "map", dataclasses.replace(FLOAT, overlap=overlap))
    red = read(scene[0]) / 255.0
    expected = 1 / (1 + np.exp(4 - 8 * red))
    np.testing.assert_allclose(read(tmp_path / "map/probability.tif"), expected, atol=1e-5)
    np.testing.assert_array_equal(read(tmp_path / "map/landslides.tif"), expected >= 0.5)


def test_a_scene_of_one_window_is_mapped_as_predicted(relief_run, make_scene, tmp_path):
    image, dem = make_scene((32, 32))
    make_map(relief_run, (image, dem), tmp_path / "map")
    pixels = read_pixels(image)
    expected = load_run(relief_run).predict(pixels, read(dem))
    np.testing.assert_array_equal(read(tmp_path / "map/probability.tif"), expected)


def test_a_scene_smaller_than_a_window_is_filled_up_with_no_data(relief_run, make_scene, tmp_path):
    image, dem = make_scene((1, 20))
    make_map(relief_run, (image, dem), tmp_path / "map")
    pixels = read_pixels(image).astype("float64") / 255
    whole, heights = np.full((32, 32, 3), np.nan), np.full((32, 32), np.nan)
    whole[:1, :20], heights[:1, :20] = pixels, read(dem)
    expected = load_run(relief_run).predict(whole, heights)[:1, :20]
    np.testing.assert_allclose(read(tmp_path / "map/probability.tif"), expected, atol=1e-6)


def test_seams_are_blended(relief_run, make_scene, tmp_path):
    # a plane: without blending, the relief of each window starts anew at its left edge
    scene = make_scene((32, 128), image=np.full((32, 128, 3), 100, "uint8"))
    steps = []
    for overlap in (0, 16):
        out = tmp_path / str(overlap)
        make_map(relief_run, scene, out, dataclasses.replace(FLOAT, overlap=overlap))
        steps.append(np.abs(np.diff(read(out / "probability.tif"), axis=1)).max())
    assert steps[0] > 0.3 > 10 * steps[1] / 2


def test_no_data_of_image_and_dem(red_run, make_scene, tmp_path):
    image = np.full((64, 96, 3), 200, "uint8")
    image[:10] = 0  # tagged
    image[20, 20, 0] = 0  # one band alone is a colour
    dem = np.full((64, 96), 5.0, "float32")
    dem[:, 90:] = np.nan
    scene = make_scene(image=image, dem=dem, nodata=0)
    make_map(red_run, scene, tmp_path / "map", MapOptions())
    missing = np.zeros((64, 96), bool)
    missing[:10], missing[:, 90:] = True, True
    for name in ("probability", "landslides"):
        np.testing.assert_array_equal(read(tmp_path / f"map/{name}.tif") == 255, missing)


def test_windows_without_data_are_not_computed(red_run, make_scene, tmp_path):
    image = np.zeros((32, 32 * 40, 3), "uint8")
    image[:, -10:] = 99
    report = make_map(red_run, make_scene((32, 1280), image=image, nodata=0), tmp_path / "map")
    # of 79 windows every 16 pixels, the last alone reaches the last 10 columns
    assert report["windows"] == {"all": 79, "with_data": 1, "computed_now": 1}


def test_slope_in_web_mercator_is_that_on_the_ground(red_run, make_scene, tmp_path):
    # at 60 degrees north a pixel of 4 m on the map is 2.005 m along x and 2.002 m along y there;
    # the DEM rises by 2 m a pixel along x, by 1 m along y
    image = np.zeros((64, 64, 3), "uint8")
    image[20:40, 20:40] = 255
    place = {"crs": "EPSG:3857", "transform": from_origin(1e6, 8399737.89, 4, 4)}
    make_map(red_run, make_scene((64, 64), image=image, place=place), tmp_path / "map", FLOAT)
    frame = pyogrio.read_dataframe(tmp_path / "map/landslides.gpkg")
    expected = np.degrees(np.arctan(np.hypot(2 / 2.005, 1 / 2.002)))
    assert frame.slope_deg.tolist() == pytest.approx([expected], abs=0.06)


def test_georeference_of_a_rotated_scene(red_run, make_scene, tmp_path):
    t = Affine.translation(470000, 3445000) @ Affine.rotation(30) @ Affine.scale(2, -2)
    image = np.zeros((64, 80, 3), "uint8")
    image[10:20, 30:50] = 255
    place = {"crs": "EPSG:32647", "transform": t}
    make_map(red_run, make_scene((64, 80), image=image, place=place), tmp_path / "map")
    with rasterio.open(tmp_path / "map/probability.tif") as file:
        assert file.transform.almost_equals(t)
        assert file.crs.to_epsg() == 32647
        assert file.shape == (64, 80)
    frame = geopandas.read_file(tmp_path / "map/landslides.gpkg")
    assert frame.crs.to_epsg() == 32647
    corners = [(t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f)
               for x, y in ((30, 10), (50, 10), (50, 20), (30, 20))]  # fmt: skip
    (outline,) = frame.geometry
    # the four corners are cut, 4 x 0.125 pixels
    assert outline.symmetric_difference(shapely.Polygon(corners)).area < 0.01 * 800
    assert frame.area_m2[0] == pytest.approx(20 * 10 * 4, rel=2e-3)
    assert frame.axis_m[0] == pytest.approx(40, abs=0.5)


def test_outputs_are_cloud_optimised(constant_run, make_scene, tmp_path):
    place = {"crs": "EPSG:4326", "transform": from_origin(10, 45, 1e-4, 1e-4)}
    scene = make_scene((20, 1100), place=place)
    make_map(constant_run, scene, tmp_path / "map", MapOptions(overlap=0))
    for name in ("probability", "landslides"):
        with rasterio.open(tmp_path / f"map/{name}.tif") as file:
            assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert file.overviews(1)
            assert file.nodata == 255
            assert file.compression.name == "deflate"
            assert file.transform == place["transform"]


def test_dem_of_another_grid_and_crs(relief_run, make_scene, tmp_path):
    # a plane z = 3 x: on any grid it is the same plane
    image, _ = make_scene((64, 64), image=np.full((64, 64, 3), 50, "uint8"))
    x = 469900 + 5 * (np.arange(70) + 0.5)
    dem = np.broadcast_to(((x - 470000) * 3).astype("float32"), (70, 70))
    coarse = {"crs": "EPSG:32647", "transform": from_origin(469900, 3445100, 5, 5)}
    path = write_raster(tmp_path / "coarse.tif", dem, **coarse)
    own = (np.arange(64)[None] * 2 + 1) * 3 + np.zeros((64, 1))
    same = write_raster(
        tmp_path / "same.tif", own.astype("float32"), crs=coarse["crs"],
        transform=from_origin(470000, 3445000, 2, 2),
    )  # fmt: skip
    report = make_map(relief_run, (image, path), tmp_path / "a")
    make_map(relief_run, (image, same), tmp_path / "b")
    a, b = (read(tmp_path / f"{name}/probability.tif") for name in "ab")
    np.testing.assert_allclose(a, b, atol=1e-4)
    assert "resampled onto the image's grid" in report["inputs"]["dem"]["grid"]
    with rasterio.open(path) as file, rasterio.vrt.WarpedVRT(file, crs="EPSG:4326") as vrt:
        profile = {"crs": vrt.crs, "transform": vrt.transform, "nodata": -1e6}
        warped = np.where(vrt.dataset_mask() > 0, vrt.read(1), -1e6).astype("float32")
    geographic = write_raster(tmp_path / "geographic.tif", warped, **profile)
    make_map(relief_run, (image, geographic), tmp_path / "c")
    np.testing.assert_allclose(read(tmp_path / "c/probability.tif"), a, atol=0.05)


def test_resolution_resamples_the_windows(relief_run, make_scene, tmp_path):
    # pixels of 2 m, model at 4 m: one window of 64 pixels is the scene
    image, dem = make_scene((64, 64))
    make_map(relief_run, (image, dem), tmp_path / "map", dataclasses.replace(FLOAT, resolution_m=4))
    pixels = read_pixels(image)
    expected = load_run(relief_run).predict(pixels, read(dem))  # which resizes to 32 and back
    np.testing.assert_array_equal(read(tmp_path / "map/probability.tif"), expected)


def test_the_resolution_of_training_is_the_default(make_scene, tmp_path, capsys):
    run = make_run(tmp_path / "run", [0] * 4, 1.0, metrics={"resolution_m": 4.1})
    report = make_map(run, make_scene(), tmp_path / "own")  # pixels of 2 m
    shown = capsys.readouterr().out
    assert "the model runs at 4.1 m a pixel, as it was trained (the image has 2 m)" in shown
    assert "warning:" not in shown
    assert report["job"]["window_px"] == [66, 66]  # 32 x 4.1 / 2 = 65.6
    given = dataclasses.replace(FLOAT, resolution_m=1.5)
    report = make_map(run, make_scene(), tmp_path / "far", given)
    assert report["job"]["window_px"] == [24, 24]
    assert "give --resolution-m 4.1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("trained", "window"), [(2.05, 32), (0.1, 32), (0.9, 32), (1.1, 18), (3.0, 48)]
)
def test_the_image_is_taken_as_it_is_where_that_is_right(trained, window, make_scene, tmp_path):
    """Within 5 % of training, or more than twice as coarse."""
    run = make_run(tmp_path / "run", [0] * 4, 1.0, metrics={"resolution_m": trained})
    report = make_map(run, make_scene(), tmp_path / "map")
    assert report["job"]["window_px"] == [window, window]
    assert bool(report["notes"]) == (trained < 1)


@pytest.mark.parametrize("scale", ["0,2000", "percentile"])
def test_sixteen_bits_are_scaled(red_run, make_scene, tmp_path, scale):
    image = np.random.default_rng(1).integers(0, 2000, (40, 40, 3)).astype("uint16")
    scene = make_scene((40, 40), image=image)
    make_map(red_run, scene, tmp_path / "map", dataclasses.replace(FLOAT, scale=scale))
    red = image[..., 0].astype(float)
    low, high = (0, 2000) if scale != "percentile" else np.percentile(red, (2, 98))
    expected = 1 / (1 + np.exp(4 - 8 * np.clip((red - low) / (high - low), 0, 1)))
    np.testing.assert_allclose(read(tmp_path / "map/probability.tif"), expected, atol=1e-5)


def test_a_dark_image_is_warned_of(red_run, make_scene, tmp_path, capsys):
    image = np.full((40, 40, 3), 1500, "uint16")
    make_map(red_run, make_scene((40, 40), image=image), tmp_path / "map")
    assert "0.02 of full scale" in capsys.readouterr().out


def test_what_the_tags_of_the_image_say_is_told(red_run, make_scene, tmp_path, capsys):
    scene = make_scene((40, 40))
    with rasterio.open(scene[0], "r+") as file:
        file.descriptions = ("B2", "B3", "B4")
    report = make_map(red_run, scene, tmp_path / "map")
    (note,) = report["notes"]
    assert note.startswith(f"{scene[0]}: its bands B2, B3, B4") and "--bands 3,2,1" in note
    assert note in capsys.readouterr().out


@pytest.mark.parametrize("layout", [{}, {"tiled": True, "blockxsize": 32, "blockysize": 32},
                                    {"compress": "deflate"}])  # fmt: skip
def test_an_image_that_is_cut_off_is_told_before_the_work(layout, red_run, rng, tmp_path):
    path = tmp_path / "scene.tif"
    place = {"crs": "EPSG:32647", "transform": from_origin(470000, 3445000, 2, 2)}
    shape = {"height": 80, "width": 100, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", **shape, **place, **layout) as file:
        file.write(rng.integers(1, 255, (3, 80, 100), "uint8"))
    scene, run = open_scene(path, None, InputSpec(fusion="rgb", tile_px=32)), load_run(red_run)
    assert scene_warnings(run, scene, FLOAT) == []
    os.truncate(path, path.stat().st_size - 300)
    (line,) = scene_warnings(run, scene, FLOAT)
    assert "the file is cut off, 300 bytes are missing at its end; restore it" in line


@pytest.mark.parametrize("bands", ["4,2,1", "Red, green,blue"])
def test_bands_by_number_and_description(red_run, make_scene, tmp_path, bands):
    image = np.random.default_rng(1).integers(0, 255, (40, 40, 4)).astype("uint8")
    scene = make_scene((40, 40), image=image)
    with rasterio.open(scene[0], "r+") as file:
        file.descriptions = ("blue", "green", "near infrared", "red")
        file.colorinterp = [rasterio.enums.ColorInterp.undefined] * 4
    make_map(red_run, scene, tmp_path / "map", dataclasses.replace(FLOAT, bands=bands))
    expected = 1 / (1 + np.exp(4 - 8 * image[..., 3].astype(float) / 255))
    np.testing.assert_allclose(read(tmp_path / "map/probability.tif"), expected, atol=1e-5)


def test_flips_and_turns_are_averaged(make_scene, tmp_path):
    """A model of one pixel is the same under all of them; one that looks left is not."""
    import keras

    run = make_run(tmp_path / "run", [0] * 4, 0.0)
    x = keras.Input((WINDOW, WINDOW, 4))
    left = keras.layers.Conv2D(1, 3, padding="same", name="logits")
    model = keras.Model(x, left(x))
    kernel = np.zeros((3, 3, 4, 1))
    kernel[1, 0, 0] = 6.0  # red of the pixel to the left
    left.set_weights([kernel, np.array([-3.0])])
    model.save(run / "model.keras")
    image, dem = make_scene((WINDOW, WINDOW))
    make_map(run, (image, dem), tmp_path / "map", dataclasses.replace(FLOAT, tta=True))
    red = np.pad(read(image) / 255.0, 1)
    sides = [red[1:-1, :-2], red[1:-1, 2:], red[:-2, 1:-1], red[2:, 1:-1]]
    expected = np.mean([1 / (1 + np.exp(3 - 6 * side)) for side in sides], axis=0)
    np.testing.assert_allclose(read(tmp_path / "map/probability.tif"), expected, atol=1e-5)


def test_a_fourth_band_that_may_be_alpha(red_run, make_scene, tmp_path):
    image = np.full((40, 40, 4), 255, "uint8")
    image[:20, :, 3] = 0
    scene = make_scene((40, 40), image=image)
    with rasterio.open(scene[0], "r+") as file:
        file.colorinterp = [rasterio.enums.ColorInterp.undefined] * 4
    with pytest.raises(InputError, match="has 4 bands.*--bands.*gdal_edit -colorinterp_4 alpha"):
        make_map(red_run, scene, tmp_path / "map")
