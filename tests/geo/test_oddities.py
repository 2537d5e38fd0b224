"""Missing data in a DEM is found wherever it lies beneath the scene, and not elsewhere."""

import weakref

import geopandas
import numpy as np
import pytest
import shapely
from made_maps import landslide_image
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds
from rasterio.windows import bounds as window_bounds

from conftest import write_raster
from landslide_tf.data.opening import open_raster
from landslide_tf.geo import oddities
from landslide_tf.geo.cut import cut_scene
from landslide_tf.geo.oddities import (
    dem_oddities,
    image_oddities,
    reference_oddities,
    window_beneath,
)
from landslide_tf.geo.overlay import Grid, open_labels


def place(metres=2.0, west=470000, north=3445000, crs="EPSG:32647"):
    return {"crs": crs, "transform": from_origin(west, north, metres, metres)}


@pytest.fixture
def grid(tmp_path):
    """A scene of 40 x 40 pixels of 2 m."""
    path = write_raster(tmp_path / "scene.tif", np.full((40, 40, 3), 99, "uint8"), **place())
    with open_raster(path) as file:
        return Grid(file)


def dem(tmp_path, size=(40, 40), voids=(), **where):
    y, x = np.mgrid[: size[0], : size[1]]
    values = (1000 + x % 100 + y % 100).astype("float32")
    for row, column, value in voids:
        values[row, column] = value
    return write_raster(tmp_path / "dem.tif", values, **(where or place()))


@pytest.mark.parametrize("value", [-32768, -9999, 1e38, -3.4e38])
def test_a_single_pixel_that_a_sample_would_miss(value, grid, tmp_path, monkeypatch):
    monkeypatch.setattr(oddities, "KEPT_PX", 10)  # every fourth row and column
    monkeypatch.setattr(oddities, "STRIP_PX", 200)  # five rows
    path = dem(tmp_path, voids=[(13, 7, value)])
    (line,) = dem_oddities(path, grid)
    given = f"{np.float32(value):.10g}"
    assert f"the DEM holds the value {given}" in line and line.endswith(f"--nodata={given}")
    assert line.startswith(str(path))
    assert dem_oddities(path, grid, nodata=float(np.float32(value))) == []
    assert dem_oddities(dem(tmp_path), grid) == []


def test_only_what_lies_beneath_the_scene(grid, tmp_path):
    # 100 x 100 pixels of 10 m around the scene of 80 m, which begins at column 30 and row 20
    where = place(metres=10.0, west=470000 - 300, north=3445000 + 200)
    path = dem(tmp_path, (100, 100), [(60, 60, -9999), (5, 5, -9999)], **where)
    with open_raster(path) as file:
        # a pixel each for the rim, and two for interpolation
        assert window_beneath(file, grid).flatten() == (28, 18, 13, 13)
    assert dem_oddities(path, grid) == []
    path = dem(tmp_path, (100, 100), [(23, 33, -9999)], **where)
    assert len(dem_oddities(path, grid)) == 1


@pytest.mark.parametrize("south_up", [False, True])
def test_in_another_crs_and_upside_down(south_up, grid, tmp_path):
    # the scene lies near 98.69 E, 31.14 N; pixels of about 10 m
    transform = from_origin(98.6, 31.2, 1e-4, 1e-4)
    if south_up:
        transform = transform @ transform.translation(0, 1500) @ transform.scale(1, -1)
    path = dem(tmp_path, (1500, 1500), crs="EPSG:4326", transform=transform)
    with open_raster(path) as file:
        part = window_beneath(file, grid)
        left, bottom, right, top = window_bounds(part, file.transform)
    box = transform_bounds(grid.crs, "EPSG:4326", *grid.outline().bounds)
    assert left <= box[0] and box[2] <= right
    assert min(bottom, top) <= box[1] and box[3] <= max(bottom, top)
    assert part.width < 20 and part.height < 20


def test_units_and_several_bands_are_told_once(grid, tmp_path):
    values = np.repeat(1000 + np.mgrid[:40, :40].sum(axis=0)[..., None], 3, axis=-1)
    path = write_raster(tmp_path / "grey.tif", values.astype("int16"), **place())
    assert dem_oddities(path, grid) == []
    import rasterio

    with rasterio.open(path, "r+") as file:
        file.units = ["ft"] * 3
    (line,) = dem_oddities(path, grid)
    assert "elevations in ft are converted to metres" in line


def test_the_rows_of_an_image_are_not_kept(grid, monkeypatch):
    rows, alive, read = [], [], oddities.read_window

    def recorded(*words, **options):
        alive.append(sum(row() is not None for row in rows))
        raster = read(*words, **options)
        rows.append(weakref.ref(raster.values))
        return raster

    monkeypatch.setattr(oddities, "read_window", recorded)
    image_oddities(grid.path)
    assert len(rows) == 40 and max(alive) == 1  # the one before


def test_an_image_of_one_colour(tmp_path, grid):
    (line,) = image_oddities(grid.path)
    assert "one colour everywhere" in line


@pytest.mark.slow
def test_a_reference_upside_down_is_told_before_the_work(tmp_path, rng, capsys):
    image, mask = landslide_image(rng)
    write_raster(tmp_path / "scene.tif", np.repeat(image[..., None], 3, axis=-1), **place())
    scene = tmp_path / "scene.tif"
    for values, told in ((mask, 0), (mask[::-1], 1)):
        path = write_raster(tmp_path / "mask.tif", values, **place())
        with open_raster(scene) as file:
            labels = open_labels(path, Grid(file))
        lines = reference_oddities(path, scene, labels)
        assert len(lines) == told
        assert all("better when mirrored top to bottom; look" in line for line in lines)
        assert all(line.startswith(f"{path}: the masks look misplaced") for line in lines)
        cut_scene(scene, path, tmp_path / f"tiles{told}")
        assert capsys.readouterr().out.splitlines() == [f"warning: {line}" for line in lines]


def test_elevations_in_decimetres_are_too_steep(grid, tmp_path):
    y, x = np.mgrid[:40, :40]
    for factor, told in ((1, 0), (10, 1)):  # 0.4 m a metre: 29 degrees, or 80
        values = (factor * (500 + 0.4 * 2 * (y + x))).astype("float32")
        lines = dem_oddities(write_raster(tmp_path / "d.tif", values, **place()), grid)
        assert ["half of the DEM" in line for line in lines] == [True] * told


def test_the_slopes_that_are_kept_do_not_grow_with_the_dem(grid, tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(oddities, "STRIP_PX", 400)  # four strips of 10 rows
    monkeypatch.setattr(oddities, "steep_warnings", lambda rises: kept.append(len(rises)) or [])
    dem_oddities(dem(tmp_path), grid)
    # at 2 m a pixel slopes reach over 5: 5 x 35 in a strip, of which every fourth is kept
    assert kept == [4 * 44]


def test_an_outline_of_the_whole_area_among_the_polygons(grid, tmp_path):
    left, bottom, right, top = grid.outline().bounds
    few = [shapely.box(left, bottom, left + 10, top)]
    for shapes, told in ((few, 0), ([*few, shapely.box(left - 5, bottom - 5, right, top)], 1)):
        path = tmp_path / f"{told}.gpkg"
        geopandas.GeoSeries(shapes, crs=grid.crs).to_file(path)
        lines = reference_oddities(path, grid.path, open_labels(path, grid))
        assert ["cover 100% of the mask" in line for line in lines] == [True] * told
