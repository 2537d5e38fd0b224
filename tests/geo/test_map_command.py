"""`landslide map`: bad input in one line, scores against a reference, a cluster."""

import json

import numpy as np
import pytest
import rasterio
from made_maps import read
from rasterio.transform import from_origin
from scene_runs import UTM
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from conftest import write_raster
from landslide_tf.cli import main
from landslide_tf.geo.job import MapOptions
from landslide_tf.geo.mapping import map_scenes
from landslide_tf.metrics import confusion_counts


def command(run, scene, out, *words):
    image, dem = scene
    line = ["map", "--model", run, "--image", image, "--out", out, *words]
    return [str(word) for word in (line if dem is None else [*line, "--dem", dem])]


def bad_scene(kind, tmp_path, make_scene):
    """An image and a DEM with one thing wrong; words to add; what the message must say."""
    rng = np.random.default_rng(0)
    image, dem = make_scene()
    values = rng.integers(1, 255, (40, 40, 3)).astype("uint8")
    path = tmp_path / f"{kind}.tif"
    if kind == "no crs":
        return (write_raster(path, values), dem), [], "has no georeference"
    if kind == "image as dem":
        return (image, image), [], "has 3 different bands, expected one band of elevation"
    if kind == "elsewhere":
        place = {"crs": "EPSG:32647", "transform": from_origin(100000, 3445000, 2, 2)}
        return (image, write_raster(path, values[..., 0], **place)), [], "do not overlap"
    if kind == "four bands":
        return (write_raster(path, np.dstack([values, values[..., :1], values[..., :1]]), **UTM),
                dem), [], "has 5 bands, expected 3"  # fmt: skip
    if kind == "no data at all":
        return (write_raster(path, 0 * values, nodata=0, **UTM), dem), [], "no data"
    if kind == "no dem":
        return (image, None), [], "give --dem"
    if kind == "missing":
        return (tmp_path / "nowhere.tif", dem), [], "nowhere.tif: no such file"
    if kind == "not an image":
        path.write_text("text")
        return (path, dem), [], "cannot be read"
    words, message = {
        "threshold": (["--threshold", "1.5"], "--threshold must lie between 0 and 1"),
        "overlap": (["--overlap", "32"], "--overlap must be at least 0 and below"),
        "scale": (["--scale", "5,2"], "--scale must be run, percentile, or two numbers"),
        "bands": (["--bands", "1,2,nir"], "--bands 'nir' is none of its bands"),
        "area": (["--min-area", "-1"], "--min-area must be at least 0"),
        "both": (["--resume", "--overwrite"], "exclude each other"),
        "scheduler": (["--scheduler", "tcp://127.0.0.1:1"], "does not answer"),
    }[kind]
    return (image, dem), words, message


