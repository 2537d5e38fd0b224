"""Counts kept with a run: against counting pixels anew, and through a file."""

import numpy as np
import pytest

from landslide_tf.checks import InputError
from landslide_tf.metrics import confusion_counts
from landslide_tf.training.evaluation import THRESHOLDS, Predictions, score
from landslide_tf.training.tile_scores import read_tile_scores, tile_scores


@pytest.fixture
def predictions(rng):
    shape = (3, 20, 16)
    p = rng.random(shape).astype("float32")
    p[0, :, :8] = rng.choice(THRESHOLDS, (20, 8))  # exactly at a threshold
    p[1] **= 12  # nearly all close to 0
    return Predictions(
        p,
        (rng.random(shape) < 0.3).astype("uint8"),
        rng.random(shape) < 0.9,
        np.zeros(3, bool),
    )


def counted(p):
    return tile_scores(["a", "b", "c"], p.probability, p.mask, p.valid)


@pytest.mark.parametrize("threshold", [0.01, 0.29, 0.5, 0.57, 0.99])
def test_counts_equal_counting_pixels(predictions, threshold):
    p = predictions
    got = counted(p).counts(threshold)
    for tile in range(3):
        want = confusion_counts(
            p.mask[tile], p.probability[tile] >= np.float32(threshold), p.valid[tile]
        )
        assert dict(zip(("tp", "fp", "fn", "tn"), got[tile].tolist(), strict=True)) == want


def test_all_thresholds_that_can_be_chosen_are_kept(predictions):
    counts = counted(predictions)
    for threshold in THRESHOLDS:
        assert counts.counts(threshold).sum() == predictions.valid.sum()
    with pytest.raises(InputError, match="0.01, 0.02"):
        counts.counts(0.505)


def test_landslides_are_those_of_the_score(predictions):
    scores, counts = score(predictions, 0.5), counted(predictions)
    tile, pixels, hit = counts.landslides.T
    assert len(pixels) == scores["landslides"]
    assert np.sum(hit >= 0.5 * pixels) == scores["landslides_found"]
    assert pixels.sum() == scores["tp"] + scores["fn"]
    # predicted pixels of landslides are the true positives, tile by tile
    assert np.bincount(tile, hit, 3).tolist() == counts.counts(0.5)[:, 0].tolist()


def test_a_tile_without_landslide_and_without_data():
    empty = np.zeros((1, 4, 4))
    counts = tile_scores(["a"], empty, empty, empty > 0)
    assert counts.counts().tolist() == [[0, 0, 0, 0]]
    assert counts.landslides.shape == (0, 3)


def test_file_round_trip(predictions, tmp_path):
    counts = counted(predictions)
    counts.save(tmp_path / "tile_scores.npz")
    read = read_tile_scores(tmp_path / "tile_scores.npz")
    assert read.names.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(read.histogram, counts.histogram)
    np.testing.assert_array_equal(read.landslides, counts.landslides)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"text"])
def test_a_damaged_file_is_named(content, tmp_path):
    path = tmp_path / "tile_scores.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="tile_scores.npz: is damaged .*; delete it"):
        read_tile_scores(path)


def test_a_run_keeps_the_counts_of_its_test_tiles(finished_run):
    import json

    metrics = json.loads((finished_run / "metrics.json").read_text())
    counts = read_tile_scores(finished_run / "tile_scores.npz")
    assert counts.names.tolist() == json.loads((finished_run / "split.json").read_text())["test"]
    for scores, threshold in (
        (metrics["test"], 0.5),
        (metrics["test_chosen"], metrics["thresholds"]["chosen"]),
    ):
        total = counts.counts(threshold).sum(axis=0).tolist()
        assert total == [scores[name] for name in ("tp", "fp", "fn", "tn")]
