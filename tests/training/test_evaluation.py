"""Scores, thresholds and baselines, against hand-made predictions."""

import json

import numpy as np
import pytest
from sklearn.metrics import jaccard_score, roc_auc_score

from conftest import write_tiles
from landslide_tf.checks import InputError
from landslide_tf.cli import main
from landslide_tf.data.arrays import load_tiles
from landslide_tf.data.dataset import Part
from landslide_tf.runs import evaluate
from landslide_tf.training import evaluation
from landslide_tf.training.evaluation import Predictions


def predictions(probability, mask, valid=None, negative=None):
    probability, mask = np.asarray(probability, "float32"), np.asarray(mask, "uint8")
    valid = np.ones(mask.shape, bool) if valid is None else np.asarray(valid, bool)
    negative = np.zeros(len(mask), bool) if negative is None else np.asarray(negative, bool)
    return Predictions(probability, mask, valid, negative)


def test_score_against_scikit_learn(rng):
    mask = rng.random((3, 8, 8)) < 0.3
    probability = np.clip(rng.normal(0.4 + 0.2 * mask, 0.2), 0, 1).astype("float32")
    valid = rng.random(mask.shape) < 0.8
    result = evaluation.score(predictions(probability, mask, valid), 0.45)
    y, p = mask[valid], probability[valid]
    both = jaccard_score(y, p >= 0.45, average=None)
    assert result["miou"] == pytest.approx(both.mean())
    assert result["iou"] == pytest.approx(both[1])
    assert result["auc"] == pytest.approx(roc_auc_score(y, p))
    assert result["tp"] + result["fp"] + result["fn"] + result["tn"] == valid.sum()
    per_tile = [
        jaccard_score(mask[i][valid[i]], probability[i][valid[i]] >= 0.45) for i in range(3)
    ]
    assert result["iou_per_image"] == pytest.approx(np.mean(per_tile))


def test_no_data_pixels_do_not_count():
    p = predictions([[[0.9, 0.9]]], [[[1, 0]]], valid=[[[1, 0]]])
    result = evaluation.score(p, 0.5)
    assert [result[name] for name in ("tp", "fp", "fn", "tn")] == [1, 0, 0, 0]


def test_false_alarms_of_negatives():
    # Two negative tiles of four pixels: one has one pixel called landslide. 1/2 tiles, 1/8 area.
    p = predictions(
        [[[0.9, 0.1], [0.1, 0.1]], [[0.6, 0.1], [0.1, 0.1]], [[0.1, 0.1], [0.1, 0.1]]],
        [[[1, 0], [0, 0]], [[0, 0], [0, 0]], [[0, 0], [0, 0]]],
        negative=[0, 1, 1],
    )
    result = evaluation.score(p, 0.5)
    assert result["negative_tiles"] == 2
    assert result["false_alarm_tiles"] == 0.5
    assert result["false_alarm_area"] == 0.125
    assert "false_alarm_tiles" not in evaluation.score(predictions([[[0.9]]], [[[1]]]), 0.5)


def test_chosen_threshold_has_the_highest_miou(rng):
    mask = rng.random((2, 16, 16)) < 0.2
    probability = np.clip(rng.normal(0.2 + 0.15 * mask, 0.1), 0, 1).astype("float32")
    p = predictions(probability, mask)
    chosen = evaluation.choose_threshold(p)
    miou = {t: evaluation.score(p, t)["miou"] for t in np.round(np.arange(0.01, 1, 0.01), 2)}
    assert miou[chosen] == max(miou.values())
    # separable: every threshold in (0.3, 0.8] is perfect; 0.5 itself is the nearest to 0.5
    assert evaluation.choose_threshold(predictions([[[0.3, 0.8]]], [[[0, 1]]])) == 0.5


