"""What the page may read, and what not."""

import contextlib
import os
import shutil

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conftest import write_raster
from landslide_tf.app.places import available_models, check_file, inside, listed
from landslide_tf.app.site_folders import Site
from landslide_tf.checks import InputError

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
