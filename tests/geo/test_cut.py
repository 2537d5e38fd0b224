"""Scenes cut into tiles: the pixels, the place, and which polygons reach them."""

import sqlite3

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from cut_scenes import (
    CRS,
    HEIGHT,
    LEFT,
    PIXEL,
    TOP,
    WIDTH,
    place,
    rectangle,
    rows,
    write_polygons,
    write_scene,
)
from rasterio.enums import ColorInterp
from rasterio.features import shapes
from rasterio.transform import from_origin

from conftest import write_raster
from landslide_tf.checks import InputError
from landslide_tf.cli import main
from landslide_tf.data.arrays import load_tiles
from landslide_tf.data.index import find_samples
from landslide_tf.data.raster import read_raster
from landslide_tf.geo import cut
from landslide_tf.geo.cut import cut_scene, tile_starts
from landslide_tf.geo.settings import CutOptions
from landslide_tf.inputs import InputSpec


@pytest.fixture
def scene(tmp_path, rng):
    return write_scene(tmp_path / "scene.tif", rng)


def test_tiles_are_the_scenes_pixels_in_their_place(scene, tmp_path):
    # rows 4 to 8, columns 10 to 20: in two tiles, 4 x 6 and 4 x 4 pixels
    polygons = write_polygons(tmp_path / "p.gpkg", [rectangle(4, 10, 8, 20)])
    out = tmp_path / "out"
    counts = cut_scene(scene, polygons, out, CutOptions(tile_px=16, min_valid=1))
    # 2 whole rows of 3 whole tiles; 3 + 2 + 1 reach beyond the scene
    assert counts == {
        "landslide": 2, "non_landslide": 4, "no_data": 6, "few_landslide_px": 0,
        "landslide_px": 40, "valid_px": 6 * 256,
    }  # fmt: skip
    images = rows(out / "landslide/image")
    assert list(images) == ["scene_0000_0000", "scene_0000_0016"]
    whole = read_raster(scene).values
    np.testing.assert_array_equal(images["scene_0000_0016"].values, whole[:16, 16:32])
    assert images["scene_0000_0016"].bounds == (*place(16, 16), *place(0, 32))
    assert images["scene_0000_0016"].crs == read_raster(scene).crs
    masks = rows(out / "landslide/mask")
    expected = np.zeros((16, 32), "uint8")
    expected[4:8, 10:20] = 1
    for i, mask in enumerate(masks.values()):
        np.testing.assert_array_equal(mask.values[..., 0], expected[:, 16 * i : 16 * i + 16])
        assert mask.valid.all()
    negative = rows(out / "non-landslide/image")
    np.testing.assert_array_equal(negative["scene_0016_0032"].values, whole[16:32, 32:48])
    assert len(negative) == 4 and not (out / "non-landslide/mask").exists()
    assert not list(tmp_path.glob(".writing*"))


def test_the_rim_is_filled_up_with_no_data(scene, tmp_path):
    polygons = write_polygons(tmp_path / "p.gpkg", [rectangle(38, 54, 40, 56)])
    counts = cut_scene(scene, polygons, tmp_path / "out", CutOptions(tile_px=16, min_valid=0.25))
    assert counts["no_data"] == 0 and counts["valid_px"] == HEIGHT * WIDTH
    image = rows(tmp_path / "out/landslide/image")["scene_0032_0048"]
    assert image.size == (16, 16)
    assert image.valid[:8, :8].all() and image.valid.sum() == 64
    np.testing.assert_array_equal(image.values[:8, :8], read_raster(scene).values[32:, 48:])
    # the file's own size holds: 8 x 8 of 16 x 16 is a quarter
    with pytest.raises(InputError, match="no tile"):
        cut_scene(scene, polygons, tmp_path / "b", CutOptions(tile_px=16, min_valid=0.26))


