"""Exports against the Keras model, in their own runtimes."""

import dataclasses
import json
import re
import shutil

import keras
import numpy as np
import pytest

from landslide_tf.checks import InputError, JobError
from landslide_tf.cli import main
from landslide_tf.export import exporting as export_module
from landslide_tf.export import formats
from landslide_tf.export.exporting import compare, export_run
from landslide_tf.files import sha256
from landslide_tf.models.probability import Predictor, onnx_session
from landslide_tf.models.registry import build_model
from landslide_tf.runs.run import load_run
from landslide_tf.training import run_folder


def write_run(folder, finished_run, model=None, **changes):
    """A copy of a finished run with other options and, where given, another model."""
    shutil.copytree(finished_run, folder)
    config = run_folder.read_config(folder).with_options(**changes)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    config.input.save(folder)
    if model is not None:
        model.save(folder / "model.keras")
    return folder


@pytest.mark.slow
def test_savedmodel_serves_as_predict_does(finished_run, tmp_path, rng):
    out = export_run(finished_run, "savedmodel", tmp_path / "served")
    run = load_run(finished_run)
    image = rng.integers(0, 256, (3, 45, 61, 3)).astype("uint8")
    dem = (900 + 100 * rng.random((3, 45, 61))).astype("float32")
    dem[0, :20, :30] = np.nan
    dem[1] = np.nan
    got = formats.run_savedmodel(out, "serve_raw", image=image, dem=dem)
    want = run.predict(image, dem)
    assert got.shape == (3, 45, 61)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_allclose(got, want, atol=1e-4)
    x = rng.random((5, 32, 32, 4)).astype("float32")
    got = formats.run_savedmodel(out, "serve", inputs=x)
    np.testing.assert_allclose(got, Predictor(run.model)(x), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [{"dem_normalisation": "zscore"}, {"rgb_scale": 100.0}, {"fusion": "rgb"}],
    ids=lambda changes: next(iter(changes)),
)
def test_savedmodel_follows_the_runs_options(changes, finished_run, tmp_path):
    """`export_run` itself compares `serve_raw` with `predict`, and would fail."""
    model = build_model("unet", fusion=changes.get("fusion", "early"), filters=2,
                        input_shape=(32, 32, 3 if "fusion" in changes else 4))  # fmt: skip
    folder = write_run(tmp_path / "run", finished_run, model, **changes)
    out = export_run(folder, "savedmodel")
    assert out == folder / "export" / "savedmodel"
    checked = json.loads((out / "model-card.json").read_text())["checked"]
    assert sorted(checked) == ["serve", "serve_raw 200 x 160", "serve_raw 97 x 131"]


@pytest.mark.slow
def test_checked_with_what_can_be_read_of_its_tiles(finished_run, tmp_path, tiny_tiles, capsys):
    """A tile that broke is left out as in training; demo tiles are for a folder that is gone."""
    data = shutil.copytree(tiny_tiles, tmp_path / "tiles")
    next(data.glob("*/image/*")).write_bytes(b"no picture")
    run = load_run(finished_run)
    count = len(export_module._tiles(run))
    config = dataclasses.replace(run.config, data=str(data), skip_bad=True)
    assert len(export_module._tiles(dataclasses.replace(run, config=config))) == count - 1
    assert "demo" not in capsys.readouterr().out
    shutil.rmtree(data)
    export_module._tiles(dataclasses.replace(run, config=config))
    assert re.search("tiles.*; checking with tiles of the demo", capsys.readouterr().out)


@pytest.mark.slow
def test_terrain_has_no_raw_signature(finished_run, tmp_path, capsys):
    import tensorflow as tf

    model = build_model("unet", filters=2, input_shape=(32, 32, 5))
    folder = write_run(tmp_path / "run", finished_run, model, terrain=("slope",), resolution_m=1.0)
    out = export_run(folder, "savedmodel")
    assert "serve_raw is left out: slope" in capsys.readouterr().out
    assert "serve_raw" not in tf.saved_model.load(str(out)).signatures


@pytest.mark.slow
def test_card_says_what_a_user_must_know(finished_run, tmp_path):
    out = export_run(finished_run, "savedmodel", tmp_path / "served")
    card = json.loads((out / "model-card.json").read_text())
    run = load_run(finished_run)
    assert card["channels"] == ["red", "green", "blue", "dem"]
    assert card["threshold"] == run.threshold
    assert card["model_sha256"] == sha256(finished_run / "model.keras")
    assert card["scores"]["test"] == run.metrics["test"]
    for name, digest in card["files"].items():
        assert sha256(out / name) == digest
    assert "saved_model.pb" in card["files"]


