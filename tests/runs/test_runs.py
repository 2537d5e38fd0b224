"""The run folder: what may happen to an existing one, and loading a finished run."""

import dataclasses
import json

import numpy as np
import pytest

from conftest import write_raster
from landslide_tf.checks import InputError
from landslide_tf.cli import main
from landslide_tf.config import TrainConfig
from landslide_tf.inputs.resize import resize_map
from landslide_tf.models.model_file import load_model
from landslide_tf.models.probability import PREDICT_BATCH, Predictor
from landslide_tf.runs.run import load_run
from landslide_tf.training import run_folder

CONFIG = TrainConfig(model="unet", filters=4)


def make_run(folder, config=CONFIG, complete=True):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    if complete:
        (folder / "split.json").write_text("{}")
        (folder / "metrics.json").write_text('{"thresholds": {"chosen": 0.5}}')
    return folder


def check(folder, config=CONFIG, resume=False, overwrite=False):
    return run_folder.check_folder(folder, config, resume=resume, overwrite=overwrite)


def test_nothing_there_starts_with_and_without_resume(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "absent", tmp_path / "empty"):
        assert check(folder) == "start"
        assert check(folder, resume=True) == "start"


def test_complete_run_is_kept(tmp_path):
    folder = make_run(tmp_path / "run")
    with pytest.raises(InputError, match="complete; give --overwrite"):
        check(folder)
    assert check(folder, resume=True) == "done"
    assert check(folder, overwrite=True) == "start"


def test_incomplete_run_names_both_ways(tmp_path):
    folder = make_run(tmp_path / "run", complete=False)
    with pytest.raises(InputError, match="--resume.*--overwrite"):
        check(folder)
    assert check(folder, resume=True) == "continue"
    assert check(folder, overwrite=True) == "start"
    with pytest.raises(InputError, match="exclude each other"):
        check(folder, resume=True, overwrite=True)


def test_resume_with_other_options_names_them(tmp_path):
    folder = make_run(tmp_path / "run", complete=False)
    with pytest.raises(InputError, match=r"filters \(4 there, 8 now\)"):
        check(folder, dataclasses.replace(CONFIG, filters=8), resume=True)


def test_a_folder_that_is_no_run_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    for options in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(InputError, match="not a run folder"):
            check(tmp_path, **options)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_next_free_number(tmp_path):
    make_run(tmp_path / "unet-none-bce-002")
    make_run(tmp_path / "unet-none-bce-x")  # not a number
    assert (
        run_folder.choose_folder(CONFIG, None, resume=False, runs=tmp_path).name
        == "unet-none-bce-003"
    )
    other = TrainConfig(model="unetpp", attention="contextual")
    name = run_folder.choose_folder(other, None, resume=False, runs=tmp_path).name
    assert name == "unetpp-contextual-dice-001"


def test_resume_without_out_finds_the_run_of_the_same_options(tmp_path):
    make_run(tmp_path / "unet-none-bce-001", complete=False)
    make_run(tmp_path / "unet-none-bce-002", dataclasses.replace(CONFIG, seed=1), complete=False)
    chosen = run_folder.choose_folder(CONFIG, None, resume=True, runs=tmp_path)
    assert chosen.name == "unet-none-bce-001"


def test_config_that_cannot_be_read(tmp_path):
    folder = make_run(tmp_path / "run")
    (folder / "config.json").write_text('{"modell": "unet"}')
    with pytest.raises(InputError, match="modell"):
        run_folder.read_config(folder)


def test_load_run_wants_a_complete_run(tmp_path):
    with pytest.raises(InputError, match="not a run folder"):
        load_run(tmp_path / "absent")
    folder = make_run(tmp_path / "run", complete=False)
    with pytest.raises(InputError, match="not complete"):
        load_run(folder)


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04 broken"])
def test_a_model_file_that_is_none(tmp_path, content):
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(InputError, match="model.keras: is not a Keras model") as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


