"""What the table of landslides says, against arithmetic and the files themselves."""

import contextlib
import dataclasses
import json
import math
import sqlite3
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
import shapely
from made_maps import FLOAT, make_map, read, read_table
from rasterio.transform import Affine, from_origin
from scene_runs import make_run
from scipy import ndimage

from landslide_tf.geo.attributes import FIELDS, confidence, ellipticity
from landslide_tf.geo.polygons import touching

GEOD = pyproj.Geod(ellps="WGS84")


def bright(shape, *squares):
    image = np.zeros((*shape, 3), "uint8")
    for top, left, bottom, right in squares:
        image[top:bottom, left:right] = 255
    return image


def test_names_fit_a_shapefile():
    assert len({f.name for f in FIELDS}) == len(FIELDS)
    assert all(len(f.name) <= 10 and f.source and f.title for f in FIELDS)


def test_polygons_are_those_of_the_mask(red_run, make_scene, tmp_path):
    """Number, area, probability and elevation of each against SciPy on whole arrays."""
    rng = np.random.default_rng(5)
    image = bright((150, 200), (20, 30, 60, 90))
    image[30:40, 40:50] = 0  # a hole that stays: 100 pixels
    image[45, 60] = 0  # one that is filled
    noise = ndimage.gaussian_filter(rng.random((60, 120)), 2)
    image[80:140, 60:180] = np.where(noise > 0.505, 230, 0)[..., None]  # ragged
    image[5, 5] = 255  # a speck
    scene = make_scene((150, 200), image=image)
    report = make_map(red_run, scene, tmp_path / "map", dataclasses.replace(FLOAT, min_area=40))
    frame = read_table(tmp_path / "map")
    p, dem = read(tmp_path / "map/probability.tif"), read(scene[1])
    labels, count = ndimage.label(p >= 0.5)
    index = np.arange(1, count + 1)
    filled = [ndimage.binary_fill_holes(labels == i) for i in index]
    # holes of 10 pixels (of 4 m2) and more stay
    for mask in filled:
        holes, _ = ndimage.label(mask & (p < 0.5), np.ones((3, 3)))
        mask &= np.isin(holes, np.flatnonzero(np.bincount(holes.ravel()) < 10)) | (holes == 0)
    sizes = np.array([mask.sum() for mask in filled])
    kept = sizes >= 10
    assert 5 < kept.sum() < count
    assert report["landslides"] == len(frame) == kept.sum()
    assert report["cleaning"]["dropped"] == count - kept.sum()
    assert report["cleaning"]["holes_filled"] >= 1
    assert sorted(frame.area_m2) == pytest.approx(sorted(4 * sizes[kept]), rel=0.02, abs=1)
    assert report["area_km2"] == pytest.approx(frame.area_m2.sum() / 1e6)
    means = ndimage.mean(p, labels, index)[kept]
    assert sorted(frame.prob_mean) == pytest.approx(sorted(means), abs=0.0051)
    assert sorted(frame.crown_m) == sorted(ndimage.maximum(dem, labels, index)[kept])
    assert sorted(frame.toe_m) == sorted(ndimage.minimum(dem, labels, index)[kept])
    assert frame.id.tolist() == list(range(1, len(frame) + 1))
    assert frame.is_valid.all()
    tree = frame.sindex.query(frame.geometry, predicate="overlaps")
    assert tree.size == 0  # neighbours do not overlap
    # areas and perimeters of the outlines that are in the file, on the ellipsoid
    for row in frame.to_crs(4326).itertuples():
        polygon = shapely.orient_polygons(row.geometry)
        area, perimeter = GEOD.geometry_area_perimeter(polygon)
        assert row.area_m2 == pytest.approx(area, abs=0.51)
        assert row.perim_m == pytest.approx(perimeter, abs=0.51)


def test_terrain_of_a_plane(red_run, make_scene, tmp_path):
    # z rises 2 m a pixel of 2 m to the east and 1 m to the south: downhill is west and a bit north
    square = bright((80, 80), (20, 30, 40, 60))  # 20 rows, 30 columns
    make_map(red_run, make_scene((80, 80), image=square), tmp_path / "map", FLOAT)
    row = read_table(tmp_path / "map").iloc[0]
    assert row.slope_deg == pytest.approx(math.degrees(math.atan(math.hypot(1, 0.5))), abs=0.06)
    # grid north is 0.17 degrees from north here: 270 + atan(1/2) = 296.6
    assert row.aspect_deg == pytest.approx(270 + math.degrees(math.atan(0.5)), abs=1)
    assert (row.toe_m, row.crown_m) == (1000 + 2 * 30 + 20, 1000 + 2 * 59 + 39)
    assert row.height_m == 29 * 2 + 19
    # extent of a 60 m x 40 m rectangle along (2, 1) / sqrt 5 and across it
    length, width = (60 * 2 + 40) / math.sqrt(5), (60 + 40 * 2) / math.sqrt(5)
    assert row.length_m == pytest.approx(length, abs=1.5)  # corners are cut
    assert row.width_m == pytest.approx(width, abs=1.5)
    assert row.h_over_l == pytest.approx(77 / length, abs=0.02)
    assert (row.low_slope, row.amalgam, row.edge) == ("no", "no", "no")
    assert row.axis_m == pytest.approx(60, abs=1)