@pytest.mark.parametrize("all_touched", [False, True])
@pytest.mark.parametrize("crs", [CRS, "EPSG:4326", "EPSG:3857"])
def test_a_pixel_is_landslide_where_its_centre_is(crs, all_touched, scene, tmp_path):
    # seven corners with a hole; shapely decides for each pixel on its own
    outside = [place(*p) for p in ((2.3, 3.1), (3.7, 50.2), (30.9, 52.5), (36.2, 20.8), (18.4, 2))]
    hole = [place(*p) for p in ((9.2, 15.7), (9.9, 30.3), (19.6, 22.4))]
    polygon = shapely.Polygon(outside, [hole])
    series = geopandas.GeoSeries([polygon], crs=CRS).to_crs(crs)
    series.to_file(tmp_path / "p.geojson" if crs == "EPSG:4326" else tmp_path / "p.gpkg")
    path = next(tmp_path.glob("p.*"))
    cut_scene(
        scene,
        path,
        tmp_path / "out",
        CutOptions(tile_px=16, min_valid=0.1, all_touched=all_touched),
    )
    found = np.zeros((48, 64), bool)
    for part in ("landslide", "non-landslide"):
        for name, image in rows(tmp_path / "out" / part / "image").items():
            row, column = map(int, name.split("_")[1:])
            mask = tmp_path / "out" / part / "mask" / f"{name}.tif"
            if mask.exists():
                values = read_raster(mask).values[..., 0] == 1
                found[row : row + 16, column : column + 16] = values & image.valid
    for row in range(HEIGHT):
        for column in range(WIDTH):
            centre = shapely.Point(place(row + 0.5, column + 0.5))
            pixel = rectangle(row, column, row + 1, column + 1)
            # the way to another CRS and back moves a corner by less than a millimetre
            if polygon.boundary.distance(centre if not all_touched else pixel) < 0.01:
                continue
            expected = polygon.intersects(pixel if all_touched else centre)
            assert found[row, column] == expected, (row, column)
    assert not found[HEIGHT:].any() and not found[:, WIDTH:].any()


def test_overlap_and_the_fewest_pixels_of_a_landslide(scene, tmp_path):
    # 3 x 3 pixels, of which the tile from row 0, column 8 has 3 x 2
    polygons = write_polygons(tmp_path / "p.gpkg", [rectangle(2, 22, 5, 25)])
    counts = cut_scene(
        scene,
        polygons,
        tmp_path / "out",
        CutOptions(tile_px=16, overlap=8, min_valid=1, min_landslide_px=7),
    )
    # starts: rows 0, 8, 16, 24; columns 0, 8, ..., 40: 4 x 6 whole tiles
    assert tile_starts(HEIGHT, 16, 8) == [0, 8, 16, 24]
    assert list(rows(tmp_path / "out/landslide/image")) == ["scene_0000_0016"]
    assert counts["few_landslide_px"] == 2  # from column 8 and, with 3 x 1, from column 24
    assert counts["non_landslide"] == 24 - 3


def test_a_dem_of_another_grid(scene, tmp_path):
    # a plane in metres, 30 m pixels in degrees: bilinear interpolation keeps it a plane
    import rasterio.warp

    left, bottom, right, top = rasterio.warp.transform_bounds(
        CRS, "EPSG:4326", *place(HEIGHT + 9, -9), *place(-9, WIDTH + 9)
    )
    step = 0.0003
    size = (int((top - bottom) / step), int((right - left) / step))
    transform = from_origin(left, top, step, step)
    x, y = np.meshgrid(
        left + step * (np.arange(size[1]) + 0.5), top - step * (np.arange(size[0]) + 0.5)
    )
    easting, northing = rasterio.warp.transform("EPSG:4326", CRS, x.ravel(), y.ravel())
    plane = 1000 + 0.2 * (np.array(easting) - LEFT) + 0.1 * (np.array(northing) - TOP)
    dem = write_raster(
        tmp_path / "dem.tif", plane.reshape(size).astype("float32"), crs="EPSG:4326",
        transform=transform,
    )  # fmt: skip
    polygons = write_polygons(tmp_path / "p.gpkg", [rectangle(4, 10, 8, 20)])
    cut_scene(scene, polygons, tmp_path / "out", CutOptions(tile_px=16, min_valid=1), dem=dem)
    tile = rows(tmp_path / "out/non-landslide/dem")["scene_0016_0032"]
    assert tile.values.dtype == np.float32 and tile.valid.all()
    rows_, columns = np.mgrid[16.5:32, 32.5:48]
    expected = 1000 + 0.2 * PIXEL * columns - 0.1 * PIXEL * rows_
    # a pixel aside would be 2 m, a pixel down 1 m
    np.testing.assert_allclose(tile.values[..., 0], expected, atol=0.02)