class TestPredict:
    """`Run.predict` of a finished run on images of their own size."""

    def test_shapes_and_range(self, finished_run, rng):
        run = load_run(finished_run)
        image = rng.integers(0, 255, (2, 50, 37, 3), dtype="uint8")
        dem = rng.normal(1000, 50, (2, 25, 19)).astype("float32")
        batch = run.predict(image, dem)
        assert batch.shape == (2, 50, 37)
        assert batch.dtype == np.float32
        assert ((batch >= 0) & (batch <= 1)).all()
        single = run.predict(image[1], dem[1])
        np.testing.assert_allclose(single, batch[1], atol=1e-6)
        assert batch.std() > 0  # not a constant

    def test_a_long_batch_equals_its_tiles_one_by_one(self, finished_run, rng):
        run = load_run(finished_run)
        count = 2 * PREDICT_BATCH + 1
        image = rng.integers(0, 255, (count, 20, 24, 3), dtype="uint8")
        dem = rng.normal(1000, 50, (count, 20, 24))
        single = [run.predict(i, d) for i, d in zip(image, dem, strict=True)]
        np.testing.assert_allclose(run.predict(image, dem), single, atol=1e-6)

    def test_equals_its_steps_done_by_hand(self, finished_run, rng):
        run = load_run(finished_run)
        image = rng.integers(0, 255, (32, 32, 3), dtype="uint8")  # the model's own size
        dem = rng.normal(1000, 50, (32, 32))
        relief = (dem - dem.min()) / (dem.max() - dem.min())
        x = np.concatenate([image / 255, relief[..., None]], axis=-1).astype("float32")
        logits = np.asarray(run.model(x[None]))[0, ..., 0].astype("float64")
        np.testing.assert_allclose(run.predict(image, dem), 1 / (1 + np.exp(-logits)), atol=2e-5)

    def test_result_is_resized_back(self, finished_run, rng):
        run = load_run(finished_run)
        image = np.full((64, 64, 3), 100, "uint8")
        dem = np.linspace(0, 10, 64)[:, None] + np.zeros((64, 64))
        half = dem.reshape(32, 2, 32, 2).mean(axis=(1, 3))
        small = run.predict(image[:32, :32], half)
        full = run.predict(image, dem)
        np.testing.assert_allclose(full, resize_map(small, (64, 64)), atol=0.02)

    def test_no_data_is_nan_and_does_not_leak(self, finished_run, rng):
        run = load_run(finished_run)
        image = rng.integers(0, 255, (32, 32, 3), dtype="uint8")
        dem = rng.normal(1000, 50, (32, 32))
        dem[:8] = np.nan
        result = run.predict(image, dem)
        assert np.isnan(result[:8]).all()
        assert np.isfinite(result[8:]).all()
        other = image.copy()
        other[:8] = 255 - other[:8]  # colours below the no data of the DEM are not seen
        np.testing.assert_array_equal(run.predict(other, dem), result)

    def test_masked_arrays_are_no_data(self, finished_run, rng):
        run = load_run(finished_run)
        image = rng.integers(0, 255, (2, 32, 32, 3), dtype="uint8")
        dem = rng.integers(1000, 1050, (2, 32, 32), dtype="int16")
        hole = np.zeros(dem.shape, bool)
        hole[:, :8] = True
        metres = np.where(hole, np.nan, dem)
        dem[hole] = -9999  # what lies below a mask
        expected = run.predict(image, metres)
        assert np.isnan(expected[:, :8]).all() and np.isfinite(expected[:, 8:]).all()
        np.testing.assert_array_equal(run.predict(image, np.ma.array(dem, mask=hole)), expected)
        colours = np.ma.array(image, mask=np.stack([hole, hole & False, hole], axis=-1))
        np.testing.assert_array_equal(run.predict(colours, metres), expected)
        single = run.predict(colours[1], np.ma.array(dem[1], mask=hole[1]))
        np.testing.assert_allclose(single, expected[1], atol=1e-6)

    @pytest.mark.parametrize("dtype", ["int64", "int32", "uint32"])
    def test_integers_that_do_not_say_what_becomes_1(self, finished_run, dtype):
        run = load_run(finished_run)
        image, dem = np.full((32, 32, 3), 100, dtype), np.zeros((32, 32))
        with pytest.raises(InputError, match=f"{dtype} image does not say.*uint8"):
            run.predict(image, dem)
        known = dataclasses.replace(run, spec=dataclasses.replace(run.spec, rgb_scale=255.0))
        np.testing.assert_array_equal(
            known.predict(image, dem), run.predict(image.astype("uint8"), dem)
        )

    @pytest.mark.parametrize(
        ("image", "dem", "message"),
        [
            ((32, 32), (32, 32), "must be"),
            ((32, 32, 4), (32, 32), "must be"),
            ((0, 32, 3), (32, 32), "must be"),
            ((32, 32, 3), None, "needs `dem`"),
            ((32, 32, 3), (2, 32, 32), "for one image"),
            ((2, 32, 32, 3), (1, 32, 32), "for a batch"),
            ((32, 32, 3), (32, 64), "another shape"),
        ],
    )
    def test_what_does_not_fit(self, finished_run, image, dem, message):
        run = load_run(finished_run)
        with pytest.raises(InputError, match=message):
            run.predict(np.zeros(image, "uint8"), None if dem is None else np.zeros(dem))


