"""The model for QGIS, run as Deepness runs it, against the map that we make of the same scene."""

import dataclasses

import keras
import numpy as np
import pytest
import rasterio
from scene_runs import WINDOW
from scene_runs import make_run as make_scene_run

from landslide_tf.export.exporting import export_run
from landslide_tf.geo.job import MapOptions
from landslide_tf.geo.mapping import map_scenes
from landslide_tf.geo.stack import write_stack
from landslide_tf.inputs import InputSpec

pytestmark = pytest.mark.slow
for package in ("onnx", "onnxruntime", "tf2onnx"):
    pytest.importorskip(package)


def make_run(*words, metrics=None, **options):
    scores = {"validation": {}, "test": {}, "test_chosen": {}}
    return make_scene_run(*words, metrics={**scores, **(metrics or {})}, **options)


def rolling_scene(make_scene, size, seed=0):
    """Hills of 60 m under a picture that follows them, with a hole in each of both."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    hills = gaussian_filter(rng.normal(size=size), 9)
    hills = 2500 + 60 * (hills - hills.min()) / np.ptp(hills)
    noise = rng.normal(0, 12, (*size, 3))
    image = np.clip(40 + 2 * (hills - 2500)[..., None] + noise, 1, 255).astype("uint8")
    image[3:9, 2:12] = 0
    hills[12:16, 20:28] = -9999
    dem = hills.astype("float32")
    image, dem = make_scene(size, image=image, dem=dem, nodata=0)
    with rasterio.open(dem, "r+") as file:
        file.nodata = -9999
    return image, dem


def compare(run, scene, tmp_path, options=None, *, rgb=False):
    """Our map and Deepness' answer, both (H, W)."""
    from deepness import deepness

    exported = export_run(run, "onnx", tmp_path / "exported")
    image, dem = scene
    raster = image
    if not rgb:
        raster = tmp_path / "stack.tif"
        write_stack(image, dem, raster)
    map_scenes(
        run,
        [(image, None if rgb else dem, tmp_path / "map")],
        options or MapOptions(dtype="float32"),
    )
    with rasterio.open(tmp_path / "map/probability.tif") as file:
        ours = file.read(1)
    return ours, deepness(exported / "model-qgis.onnx", raster)


@pytest.mark.parametrize("kind", ["relief", "zscore", "dataset", "bottleneck"])
def test_one_tile_of_a_scene_is_mapped_alike(kind, make_scene, tmp_path):
    """Scaling, normalising and no data are in the graph: with one window nothing else differs."""
    spec = {"dem_normalisation": "relief" if kind == "bottleneck" else kind}
    if kind == "bottleneck":
        spec["fusion"] = "bottleneck"
    run = make_run(tmp_path / "run", [2, -1, 1, 1.5], -1.2, **spec)
    if kind == "dataset":
        dataclasses.replace(InputSpec.load(run), dem_statistics=(2530.0, 20.0)).save(run)
    ours, theirs = compare(run, rolling_scene(make_scene, (WINDOW, WINDOW)), tmp_path)
    known = np.isfinite(ours)
    assert 0 < (~known).sum() == 6 * 10 + 4 * 8
    assert np.ptp(ours[known]) > 0.2
    np.testing.assert_allclose(theirs[known], ours[known], atol=1e-5)
    assert (theirs[~known] == 0).all()  # no data is not landslide


def five_pixel_run(folder, fusion):
    """A run whose model sees two pixels around each: edges of brightness and of the channels."""
    channels = 3 if fusion == "rgb" else 4
    run = make_run(folder, [0] * channels, 0.0, fusion=fusion)
    keras.utils.set_random_seed(2)
    x = keras.Input((WINDOW, WINDOW, channels))
    hidden = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    keras.Model(x, keras.layers.Conv2D(1, 3, padding="same")(hidden)).save(run / "model.keras")
    return run