def test_aspect_does_not_turn_with_the_image(red_run, make_scene, tmp_path):
    # rows run to the south-west: the plane that rises along x then rises to the north-east by 30
    t = Affine.translation(470000, 3445000) @ Affine.rotation(30) @ Affine.scale(2, -2)
    place = {"crs": "EPSG:32647", "transform": t}
    dem = np.broadcast_to(np.arange(80.0), (80, 80)).astype("float32")
    scene = make_scene((80, 80), image=bright((80, 80), (20, 30, 40, 60)), dem=dem, place=place)
    make_map(red_run, scene, tmp_path / "map", FLOAT)
    # uphill is 30 degrees north of east, azimuth 60; downhill 240
    assert read_table(tmp_path / "map").aspect_deg.tolist() == pytest.approx([240], abs=1)


def test_level_ground_has_no_aspect_and_is_flagged(red_run, make_scene, tmp_path):
    scene = make_scene(
        (60, 60), image=bright((60, 60), (20, 20, 40, 40)), dem=np.full((60, 60), 7.0)
    )
    make_map(red_run, scene, tmp_path / "map", FLOAT)
    row = read_table(tmp_path / "map").iloc[0]
    assert (row.low_slope, row.height_m, row.slope_deg) == ("yes", 0, 0)
    assert np.isnan([row.aspect_deg, row.length_m, row.h_over_l]).all()


def test_without_a_dem_terrain_is_absent(make_scene, tmp_path):
    run = make_run(tmp_path / "run", [8, 0, 0], -4.0, fusion="rgb")
    image, _ = make_scene((60, 60), image=bright((60, 60), (20, 20, 40, 40)))
    make_map(run, (image, None), tmp_path / "map", FLOAT)
    columns = read_table(tmp_path / "map").columns
    assert {f.name for f in FIELDS if not f.with_dem} == set(columns) - {"geometry"}


def test_edges_are_flagged(red_run, make_scene, tmp_path):
    image = bright((100, 100), (0, 20, 30, 50), (50, 0, 90, 2), (40, 40, 60, 60))
    image[70:, 70:] = 1
    image[80:85, 75:99] = 255
    image[72:78, 70:78] = 255  # beside the no data that begins at row 66
    dem = np.full((100, 100), 5.0, "float32")
    dem[66:72, 60:] = np.nan
    image[92:98, 70:90] = 255
    dem[96:, :] = np.nan
    scene = make_scene((100, 100), image=image, dem=dem)
    report = make_map(red_run, scene, tmp_path / "map", dataclasses.replace(FLOAT, min_area=0))
    frame = read_table(tmp_path / "map")
    flags = {(round(a / 4.004), e) for a, e in zip(frame.area_m2, frame.edge, strict=True)}
    # at the top; two pixels wide along the left; inside; inside; at no data; four rows above it
    assert flags == {
        (900, "cut"), (80, "sliver"), (400, "no"), (120, "no"), (48, "cut"), (80, "cut")
    }  # fmt: skip
    assert report["cleaning"]["cut_by_the_edge"] == 3
    assert report["cleaning"]["slivers_at_the_edge"] == 1


@pytest.mark.parametrize("cuts", [[6], [1, 2, 3], [3, 3], [1] * 6])
def test_touching_knows_the_rows_of_the_next_strip(cuts):
    valid = np.random.default_rng(0).random((6, 9)) < 0.8
    whole = valid & ~ndimage.binary_erosion(valid, np.ones((3, 3)))  # beyond the border: nothing
    top, parts = 0, []
    for rows in cuts:
        above = valid[top - 1] if top else None
        below = valid[top + rows] if top + rows < 6 else None
        parts.append(touching(valid[top : top + rows], above, below))
        top += rows
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_classes_of_confidence():
    # threshold 0.2: quarters end at 0.4, 0.6, 0.8
    assert [confidence(p, 0.2) for p in (0.2, 0.39, 0.41, 0.61, 0.81, 1)] == [1, 1, 3, 5, 8, 8]


