"""Maps redone from their probability, followed, and stopped."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from made_maps import FLOAT, landslide_image, make_map, read, read_table
from scene_runs import UTM

from conftest import write_raster
from landslide_tf.app.scenes import look_at_scene
from landslide_tf.checks import InputError
from landslide_tf.cli import main
from landslide_tf.geo.job import MapOptions
from landslide_tf.geo.redo import redo_map
from landslide_tf.geo.watch import Cancelled, Watch


@pytest.fixture
def grey_scene(make_scene):
    """Squares of three strengths: probability 0.88, 0.5 and 0.27 in a dark scene."""
    image = np.full((90, 120, 3), 20, "uint8")
    for value, left in ((191, 5), (128, 45), (96, 85)):
        image[20:50, left : left + 30] = value
    return make_scene(image=image)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_redone_as_if_mapped_with_the_threshold(red_run, grey_scene, tmp_path, dtype):
    options = MapOptions(dtype=dtype)
    first = make_map(red_run, grey_scene, tmp_path / "first", options)
    assert first["landslides"] == 2
    direct = make_map(
        red_run, grey_scene, tmp_path / "direct", dataclasses.replace(options, threshold=0.2)
    )
    report = redo_map(tmp_path / "first", tmp_path / "again", {"threshold": 0.2})
    assert report["landslides"] == direct["landslides"] == 3
    assert report["threshold"] == report["options"]["threshold"] == 0.2
    for name in ("probability", "landslides"):
        np.testing.assert_array_equal(
            read(tmp_path / f"again/{name}.tif"), read(tmp_path / f"direct/{name}.tif")
        )
    a, b = read_table(tmp_path / "again"), read_table(tmp_path / "direct")
    assert a.geometry.equals(b.geometry)
    assert a.area_m2.tolist() == b.area_m2.tolist()
    names = {path.name for path in (tmp_path / "direct").iterdir()}
    assert {path.name for path in (tmp_path / "again").iterdir()} == names
    # and once more, from what was redone: back to the first
    back = redo_map(tmp_path / "again", changes={"threshold": 0.5}, overwrite=True)
    assert back["landslides"] == 2
    assert read_table(tmp_path / "again").geometry.equals(read_table(tmp_path / "first").geometry)


def test_the_command_line(red_run, grey_scene, tmp_path, capsys):
    out = tmp_path / "map"
    make_map(red_run, grey_scene, out)
    before = (out / "landslides.gpkg").read_bytes()
    words = ["map", "--from", str(out), "--threshold", "0.2"]
    assert main(words) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (out / "landslides.gpkg").read_bytes() == before
    assert main([*words, "--min-area", "1e6", "--out", str(tmp_path / "none")]) == 0
    assert len(read_table(tmp_path / "none")) == 0
    assert main([*words, "--overwrite", "--format", "geojson"]) == 0
    assert len(read_table(out)) == 3
    assert (out / "landslides.geojson").exists()
    assert not (out / "unfinished").exists()
    for more, message in (
        (["--tta"], "--tta does not go with --from"),
        (["--model", "run"], "one of them"),
        (["--threshold", "7"], "--threshold must lie"),
    ):
        assert main([*words, "--overwrite", *more]) == 2
        assert message in capsys.readouterr().err


def test_a_reference_may_come_later(red_run, grey_scene, tmp_path):
    make_map(red_run, grey_scene, tmp_path / "map")
    mask = np.zeros((90, 120), "uint8")
    mask[20:50, 5:35] = 1
    path = write_raster(tmp_path / "mask.tif", mask, **UTM)
    report = redo_map(tmp_path / "map", tmp_path / "scored", {"reference": str(path)})
    assert report["scores"]["landslides"]["any_overlap"] == {"found": 1, "false_alarms": 1}
    assert report["scores"]["pixels"]["map"]["iou"] == pytest.approx(0.5)
    assert (tmp_path / "scored/errors.png").exists()


@pytest.mark.parametrize(
    "kind", ["nothing", "no report", "not json", "image gone", "image changed", "dem changed"]
)
def test_what_cannot_be_redone(red_run, grey_scene, tmp_path, kind):
    out = tmp_path / "map"
    if kind != "nothing":
        make_map(red_run, grey_scene, out)
    if kind == "no report":
        (out / "report.json").unlink()
    if kind == "not json":
        (out / "report.json").write_text("{")
    if kind == "image gone":
        grey_scene[0].unlink()
    if "changed" in kind:
        with rasterio.open(grey_scene[kind == "dem changed"], "r+") as file:
            file.write(file.read()[:, ::-1])
    words = "is damaged" if kind == "not json" else "no such file"
    if "changed" in kind:
        words = "not the file that the map in .* was made of"
    with pytest.raises(InputError, match=words):
        redo_map(out, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_progress_is_told_in_order(red_run, make_scene, tmp_path):
    heard = []
    watch = Watch(progress=lambda *state: heard.append(state))
    options = dataclasses.replace(FLOAT, batch_size=4)
    make_map(red_run, make_scene((70, 90)), tmp_path / "map", options, watch=watch)
    stages = list(dict.fromkeys(stage for stage, _, _ in heard))
    assert stages == ["windows", "polygons", "files"]
    for stage in stages:
        done = [(d, total) for s, d, total in heard if s == stage]
        assert done == sorted(done)
        assert done[-1][0] == done[-1][1]
    assert len([s for s, _, _ in heard if s == "windows"]) > 4  # 20 windows, four at once


@pytest.mark.slow
def test_stopped_between_windows_and_resumed(red_run, make_scene, tmp_path, monkeypatch):
    monkeypatch.setattr("landslide_tf.geo.windows.BLOCK_PX", 32)
    scene, out, asked = make_scene((100, 100)), tmp_path / "map", []

    def cancel():
        asked.append(1)
        return len(asked) == 12

    with pytest.raises(Cancelled, match="continue with --resume"):
        make_map(red_run, scene, out, watch=Watch(cancel=cancel))
    assert [path.name for path in out.iterdir()] == ["unfinished"]
    report = make_map(red_run, scene, out, resume=True)
    assert 0 < report["windows"]["computed_now"] < report["windows"]["all"]
    make_map(red_run, scene, tmp_path / "whole")
    np.testing.assert_array_equal(
        read(out / "probability.tif"), read(tmp_path / "whole/probability.tif")
    )


def test_a_redo_that_is_stopped_leaves_the_map_as_it_was(red_run, grey_scene, tmp_path):
    out = tmp_path / "map"
    make_map(red_run, grey_scene, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(Cancelled):
        redo_map(out, changes={"threshold": 0.2}, overwrite=True, watch=Watch(cancel=lambda: True))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert json.loads(before["report.json"])["landslides"] == 2


@pytest.mark.slow
def test_redone_from_another_folder(red_run, grey_scene, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image, dem = (path.relative_to(tmp_path) for path in map(Path, grey_scene))
    make_map(red_run, grey_scene, tmp_path / "first")
    reference = Path("first/landslides.gpkg")
    make_map(red_run, (image, dem), Path("map"), MapOptions(reference=str(reference)))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    report = redo_map("../map", "again")
    assert report["scores"]["pixels"]["map"]["iou"] == 1
    assert report["options"]["reference"] == str(tmp_path / reference)
    monkeypatch.chdir(tmp_path)
    assert redo_map("elsewhere/again", "third")["scores"]["pixels"]["map"]["iou"] == 1


@pytest.mark.slow
def test_a_new_reference_upside_down_is_told(red_run, make_scene, rng, tmp_path, capsys):
    image, mask = landslide_image(rng, 704)
    scene = make_scene(image=np.repeat(image[..., None], 3, axis=-1))
    make_map(red_run, scene, tmp_path / "map")
    with rasterio.open(scene[0]) as file:
        where = {"crs": file.crs, "transform": file.transform}
    for name, values, told in (("right", mask, 0), ("wrong", mask[::-1], 1)):
        path = write_raster(tmp_path / f"{name}.tif", values, **where)
        capsys.readouterr()
        report = redo_map(tmp_path / "map", tmp_path / name, {"reference": str(path)})
        lines = [line for line in report["notes"] if line.startswith(str(path))]
        assert len(lines) == told
        assert all("better when mirrored top to bottom; look" in line for line in lines)
        assert all(f"warning: {line}" in capsys.readouterr().out for line in lines)
        again = redo_map(tmp_path / name, changes={"reference": str(path)}, overwrite=True)
        assert again["notes"] == report["notes"]  # told once
        _, warnings = look_at_scene(red_run, *scene, MapOptions(reference=str(path)))
        assert [line.startswith("wrong.tif: the masks") for line in warnings][-1:] == [True] * told