@pytest.mark.parametrize(
    "dtype, tag",
    [("int16", None), ("int16", -9999.0), ("float32", None), ("float32", -9999.0),
     ("float32", float("nan"))],
)  # fmt: skip
def test_where_the_dem_has_no_data(dtype, tag, scene, tmp_path):
    # on the scene's grid, but for the first four rows, and -9999 in a corner
    values = np.arange(36 * WIDTH).reshape(36, WIDTH).astype(dtype)
    values[:4, :4] = -9999 if tag is None or tag == tag else np.nan
    transform = from_origin(LEFT, TOP - 4 * PIXEL, PIXEL, PIXEL)
    dem = write_raster(tmp_path / "dem.tif", values, crs=CRS, transform=transform, nodata=tag)
    polygons = write_polygons(tmp_path / "p.gpkg", [rectangle(10, 10, 12, 12)])
    nodata = -9999.0 if tag is None else None
    cut_scene(scene, polygons, tmp_path / "out", CutOptions(tile_px=16, nodata=nodata), dem=dem)
    tile = rows(tmp_path / "out/landslide/dem")["scene_0000_0000"]
    expected = np.ones((16, 16), bool)
    expected[:4] = expected[4:8, :4] = False
    np.testing.assert_array_equal(tile.valid, expected)
    np.testing.assert_array_equal(tile.values[8:, :, 0], values[4:12, :16])


def test_a_landslide_beyond_the_dem_is_no_background(scene, tmp_path):
    # the DEM has columns 6 to 16, the landslide is in 2 to 4
    transform = from_origin(LEFT + 6 * PIXEL, TOP, PIXEL, PIXEL)
    dem = write_raster(
        tmp_path / "dem.tif", np.ones((16, 10), "float32"), crs=CRS, transform=transform
    )
    polygons = write_polygons(tmp_path / "p.gpkg", [rectangle(2, 2, 6, 4)])
    counts = cut_scene(scene, polygons, tmp_path / "out", CutOptions(tile_px=16), dem=dem)
    assert counts["landslide"] == 1 and counts["landslide_px"] == 8
    assert counts["non_landslide"] == 0 and counts["no_data"] == 11
    assert rows(tmp_path / "out/landslide/dem")["scene_0000_0000"].valid.sum() == 160


def test_no_data_of_the_scene(tmp_path, rng):
    values = rng.integers(1, 65536, (32, 32, 3)).astype("uint16")
    values[:16, :16] = 0
    values[16:20, 16:] = 0
    transform = from_origin(LEFT, TOP, PIXEL, PIXEL)
    tagged = write_raster(tmp_path / "a.tif", values, crs=CRS, transform=transform, nodata=0)
    plain = write_raster(tmp_path / "b.tif", values, crs=CRS, transform=transform)
    alpha = np.where((values == 0).all(-1), 0, 65535).astype("uint16")
    masked = write_raster(
        tmp_path / "c.tif", np.dstack([values, alpha]), crs=CRS, transform=transform
    )
    with rasterio.open(masked, "r+") as file:
        file.colorinterp = [*file.colorinterp[:3], ColorInterp.alpha]
    polygons = write_polygons(tmp_path / "p.gpkg", [rectangle(17, 17, 30, 30)])
    for path, nodata in ((tagged, None), (plain, 0), (masked, None)):
        out = tmp_path / f"out-{path.stem}"
        counts = cut_scene(path, polygons, out, CutOptions(tile_px=16, nodata=nodata))
        assert (counts["no_data"], counts["landslide"], counts["non_landslide"]) == (1, 1, 2)
        assert counts["landslide_px"] == 10 * 13 and counts["valid_px"] == 3 * 256 - 64
        tile = rows(out / "landslide/image")[f"{path.stem}_0016_0016"]
        assert not tile.valid[:4].any() and tile.valid[4:].all()
        assert tile.values.shape == (16, 16, 3)
        np.testing.assert_array_equal(tile.values, values[16:, 16:])
    # a mark that fits the DEM and not the image
    cut_scene(
        tagged, polygons, tmp_path / "out-a", CutOptions(tile_px=16, nodata=-9999), overwrite=True
    )


