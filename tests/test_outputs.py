"""No command replaces what it reads, under whatever name, and --overwrite does not change that."""

import contextlib
import errno
import json
import shutil

import numpy as np
import pytest

from conftest import write_raster, write_tiles
from landslide_tf.cli import main
from landslide_tf.files import atomic_path, sha256


@pytest.fixture
def refuse(capsys, tmp_path):
    """Run a command that must refuse, and leave every file below the temporary folder as it is."""

    def run(*words):
        files = {p: sha256(p) for p in tmp_path.rglob("*") if p.is_file()}
        assert main([str(word) for word in words]) == 2
        error = capsys.readouterr().err
        assert "overwrite does not replace inputs" in error, error
        assert error.startswith("error: ") and error.count("\n") == 1
        assert {p: sha256(p) for p in tmp_path.rglob("*") if p.is_file()} == files

    return run


@pytest.fixture
def map_words(constant_run, make_scene, tmp_path):
    image, dem = make_scene()
    return ["map", "--model", constant_run, "--image", image, "--dem", dem]


@pytest.mark.parametrize("link", [None, "symbolic", "hard", "case"])
@pytest.mark.parametrize("more", [[], ["--overwrite"], ["--resume"]])
def test_map_keeps_its_reference(link, more, refuse, map_words, tmp_path, example_landslides):
    """Polygons of an older map, corrected by hand, are the reference of the next one."""
    import geopandas

    mine = tmp_path / "map/landslides.gpkg"
    mine.parent.mkdir()
    geopandas.read_file(example_landslides).to_file(mine)
    reference = mine
    if link == "case":
        reference = mine.rename(mine.with_name("Landslides.GPKG"))
    elif link:
        reference = tmp_path / "corrected.gpkg"
        (reference.symlink_to if link == "symbolic" else reference.hardlink_to)(mine)
    refuse(*map_words, "--reference", reference, "--out", mine.parent, *more)


@pytest.mark.parametrize("option", ["--image", "--dem"])
def test_map_keeps_its_image_and_dem(option, refuse, map_words, tmp_path):
    inside = tmp_path / "map/probability.tif"
    inside.parent.mkdir()
    at = map_words.index(option) + 1
    shutil.copy(map_words[at], inside)
    map_words[at] = inside
    refuse(*map_words, "--out", tmp_path / "map", "--overwrite")
    # and what a virtual raster reads from there
    from rasterio.shutil import copy

    copy(inside, tmp_path / "mosaic.vrt", driver="VRT")
    map_words[at] = tmp_path / "mosaic.vrt"
    refuse(*map_words, "--out", tmp_path / "map", "--overwrite")


def test_map_of_several_scenes_keeps_each_others(refuse, map_words, tmp_path):
    image, dem = map_words[4], map_words[6]
    (tmp_path / "maps/a").mkdir(parents=True)
    shutil.copy(image, tmp_path / "a.tif")
    shutil.copy(image, tmp_path / "maps/a/landslides.tif")
    (tmp_path / "list.txt").write_text("a.tif\nmaps/a/landslides.tif\n")
    refuse(*map_words[:3], "--scenes", tmp_path / "list.txt", "--dem", dem,
           "--out", tmp_path / "maps", "--overwrite")  # fmt: skip


@pytest.mark.slow
def test_train_keeps_its_tiles_and_its_split(refuse, finished_run, tmp_path):
    run = shutil.copytree(finished_run, tmp_path / "run")
    write_tiles(run / "tiles", count=6)
    refuse("train", "--data", run / "tiles", "--out", run, "--overwrite")
    (tmp_path / "tiles").symlink_to(run / "tiles", target_is_directory=True)
    refuse("train", "--data", tmp_path / "tiles", "--out", run, "--overwrite")
    tiles = write_tiles(tmp_path / "others", count=6)
    refuse("train", "--data", tiles, "--split", run / "split.json", "--overwrite",
           "--out", tiles / "../run")  # fmt: skip


@pytest.mark.parametrize("command", ["pack", "split"])
def test_data_commands_keep_the_tiles(command, refuse, tmp_path):
    tiles = write_tiles(tmp_path / "tiles", count=6)
    refuse("data", command, tiles, tiles / "landslide/mask/a000.png", "--overwrite")
    refuse("data", command, tiles, tiles, "--overwrite")
    packed = tmp_path / "tiles.npz"
    assert main(["data", "pack", str(tiles), str(packed), "--tile-px", "32"]) == 0
    refuse("data", command, packed, packed, "--overwrite")
    # beside the tiles is a fine place, twice
    beside = [str(word) for word in ("data", command, tiles, tiles / "made.out")]
    assert main(beside) == main([*beside, "--overwrite"]) == 0


def test_data_tiles_keeps_a_scene_among_its_tiles(refuse, tmp_path, example_scene, example_dem,
                                                  example_landslides):  # fmt: skip
    scene = tmp_path / "tiles/landslide/image/a_0000_0000.tif"
    scene.parent.mkdir(parents=True)
    shutil.copy(example_scene, scene)
    refuse("data", "tiles", "--image", scene, "--polygons", example_landslides, "--name", "a",
           "--out", tmp_path / "tiles", "--tile-px", 32, "--overwrite")  # fmt: skip