def test_a_scene_is_mapped_alike_by_a_model_of_rgb(make_scene, tmp_path):
    """Deepness cuts where we blend; two pixels from a border both have seen the same."""
    run = five_pixel_run(tmp_path / "run", "rgb")
    whole = MapOptions(dtype="float32", window_px=160)  # the scene in one window
    ours, theirs = compare(run, rolling_scene(make_scene, (110, 150)), tmp_path, whole, rgb=True)
    known, inner = np.isfinite(ours), np.s_[2:-2, 2:-2]
    assert np.ptp(ours[known]) > 0.1 and (~known).sum() == 60
    assert (theirs[~known] == 0).all()
    apart = np.abs(np.where(known, theirs - ours, 0))[inner]
    assert apart.max() < 1e-4


def test_a_scene_is_mapped_alike_by_a_model_that_scales_each_window(make_scene, tmp_path):
    """Their windows lie elsewhere than ours, and so does the relief within them."""
    run = five_pixel_run(tmp_path / "run", "early")
    ours, theirs = compare(run, rolling_scene(make_scene, (110, 150)), tmp_path)
    known = np.isfinite(ours)
    threshold = np.median(ours[known])  # random weights know no landslide
    agree = (ours[known] >= threshold) == (theirs[known] >= threshold)
    assert agree.mean() > 0.9
    assert (theirs[~known] == 0).all()


def test_both_files_say_what_they_are(make_scene, tmp_path, capsys):
    from deepness import metadata

    run = make_run(tmp_path / "run", [1, 0, 0, 0], 0.0, metrics={"resolution_m": 0.5})
    out = export_run(run, "onnx", tmp_path / "out")
    plain, qgis = metadata(out / "model.onnx"), metadata(out / "model-qgis.onnx")
    assert (plain["for_qgis"], qgis["for_qgis"]) == (False, True)
    assert plain["note"].startswith("Not for QGIS") and "-32768" in qgis["note"]
    assert plain["input"]["tile_px"] == qgis["input"]["tile_px"] == WINDOW
    assert (qgis["resolution"], qgis["tile_size"], qgis["model_type"]) == (50, WINDOW, "Segmentor")
    assert (qgis["standardization_mean"], qgis["standardization_std"]) == ([0] * 4, [1] * 4)
    assert qgis["seg_small_segment"] == 0  # Deepness else filters small landslides away
    assert "model_type" not in plain
    terrain = {"terrain": ("slope",), "resolution_m": 2.0}
    run = make_run(tmp_path / "slope", [1, 0, 0, 0, 0], 0.0, **terrain)
    out = export_run(run, "onnx", tmp_path / "again")
    assert not (out / "model-qgis.onnx").exists()
    assert "model-qgis.onnx is left out: slope and hillshade need" in capsys.readouterr().out


def test_brightness_is_that_of_the_tiles(tmp_path, make_scene):
    """A run on 16 bits or with a scale of its own takes the numbers that its images have."""
    from deepness import deepness, metadata

    from conftest import write_raster
    from landslide_tf.runs.run import load_run

    image = np.random.default_rng(0).integers(100, 60000, (WINDOW, WINDOW, 3)).astype("uint16")
    for name in ("image", "mask"):
        values = image if name == "image" else (image[..., 0] > 30000).astype("uint8")
        write_raster(tmp_path / f"tiles/landslide/{name}/a.tif", values)
    for scale, expected in ((None, 65535), (3000.0, 3000)):
        run = make_run(
            tmp_path / f"run{scale}", [3, -2, 1], -1.0, fusion="rgb", rgb_scale=scale,
            data=str(tmp_path / "tiles"),
        )  # fmt: skip
        out = export_run(run, "onnx", tmp_path / f"out{scale}")
        assert metadata(out / "model-qgis.onnx")["brightness"] == expected
        scene, _ = make_scene((WINDOW, WINDOW), image=image)
        found = deepness(out / "model-qgis.onnx", scene)
        np.testing.assert_allclose(found, load_run(run).predict(image), atol=1e-5)


def test_the_brightness_that_is_taken_is_told_where_the_tiles_are_gone(tmp_path, capsys):
    from landslide_tf.export.qgis import raw_brightness
    from landslide_tf.runs.run import load_run

    run = load_run(make_run(tmp_path / "run", [3, -2, 1], -1.0, fusion="rgb", data="gone"))
    assert raw_brightness(run) == 255
    assert "gone: has no tiles to read; model-qgis.onnx takes 255" in capsys.readouterr().out
    assert raw_brightness(load_run("bijie-rgb")) == 255
    assert capsys.readouterr().out == ""