def test_a_mask_in_place_of_polygons(scene, tmp_path):
    values = np.zeros((20, 28), "uint8")  # pixels twice as large, the left half of the scene
    values[2:4, 5:10] = 255
    transform = from_origin(LEFT, TOP, 2 * PIXEL, 2 * PIXEL)
    mask = write_raster(tmp_path / "m.tif", values[:, :14], crs=CRS, transform=transform)
    counts = cut_scene(scene, mask, tmp_path / "out", CutOptions(tile_px=16))
    # columns 28 to 32 are beyond it, in 8 rows too few of them are left
    assert counts["landslide"] == 2 and counts["landslide_px"] == 4 * 10
    tile = rows(tmp_path / "out/landslide/mask")["scene_0000_0016"]
    expected = np.zeros((16, 16), "uint8")
    expected[4:8, :4] = 1
    np.testing.assert_array_equal(tile.values[:, :12, 0], expected[:, :12])
    assert tile.valid[:, :12].all() and not tile.valid[:, 12:].any()
    # where the mask says nothing, a tile without landslide has no image either
    negative = rows(tmp_path / "out/non-landslide/image")["scene_0016_0016"]
    assert negative.valid[:, :12].all() and not negative.valid[:, 12:].any()


def test_several_scenes_in_one_folder(scene, tmp_path):
    polygons = write_polygons(tmp_path / "p.gpkg", [rectangle(4, 10, 8, 20)])
    out = tmp_path / "out"
    cut_scene(scene, polygons, out, CutOptions(tile_px=16, name="A"))
    cut_scene(scene, polygons, out, CutOptions(tile_px=32, name="B"))
    assert len(find_samples(out, negatives=True).samples) == len(list(out.glob("*/image/*")))
    before = sorted(out.rglob("A_*.tif"))
    with pytest.raises(InputError, match="A_0000_0000.tif: exists; give --overwrite"):
        cut_scene(scene, polygons, out, CutOptions(tile_px=16, name="A"))
    # those of another size are gone, those of another name are not
    cut_scene(scene, polygons, out, CutOptions(tile_px=32, name="A"), overwrite=True)
    after = {path.name.replace("A", "B") for path in out.rglob("A_*.tif")}
    assert after == {path.name for path in out.rglob("B_*.tif")} and len(after) < len(before)
    tiles = load_tiles(out, InputSpec(tile_px=16, fusion="rgb"), negatives=True)
    assert np.isfinite(tiles.place).all()  # so that --split group has blocks of ground


def test_only_windows_are_read(scene, tmp_path, monkeypatch):
    seen = []
    original = cut.read_window

    def recorded(file, window=None, **options):
        seen.append((window.height, window.width))
        return original(file, window, **options)

    monkeypatch.setattr(cut, "read_window", recorded)
    polygons = write_polygons(tmp_path / "p.gpkg", [rectangle(4, 10, 8, 20)])
    cut_scene(scene, polygons, tmp_path / "out", CutOptions(tile_px=16))
    assert len(seen) == 1 + 12 and max(seen) == (16, 16)


def test_a_world_wide_inventory(scene, tmp_path):
    # the scene's CRS is not defined everywhere; a table of styles is no second layer
    here = geopandas.GeoSeries([rectangle(4, 10, 8, 20)], crs=CRS).to_crs("EPSG:4326")[0]
    others = [shapely.box(x, y, x + 1, y + 1) for x in range(-180, 180, 30) for y in (-90, 0, 89)]
    polygons = write_polygons(tmp_path / "p.gpkg", [*others, here], "EPSG:4326")
    with sqlite3.connect(polygons) as file:
        file.execute("CREATE TABLE layer_styles (name TEXT)")
    counts = cut_scene(scene, polygons, tmp_path / "out", CutOptions(tile_px=16))
    assert counts["landslide_px"] == 40