def test_finished_run_predicts_files(finished_run, tmp_path, rng):
    import rasterio
    from rasterio.transform import from_origin

    from landslide_tf.runs.predict import predict_folder

    image = rng.integers(1, 255, (40, 48, 3), dtype="uint8")
    dem = rng.normal(100, 5, (20, 24)).astype("float32")
    dem[:5] = -9999
    where = {"crs": "EPSG:32648"}
    write_raster(tmp_path / "in/image/t.tif", image, transform=from_origin(500, 900, 2, 2), **where)
    write_raster(
        tmp_path / "in/dem/t.tif", dem, transform=from_origin(500, 900, 4, 4), nodata=-9999, **where
    )
    written = predict_folder(finished_run, tmp_path / "in", tmp_path / "out", threshold=0.3)
    assert [path.name for path in written] == ["t_probability.tif", "t_mask.tif"]
    with rasterio.open(written[0]) as file:
        probability = file.read(1)
        assert (file.crs.to_epsg(), file.transform) == (32648, from_origin(500, 900, 2, 2))
        assert np.isnan(file.nodata)
    with rasterio.open(written[1]) as file:
        mask = file.read(1)
        assert file.nodata == 255
    assert probability.shape == mask.shape == (40, 48)
    assert np.isnan(probability[:10]).all()  # 5 DEM rows of 4 m are 10 image rows of 2 m
    assert np.isfinite(probability[10:]).all()
    np.testing.assert_array_equal(mask[10:], probability[10:] >= 0.3)
    assert (mask[:10] == 255).all()
    with pytest.raises(InputError, match="--overwrite"):
        predict_folder(finished_run, tmp_path / "in", tmp_path / "out")


def test_a_tile_without_any_elevation_is_told(finished_run, tmp_path, rng, capsys):
    from landslide_tf.runs.predict import predict_folder

    for name, height in (("known", 100.0), ("void", np.nan)):
        dem = height + rng.random((32, 32)).astype("float32")
        image = rng.integers(1, 255, (32, 32, 3), dtype="uint8")
        write_raster(tmp_path / f"in/image/{name}.tif", image)
        write_raster(tmp_path / f"in/dem/{name}.tif", dem)
    predict_folder(finished_run, tmp_path / "in", tmp_path / "out")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "no data" in line]
    assert "image or DEM is no data everywhere: nothing is predicted" in line
    assert "void" in line and "known" not in line


def test_a_bright_float_tile_is_named_or_left_out(finished_run, tmp_path, rng, capsys):
    from landslide_tf.runs.predict import predict_folder

    for name, brightest in (("plain", 1.0), ("bright", 3000.0)):
        image = rng.random((32, 32, 3)).astype("float32") * brightest
        write_raster(tmp_path / f"in/image/{name}.tif", image)
        write_raster(tmp_path / f"in/dem/{name}.tif", rng.random((32, 32)).astype("float32"))
    with pytest.raises(InputError, match=r"bright\.tif: float image has values.*--skip-bad"):
        predict_folder(finished_run, tmp_path / "in", tmp_path / "out")
    written = predict_folder(finished_run, tmp_path / "in", tmp_path / "out", skip_bad=True)
    assert [path.name for path in written] == ["plain_probability.tif", "plain_mask.tif"]
    assert "left out:" in capsys.readouterr().out


