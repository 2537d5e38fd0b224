"""Cutting refuses, in one line and with nothing written, what would give wrong tiles."""

import geopandas
import numpy as np
import pytest
import shapely
from cut_scenes import CRS, LEFT, PIXEL, TOP, place, rectangle, rows, write_polygons, write_scene
from rasterio.transform import from_origin

from conftest import write_raster
from landslide_tf.checks import InputError
from landslide_tf.data.opening import open_raster
from landslide_tf.data.raster import read_raster
from landslide_tf.geo import cut
from landslide_tf.geo.cut import cut_scene
from landslide_tf.geo.overlay import check_georeference
from landslide_tf.geo.settings import CutOptions


@pytest.fixture
def scene(tmp_path, rng):
    return write_scene(tmp_path / "scene.tif", rng)


def check_refused(image, polygons, tmp_path, *parts, dem=None, **options):
    with pytest.raises(InputError) as error:
        options = CutOptions(**{"tile_px": 16, **options})
        cut_scene(image, polygons, tmp_path / "out", options, dem=dem)
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".writing*"))


@pytest.mark.filterwarnings("ignore:'crs' was not provided")  # of pyogrio: that is tested here
def test_polygons_that_do_not_serve(scene, tmp_path):
    good = rectangle(4, 10, 8, 20)
    check_refused(scene, tmp_path / "no.gpkg", tmp_path, "no.gpkg: no such file")
    far = write_polygons(tmp_path / "far.gpkg", [shapely.box(0, 0, 1, 1)], "EPSG:4326")
    check_refused(scene, far, tmp_path, "far.gpkg: no polygon lies in the scene", "(0, 0, 1, 1)")
    # about 99 degrees east, 27 north
    check_refused(scene, far, tmp_path, "the scene (99, 27.1")
    empty = write_polygons(tmp_path / "empty.gpkg", [shapely.Polygon(), None])
    check_refused(scene, empty, tmp_path, "empty.gpkg: holds no polygons")
    none = geopandas.GeoDataFrame(geometry=[], crs=CRS)
    none.to_file(tmp_path / "none.gpkg")
    check_refused(scene, tmp_path / "none.gpkg", tmp_path, "none.gpkg: holds no polygons")
    points = write_polygons(tmp_path / "points.gpkg", [shapely.Point(place(1, 1))])
    check_refused(scene, points, tmp_path, "holds Point; landslides must be polygons")
    lost = write_polygons(tmp_path / "lost.shp", [good], None)
    check_refused(scene, lost, tmp_path, "lost.shp: has no CRS", "ogr2ogr -a_srs")
    two = write_polygons(tmp_path / "two.gpkg", [good], layer="a")
    write_polygons(two, [good], layer="b")
    check_refused(scene, two, tmp_path, "several layers (a, b)")
    (tmp_path / "text.gpkg").write_text("no polygons")
    check_refused(scene, tmp_path / "text.gpkg", tmp_path, "text.gpkg: holds no polygons that can")
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    check_refused(scene, tmp_path / "table.csv", tmp_path, "table.csv: holds no polygons")
    # in the scene, but too thin for the centre of any pixel
    thin = write_polygons(tmp_path / "thin.gpkg", [rectangle(4.1, 1, 4.2, 9)])
    check_refused(scene, thin, tmp_path, "no tile of", "1 landslide pixels")


