"""`data stack`: four bands on the image's grid."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from conftest import write_raster
from landslide_tf.cli import main
from landslide_tf.geo.stack import write_stack


def test_bands_no_data_and_tags(make_scene, tmp_path):
    image = np.random.default_rng(0).integers(1, 255, (20, 30, 3)).astype("uint8")
    image[:2] = 0  # tagged
    image[5, 5, 0] = 0  # a colour
    dem = np.linspace(100, 160, 600, dtype="float32").reshape(20, 30)
    dem[:, 28:] = np.nan
    scene = make_scene(image=image, dem=dem, nodata=0)
    found = write_stack(*scene, tmp_path / "stack.tif")
    assert found["valid"] == 18 * 28 / 600 and found["notes"] == []
    with rasterio.open(tmp_path / "stack.tif") as file, rasterio.open(scene[0]) as like:
        assert file.dtypes == ("float32",) * 4 and file.nodatavals == (-32768.0,) * 4
        assert (file.crs, file.transform, file.shape) == (like.crs, like.transform, like.shape)
        assert file.descriptions == ("red", "green", "blue", "elevation in metres")
        assert [kind.name for kind in file.colorinterp] == ["red", "green", "blue", "undefined"]
        bands = np.moveaxis(file.read(), 0, -1)
    expected = np.where((np.arange(20) < 2)[:, None, None], -32768, image.astype("float32"))
    np.testing.assert_array_equal(bands[..., :3], expected)
    np.testing.assert_array_equal(bands[..., 3], np.nan_to_num(dem, nan=-32768))


def test_a_dem_of_another_grid_lies_right(make_scene, tmp_path):
    # z = 3 x on pixels of 5 m; bilinear keeps a plane
    image, _ = make_scene((40, 40))
    x = 469900 + 5 * (np.arange(70) + 0.5)
    plane = np.broadcast_to(((x - 470000) * 3).astype("float32"), (70, 70))
    place = {"crs": "EPSG:32647", "transform": from_origin(469900, 3445100, 5, 5)}
    found = write_stack(image, write_raster(tmp_path / "d.tif", plane, **place), tmp_path / "s.tif")
    with rasterio.open(tmp_path / "s.tif") as file:
        own = np.broadcast_to((np.arange(40) * 2 + 1) * 3, (40, 40))
        np.testing.assert_allclose(file.read(4), own, atol=1e-3)
    assert found["dem"].startswith("resampled onto the image's grid")


def test_strips_join_without_a_step(make_scene, tmp_path, monkeypatch):
    from landslide_tf.geo import stack

    scene = make_scene((600, 70))
    whole = tmp_path / "whole.tif"
    write_stack(*scene, whole)
    monkeypatch.setattr(stack, "STRIP_PX", 256 * 70)  # three strips
    write_stack(*scene, tmp_path / "strips.tif")
    with rasterio.open(whole) as a, rasterio.open(tmp_path / "strips.tif") as b:
        np.testing.assert_array_equal(a.read(), b.read())


def test_bad_input(make_scene, tmp_path, capsys):
    image, dem = make_scene()
    out = tmp_path / "stack.tif"

    def stack(*words):
        return main([str(word) for word in ("data", "stack", *words)])

    words = ("--image", image, "--dem", dem, "--out")
    assert stack(*words, out) == 0
    assert "70 x 90 pixels" in capsys.readouterr().out
    before = out.read_bytes()
    assert stack(*words, out) == 2
    assert "give --overwrite" in capsys.readouterr().err
    assert stack(*words, dem, "--overwrite") == 2
    assert "does not replace inputs" in capsys.readouterr().err
    assert stack(*words, tmp_path / "stack.png") == 2
    assert "ends in .tif" in capsys.readouterr().err
    empty, _ = make_scene(image=np.zeros((70, 90, 3), "uint8"), name="empty", nodata=0)
    assert stack("--image", empty, "--dem", dem, "--out", out, "--overwrite") == 2
    assert "no data in common" in capsys.readouterr().err
    assert out.read_bytes() == before
    assert not list(tmp_path.glob(".writing*"))


@pytest.mark.parametrize("kind", ["uint16", "degrees"])
def test_what_deepness_may_stumble_over_is_said(kind, make_scene, tmp_path):
    image = np.full((20, 30, 3), 90, "uint16" if kind == "uint16" else "uint8")
    place = None
    if kind == "degrees":
        place = {"crs": "EPSG:4326", "transform": from_origin(99, 30, 1e-4, 1e-4)}
    scene = make_scene((20, 30), image=image, place=place)
    (note,) = write_stack(*scene, tmp_path / "stack.tif")["notes"]
    assert ("is uint16" if kind == "uint16" else "counts in metres") in note