def test_a_scene_that_is_not_north_up(tmp_path, rng):
    values = rng.integers(1, 256, (32, 48, 3)).astype("uint8")
    cos, sin = 0.8, 0.6  # columns run along (0.8, 0.6), rows along (0.6, -0.8)
    transform = Affine(10 * cos, 10 * sin, LEFT, 10 * sin, -10 * cos, TOP)
    scene = write_raster(tmp_path / "scene.tif", values, crs=CRS, transform=transform)
    corners = [(18, 20), (25, 20), (25, 30), (18, 30)]  # rows 18 to 25, columns 20 to 30
    polygon = shapely.Polygon(
        (LEFT + 10 * (cos * c + sin * r), TOP + 10 * (sin * c - cos * r)) for r, c in corners
    )
    polygons = write_polygons(tmp_path / "p.gpkg", [polygon])
    dem = write_raster(tmp_path / "dem.tif", values[..., 0], crs=CRS, transform=transform)
    counts = cut_scene(scene, polygons, tmp_path / "out", CutOptions(tile_px=16), dem=dem)
    assert counts["landslide"] == 1 and counts["landslide_px"] == 7 * 10
    mask = rows(tmp_path / "out/landslide/mask")["scene_0016_0016"]
    expected = np.zeros((16, 16), "uint8")
    expected[2:9, 4:14] = 1
    np.testing.assert_array_equal(mask.values[..., 0], expected)
    assert mask.corners[0] == pytest.approx((LEFT + 160 * 1.4, TOP - 160 * 0.2))
    tile = rows(tmp_path / "out/landslide/dem")["scene_0016_0016"]
    np.testing.assert_array_equal(tile.values[..., 0], values[16:, 16:32, 0])


def test_a_polygon_that_crosses_itself_counts_whole(scene, tmp_path):
    # two triangles that touch in the middle, as one ring
    bow = shapely.Polygon([place(*p) for p in ((2, 2), (10, 10), (2, 10), (10, 2))])
    assert not bow.is_valid
    polygons = write_polygons(tmp_path / "p.gpkg", [bow])
    counts = cut_scene(scene, polygons, tmp_path / "out", CutOptions(tile_px=16))
    # left and right of the middle a triangle of base 8 and height 4: 6 + 4 + 2 + 0 centres are
    # inside of it, others on its sides
    whole = shapely.make_valid(bow)
    inside = [
        whole.contains(shapely.Point(place(r + 0.5, c + 0.5)))
        for r in range(16) for c in range(16)
    ]  # fmt: skip
    on_edge = [
        whole.boundary.distance(shapely.Point(place(r + 0.5, c + 0.5))) < 1e-6
        for r in range(16) for c in range(16)
    ]  # fmt: skip
    assert sum(inside) <= counts["landslide_px"] <= sum(inside) + sum(on_edge)
    assert sum(inside) == 24


def test_the_command(scene, tmp_path, capsys):
    polygons = write_polygons(tmp_path / "p.gpkg", [rectangle(4, 10, 8, 20)])
    words = f"data tiles --image {scene} --polygons {polygons} --out {tmp_path / 'out'}".split()
    words += ["--tile-px", "16", "--min-valid", "1", "--min-landslide-px", "20"]
    assert main(words) == 0
    out = capsys.readouterr().out
    # 4 x 6 pixels in the first tile, 4 x 4 in the second: 24 of 5 x 256
    assert "5 tiles" in out and "1 with landslides, 4 without; landslides cover 1.9%" in out
    assert "6 tiles with less than 100% of data" in out
    assert "1 tiles with fewer than 20 landslide pixels" in out
    assert main(words) == 2
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.data
def test_the_tiles_of_a_survey(real_data, tmp_path):
    """Area A of the Jinsha tiles, from its scene: the published tiles, pixel by pixel."""
    source = real_data / "jinsha/scene_A"
    with rasterio.open(source / "mask.tif") as file:
        landslide = file.read(1) == 1
        found = shapes(landslide.astype("uint8"), landslide, transform=file.transform)
        polygons = [shapely.geometry.shape(shape) for shape, _ in found]
        series = geopandas.GeoSeries(polygons, crs=file.crs).to_crs("EPSG:4326")
    series.to_file(tmp_path / "p.geojson")
    out = tmp_path / "out"
    cut_scene(
        source / "rgb.tif",
        tmp_path / "p.geojson",
        out,
        CutOptions(name="A"),
        dem=source / "dsm.tif",
    )
    compared = 0
    for path in out.glob("*/*/A_*.tif"):
        published = read_raster(real_data / "jinsha/landslide" / path.parent.name / path.name)
        ours = read_raster(path)
        assert ours.crs == published.crs and ours.bounds == pytest.approx(published.bounds)
        np.testing.assert_array_equal(ours.values[ours.valid], published.values[ours.valid])
        compared += 1
    assert compared > 300