def test_scenes_and_dems_that_do_not_serve(scene, tmp_path, rng):
    polygons = write_polygons(tmp_path / "p.gpkg", [rectangle(4, 10, 8, 20)])
    values = read_raster(scene).values
    transform = from_origin(LEFT, TOP, PIXEL, PIXEL)
    check_refused(tmp_path / "no.tif", polygons, tmp_path, "no.tif: cannot be read (no such file)")
    bare = write_raster(tmp_path / "bare.png", values)
    check_refused(bare, polygons, tmp_path, "bare.png: has no georeference", "gdal_translate")
    lost = write_raster(tmp_path / "lost.tif", values, transform=transform)
    check_refused(lost, polygons, tmp_path, "lost.tif: has no georeference")
    five = write_raster(
        tmp_path / "five.tif", np.dstack([values, values[..., :2]]), crs=CRS, transform=transform
    )
    check_refused(five, polygons, tmp_path, "five.tif: has 5 bands", "--bands")
    check_refused(five, polygons, tmp_path, "--bands asks for 6", bands=(6, 1, 2))
    cut_scene(five, polygons, tmp_path / "five", CutOptions(tile_px=16, bands=(5, 3, 1)))
    tile = rows(tmp_path / "five/landslide/image")["five_0000_0000"]
    np.testing.assert_array_equal(tile.values, values[:16, :16, [1, 2, 0]])
    check_refused(scene, polygons, tmp_path, "no.tif: cannot be read", dem=tmp_path / "no.tif")
    check_refused(scene, polygons, tmp_path, "lost.tif: has no georeference", dem=lost)
    check_refused(scene, polygons, tmp_path, "different bands", dem=scene)
    away = write_raster(
        tmp_path / "away.tif", values[..., 0], crs=CRS, transform=from_origin(0, 0, 10, 10)
    )
    check_refused(scene, polygons, tmp_path, "do not overlap", dem=away)
    away = write_raster(
        tmp_path / "away.tif",
        values[..., 0],
        crs=CRS,
        transform=from_origin(0, 0, 10, 10),
        nodata=0,
    )
    check_refused(scene, polygons, tmp_path, "do not overlap", dem=away)
    content = scene.read_bytes()
    (tmp_path / "cut.tif").write_bytes(content[: len(content) // 2])
    check_refused(tmp_path / "cut.tif", polygons, tmp_path, "cut.tif: cannot be read")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"tile_px": 15}, "--tile-px must be at least 16"),
        ({"overlap": 16}, "--overlap must be at least 0 and below 16"),
        ({"overlap": -1}, "--overlap"),
        ({"min_valid": 0.0}, "--min-valid must be above 0"),
        ({"min_valid": 1.1}, "--min-valid"),
        ({"min_landslide_px": 0}, "--min-landslide-px must be at least 1"),
        ({"name": "../a"}, "--name must be"),
        ({"name": ""}, "--name must be"),
    ],
)
def test_options_out_of_range(options, message, scene, tmp_path):
    polygons = write_polygons(tmp_path / "p.gpkg", [rectangle(4, 10, 8, 20)])
    check_refused(scene, polygons, tmp_path, message, **options)