@pytest.mark.slow
def test_an_export_that_differs_is_removed(finished_run, tmp_path, monkeypatch):
    def wrong(*args, **kwargs):
        return right(*args, **kwargs) + 2e-4

    right = formats.run_savedmodel
    monkeypatch.setattr(formats, "run_savedmodel", wrong)
    with pytest.raises(JobError, match=r"serve differs from the Keras model by 2.0e-04.*removed"):
        export_run(finished_run, "savedmodel", tmp_path / "served")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_nothing_is_replaced_unasked(finished_run, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    command = [
        "export",
        str(finished_run),
        "--format",
        "savedmodel",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(command) == 2
    assert "give --overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 2  # it is no export
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"
    (tmp_path / "out" / "mine.txt").unlink()
    assert main([*command, "--overwrite"]) == 0
    (tmp_path / "out" / "old.txt").write_text("of an older export")
    assert main([*command, "--overwrite"]) == 0
    assert not (tmp_path / "out" / "old.txt").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "torch"], "'savedmodel', 'onnx', 'litert'"),
        (["--format", "onnx", "--int8", "x"], "--int8 goes with --format litert"),
    ],
)
def test_bad_options(words, message, finished_run, capsys):
    assert main(["export", str(finished_run), *words]) == 2
    assert message in capsys.readouterr().err


def test_what_is_missing_is_named(finished_run, monkeypatch):
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name == "onnx" else object())
    with pytest.raises(InputError, match="needs onnx: pip install -r requirements-export.txt"):
        export_run(finished_run, "onnx")


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_models_are_rebuilt_in_float32(policy, rng):
    keras.config.set_dtype_policy(policy)
    try:
        mixed = build_model("unet", attention="contextual", filters=2, input_shape=(32, 32, 4))
    finally:
        keras.config.set_dtype_policy("float32")
    plain = formats.float32_model(mixed)
    assert {layer.compute_dtype for layer in plain.layers} == {"float32"}
    for a, b in zip(mixed.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    x = rng.random((1, 32, 32, 4)).astype("float32")
    np.testing.assert_allclose(np.asarray(plain(x)), np.asarray(mixed(x)), atol=0.1)
    assert formats.float32_model(plain) is plain


def test_comparison_by_hand():
    nan = np.nan
    found = compare(np.array([0.1, nan, 0.5, nan]), np.array([0.1, nan, 0.49, 0.2]), 0.5)
    # the third flips, the fourth has data on one side alone
    assert found == {"difference": 1.0, "flipped": 0.25}


@pytest.mark.slow
def test_onnx(finished_run, tmp_path, rng):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    out = export_run(finished_run, "onnx", tmp_path / "out")
    run = load_run(finished_run)
    for count in (1, 3):  # any batch
        x = rng.random((count, 32, 32, 4)).astype("float32")
        want = Predictor(run.model)(x)
        got = formats.run_onnx(out / "model.onnx", x)
        np.testing.assert_allclose(got, want, atol=1e-5)
        image = rng.integers(1, 256, (count, 32, 32, 3)).astype("uint8")
        dem = (900 + 100 * rng.random((count, 32, 32))).astype("float32")
        raw = np.concatenate([image, dem[..., None]], axis=-1, dtype="float32") / 255
        got = formats.run_onnx(out / "model-qgis.onnx", raw, channels_first=True)
        np.testing.assert_allclose(got, run.predict(image, dem), atol=1e-4)
    proto = onnx.load(out / "model-qgis.onnx")
    facts = {entry.key: json.loads(entry.value) for entry in proto.metadata_props}
    assert facts["model_type"] == "Segmentor"
    assert facts["class_names"] == {"0": "background", "1": "landslide"}
    assert (facts["tile_size"], facts["seg_thresh"]) == (32, run.threshold)
    (source,) = onnx_session(out / "model-qgis.onnx").get_inputs()
    assert source.shape[1:] == [4, 32, 32]
    assert (
        json.loads((out / "model-card.json").read_text())["onnx_opset"]
        == proto.opset_import[0].version
    )


@pytest.mark.slow
def test_litert(finished_run, tiny_tiles, tmp_path, monkeypatch):
    pytest.importorskip("ai_edge_litert")
    out = export_run(finished_run, "litert", tmp_path / "out", int8=tiny_tiles)
    sizes = {path.name: path.stat().st_size for path in out.glob("*.tflite")}
    assert sizes["model-int8.tflite"] < sizes["model.tflite"]
    card = json.loads((out / "model-card.json").read_text())
    assert card["checked"]["model.tflite"]["difference"] <= 1e-4
    assert card["checked"]["model-int8.tflite"]["flipped"] <= 0.02
    monkeypatch.setattr(export_module, "MAX_FLIPPED", -1)
    with pytest.raises(JobError, match="model-int8.tflite.*change sides.*removed"):
        export_run(finished_run, "litert", tmp_path / "again", int8=tiny_tiles)
    # what was good is kept
    assert {path.name for path in (tmp_path / "again").iterdir()} == {
        "model.tflite", "model-card.json", "input.json",
    }  # fmt: skip
    card = json.loads((tmp_path / "again/model-card.json").read_text())
    assert list(card["checked"]) == ["model.tflite"]
