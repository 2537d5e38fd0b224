"""What the figures show, as arithmetic; the pictures themselves are drawn by the study's test."""

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import calibration_curve

from landslide_tf.config import ATTENTIONS, MODELS
from landslide_tf.inputs.spec import FUSIONS
from landslide_tf.models.registry import build_model
from landslide_tf.study.paper_report import what_came_out
from landslide_tf.study.plots import curves
from landslide_tf.study.plots.architecture import architecture, blocks_and_edges, input_words
from landslide_tf.study.plots.curves import precision_recall, reliability, size_table
from landslide_tf.study.plots.outcomes import shown_tiles
from landslide_tf.study.records import Result
from landslide_tf.training.tile_scores import EDGES, tile_scores


def test_blocks_of_unet():
    blocks, edges = blocks_and_edges(build_model("unet", filters=4))
    assert {b for b in blocks if b.startswith("encoder")} == {f"encoder{i}" for i in range(5)}
    assert blocks["encoder2"] == blocks["decoder2"] == (32, 32, 16)
    down = {(f"encoder{i}", f"encoder{i + 1}") for i in range(4)}
    skips = {(f"encoder{i}", f"decoder{i}") for i in range(4)}
    up = {("encoder4", "decoder3"), *((f"decoder{i + 1}", f"decoder{i}") for i in range(3))}
    assert edges == down | skips | up


def test_nodes_of_unetpp_read_all_before_them():
    """X^{i,j} reads X^{i,0} … X^{i,j-1} and X^{i+1,j-1} (Zhou et al. 2018, Eq. 1)."""
    _, edges = blocks_and_edges(build_model("unetpp", filters=4))

    def name(level, step):
        return f"encoder{level}" if step == 0 else f"node{level}_{step}"

    expected = {(name(i, 0), name(i + 1, 0)) for i in range(4)}
    for step in range(1, 5):
        for level in range(5 - step):
            expected |= {(name(level, k), name(level, step)) for k in range(step)}
            expected.add((name(level + 1, step - 1), name(level, step)))
    assert edges == expected


@pytest.mark.slow
@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("model", MODELS)
def test_every_model_can_be_drawn(model, fusion, tmp_path):
    for attention in ATTENTIONS if fusion == "early" else ("none",):
        built = build_model(model, attention=attention, fusion=fusion, filters=2)
        path = architecture(built, model, tmp_path, f"{model}-{attention}")
        assert path.stat().st_size > 10_000
        assert path.with_suffix(".pdf").exists()


@pytest.fixture
def scored(rng):
    mask = (rng.random((6, 20, 20)) < 0.3).astype("uint8")
    p = np.clip(0.3 * mask + 0.7 * rng.random(mask.shape), 0, 1).astype("float32")
    return p, mask, tile_scores([f"t{i}" for i in range(6)], p, mask, mask >= 0)


def test_precision_and_recall_at_each_edge(scored):
    p, mask, counts = scored
    precision, recall = precision_recall(counts.histogram.sum(axis=0))
    for i in (20, 66, 100):
        above = p >= EDGES[i]
        assert recall[i] == pytest.approx(mask[above].sum() / mask.sum())
        if above.sum() >= 100:
            assert precision[i] == pytest.approx(mask[above].mean())
    assert np.isnan(precision[-1])  # hardly a pixel lies above 1 - 1e-6


def test_reliability_agrees_with_scikit_learn(scored):
    p, mask, counts = scored
    predicted, observed, pixels = reliability(counts.histogram.sum(axis=0))
    share, mean = calibration_curve(mask.ravel(), p.ravel(), n_bins=10)
    np.testing.assert_allclose(observed, share, atol=1e-12)
    np.testing.assert_allclose(predicted, mean, atol=0.005)
    assert pixels.sum() == mask.size


def record_of(counts):
    class Made:
        tiles = counts

    return Made()


def test_tiles_are_shown_by_a_rule():
    """Eleven tiles with IoU 0, 1/10 … 10/10 of landslides of ten pixels but for two, and none."""
    mask = np.zeros((12, 1, 40), "uint8")
    p = np.full(mask.shape, 0.1, "float32")
    for i in range(11):
        mask[i, 0, :10] = 1
        p[i, 0, :i] = 0.9
    mask[7, 0, 8:] = 0  # 8 pixels, 7 of them found
    mask[3, 0, :30] = 1  # 30 pixels, 3 of them found
    names = list("abcdefghijkl")
    shown = shown_tiles([record_of(tile_scores(names, p, mask, mask >= 0))])
    # IoU: a 0, b .1, d .1, c .2, e .4, f .5, g .6, i .8, h .875, j .9, k 1
    assert shown["a failure"] == "a"  # of the lowest tenth, one tile
    assert shown["median IoU"] == "f"  # the sixth of eleven
    sizes = (mask > 0).sum(axis=(1, 2))
    quarter = [n for n, size in zip(names, sizes, strict=True) if 0 < size <= 10]
    assert shown["a small one"] in quarter
    assert len(set(shown.values())) == 4


def test_small_and_large_tiles_are_of_their_quarters():
    """Sizes 1 to 8 pixels, all alike in IoU but the first, which is missed."""
    mask = np.zeros((8, 1, 8), "uint8")
    for i in range(8):
        mask[i, 0, : i + 1] = 1
    p = 0.9 * mask.astype("float32")
    p[0] = 0.1
    names = list("abcdefgh")
    shown = shown_tiles([record_of(tile_scores(names, p, mask, mask >= 0))])
    # quartiles of 1 … 8: 2.75 and 6.25; a is the failure already
    assert shown == {"median IoU": "d", "a small one": "b", "a large one": "g", "a failure": "a"}