def test_ellipticity_by_arithmetic():
    ellipse = shapely.affinity.scale(shapely.Point(0, 0).buffer(1, quad_segs=64), 3, 1)
    assert ellipticity(shapely.affinity.rotate(ellipse, 37)) == pytest.approx(1, abs=0.01)
    # two far apart, joined by a thin line: the ellipse lies between them
    dumb_bell = shapely.union_all(
        [shapely.box(0, 0, 2, 20), shapely.box(18, 0, 20, 20), shapely.box(0, 9.5, 20, 10)]
    )
    assert ellipticity(dumb_bell) < 0.5


def test_geopackage_for_old_readers(red_run, make_scene, tmp_path):
    scene = make_scene((60, 60), image=bright((60, 60), (20, 20, 40, 40)))
    options = dataclasses.replace(FLOAT, formats="gpkg,geojson,shp,kml,flatgeobuf")
    make_map(red_run, scene, tmp_path / "map", options)
    path = tmp_path / "map/landslides.gpkg"
    with contextlib.closing(sqlite3.connect(path)) as file:

        def rows(query):
            return file.execute(query).fetchall()

        assert rows("PRAGMA user_version") == [(10200,)]
        assert rows("PRAGMA integrity_check") == [("ok",)]
        title, abstract = rows("SELECT identifier, description FROM gpkg_contents")[0]
        assert "scene.tif" in title and "threshold 0.50" in abstract
        described = dict(rows("SELECT column_name, description FROM gpkg_data_columns"))
        names = {name for _, name, *_ in rows("PRAGMA table_info(landslides)")}
        assert described.keys() == names - {"fid", "geom"}
        assert rows("SELECT f_table_name, useAsDefault FROM layer_styles") == [("landslides", 1)]
    frame = read_table(tmp_path / "map")
    assert list(pyogrio.list_layers(path)[0]) == ["landslides", "MultiPolygon"]
    for name in ("geojson", "shp", "kml", "fgb"):
        other = geopandas.read_file(tmp_path / f"map/landslides.{name}")
        assert len(other) == len(frame) == 1
        assert other.crs.to_epsg() == (4326 if name in ("geojson", "kml") else 32647)
        assert other.to_crs(32647).area.tolist() == pytest.approx(frame.area, rel=1e-4)
        if name != "kml":  # it makes all values text
            assert float(other.area_m2[0]) == frame.area_m2[0]
            assert set(names - {"fid", "geom"}) <= set(other.columns)
    assert "crs" not in json.loads((tmp_path / "map/landslides.geojson").read_text())
    assert not list((tmp_path / "map").glob("unfinished*"))


def test_other_formats_are_written_among_the_unfinished(red_run, make_scene, tmp_path, monkeypatch):
    # A process that is killed while it writes leaves nothing beside the finished files.
    where, real = [], pyogrio.write_arrow

    def write(batches, path, **rest):
        where.append(Path(path).parent)
        real(batches, path, **rest)

    monkeypatch.setattr(pyogrio, "write_arrow", write)
    options = dataclasses.replace(FLOAT, formats="shp,kml")
    make_map(red_run, make_scene((60, 60)), tmp_path / "map", options)
    assert where == [tmp_path / "map/unfinished"] * 2


def test_a_map_of_nothing(red_run, make_scene, tmp_path):
    options = dataclasses.replace(FLOAT, formats="geojson,shp,kml,flatgeobuf")
    scene = make_scene((60, 60), image=bright((60, 60)))
    report = make_map(red_run, scene, tmp_path / "map", options)
    assert report["landslides"] == 0
    assert len(read_table(tmp_path / "map")) == 0
    assert len(geopandas.read_file(tmp_path / "map/landslides.geojson")) == 0


def test_geographic_scenes_are_measured_in_metres(red_run, make_scene, tmp_path):
    place = {"crs": "EPSG:4326", "transform": from_origin(10, 45, 1e-4, 1e-4)}
    scene = make_scene((60, 60), image=bright((60, 60), (20, 20, 40, 40)), place=place)
    make_map(red_run, scene, tmp_path / "map", FLOAT)
    row = read_table(tmp_path / "map").iloc[0]
    lon, lat = (10.002, 10.004, 10.004, 10.002), (44.996, 44.996, 44.998, 44.998)
    area, perimeter = GEOD.polygon_area_perimeter(lon, lat)
    assert row.area_m2 == pytest.approx(area, rel=2e-3)
    assert row.perim_m == pytest.approx(perimeter, rel=0.03)  # corners are cut
    with rasterio.open(scene[0]) as file:
        assert file.crs.is_geographic
