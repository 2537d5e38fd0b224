"""Maps that stop half-way: interrupted, a full disk, files damaged or not to be written."""

import dataclasses
import json

import numpy as np
import pyogrio
import pytest
import rasterio
from made_maps import FLOAT, make_map, read
from rasterio.transform import from_origin

from conftest import write_raster
from landslide_tf.checks import InputError, JobError
from landslide_tf.geo import infer, joining


def test_resume_computes_no_finished_block_twice(red_run, make_scene, tmp_path, monkeypatch):
    monkeypatch.setattr("landslide_tf.geo.windows.BLOCK_PX", 32)
    scene, out = make_scene((100, 100)), tmp_path / "map"
    make_map(red_run, scene, tmp_path / "whole")
    computed, real = [], infer.Reader.image

    def image(self, box):
        if box == (0, 0, 100, 100):  # the thumbnail
            return real(self, box)
        if len(computed) == 4 and "fixed" not in computed:
            raise KeyboardInterrupt
        computed.append(box)
        return real(self, box)

    monkeypatch.setattr(infer.Reader, "image", image)
    with pytest.raises(KeyboardInterrupt):
        make_map(red_run, scene, out)
    kept = sorted(path.name for path in (out / "unfinished").glob("block*.npy"))
    assert 1 <= len(kept) <= 4
    assert [path.name for path in out.iterdir()] == ["unfinished"]
    computed.append("fixed")
    report = make_map(red_run, scene, out, resume=True)
    # 6 windows an axis (0, 16, 32, 48, 64, 68), two in a block: 3 x 3 blocks
    assert len(computed) - 5 == 9 - len(kept)
    assert report["windows"]["computed_now"] < report["windows"]["all"] == 36
    assert not (out / "unfinished").exists()
    for name in ("probability", "landslides"):
        np.testing.assert_array_equal(
            read(out / f"{name}.tif"), read(tmp_path / f"whole/{name}.tif")
        )
    again = make_map(red_run, scene, out, resume=True)
    assert again == report  # read, not made


def test_a_full_disk_can_be_resumed(red_run, make_scene, tmp_path, monkeypatch):
    from landslide_tf.cli import main

    scene, out = make_scene(), tmp_path / "map"
    real = joining.write_cog

    def full(strips, target, resampling):
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(joining, "write_cog", full)
    command = ["map", "--model", red_run, "--image", scene[0], "--dem", scene[1], "--out", out]
    command = [str(word) for word in command]
    assert main(command) == 1
    assert not (out / "probability.tif").exists()
    monkeypatch.setattr(joining, "write_cog", real)
    assert main(command) == 2
    assert main([*command, "--resume"]) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["windows"]["computed_now"] == 0


def test_a_damaged_block_is_kept_out(red_run, tmp_path, make_scene, monkeypatch):
    monkeypatch.setattr("landslide_tf.geo.windows.BLOCK_PX", 16)
    rng = np.random.default_rng(3)
    image = rng.integers(1, 255, (128, 128, 3)).astype("uint8")
    _, dem = make_scene((128, 128))
    path = tmp_path / "tiled.tif"
    profile = {"driver": "GTiff", "count": 3, "height": 128, "width": 128, "dtype": "uint8",
               "crs": "EPSG:32647", "transform": from_origin(470000, 3445000, 2, 2),
               "tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate",
               "interleave": "pixel"}  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        file.write(np.moveaxis(image, -1, 0))
    content = bytearray(path.read_bytes())
    start = int(len(content) * 0.80)  # within the last of four blocks, which lie in order
    content[start : start + 2000] = bytes(2000)
    path.write_bytes(content)
    out = tmp_path / "map"
    with pytest.raises(JobError, match="--skip-bad"):
        make_map(red_run, (path, dem), out)
    assert not (out / "probability.tif").exists()
    assert list((out / "unfinished").glob("block*.npy"))
    report = make_map(
        red_run, (path, dem), out, dataclasses.replace(FLOAT, skip_bad=True), resume=True
    )
    bad = np.zeros((128, 128), bool)
    bad[64:, 64:] = True
    np.testing.assert_array_equal(np.isnan(read(out / "probability.tif")), bad)
    expected = 1 / (1 + np.exp(4 - 8 * image[..., 0].astype(float) / 255))
    np.testing.assert_allclose(read(out / "probability.tif")[~bad], expected[~bad], atol=1e-5)
    assert report["bad_blocks"] != []
    assert report["windows"]["computed_now"] < report["windows"]["with_data"]


def test_a_dem_of_another_grid_that_is_all_damaged_is_blamed(red_run, tmp_path, make_scene):
    image, _ = make_scene((64, 64))
    place = {"crs": "EPSG:32647", "transform": from_origin(470000, 3445000, 4, 4)}
    values = np.random.default_rng(0).random((32, 32)).astype("float32")
    dem = write_raster(tmp_path / "coarse.tif", values, **place)
    content = bytearray(dem.read_bytes())
    dem.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="without the . blocks that cannot be read"):
        make_map(red_run, (image, dem), tmp_path / "map", dataclasses.replace(FLOAT, skip_bad=True))
    assert not (tmp_path / "map").exists()


def test_polygons_that_cannot_be_written_are_one_line(red_run, make_scene, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise pyogrio.errors.DataSourceError("no")

    monkeypatch.setattr(pyogrio, "write_dataframe", fail)
    with pytest.raises(JobError, match="landslides.gpkg: cannot be written .no.; continue with"):
        make_map(red_run, make_scene(), tmp_path / "map")
    assert not (tmp_path / "map/landslides.gpkg").exists()
