"""Landslide polygons from vector files of any name, format and kind of geometry."""

import json
import shutil

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely
from rasterio.transform import from_origin
from rasterio.windows import Window

from conftest import write_raster
from landslide_tf.checks import InputError
from landslide_tf.data.opening import open_raster
from landslide_tf.geo.overlay import Grid, open_labels
from landslide_tf.geo.vector import attribute_warnings

WEST, NORTH = 470000, 3445000
PLACE = {"crs": "EPSG:32647", "transform": from_origin(WEST, NORTH, 2, 2)}


@pytest.fixture
def grid(tmp_path):
    """A scene of 40 x 60 pixels of 2 m."""
    path = write_raster(tmp_path / "scene.tif", np.full((40, 60, 3), 9, "uint8"), **PLACE)
    with open_raster(path) as file:
        return Grid(file)


def square(row, column, side=5):
    """Pixels of the scene as a polygon."""
    left, top = WEST + 2 * column, NORTH - 2 * row
    return shapely.box(left, top - 2 * side, left + 2 * side, top)


TWO = [square(5, 5), square(20, 30)]  # 25 pixels each


def written(path, shapes=TWO, crs=32647, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    geopandas.GeoSeries(shapes, crs=crs).to_file(path, **options)
    return path


def pixels(path, grid) -> int:
    return int(open_labels(path, grid)(Window(0, 0, 60, 40)).values.sum())


def refused(path, grid, *words):
    with pytest.raises(InputError) as error:
        pixels(path, grid)
    message = str(error.value)
    assert str(path) in message and "\n" not in message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize(
    "name",
    ["a!b.gpkg", "a!b.shp", "x!y/a.gpkg", "!.geojson", "a b.gpkg", "a#b.gpkg", "a%20b.gpkg",
     "é.gpkg", "a'b.gpkg", "[a].gpkg", "a,b.shp"],
)  # fmt: skip
def test_any_name_is_read(name, grid, tmp_path):
    plain = written(tmp_path / "plain" / f"a.{name.split('.')[-1]}")
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    for part in plain.parent.iterdir():  # a shapefile is several
        shutil.copy(part, path.with_suffix(part.suffix))
    assert pixels(path, grid) == 50


def test_collections_are_taken_apart(grid, tmp_path):
    collection = shapely.GeometryCollection([TWO[0], shapely.GeometryCollection([TWO[1]])])
    assert pixels(written(tmp_path / "a.gpkg", [collection]), grid) == 50
    collection = shapely.GeometryCollection([TWO[0], shapely.Point(WEST + 9, NORTH - 9)])
    refused(written(tmp_path / "b.gpkg", [collection]), grid, "holds Point")


@pytest.mark.parametrize("suffix", ["gpkg", "shp", "geojson"])
def test_a_file_without_features(suffix, grid, tmp_path):
    path = tmp_path / f"a.{suffix}"
    frame = geopandas.GeoDataFrame({"id": [1]}, geometry=TWO[:1], crs=32647).iloc[:0]
    frame.to_file(path)
    refused(path, grid, "holds no polygons; give")


def test_metres_in_a_geojson_without_a_crs(grid, tmp_path):
    path = tmp_path / "a.geojson"
    shapes = [{"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(s)}
              for s in TWO]  # fmt: skip
    path.write_text(json.dumps({"type": "FeatureCollection", "features": shapes}))
    refused(path, grid, "are no degrees", "ogr2ogr -a_srs")


def test_parts_of_a_shapefile(grid, tmp_path):
    path = written(tmp_path / "a.shp")
    for suffix in (".cpg", ".dbf"):
        path.with_suffix(suffix).unlink()
        assert pixels(path, grid) == 50
    path.with_suffix(".shx").unlink()
    refused(path, grid, "a.shx", "copy all files of the shapefile")


def test_archives_and_other_encodings(grid, tmp_path):
    written(tmp_path / "sub/a.shp")
    archive = shutil.make_archive(tmp_path / "a", "zip", tmp_path, "sub")
    refused(archive, grid, "an archive", "unpack it")
    plain = written(tmp_path / "a.geojson", driver="GeoJSON")
    (tmp_path / "b.geojson").write_bytes(b"\xef\xbb\xbf" + plain.read_bytes())
    assert pixels(tmp_path / "b.geojson", grid) == 50
    (tmp_path / "c.geojson").write_text(plain.read_text(), encoding="utf-16")
    refused(tmp_path / "c.geojson", grid, "no format that is known")


def ring(*corners):
    """A polygon of (row, column), which may cross itself."""
    return shapely.Polygon((WEST + 2 * column, NORTH - 2 * row) for row, column in corners)


@pytest.mark.parametrize(
    "shape, area",
    [
        # two parts of 8 x 8 pixels that share 4 x 4
        (shapely.MultiPolygon([square(5, 5, 8), square(9, 9, 8)]), 2 * 64 - 16),
        (shapely.MultiPolygon([square(5, 5), square(5, 5)]), 25),
        # one ring around 10 x 15 and 5 x 10 pixels, around 5 x 5 of the former twice
        (ring((5, 5), (15, 5), (15, 15), (10, 15), (10, 10), (20, 10), (20, 20), (5, 20)), 200),
    ],
)
def test_what_is_drawn_twice_is_landslide(shape, area, grid, tmp_path):
    assert not shape.is_valid
    assert pixels(written(tmp_path / "a.gpkg", [shape]), grid) == area


def test_without_the_index_of_a_geopackage(grid, tmp_path, monkeypatch):
    # TensorFlow's SQLite, which GDAL may meet, has no R-tree
    path = written(tmp_path / "a.gpkg", [*TWO, square(5, 500)])
    read = pyogrio.read_dataframe

    def without(*arguments, bbox=None, **options):
        if bbox is not None:
            raise pyogrio.errors.FeatureError("Failed to prepare SQL: no such module: rtree")
        return read(*arguments, **options)

    monkeypatch.setattr(pyogrio, "read_dataframe", without)
    assert pixels(path, grid) == 50


def test_geometry_in_a_column_of_a_table(grid, tmp_path):
    (tmp_path / "a.csv").write_text(f'id,WKT\n1,"{TWO[0].wkt}"\n')
    (tmp_path / "a.vrt").write_text(
        '<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource relativeToVRT="1">a.csv'
        '</SrcDataSource><LayerSRS>EPSG:32647</LayerSRS><GeometryField encoding="WKT" '
        'field="WKT"/></OGRVRTLayer></OGRVRTDataSource>'
    )
    assert pixels(tmp_path / "a.vrt", grid) == 25


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["slide", "No landslide", "no landslide "], "kind is 'No landslide' in 2 of 3"),
        (["a", "b", "non_landslide"], "kind is 'non_landslide' in 1 of 3"),
        (["not a slide", None, "c"], "kind is 'not a slide' in 1 of 3"),
        (["background", "landslide", "landslide"], "kind is 'background' in 1 of 3"),
        # kinds and states of landslides, and remarks
        (["rotational landslide", "stable", "no landslide inventory yet"], None),
        ([0, 1, 2], None),
        ([None, None, None], None),
    ],
)
@pytest.mark.parametrize("name", ["p.gpkg", "p.geojson", "p.shp"])
def test_polygons_that_an_attribute_calls_no_landslide(values, told, name, tmp_path):
    shapes = [*TWO, square(1, 20)]
    frame = geopandas.GeoDataFrame({"kind": values}, geometry=shapes, crs=32647)
    frame.to_file(tmp_path / name)
    lines = attribute_warnings(tmp_path / name)
    assert [line.split(" of 3")[0] + " of 3" for line in lines] == ([told] if told else [])
    assert all("count as landslides all the same" in line for line in lines)


def test_attributes_in_any_encoding_say_nothing(tmp_path):
    path = written(tmp_path / "p.shp")
    frame = geopandas.GeoDataFrame({"类型": ["滑坡", "崩塌"]}, geometry=TWO, crs=32647)
    frame.to_file(path, encoding="GBK")
    path.with_suffix(".cpg").write_text("UTF-8")
    assert attribute_warnings(path) == []