def test_runs_with_other_test_tiles_do_not_choose():
    """Tile a is missed and b is found; a run with other tiles misses both."""
    mask = np.ones((2, 1, 4), "uint8")
    p = 0.9 * np.array([[[0, 0, 0, 1]], [[1, 1, 1, 1]]], "float32")
    first = record_of(tile_scores(["a", "b"], p, mask, mask > 0))
    more = np.ones((3, 1, 4), "uint8")
    other = record_of(tile_scores(["c", "d", "e"], 0.0 * more, more, more > 0))
    assert shown_tiles([first, other]) == shown_tiles([first])
    assert shown_tiles([first, other])["a failure"] == "a"


def test_tiles_without_counts_are_spread_by_name():
    without = record_of(None)
    without.split = {"test": ["a", "b", "c", "d", "e", "f", "g"]}
    assert list(shown_tiles([without]).values()) == ["a", "c", "e", "g"]


def test_input_in_words():
    def words(fusion, channels):
        shape = (32, 32, channels)
        return input_words(build_model("unet", fusion=fusion, filters=1, input_shape=shape))

    assert words("rgb", 3) == "input 32 x 32 x 3\nRGB alone"
    assert words("early", 5) == "input 32 x 32 x 5\nRGB + DEM + 1 terrain stacked\n(early fusion)"
    assert words("bottleneck", 4).endswith("RGB (3) and DEM (1)\nan encoder each")


def test_sizes_by_hand():
    """Landslides of 1, 2, 3 and 4 pixels, one a tile; half or more of the last two is found."""
    mask = np.zeros((4, 1, 8), "uint8")
    p = np.full((4, 1, 8), 0.1, "float32")
    for i, hit in enumerate((0, 0, 2, 4)):
        mask[i, 0, : i + 1] = 1
        p[i, 0, :hit] = 0.9
    p[0, 0, 7] = 0.9  # a false alarm in the first tile
    counts = tile_scores(list("abcd"), p, mask, mask >= 0)
    table = size_table(Result(None, (record_of(counts),)))
    iou = table[table.kind == "iou"]
    assert iou.value.tolist() == pytest.approx([0, 0, 2 / 3, 1])
    found = table[table.kind == "found"]
    assert found.value.tolist() == [0, 0, 1, 1]
    assert found[["from_px", "to_px", "count"]].to_numpy().tolist() == [
        [1, 1, 1], [2, 2, 1], [3, 3, 1], [4, 4, 1]
    ]  # fmt: skip
    assert (table.low == table.value).all()  # of one tile each: nothing to draw from
    assert (table.high == table.value).all()


def test_interval_of_a_size_class_by_hand():
    """One class of two tiles with IoU 0 and 1: a quarter of the resamples holds each alone."""
    mask = np.array([[[1, 1, 0, 0]], [[1, 1, 0, 0]], [[0, 0, 0, 0]]], "uint8")
    p = 0.9 * mask.astype("float32")
    p[0] = 0.1
    table = size_table(Result(None, (record_of(tile_scores(list("abc"), p, mask, mask >= 0)),)))
    assert table.kind.tolist() == ["iou", "found"]
    assert table.value.tolist() == [0.5, 0.5]
    assert (table.low.tolist(), table.high.tolist()) == ([0, 0], [1, 1])


def test_size_classes_without_a_landslide_are_left_out():
    """Of 1 and 100 pixels: the quartiles between them hold nothing."""
    mask = np.zeros((2, 1, 128), "uint8")
    mask[0, 0, 0] = 1
    mask[1, 0, :100] = 1
    p = 0.9 * mask.astype("float32")
    table = size_table(Result(None, (record_of(tile_scores(list("ab"), p, mask, mask >= 0)),)))
    assert table.kind.tolist() == ["iou", "iou", "found", "found"]
    assert table["count"].tolist() == [1, 1, 1, 1]
    assert table.value.tolist() == [1, 1, 1, 1]


def test_a_test_part_without_a_landslide(make_results, monkeypatch, tmp_path):
    """No size and no mIoU of a baseline is known, and the report does without."""
    monkeypatch.setattr("made_runs.truth", lambda: np.zeros((12, 8, 8), "uint8"))
    results = make_results({"unet-none-bce": 0.8})
    assert curves.by_size(results, tmp_path) is None
    assert len(what_came_out(results, [])) == 2  # how many runs, how many claims


def test_what_was_not_measured_has_no_panel(monkeypatch):
    monkeypatch.setattr(curves, "save", lambda figure, *_: figure)
    row = {"model": "U-Net", "parameters": 2e6, "gflop": 24.0, "seconds_per_epoch": 60.0,
           "ms_per_image": np.nan, "machine": "P, 2 cores", "paper_seconds_per_epoch": 5.0,
           "paper_ms_per_image": 4.0}  # fmt: skip
    labels = [axis.get_xlabel() for axis in curves.cost(pd.DataFrame([row]), "figures").axes]
    assert labels[:2] == ["parameters, million", "GFLOP a tile, forward"]
    assert labels[2:] == ["seconds an epoch\n(P,\n2 cores)"]
    assert curves.cost(pd.DataFrame([{"model": "U-Net"}]), "figures") is None


def test_losses_of_models_that_were_run(make_results, monkeypatch):
    monkeypatch.setattr(curves, "save", lambda figure, *_: figure)
    results = make_results({"unet-none-bce": 0.8, "resunet-none-wce": 0.8})
    titles = [axis.get_title() for axis in curves.loss_curves(results, "figures").axes]
    assert titles == ["U-Net (BCE)\nscored: epoch 2", "ResUNet (WCE)\nscored: epoch 2"]