def test_prediction_is_compiled_once_for_all_batch_sizes(finished_run, rng):
    import tensorflow as tf

    model = load_run(finished_run).model
    predict, x = Predictor(model), rng.random((5, 32, 32, 4)).astype("float32")
    whole = predict(x)
    for count in (1, 2, 5):
        np.testing.assert_allclose(predict(x[:count]), whole[:count], atol=1e-6)
    assert predict._logits.experimental_get_tracing_count() == 1
    # the definition, without compilation
    want = tf.sigmoid(model(x, training=False)).numpy()[..., 0]
    np.testing.assert_allclose(whole, want, atol=1e-6)


def test_a_run_shows_itself_in_one_line(finished_run):
    shown = repr(load_run(finished_run))
    assert "unet" in shown and "red green blue dem at 32 px" in shown and len(shown) < 300


def test_large_logits_do_not_overflow():
    import keras

    inputs = keras.Input((2, 2, 1))
    model = keras.Model(inputs, keras.layers.Rescaling(1.0)(inputs))
    x = np.array([[[[-500.0], [500.0]], [[-100.0], [0.0]]]], "float32")
    assert Predictor(model)(x).ravel() == pytest.approx([0, 1, 0, 0.5], abs=1e-30)


@pytest.mark.slow
def test_onnx_predicts_only_when_asked_and_only_for_this_very_model(finished_run, tmp_path, rng):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    import shutil

    from landslide_tf.export.exporting import export_run

    folder = shutil.copytree(finished_run, tmp_path / "run")
    with pytest.raises(InputError, match="landslide export"):
        load_run(folder, runtime="onnx")
    with pytest.raises(InputError, match="'keras', 'onnx'"):
        load_run(folder, runtime="tflite")
    x = rng.random((3, 32, 32, 4)).astype("float32")
    export_run(folder, "onnx")
    plain, fast = load_run(folder), load_run(folder, runtime="onnx")
    assert type(plain.predictor) is Predictor and type(fast.predictor) is not Predictor
    np.testing.assert_allclose(fast.predictor(x), plain.predictor(x), atol=1e-5)
    exported = folder / "export/onnx/model.onnx"
    whole = exported.read_bytes()
    exported.write_bytes(whole[:100])
    with pytest.raises(InputError, match="not an export of this very model"):
        load_run(folder, runtime="onnx")
    exported.write_bytes(whole)
    plain.model.layers[1].set_weights([0 * w for w in plain.model.layers[1].get_weights()])
    plain.model.save(folder / "model.keras")  # the export is now of another model
    with pytest.raises(InputError, match="not an export of this very model"):
        load_run(folder, runtime="onnx")


@pytest.mark.slow
def test_the_export_of_a_packaged_model_is_found(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    from landslide_tf.export.exporting import export_run

    monkeypatch.chdir(tmp_path)
    export_run("demo-rgb-dem", "onnx")
    run = load_run("demo-rgb-dem", runtime="onnx")
    x = np.zeros((1, *run.model.input_shape[1:]), "float32")
    expected = load_run("demo-rgb-dem").predictor(x)
    np.testing.assert_allclose(run.predictor(x), expected, atol=1e-5)


@pytest.mark.parametrize(
    "bands, code, advice",
    [
        (3, 0, "give --nodata=-9999 (an option of train; here mend the files: gdal_edit"),
        (5, 2, "gdal_translate -b RED -b GREEN -b BLUE"),
    ],
)
@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_advice_is_about_the_files_where_a_run_has_no_options(
    command, bands, code, advice, finished_run, tmp_path, rng, capsys
):
    image, dem = rng.integers(0, 255, (32, 32, bands)), rng.normal(1000, 9, (32, 32))
    dem[:2] = -9999
    write_raster(tmp_path / "t/images/a.tif", image.astype("uint8"))
    write_raster(tmp_path / "t/dem/a.tif", dem.astype("float32"))
    write_raster(tmp_path / "t/masks/a.tif", np.eye(32, dtype="uint8"))
    words = [command, finished_run, "--data", tmp_path / "t"]
    words += ["--out", tmp_path / "out"] if command == "predict" else []
    assert main([str(word) for word in words]) == code
    assert advice in "".join(capsys.readouterr())
