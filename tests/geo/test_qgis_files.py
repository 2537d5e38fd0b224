"""Styles, project and tags: well-formed, complete, and about the files that are there."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from made_maps import make_map
from rasterio.enums import ColorInterp

from conftest import write_raster
from landslide_tf import __version__
from landslide_tf.geo.attributes import CONFIDENCE, FIELDS
from landslide_tf.geo.job import OUTPUTS, MapOptions


@pytest.fixture(scope="module")
def scored_map(red_run, tmp_path_factory):
    """A map with a reference; its folder, and that of its image."""
    folder = tmp_path_factory.mktemp("qgis")
    place = {"crs": "EPSG:32647", "transform": rasterio.Affine(2, 0, 470000, 0, -2, 3445000)}
    image = np.full((60, 80, 3), 60, "uint8")
    image[20:40, 20:40] = 255
    mask = np.zeros((60, 80), "uint8")
    mask[20:40, 25:50] = 1
    scene = write_raster(folder / "in/a & b <scene>.tif", image, **place)
    dem = write_raster(folder / "in/dem.tif", np.full((60, 80), 9.0, "float32"), **place)
    reference = write_raster(folder / "in/mask.tif", mask, **place)
    make_map(red_run, (scene, dem), folder / "map", MapOptions(reference=str(reference)))
    return folder / "map", scene


def test_all_files_are_known(scored_map):
    """What a map writes is what the next one replaces."""
    names = {path.name for path in scored_map[0].iterdir()}
    assert names <= set(OUTPUTS)
    assert {"map.qgz", "probability.qml", "landslides.qml", "errors.qml"} <= names


@pytest.mark.parametrize("name", ["probability", "landslides", "errors"])
def test_rasters_have_a_style_tags_and_units(scored_map, name):
    folder, _ = scored_map
    with rasterio.open(folder / f"{name}.tif") as file:
        tags = file.tags()
        assert file.descriptions[0]
        assert file.units == (tags["values"],) == ("percent" if name == "probability" else "class",)
        assert tags["product"] == f"landslide_tf {__version__}"
        assert tags["model"] and len(tags["date"]) == 10 and float(tags["threshold"]) == 0.5
    root = ElementTree.parse(folder / f"{name}.qml").getroot()
    renderer = root.find("pipe/rasterrenderer")
    if name == "probability":
        items = renderer.findall("rastershader/colorrampshader/item")
        values = [float(item.get("value")) for item in items]
        alpha = [int(item.get("alpha")) for item in items]
        assert values[0] == 0 and values[-1] == 100  # percent
        assert alpha == sorted(alpha) and alpha[0] == 0  # clear where low
        return
    entries = renderer.findall("colorPalette/paletteEntry")
    shown = {int(e.get("value")): int(e.get("alpha")) for e in entries}
    assert shown == ({1: 255} if name == "landslides" else {0: 0, 1: 255, 2: 255, 3: 255})
    assert all(e.get("label") for e in entries)


def test_the_polygon_style_knows_all_columns_and_classes(scored_map):
    root = ElementTree.parse(scored_map[0] / "landslides.qml").getroot()
    assert [a.get("field") for a in root.iter("alias")] == [f.name for f in FIELDS]
    categories = root.findall("renderer-v2/categories/category")
    assert [int(c.get("value")) for c in categories] == list(CONFIDENCE)
    symbols = {s.get("name") for s in root.findall("renderer-v2/symbols/symbol")}
    assert {c.get("symbol") for c in categories} == symbols


def test_the_project_opens_what_is_there(scored_map):
    folder, scene = scored_map
    with zipfile.ZipFile(folder / "map.qgz") as file:
        root = ElementTree.fromstring(file.read("map.qgs"))
    order = [layer.get("id") for layer in root.iter("layer-tree-layer")]
    layers = {layer.findtext("id"): layer for layer in root.iter("maplayer")}
    assert set(order) == set(layers)
    sources = [layers[key].findtext("datasource").split("|")[0] for key in order]
    # from top to bottom
    assert [source.rpartition("/")[2] for source in sources] == [
        "landslides.gpkg", "errors.tif", "landslides.tif", "probability.tif", scene.name
    ]  # fmt: skip
    for source in sources:
        assert not source.startswith("/")
        assert (folder / source).resolve().is_file()
    assert {e.text for e in root.iter("authid")} == {"EPSG:32647"}
    extent = {side.tag: float(side.text) for side in root.find("mapcanvas/extent")}
    assert extent == {"xmin": 470000, "xmax": 470160, "ymin": 3445000 - 120, "ymax": 3445000}


def test_the_project_shows_the_bands_that_are_tagged_red_green_and_blue(
    red_run, make_scene, tmp_path
):
    scene = make_scene((60, 60))
    with rasterio.open(scene[0], "r+") as file:
        file.colorinterp = [ColorInterp.blue, ColorInterp.red, ColorInterp.green]
    make_map(red_run, scene, tmp_path / "map")
    with zipfile.ZipFile(tmp_path / "map/map.qgz") as file:
        (name,) = (name for name in file.namelist() if name.endswith(".qgs"))
        root = ElementTree.fromstring(file.read(name))
    (shown,) = root.iterfind(".//rasterrenderer[@type='multibandcolor']")
    assert [shown.get(f"{colour}Band") for colour in ("red", "green", "blue")] == ["2", "3", "1"]


def test_a_map_without_a_reference_leaves_no_errors_behind(
    red_run, scored_map, make_scene, tmp_path
):
    scene = make_scene((60, 60))
    make_map(red_run, scene, tmp_path / "map", MapOptions(formats="shp"))
    assert (tmp_path / "map/landslides.shp").exists()
    make_map(red_run, scene, tmp_path / "map", MapOptions(), overwrite=True)
    names = {path.name for path in (tmp_path / "map").iterdir()}
    assert not [n for n in names if n.startswith("errors") or n.endswith((".shp", ".dbf", ".prj"))]


@pytest.mark.slow
@pytest.mark.parametrize(
    "first",
    [
        "from landslide_tf.cli.options import import_keras_quietly as load; load()",
        "from landslide_tf.geo.mapping import map_scenes",
    ],
)
def test_polygons_have_a_spatial_index(tmp_path, first):
    """In a new process, in which TensorFlow brings its own SQLite."""
    program = f"""{first}
import sqlite3, sys, shapely
from landslide_tf.geo.geopackage import FeatureFile
assert "tensorflow" in sys.modules
file = FeatureFile("map.gpkg", "EPSG:32647", {{"id": "int32"}})
file.add(id=1, geometry=shapely.box(0, 0, 2, 3))
file.end()
rows = "SELECT rowid FROM rtree_landslides_geom_rowid"
print(sqlite3.connect("map.gpkg").execute(rows).fetchall())"""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ended.stdout == "[(1,)]\n", ended.stderr
