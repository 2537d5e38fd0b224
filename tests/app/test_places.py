"""What the page may read, and what not."""

import contextlib
import os
import shutil
import zipfile

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st

from conftest import write_raster
from landslide_tf.app.places import available_models, check_file, inside, listed
from landslide_tf.app.site_folders import Site
from landslide_tf.checks import InputError
from landslide_tf.geo.vector import is_vector

REFUSED = "is not in the folder of the page"


@pytest.fixture
def folder(tmp_path):
    """A folder to serve, beside a secret; links that lead out of it, and one that stays."""
    root = tmp_path / "served"
    write_raster(root / "a.tif", np.ones((4, 4), "uint8"))
    write_raster(root / "deep/b.TIF", np.ones((4, 4), "uint8"), driver="GTiff")
    write_raster(tmp_path / "secret.tif", np.ones((4, 4), "uint8"))
    (root / "link.tif").symlink_to(tmp_path / "secret.tif")
    (root / "linked").symlink_to(tmp_path)
    (root / "same.tif").symlink_to(root / "a.tif")
    (root / ".hidden.tif").write_bytes(b"")
    return root


def test_files_in_the_folder_are_found(folder):
    assert inside(folder, "deep/b.TIF") == folder / "deep/b.TIF"
    assert inside(folder, "same.tif") == folder / "a.tif"
    assert inside(folder, "deep/../a.tif") == folder / "a.tif"


@pytest.mark.parametrize(
    "name", ["../secret.tif", "link.tif", "linked/secret.tif", "deep/../../secret.tif",
             "/etc/passwd", "/vsizip/a.zip/b.tif", "absent.tif", "a.tif\0", "", "http://a.org/b.tif"]
)  # fmt: skip
def test_nothing_else_is(folder, name):
    if name == "":  # the folder itself, which is no file
        with pytest.raises(OSError):
            check_file(inside(folder, name), "scene", folder)
        return
    with pytest.raises(InputError, match=REFUSED):
        inside(folder, name)


@given(st.text(max_size=40))
@example("../" * 20 + "etc/passwd")
@example("\ud800")
def test_whatever_the_name_it_stays_inside(tmp_path_factory, name):
    root = tmp_path_factory.mktemp("root")
    with contextlib.suppress(InputError):
        assert inside(root, name).is_relative_to(root)


def test_the_list_holds_files_of_the_folder_alone(folder):
    (folder / "<img src=x>.tif").write_bytes(b"")
    assert listed(folder, "scene") == ["<img src=x>.tif", "a.tif", "same.tif", "deep/b.TIF"]
    assert listed(None, "scene") == []


VRT = """<VRTDataset rasterXSize="4" rasterYSize="4"><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename>{}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"""


@pytest.mark.parametrize("kind", ["scene", "tile", "reference"])
def test_files_that_name_other_files_are_refused(folder, tmp_path, kind):
    (folder / "vrt.tif").write_text(VRT.format(tmp_path / "secret.tif"))
    (folder / "wms.tif").write_text("<GDAL_WMS><Service name='TMS'/></GDAL_WMS>")
    (folder / "ogr.gpkg").write_text("<OGRVRTDataSource/>")
    (folder / "json.tif").write_text('{"type": "FeatureCollection"}')
    (folder / "empty.tif").write_bytes(b"")
    for name in ("vrt.tif", "wms.tif", "ogr.gpkg", "json.tif", "empty.tif"):
        with pytest.raises(InputError, match=f"{name}: is no"):
            check_file(folder / name, kind, folder)
    assert check_file(folder / "a.tif", kind, folder) == folder / "a.tif"


KML = '<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{}</Document></kml>'


@pytest.fixture
def polygons():
    square = shapely.box(98.61, 31.11, 98.62, 31.12)
    return geopandas.GeoDataFrame({"n": [1]}, geometry=[square], crs="EPSG:4326")


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson", "a.json", "a.kml", "a.shp", "zipped.zip"])
def test_references_of_each_kind_are_read(folder, polygons, name):
    path = folder / name
    drivers = {".json": "GeoJSON", ".kml": "KML"}
    if name == "zipped.zip":
        polygons.to_file(folder / "deep/a.shp")
        with zipfile.ZipFile(path, "w") as archive:
            for part in (folder / "deep").glob("a.*"):
                archive.write(part, part.name)
    else:
        polygons.to_file(path, driver=drivers.get(path.suffix))
    assert check_file(path, "reference", folder) == path
    assert name in listed(folder, "reference")
    assert is_vector(path)
    with pytest.raises(InputError, match=f"{name}: is no TIFF"):
        check_file(path, "scene", folder)