def test_a_failure_on_the_way_leaves_nothing(scene, tmp_path, monkeypatch):
    polygons = write_polygons(tmp_path / "p.gpkg", [rectangle(4, 10, 8, 20)])
    cut_scene(scene, polygons, tmp_path / "out", CutOptions(tile_px=16))
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.tif")}
    original = cut.write_geotiff

    def interrupted(path, *args, **options):
        if "0016_0016" in str(path):
            raise KeyboardInterrupt
        original(path, *args, **options)

    monkeypatch.setattr(cut, "write_geotiff", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cut_scene(scene, polygons, tmp_path / "out", CutOptions(tile_px=16), overwrite=True)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.tif")} == before
    assert not list(tmp_path.glob(".writing*"))


def test_a_mask_of_another_place(scene, tmp_path):
    """Nothing would be known of any tile; beside the scene by a pixel is elsewhere too."""
    values = np.ones((8, 8), "uint8")
    for column, name in ((-8, "west"), (56, "east")):
        transform = from_origin(*place(0, column), PIXEL, PIXEL)
        mask = write_raster(tmp_path / f"{name}.tif", values, crs=CRS, transform=transform)
        check_refused(scene, mask, tmp_path, f"{name}.tif: does not reach into the scene")
    transform = from_origin(*place(0, 55), PIXEL, PIXEL)
    mask = write_raster(tmp_path / "rim.tif", values, crs=CRS, transform=transform)
    check_refused(scene, mask, tmp_path, "rim.tif: no tile of")


def test_a_tile_larger_than_the_scene(scene, tmp_path):
    """40 x 56 = 2240 pixels: 0.5 of a tile of 66 are 2178, of 67 2244.5."""
    polygons = write_polygons(tmp_path / "good.gpkg", [rectangle(4, 10, 8, 20)])
    check_refused(scene, polygons, tmp_path, "40 x 56 pixels fill less than 50%", tile_px=67)
    assert cut_scene(scene, polygons, tmp_path / "out", CutOptions(tile_px=66))["landslide"] == 1


def test_a_mask_whose_background_would_be_unknown(scene, tmp_path):
    mask = write_raster(
        tmp_path / "m.tif",
        np.ones((20, 28), "uint8"),
        crs=CRS,
        transform=from_origin(LEFT, TOP, PIXEL, PIXEL),
        nodata=0,
    )
    check_refused(scene, mask, tmp_path, "m.tif: says that 0 is no data", "gdal_edit")


@pytest.mark.parametrize("what", ["image", "dem", "mask"])
@pytest.mark.parametrize("west, north", [(300000, 3200000), (28.9, 102)])  # metres; turned about
def test_degrees_that_cannot_be(what, west, north, scene, tmp_path):
    lost = {"crs": "EPSG:4326", "transform": from_origin(west, north, 1e-4, 1e-4)}
    bands = 3 if what == "image" else 1
    path = write_raster(tmp_path / "lost.tif", np.ones((32, 32, bands), "uint8"), **lost)
    good = write_polygons(tmp_path / "p.gpkg", [rectangle(4, 10, 8, 20)])
    image, polygons = path if what == "image" else scene, path if what == "mask" else good
    dem = path if what == "dem" else None
    words = ("lost.tif: its middle lies at", "has no such latitude", "-a_srs")
    check_refused(image, polygons, tmp_path, *words, dem=dem)


@pytest.mark.parametrize("what", ["image", "dem", "mask"])
def test_degrees_that_are_called_metres(what, scene, tmp_path):
    lost = {"crs": "EPSG:32647", "transform": from_origin(98.6, 31.2, 1e-5, 1e-5)}
    path = write_raster(
        tmp_path / "lost.tif", np.ones((32, 32, 3 if what == "image" else 1), "uint8"), **lost
    )
    good = write_polygons(tmp_path / "p.gpkg", [rectangle(4, 10, 8, 20)])
    image, polygons = path if what == "image" else scene, path if what == "mask" else good
    words = ("lost.tif: its coordinates (98.6002, 31.1998)", "look like degrees", "EPSG:4326")
    check_refused(image, polygons, tmp_path, *words, dem=path if what == "dem" else None)


def test_pixels_of_a_millimetre_are_taken(tmp_path):
    place = {"crs": "EPSG:32647", "transform": from_origin(LEFT, TOP, 5e-4, 5e-4)}
    image = write_raster(tmp_path / "close.tif", np.ones((32, 32, 3), "uint8"), **place)
    with open_raster(image) as file:
        check_georeference(file)


def test_polygons_between_the_centres_of_pixels_are_told(scene, tmp_path, capsys):
    seen = [rectangle(4, 10, 8, 20), rectangle(12.4, 5.4, 12.6, 5.6)]  # the second: one centre
    thin, small = rectangle(4.1, 1, 4.4, 9), rectangle(12.6, 5.6, 13.4, 6.4)
    polygons = write_polygons(tmp_path / "p.gpkg", [*seen, thin, small])
    cut_scene(scene, polygons, tmp_path / "out", CutOptions(tile_px=16))
    told = capsys.readouterr().out
    assert "p.gpkg: polygons too small or narrow to hold a pixel's centre: 2;" in told
    cut_scene(scene, polygons, tmp_path / "touched", CutOptions(tile_px=16, all_touched=True))
    assert "narrow" not in capsys.readouterr().out


def test_polygons_of_another_class_are_told(scene, tmp_path, capsys):
    shapes = [rectangle(4, 10, 8, 20), rectangle(10, 10, 12, 20)]
    frame = geopandas.GeoDataFrame({"kind": ["slide", "no slide"]}, geometry=shapes, crs=CRS)
    frame.to_file(tmp_path / "p.gpkg")
    cut_scene(scene, tmp_path / "p.gpkg", tmp_path / "out", CutOptions(tile_px=16))
    assert "p.gpkg: kind is 'no slide' in 1 of 2 polygons" in capsys.readouterr().out
