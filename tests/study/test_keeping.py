"""What is kept of a study: enough to make its tables anew, no path of a machine, nothing large."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_runs import BASE, write_run

from landslide_tf.checks import InputError
from landslide_tf.files import sha256
from landslide_tf.study.experiments import Study, plan, read_study, write_study
from landslide_tf.study.keeping import keep_records
from landslide_tf.study.records import read_results, threshold_again
from landslide_tf.study.wording import missing_text
from landslide_tf.training import run_folder
from landslide_tf.training.evaluation import Predictions, choose_threshold
from landslide_tf.training.tile_scores import tile_scores

ONLY = ("unet-none-bce", "unetpp-contextual-dice")


def make_study(out, seeds=2, **options):
    """A study in OUT whose runs have weights, logs and pictures, as training leaves them."""
    base = dataclasses.replace(BASE, data="/home/me/secret/tiles")
    study = Study(base, seeds, **options)
    for i, run in enumerate(plan(study, out, ONLY)):
        split = f"s{run.config.seed}" if study.resplit else "abc"
        write_run(run.folder, run.config, 0.7 + 0.05 * i, split=split, gap=0.01)
        for name in ("model.keras", "loss.png", "predictions.png"):
            (run.folder / name).write_bytes(b"much")
        scores = {"run": str(run.folder), "data": "/home/me/secret/tiles", "dem": "zero",
                  "scores": {"default": {"miou": 0.5}}}  # fmt: skip
        (run.folder / "dem-zero.json").write_text(json.dumps(scores))
    write_study(study, out)
    return study


@pytest.mark.parametrize("resplit", [False, True])
def test_tables_of_the_records_are_those_of_the_study(tmp_path, resplit):
    study = make_study(tmp_path / "out", resplit=resplit)
    keep_records(study, tmp_path / "out", tmp_path / "kept")
    kept = read_study(tmp_path / "kept")
    ours = read_results(kept, tmp_path / "kept")
    for name, result in read_results(study, tmp_path / "out").items():
        assert ours[name].values("miou").tolist() == result.values("miou").tolist()
        assert ours[name].gap == result.gap or not result
        for one, other in zip(ours[name].records, result.records, strict=True):
            assert one.split == other.split
            assert one.dem_scores == other.dem_scores
            assert one.tiles.histogram.tolist() == other.tiles.histogram.tolist()


def test_no_path_and_no_weights_are_kept(tmp_path):
    study = make_study(tmp_path / "out")
    keep_records(study, tmp_path / "out", tmp_path / "kept")
    for path in (tmp_path / "kept").rglob("*"):
        assert path.name not in ("model.keras", "loss.png", "predictions.png"), path
        if path.suffix in (".json", ".csv", ".md"):
            assert "secret" not in path.read_text(), path
            assert str(tmp_path) not in path.read_text(), path
    run = tmp_path / "kept/unet-none-bce-seed1"
    assert run_folder.read_config(run).data == "tiles"
    environment = json.loads((run / "environment.json").read_text())
    assert environment["command"] == (
        "landslide train --preset paper --data tiles --split split.json --model unet --filters 4 "
        "--loss bce --epochs 3 --seed 1 --out unet-none-bce-seed1"
    )
    assert environment["split_sha256"] == sha256(tmp_path / "kept/split.json")


def test_one_split_a_study_or_one_a_seed(tmp_path):
    for resplit, names in ((False, ["split.json"]), (True, ["split-0.json", "split-1.json"])):
        out, kept = tmp_path / f"out{resplit}", tmp_path / f"kept{resplit}"
        keep_records(make_study(out, resplit=resplit), out, kept)
        assert sorted(path.name for path in kept.rglob("split*.json")) == names


def test_a_split_that_was_changed_is_no_longer_that_of_the_runs(tmp_path):
    study = make_study(tmp_path / "out")
    keep_records(study, tmp_path / "out", tmp_path / "kept")
    (tmp_path / "kept/split.json").write_text('{"train": []}')
    with pytest.raises(InputError, match="its split is missing or was changed"):
        read_results(study, tmp_path / "kept")


def test_records_are_brought_up_to_date_but_nothing_else_is_replaced(tmp_path):
    out, kept = tmp_path / "out", tmp_path / "kept"
    keep_records(make_study(out, seeds=1), out, kept)
    study = Study(dataclasses.replace(BASE, data="/elsewhere/tiles"), 2)
    run = plan(study, out, ONLY)[-1]
    write_run(run.folder, run.config, 0.9)
    keep_records(study, out, kept)
    assert (kept / run.folder.name / "metrics.json").exists()
    other = dataclasses.replace(study, base=dataclasses.replace(study.base, epochs=9))
    with pytest.raises(InputError, match="holds another study"):
        keep_records(other, out, kept)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").touch()
    with pytest.raises(InputError, match="holds something else"):
        keep_records(study, out, tmp_path / "mine")
    with pytest.raises(InputError, match="is the study itself"):
        keep_records(study, out, out)


def test_nothing_to_keep(study, tmp_path):
    with pytest.raises(InputError, match="holds no complete run of the study"):
        keep_records(study, tmp_path / "out", tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_the_threshold_follows_from_the_counts_of_validation(seed, skill):
    rng = np.random.default_rng(seed)
    mask = (rng.random((3, 6, 6)) < 0.3).astype("uint8")
    p = (skill * mask + (1 - skill) * rng.random(mask.shape)).astype("float32")
    whole = np.ones(mask.shape, bool)
    counts = tile_scores(["a", "b", "c"], p, mask, whole)
    chosen = choose_threshold(Predictions(p, mask, whole, np.zeros(3, bool)))
    assert threshold_again(counts) == chosen


def test_a_threshold_that_the_counts_do_not_give_is_reported(study, tmp_path):
    run = plan(study, tmp_path, ("unet-none-bce",))[0]
    write_run(run.folder, run.config, 0.9)  # threshold 0.5 is recorded
    results = read_results(study, tmp_path)
    assert "threshold" not in missing_text(tmp_path, results)
    mask = np.ones((1, 1, 4), "uint8")
    mask[0, 0, 3] = 0
    p = np.array([[[0.9, 0.8, 0.81, 0.75]]], "float32")
    counts = tile_scores(["a"], p, mask, mask >= 0)
    counts.save(run.folder / "validation_scores.npz")
    text = missing_text(tmp_path, read_results(study, tmp_path))
    assert (
        "unet-none-bce-seed0: threshold 0.50 is recorded, and the counts of its validation tiles "
        "give 0.76"
    ) in text