def test_threshold_for_recall_by_hand():
    # four landslide pixels at 0.9, 0.7, 0.4, 0.2: half of them need 0.7, three quarters 0.4
    p = predictions([[[0.9, 0.7, 0.4, 0.2, 0.95]]], [[[1, 1, 1, 1, 0]]])
    assert evaluation.threshold_for_recall(p, 0.5) == pytest.approx(0.7)
    assert evaluation.threshold_for_recall(p, 0.51) == pytest.approx(0.4)
    assert evaluation.threshold_for_recall(p, 1.0) == pytest.approx(0.2)
    for recall in (0.5, 0.75, 1.0):
        threshold = evaluation.threshold_for_recall(p, recall)
        assert evaluation.score(p, threshold)["recall"] >= recall
    for bad in (0, -1, 1.2):
        with pytest.raises(InputError, match="--recall"):
            evaluation.threshold_for_recall(p, bad)
    with pytest.raises(InputError, match="no landslide pixel"):
        evaluation.threshold_for_recall(predictions([[[0.9]]], [[[0]]]), 0.5)


def test_threshold_baseline_finds_the_channel_and_the_direction(tmp_path):
    # In these tiles the landslide is brighter in RGB; inverted images make it darker.
    folder = write_tiles(tmp_path / "tiles", count=4, dem=False)
    tiles = load_tiles(folder, tile_px=32, fusion="rgb")
    part = Part(tiles, np.arange(4), tiles.spec)
    result = evaluation.threshold_baseline(part, part)
    assert result["iou"] == 1.0  # background 40 to 90, landslide 160 to 210 of 255
    assert ">=" in result["rule"]
    tiles.rgb[:] = 1 - tiles.rgb
    darker = evaluation.threshold_baseline(part, part)
    assert darker["iou"] == 1.0
    assert "<" in darker["rule"]


def test_table_shows_a_dash_for_what_is_undefined():
    rows = {"a": dict.fromkeys(("miou", "iou", "recall", "f1", "accuracy", "auc"), 0.5)}
    line = evaluation.format_scores({"a": {**rows["a"], "precision": None}}).splitlines()[1]
    assert line.split() == ["a", "0.500", "0.500", "-", "0.500", "0.500", "0.500", "0.500"]


class TestEvaluateRun:
    @pytest.mark.slow
    def test_repeats_the_scores_of_the_run(self, finished_run, tmp_path, capsys):
        metrics = json.loads((finished_run / "metrics.json").read_text())
        out = tmp_path / "scores.json"
        words = ["evaluate", str(finished_run), "--out", str(out)]
        assert main(words) == 0
        scores = json.loads(out.read_text())["scores"]
        for name in ("miou", "iou", "auc", "tp", "landslides_found"):
            assert scores["default"][name] == metrics["test"][name]
            assert scores["chosen"][name] == metrics["test_chosen"][name]
        assert main(words) == 2
        assert "--overwrite" in capsys.readouterr().err
        validation = evaluate.evaluate_run(finished_run, part="validation")["scores"]
        assert validation["default"]["miou"] == metrics["validation"]["miou"]

    def test_recall_is_reached_on_validation(self, finished_run):
        scores = evaluate.evaluate_run(finished_run, part="validation", recall=0.8)["scores"]
        assert scores["recall"]["recall"] >= 0.8

    @pytest.mark.slow
    def test_other_data_are_scored_whole(self, finished_run, tmp_path):
        other = write_tiles(tmp_path / "other", count=5, seed=9)
        scores = evaluate.evaluate_run(finished_run, data=str(other))["scores"]
        assert scores["default"]["tiles"] == 5
        with pytest.raises(InputError, match="--part all"):
            evaluate.evaluate_run(finished_run, data=str(other), part="test")

    def test_own_data_are_recognised_where_they_were_moved(
        self, finished_run, tiny_tiles, tmp_path
    ):
        import shutil

        shutil.copytree(tiny_tiles, tmp_path / "moved/wrapped")
        scores = evaluate.evaluate_run(finished_run, data=str(tmp_path / "moved"))["scores"]
        assert scores["default"]["tiles"] == 2  # the test part

    def test_negatives_are_added_as_false_alarms(self, finished_run, tiny_tiles, tmp_path):
        import shutil

        shutil.copytree(tiny_tiles, tmp_path / "tiles")
        others = write_tiles(tmp_path / "others", count=3, seed=4)
        shutil.rmtree(others / "landslide/mask")
        (others / "landslide").rename(tmp_path / "tiles/non-landslide")
        scores = evaluate.evaluate_run(
            finished_run, data=str(tmp_path / "tiles"), part="test", negatives=True
        )["scores"]
        assert scores["default"]["tiles"] == 2 + 3
        assert scores["default"]["negative_tiles"] == 3