@pytest.mark.parametrize(
    "kind",
    ["no crs", "image as dem", "elsewhere", "four bands", "no data at all", "no dem", "missing",
     "not an image", "threshold", "overlap", "scale", "bands", "area", "both"],
)  # fmt: skip
def test_bad_input_is_one_line_and_nothing_is_written(
    kind, constant_run, make_scene, tmp_path, capsys
):
    scene, words, message = bad_scene(kind, tmp_path, make_scene)
    out = tmp_path / "map"
    assert main(command(constant_run, scene, out, *words)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len([line for line in error.splitlines() if line.startswith("error:")]) == 1
    assert not out.exists()


def test_an_image_without_data_is_told_alone(tmp_path, capsys):
    values = np.zeros((40, 40, 3), "uint8")
    image = write_raster(tmp_path / "dark.tif", values, nodata=0, **UTM)
    words = ["map", "--model", "bijie-rgb", "--image", str(image), "--out", str(tmp_path / "map")]
    assert main(words) == 2
    assert "dark.tif: is no data throughout; look at its nodata" in capsys.readouterr().err


def test_a_map_that_exists_is_not_replaced_unasked(constant_run, make_scene, tmp_path, capsys):
    scene, out = make_scene(), tmp_path / "map"
    assert main(command(constant_run, scene, out)) == 0
    made = (out / "probability.tif").read_bytes()
    assert main(command(constant_run, scene, out, "--threshold", "0.9")) == 2
    assert "give --overwrite" in capsys.readouterr().err
    assert (out / "probability.tif").read_bytes() == made
    assert main(command(constant_run, scene, out, "--overwrite", "--format", "geojson")) == 0
    assert (out / "landslides.geojson").exists()


@pytest.mark.slow
def test_scores_are_those_of_the_pixels(red_run, make_scene, tmp_path, capsys):
    """Against counting on whole arrays with scikit-learn and the package's own tile metrics."""
    rng = np.random.default_rng(4)
    truth = np.zeros((70, 90), "uint8")
    truth[5:20, 5:30] = truth[40:60, 50:80] = truth[65:68, 2:6] = 1
    truth[60:, 80:] = 255  # not known
    red = np.clip(90 * (truth == 1) + rng.integers(20, 160, truth.shape), 0, 255)
    image = np.dstack([red, red, red]).astype("uint8")
    scene = make_scene(image=image)
    mask = write_raster(tmp_path / "mask.tif", truth, nodata=255, **UTM)
    options = MapOptions(dtype="float32", reference=str(mask), threshold=0.6, min_area=0)
    (report,) = map_scenes(red_run, [(*scene, tmp_path / "map")], options)
    probability = 1 / (1 + np.exp(4 - 8 * image[..., 0].astype(float) / 255))
    known = truth != 255
    for name, threshold in (("default", 0.5), ("map", 0.6)):
        found = report["scores"]["pixels"][name]
        predicted = probability >= threshold
        counts = confusion_counts(truth == 1, predicted, known)
        assert {key: found[key] for key in counts} == counts
        auc = roc_auc_score(truth[known], probability[known])
        assert found["auc"] == pytest.approx(auc, abs=1e-4)
    predicted = (probability >= 0.6) & known
    landslides = report["scores"]["landslides"]
    a, present = ndimage.label((truth == 1) & known)
    b, mapped = ndimage.label(predicted)
    assert (landslides["reference"], landslides["mapped"]) == (present, mapped)
    shared = np.zeros((present + 1, mapped + 1))
    np.add.at(shared, (a, b), 1)
    shared = shared[1:, 1:]
    union = np.bincount(a.ravel())[1:, None] + np.bincount(b.ravel())[1:] - shared
    for name, pairs in (("any_overlap", shared > 0), ("iou_over_0.5", shared > union / 2)):
        assert landslides[name] == {
            "found": pairs.any(axis=1).sum(),
            "false_alarms": (~pairs.any(axis=0)).sum(),
        }
    assert f"of {present} landslides" in "".join(capsys.readouterr())
    errors = read(tmp_path / "map/errors.tif")
    assert np.array_equal(errors == 1, predicted & (truth == 1))
    assert np.array_equal(errors == 3, known & ~predicted & (truth == 1))
    assert np.array_equal(errors == 255, ~known)
    assert (tmp_path / "map/errors.png").stat().st_size > 5000


def test_a_list_of_scenes(constant_run, make_scene, tmp_path, capsys):
    first, dem = make_scene(name="first")
    make_scene((40, 50), name="second")
    scenes = tmp_path / "scenes.txt"
    scenes.write_text("# two\nfirst.tif,first_dem.tif\n\nsecond.tif\n")
    words = ["map", "--model", constant_run, "--scenes", scenes, "--dem", dem, "--out",
             tmp_path / "maps"]  # fmt: skip
    assert main([str(word) for word in words]) == 0
    for name, size in (("first", (70, 90)), ("second", (40, 50))):
        with rasterio.open(tmp_path / "maps" / name / "probability.tif") as file:
            assert file.shape == size
    scenes.write_text("first.tif,a,b\n")
    assert main([str(word) for word in [*words, "--overwrite"]]) == 2
    assert "line 1 is not 'IMAGE' or 'IMAGE,DEM'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_cluster_gives_the_same_map_though_a_worker_dies(
    relief_run, make_scene, tmp_path, monkeypatch
):
    """Three workers, one killed midway: its share is done again, and no bit differs."""
    distributed = pytest.importorskip("distributed")
    scene = make_scene((300, 600))  # 2 x 3 blocks of up to 16 x 16 windows
    options = MapOptions(dtype="float32")
    (alone,) = map_scenes(relief_run, [(*scene, tmp_path / "alone")], options)
    cluster = distributed.LocalCluster(
        n_workers=3, threads_per_worker=1, processes=True, dashboard_address=None
    )
    try:
        from landslide_tf.geo import cluster as module

        given, real = [], module.compute_on_cluster

        def killing(*args, **kwargs):
            for result in real(*args, **kwargs):
                if not given:
                    next(iter(cluster.workers.values())).process.process._process.kill()
                given.append(result.block)
                yield result

        monkeypatch.setattr(module, "compute_on_cluster", killing)
        (shared,) = map_scenes(
            relief_run,
            [(*scene, tmp_path / "shared")],
            options,
            scheduler=cluster.scheduler_address,
        )
    finally:
        cluster.close()
    assert len(given) == 6
    for name in ("probability", "landslides"):
        alike = (read(tmp_path / folder / f"{name}.tif") for folder in ("alone", "shared"))
        np.testing.assert_array_equal(*alike)
    assert shared["landslides"] == alone["landslides"]
    assert json.loads((tmp_path / "shared/report.json").read_text())["windows"]["computed_now"]


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer(constant_run, make_scene, tmp_path, capsys):
    pytest.importorskip("distributed")
    scene, words, message = bad_scene("scheduler", tmp_path, make_scene)
    assert main(command(constant_run, scene, tmp_path / "map", *words)) == 2
    assert message in capsys.readouterr().err


def test_formats_in_degrees_need_a_place_on_earth(constant_run, make_scene, tmp_path, capsys):
    local = 'LOCAL_CS["Local Coordinates (m)",UNIT["metre",1]]'
    place = {"crs": local, "transform": from_origin(100, 900, 2, 2)}
    image, dem = make_scene((40, 40), place=place)
    words = ["map", "--model", constant_run, "--image", image, "--dem", dem, "--out"]
    out = tmp_path / "map"
    assert main([str(word) for word in [*words, out, "--geojson"]]) == 2
    assert "--format geojson: needs longitude and latitude" in capsys.readouterr().err
    assert not out.exists()
    assert main([str(word) for word in [*words, out]]) == 0