def test_vector_files_that_lead_elsewhere_are_refused(folder, tmp_path, polygons):
    polygons.to_file(tmp_path / "secret.geojson")
    layer = "<OGRVRTLayer name='secret'><SrcDataSource>{}</SrcDataSource></OGRVRTLayer>"
    vrt = f"<OGRVRTDataSource>{layer.format(tmp_path / 'secret.geojson')}</OGRVRTDataSource>"
    (tmp_path / "direct.vrt").write_text(vrt)
    assert is_vector(tmp_path / "direct.vrt")  # GDAL would read it
    bad = {
        "direct.kml": vrt, "second.kml": KML.format("") + vrt, "cut.kml": "<kml><Document>",
        "other.kml": "<gpx/>", "direct.geojson": vrt, "stac.json": '{"stac_version": "1.0.0"}',
        "topo.json": '{"type": "Topology", "objects": {}, "arcs": []}', "text.zip": "PK",
    }  # fmt: skip
    for name, text in bad.items():
        (folder / name).write_text(text)
    with zipfile.ZipFile(folder / "vrt.zip", "w") as archive:
        archive.writestr("a.vrt", vrt)
    with zipfile.ZipFile(folder / "named.zip", "w") as archive:
        archive.writestr("a.shp", vrt)
    for name in (*bad, "vrt.zip", "named.zip"):
        with pytest.raises(InputError, match=f"{name}: is no GeoPackage, GeoJSON"):
            check_file(folder / name, "reference", folder)
    polygons.to_file(tmp_path / "secret.shp")
    polygons.to_file(folder / "led.shp")
    (folder / "led.dbf").unlink()
    (folder / "led.dbf").symlink_to(tmp_path / "secret.dbf")
    with pytest.raises(InputError, match=REFUSED):
        check_file(folder / "led.shp", "reference", folder)


def test_the_files_of_a_shapefile_are_uploaded_together(folder, tmp_path, polygons):
    site = Site(tmp_path, folder, tmp_path / "own", None)
    polygons.to_file(tmp_path / "a.shp")
    uploads = []
    for path in sorted(tmp_path.glob("a.*")):  # each is put into a folder of its own
        target = site.uploads / path.suffix[1:] / path.name
        target.parent.mkdir(parents=True)
        shutil.copy(path, target)
        uploads.append(str(target))
    found = site.file(uploads, "", "reference")
    assert len(geopandas.read_file(found)) == 1
    assert site.file(uploads, "", "reference") == found
    assert site.file([], "", "reference") is None
    with pytest.raises(InputError, match="all files of one shapefile"):
        site.file([*uploads, *uploads], "", "reference")


def test_what_lies_beside_a_file_must_not_lead_out(folder, tmp_path):
    shutil.copy(tmp_path / "secret.tif", tmp_path / "overview")
    (folder / "a.tif.ovr").symlink_to(tmp_path / "overview")
    with pytest.raises(InputError, match=REFUSED):
        check_file(folder / "a.tif", "scene", folder)


def test_uploads_and_files_each_come_from_their_folder(folder, tmp_path):
    site = Site(tmp_path, folder, tmp_path / "own", None)
    upload = write_raster(site.uploads / "1/up.tif", np.ones((4, 4), "uint8"))
    assert site.file(str(upload), "", "scene") == upload
    assert site.file(None, "a.tif", "scene") == folder / "a.tif"
    assert site.file(None, "", "scene") is None
    for uploaded, name in ((folder / "a.tif", ""), ("../jobs/x", ""), (None, "../secret.tif")):
        with pytest.raises(InputError, match=REFUSED):
            site.file(uploaded and str(uploaded), name, "scene")


def test_models_are_complete_runs_within_the_folder(red_run, tmp_path):
    runs = tmp_path / "runs"
    shutil.copytree(red_run, runs / "study/red")
    shutil.copytree(red_run, runs / "cut-off")
    (runs / "cut-off/metrics.json").unlink()
    shutil.copytree(red_run, runs / "leads-out")
    (runs / "leads-out/model.keras").unlink()
    (runs / "leads-out/model.keras").symlink_to(red_run / "model.keras")
    (runs / "linked").symlink_to(red_run)
    own = {name: path for name, path in available_models(runs).items() if "(included)" not in name}
    assert own == {"study/red": runs / "study/red"}
    assert "red" in available_models(runs / "study/red")
    assert os.listdir(runs / "cut-off")