def test_predict_keeps_its_tiles(refuse, constant_run, tmp_path):
    images = tmp_path / "tiles/images"
    image = np.full((16, 16, 3), 90, "uint8")
    for name in ("a", "a_mask"):
        write_raster(images / f"{name}.tif", image)
        write_raster(tmp_path / f"tiles/dem/{name}.tif", np.eye(16, dtype="float32"))
    refuse("predict", constant_run, "--data", tmp_path / "tiles", "--out", images, "--overwrite")


def test_explain_keeps_its_tiles(refuse, finished_run, tmp_path):
    write_raster(tmp_path / "t/images/gradcam.png", np.full((32, 32, 3), 90, "uint8"))
    write_raster(tmp_path / "t/dem/gradcam.png", np.eye(32, dtype="uint8"))
    refuse("explain", finished_run, "--tiles", tmp_path / "t", "--out", tmp_path / "t/images",
           "--overwrite")  # fmt: skip


@pytest.mark.parametrize("name", ["metrics.json", "model.keras", "split.json", "config.json"])
def test_evaluate_keeps_the_run(name, refuse, finished_run, tmp_path):
    run = shutil.copytree(finished_run, tmp_path / "run")
    refuse("evaluate", run, "--out", run / name, "--overwrite")
    tiles = write_tiles(tmp_path / "tiles", count=6)
    refuse("evaluate", run, "--data", tiles, "--out", tiles / "landslide/image/a000.png",
           "--overwrite")  # fmt: skip


def test_export_keeps_the_run(refuse, finished_run, tmp_path):
    run = shutil.copytree(finished_run, tmp_path / "runs/run")
    for out in (run, run.parent):
        refuse("export", run, "--format", "savedmodel", "--out", out, "--overwrite")


def test_benchmark_and_study_keep_their_data(refuse, tmp_path):
    tiles = write_tiles(tmp_path / "tiles", count=6)
    pack = tmp_path / "study.json"
    assert main(["data", "pack", str(tiles), str(pack), "--tile-px", "32"]) == 0
    refuse("benchmark", "--data", pack, "--out", pack, "--overwrite", "--tile-px", 32)
    other = tmp_path / "REPORT.md"
    shutil.move(pack, other)
    small = ("--tile-px", 32, "--filters", 2, "--epochs", 1, "--only", "unet-none-bce")
    refuse("study", "--data", other, "--out", tmp_path, *small)


def test_a_map_beside_its_inputs_is_fine(map_words, tmp_path, capsys):
    """Scene, DEM and map in one folder is how many people work."""
    words = [str(word) for word in (*map_words, "--out", tmp_path)]
    assert main(words) == 0 == main([*words, "--overwrite"])
    assert json.loads((tmp_path / "report.json").read_text())["landslides"] >= 0


def test_a_map_made_anew_keeps_the_reference_that_was_its_polygons(
    constant_run, map_words, refuse, tmp_path
):
    assert main([str(word) for word in (*map_words, "--out", tmp_path / "map")]) == 0
    polygons = tmp_path / "map/landslides.gpkg"
    refuse("map", "--from", tmp_path / "map", "--reference", polygons, "--overwrite")
    (tmp_path / "link.gpkg").symlink_to(polygons)
    refuse("map", "--from", tmp_path / "map", "--reference", tmp_path / "link.gpkg", "--overwrite")


def test_export_replaces_nothing_but_an_export(finished_run, tmp_path, capsys):
    out = tmp_path / "photos"
    out.mkdir()
    (out / "a.jpg").write_bytes(b"...")
    words = ["export", str(finished_run), "--format", "savedmodel", "--out", str(out)]
    assert main([*words, "--overwrite"]) == 2
    assert "is no export" in capsys.readouterr().err
    assert (out / "a.jpg").read_bytes() == b"..."


@contextlib.contextmanager
def small_disk():
    """Within the block no file can grow beyond 2,000 bytes, as on a full disk.

    Not a fixture: pytest reports a test before a fixture ends, perhaps to a longer file.
    """
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_tile_that_does_not_fit_on_the_disk_is_an_error(tmp_path, rng):
    """GDAL alone says nothing when it closes a file that it could not write to its end."""
    from landslide_tf.data.raster import Raster, write_geotiff

    values = rng.integers(0, 255, (100, 100, 3)).astype("uint8")
    with small_disk(), pytest.raises(OSError) as error:
        write_geotiff(tmp_path / "a.tif", values, Raster(values, values[..., 0] >= 0))
    assert error.value.filename == str(tmp_path / "a.tif")
    assert list(tmp_path.iterdir()) == []
    with small_disk():
        write_geotiff(tmp_path / "b.tif", values[:9, :9], Raster(values, values[..., 0] >= 0))


def test_an_array_that_does_not_fit_on_the_disk_is_named(tmp_path):
    """NumPy alone says how many values it wrote, and neither where nor why it stopped."""
    with (
        small_disk(),
        pytest.raises(OSError) as error,
        atomic_path(tmp_path / "a.npy") as scratch,
    ):
        np.save(scratch, np.zeros(9999))
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, str(tmp_path / "a.npy"))
    assert list(tmp_path.iterdir()) == []


def test_tiles_that_do_not_fit_leave_nothing(
    tmp_path, example_scene, example_dem, example_landslides, capsys
):
    words = ["--image", example_scene, "--dem", example_dem, "--polygons", example_landslides]
    out = tmp_path / "cut"
    with small_disk():
        code = main(["data", "tiles", *map(str, words), "--out", str(out), "--tile-px", "32"])
    assert code == 1
    assert capsys.readouterr().err.count("error: ") == 1
    assert list(tmp_path.iterdir()) == []
