"""Training end to end on tiny tiles: the run folder, the best epoch, resuming, failing well."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from conftest import write_tiles
from landslide_tf.checks import InputError, JobError
from landslide_tf.data import dataset
from landslide_tf.data.split import PARTS, make_split
from landslide_tf.losses import BCELoss, DiceLoss, FocalLoss, WCELoss
from landslide_tf.models.probability import Predictor
from landslide_tf.training import evaluation, recipe
from landslide_tf.training import fit as training

ROOT = Path(__file__).parents[2]
SCORES = {"miou", "iou", "precision", "recall", "f1", "accuracy", "auc"}


def make_parts(config):
    tiles = training.load_own_tiles(config)
    return dataset.make_parts(tiles, make_split(tiles, config.split, config.seed))


def test_a_run_folder_holds_what_it_should(finished_run, tiny_config):
    assert {path.name for path in finished_run.iterdir()} == {
        "config.json",
        "input.json",
        "split.json",
        "environment.json",
        "history.csv",
        "model.keras",
        "metrics.json",
        "loss.png",
        "predictions.png",
        "tile_scores.npz",
        "validation_scores.npz",
    }
    split = json.loads((finished_run / "split.json").read_text())
    # 12 tiles: round(0.2 * 12) = 2 test, round(0.2 * 10) = 2 validation, 8 train
    assert [len(split[part]) for part in PARTS] == [8, 2, 2]
    assert set(split["files"]) == {name for part in PARTS for name in split[part]}
    environment = json.loads((finished_run / "environment.json").read_text())
    assert environment["command"] == "test"
    assert environment["dtype_policy"] == "float32"
    assert environment["packages"]["keras"] == keras.__version__


def test_history_has_one_row_an_epoch(finished_run):
    history = pd.read_csv(finished_run / "history.csv")
    assert list(history["epoch"]) == [1, 2, 3]
    wanted = {"loss", "val_loss", "learning_rate", "seconds"} | {f"val_{name}" for name in SCORES}
    assert wanted <= set(history.columns)
    assert (history["learning_rate"].astype("float32") == np.float32(1e-2)).all()
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]


def test_metrics_hold_all_scores(finished_run):
    text = (finished_run / "metrics.json").read_text()
    assert "NaN" not in text
    metrics = json.loads(text)
    rows = [metrics["validation"], metrics["test"], metrics["test_chosen"]]
    for row in [*rows, metrics["baseline"]["background"], metrics["baseline"]["threshold"]]:
        assert {"tp", "fp", "fn", "tn"} | SCORES <= set(row)
        assert row["tp"] + row["fp"] + row["fn"] + row["tn"] == 2 * 32 * 32
    nothing = metrics["baseline"]["background"]
    assert nothing["tp"] == nothing["fp"] == 0
    assert nothing["precision"] is None  # 0 / 0
    assert (nothing["recall"], nothing["auc"]) == (0, 0.5)
    assert metrics["test_chosen"]["threshold"] == metrics["thresholds"]["chosen"]
    assert metrics["tiles"] == {"train": 8, "validation": 2, "test": 2, "left_out": 0}
    assert metrics["seconds"]["per_epoch"] == pytest.approx(
        metrics["seconds"]["training"] / 3, abs=1e-3
    )
    # the masks are squares 120 grey values brighter: one cut through one channel finds them
    assert metrics["baseline"]["threshold"]["iou"] > 0.95


def test_the_model_is_that_of_the_best_epoch(finished_run, tiny_config):
    history = pd.read_csv(finished_run / "history.csv")
    metrics = json.loads((finished_run / "metrics.json").read_text())
    best = history["val_miou"].idxmax()
    assert metrics["best_epoch"] == history["epoch"][best]
    # Keras' metric during training and the counts of the report are separate code
    assert metrics["validation"]["miou"] == pytest.approx(history["val_miou"][best], abs=1e-5)
    assert metrics["validation"]["auc"] == pytest.approx(history["val_auc"][best], abs=1e-3)
    model = keras.saving.load_model(finished_run / "model.keras", compile=False)
    assert model.dtype_policy.name == "float32"


def test_wce_weights_come_from_the_training_masks(tiny_config):
    config = dataclasses.replace(tiny_config, loss="wce")
    parts = make_parts(config)
    # each mask is a 10 x 10 square (32 // 3) of 32 x 32 pixels: p = 100 / 1024,
    # w0 = 2 p, w1 = 2 (1 - p)
    assert recipe.make_loss(config, parts["train"]).weights == pytest.approx(
        (2 * 100 / 1024, 2 * 924 / 1024)
    )
    given = dataclasses.replace(config, wce_weights=(1.0, 3.0))
    assert recipe.make_loss(given, parts["train"]).weights == (1.0, 3.0)


def test_loss_options_reach_the_loss(tiny_config):
    parts = make_parts(tiny_config)

    def loss(**options):
        return recipe.make_loss(dataclasses.replace(tiny_config, **options), parts["train"])

    assert isinstance(loss(), BCELoss)  # unet's loss in the paper
    assert isinstance(loss(model="resunet"), WCELoss)
    assert isinstance(loss(model="unetpp"), DiceLoss)
    assert loss(loss="dice", dice_smooth=3.0).smooth == 3.0
    focal = loss(loss="focal", focal_balance=0.5, focal_focusing=1.0, focal_class_balanced=True)
    assert isinstance(focal, FocalLoss)
    assert (focal.balance, focal.focusing, focal.class_balanced) == (0.5, 1.0, True)


def test_precision_without_a_gpu(tiny_config, monkeypatch):
    def policy(mixed, gpu):
        monkeypatch.setattr(recipe, "gpu_available", lambda: gpu)
        return recipe.precision_policy(dataclasses.replace(tiny_config, mixed_precision=mixed))

    assert [policy(m, False) for m in ("auto", "on", "off")] == [
        "float32",
        "mixed_bfloat16",
        "float32",
    ]
    assert [policy(m, True) for m in ("auto", "on", "off")] == [
        "mixed_float16",
        "mixed_float16",
        "float32",
    ]


def test_mixed_precision_keeps_logits_and_the_saved_model_in_float32(tiny_config, tmp_path):
    config = dataclasses.replace(tiny_config, mixed_precision="on", epochs=1)
    model = recipe.build(config, "mixed_bfloat16")
    assert model.get_layer("encoder0_conv1").compute_dtype == "bfloat16"
    assert model.output.dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"  # nothing is left behind


@pytest.mark.slow
def test_nan_stops_with_the_last_good_state(tiny_config, tmp_path, capsys):
    config = dataclasses.replace(tiny_config, learning_rate=1e36)
    with pytest.raises(JobError, match="NaN or infinite.*--learning-rate"):
        training.fit(config, tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert (tmp_path / "run" / "config.json").exists()


@pytest.mark.slow
def test_deep_supervision_and_a_split_without_test_part(tiny_config, tmp_path):
    names = training.load_own_tiles(tiny_config).names
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"train": names[:8], "validation": names[8:], "test": []}))
    config = dataclasses.replace(
        tiny_config, split=str(path), epochs=1, model="unetpp", deep_supervision=True
    )
    folder = training.fit(config, tmp_path / "run")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["test"] is None
    assert metrics["baseline"] is None
    # deep supervision is for training: the saved model has one output
    assert len(keras.saving.load_model(folder / "model.keras").outputs) == 1


def test_no_run_folder_for_bad_data(tiny_config, tmp_path):
    folder = write_tiles(tmp_path / "tiles", count=6)
    bad = sorted((folder / "landslide/image").iterdir())[0]
    bad.write_bytes(bad.read_bytes()[:200])  # truncated
    config = dataclasses.replace(tiny_config, data=str(folder))
    with pytest.raises(InputError, match=f"{bad.name}.*--skip-bad"):
        training.fit(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_early_stopping(tiny_config, tmp_path):
    config = dataclasses.replace(
        tiny_config, epochs=30, early_stopping=2, learning_rate=1e-9, dropout=0.0
    )
    folder = training.fit(config, tmp_path / "run")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["epochs"] == metrics["best_epoch"] + 2 < 30


@pytest.mark.slow
def test_interrupted_run_continues_and_a_finished_one_is_left_alone(
    tiny_config, tmp_path, monkeypatch
):
    config = dataclasses.replace(tiny_config, epochs=2)
    finish = training._finish
    monkeypatch.setattr(training, "_finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        training.fit(config, tmp_path / "run")
    monkeypatch.setattr(training, "_finish", finish)
    with pytest.raises(InputError, match="incomplete"):
        training.fit(config, tmp_path / "run")
    folder = training.fit(config, tmp_path / "run", resume=True)
    assert not (folder / "checkpoint").exists()
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    training.fit(config, folder, resume=True)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


# ---- slow --------------------------------------------------------------------------------------


def command(config, out, *more):
    options = [
        item
        for name in ("data", "model", "filters", "tile_px", "epochs", "batch_size", "learning_rate")
        for item in ("--" + name.replace("_", "-"), str(config.options()[name]))
    ]
    return [sys.executable, "train.py", *options, "--out", str(out), *more]


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_in_the_same_weights(tiny_config, tmp_path):
    config = dataclasses.replace(tiny_config, epochs=24)
    options = ("--deterministic", "--dropout", "0.5", "--augment", "flips,light")
    subprocess.run(command(config, tmp_path / "whole", *options), cwd=ROOT, check=True)

    cut = tmp_path / "cut"
    kills = 0
    while not (cut / "metrics.json").exists():
        process = subprocess.Popen(command(config, cut, *options, "--resume"), cwd=ROOT)
        done = _epochs(cut)
        while process.poll() is None and kills < 3:
            if _epochs(cut) >= done + 2:  # somewhere within a later epoch
                time.sleep(0.05 * kills)
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.01)
        process.wait()
        assert kills <= 3
    assert kills > 1

    histories = [pd.read_csv(tmp_path / name / "history.csv") for name in ("whole", "cut")]
    pd.testing.assert_frame_equal(
        *(history.drop(columns="seconds") for history in histories), check_exact=True
    )
    models = [keras.saving.load_model(tmp_path / name / "model.keras") for name in ("whole", "cut")]
    # weights: the seed of dropout, which a .keras file does not hold, is drawn anew at loading
    for a, b in zip(models[0].weights, models[1].weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def _epochs(folder) -> int:
    try:
        return len(pd.read_csv(folder / "history.csv"))
    except FileNotFoundError:
        return 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"model": "unetpp", "attention": "contextual", "loss": "dice"},
        {"model": "resunet", "loss": "wce"},
        {"model": "unet", "loss": "bce", "fusion": "bottleneck"},
    ],
    ids=lambda options: options["model"],
)
def test_overfits_eight_tiles(tiny_config, options):
    config = tiny_config.with_options(filters=8, dropout=0.0, epochs=60, batch_size=4, **options)
    train = make_parts(config)["train"]
    x, y, w = train.arrays(range(8))
    keras.utils.set_random_seed(0)
    model = recipe.build(config)
    model.compile(keras.optimizers.Adam(3e-3), recipe.make_loss(config, train))
    for _ in range(80):
        model.train_on_batch(x, y, w)
    # a few more passes so that the moving averages of batch normalisation catch up
    predictions = evaluation.predict_part(Predictor(model), train)
    assert evaluation.score(predictions, 0.5)["iou"] > 0.95


@pytest.mark.slow
def test_trains_where_tensorflow_is_not_installed(tiny_config, tmp_path):
    pytest.importorskip("jax", reason="needs requirements-dev.txt")
    hide = tmp_path / "sitecustomize.py"
    hide.write_text(
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'tensorflow':\n"
        "            raise ModuleNotFoundError(name=name)\n"
        "sys.meta_path.insert(0, Hide())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "KERAS_BACKEND": "jax"}
    subprocess.run(command(tiny_config, tmp_path / "run"), cwd=ROOT, env=environment, check=True)
    recorded = json.loads((tmp_path / "run/environment.json").read_text())
    assert recorded["backend"] == "jax"
    history = pd.read_csv(tmp_path / "run/history.csv")
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    # the saved weights are those that were trained, not the first ones
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["validation"]["miou"] == pytest.approx(history["val_miou"].max(), abs=1e-4)


@pytest.mark.slow
def test_mirrored_strategy_on_two_devices(tiny_config, finished_run, tmp_path):
    script = (
        "import tensorflow as tf, sys\n"
        "cpu = tf.config.list_physical_devices('CPU')[0]\n"
        "tf.config.set_logical_device_configuration("
        "cpu, [tf.config.LogicalDeviceConfiguration()] * 2)\n"
        "strategy = tf.distribute.MirroredStrategy\n"
        "tf.distribute.MirroredStrategy = lambda: strategy(['CPU:0', 'CPU:1'])\n"
        "from landslide_tf.cli import main\n"
        "sys.exit(main(['train', *sys.argv[1:]]))\n"
    )
    options = command(tiny_config, tmp_path / "run", "--strategy", "mirrored")[2:]
    subprocess.run([sys.executable, "-c", script, *options], cwd=ROOT, check=True)
    history = pd.read_csv(tmp_path / "run/history.csv")
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    # each replica has its own moving averages of batch normalisation; one of them is saved
    assert metrics["validation"]["miou"] == pytest.approx(history["val_miou"].max(), abs=0.05)
    # the loss is the mean over the replicas, not their sum
    alone = pd.read_csv(finished_run / "history.csv")
    assert history["loss"][0] == pytest.approx(alone["loss"][0], rel=0.3)
