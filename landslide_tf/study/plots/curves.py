"""Figure 4 (loss curves), and what the paper lacks: precision-recall, reliability, size, cost."""

from __future__ import annotations

import numpy as np
import pandas as pd

from landslide_tf.study.bootstrap import ratio_interval
from landslide_tf.study.matrices import LOSS_TITLES, SIX
from landslide_tf.study.plots.common import save
from landslide_tf.study.records import Result, Results
from landslide_tf.training.figures import BLUE, GREEN, ORANGE, SKY, VERMILION, drawing
from landslide_tf.training.tile_scores import EDGES

# One colour and one line style a model, so that print without colour can be read too.
PURPLE = "#CC79A7"
COLOURS = dict(
    zip((e.name for e in SIX), (BLUE, ORANGE, GREEN, SKY, VERMILION, PURPLE), strict=True)
)
STYLES = dict(zip(COLOURS, ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1))), strict=True))
SIZE_CLASSES = 4
LEAST_RECALL = 0.01
RELIABILITY_BINS = 10
FEW_PX = 100


def _bare(axes) -> None:
    """Axes without a line above and to the right."""
    for axis in np.ravel(axes):
        axis.spines[["top", "right"]].set_visible(False)


def loss_curves(results: Results, folder):
    """Figure 4: training and validation loss of those of the six models that were run, first seed.

    None where there is none.
    """
    made = [results[e.name] for e in SIX if results[e.name]]
    if not made:
        return None
    columns = min(3, len(made))
    rows = -(-len(made) // columns)
    figure, axes = drawing().subplots(
        rows, columns, figsize=(3.2 * columns, 2.7 * rows), squeeze=False, layout="constrained"
    )
    _bare(axes)
    for axis in axes.flat[len(made) :]:
        axis.set_axis_off()
    for axis, result in zip(axes.flat, made, strict=False):
        history = pd.DataFrame(result.records[0].history)
        axis.plot(history.epoch, history.loss, color=BLUE, label="training")
        axis.plot(history.epoch, history.val_loss, color=ORANGE, label="validation")
        best = result.records[0].metrics["best_epoch"]
        axis.axvline(best, color="0.6", lw=1, ls="--", zorder=0, label="epoch that is scored")
        axis.set_title(f"{result.experiment.title}\nscored: epoch {best}", fontsize=9)
        axis.set(xlabel="epoch", ylabel=f"{LOSS_TITLES[result.experiment.loss]} loss")
        axis.xaxis.get_major_locator().set_params(integer=True)
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return save(figure, folder, "figure4-loss")


def _with_counts(results: Results) -> dict[str, Result]:
    """Those of the six models whose first seed kept the counts of its tiles, by name."""
    made = {e.name: results[e.name] for e in SIX if results[e.name]}
    return {name: result for name, result in made.items() if result.records[0].tiles is not None}


def precision_recall(histogram) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall at each of `EDGES` from pixel counts (2, BINS) by label.

    A precision that rests on fewer than 100 pixels is NaN.
    """
    fp, tp = histogram[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]  # at or above each edge
    precision = np.where(tp + fp >= FEW_PX, tp / np.maximum(tp + fp, 1), np.nan)
    return precision, tp / max(1, histogram[1].sum())


def reliability(histogram) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean probability, observed share of landslide and number of pixels, each for ten bins (10,).

    A pixel's probability is taken to be the middle of its bin in the counts; empty bins are NaN.
    """
    middles = (np.concatenate([[0], EDGES]) + np.concatenate([EDGES, [1]])) / 2
    group = np.minimum((middles * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1)
    pixels = np.bincount(group, histogram.sum(axis=0), RELIABILITY_BINS)
    landslide = np.bincount(group, histogram[1], RELIABILITY_BINS)
    total = np.bincount(group, histogram.sum(axis=0) * middles, RELIABILITY_BINS)
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / pixels, landslide / pixels, pixels


def probability_curves(results: Results, folder):
    """Precision against recall, and observed against predicted share, on the test tiles.

    The first from a recall of 0.01 on: below, the precision of a few pixels jumps about.
    None where no run kept the counts of its tiles.
    """
    shown = _with_counts(results)
    if not shown:
        return None
    figure, (left, right) = drawing().subplots(1, 2, figsize=(9.5, 4.6), layout="constrained")
    for name, result in shown.items():
        histogram = result.records[0].tiles.histogram.sum(axis=0)
        line = {"color": COLOURS[name], "ls": STYLES[name], "lw": 1.5}
        precision, recall = precision_recall(histogram)
        drawn = recall >= LEAST_RECALL
        left.plot(recall[drawn], precision[drawn], label=result.experiment.title, **line)
        here = np.flatnonzero(np.float32(0.5) == EDGES)[0]
        left.plot(recall[here], precision[here], "o", color=COLOURS[name], ms=5)
        predicted, observed, _ = reliability(histogram)
        right.plot(predicted, observed, marker="o", ms=3, **line)
    share = histogram[1].sum() / histogram.sum()
    left.axhline(share, color="0.7", lw=1, zorder=0)
    left.text(0.01, share, "share of landslide", va="bottom", color="0.4", fontsize=7)
    left.set(xlabel="recall on test pixels", ylabel="precision on test pixels")
    left.set_title("precision and recall (dots: threshold 0.5)", fontsize=9)
    right.plot([0, 1], [0, 1], color="0.7", lw=1, zorder=0)
    right.set(xlabel="predicted probability", ylabel="share of landslide in the truth")
    right.set_title("reliability (on the diagonal: calibrated)", fontsize=9)
    for axis in (left, right):
        axis.set(xlim=(0, 1), ylim=(0, 1.02))
    _bare([left, right])
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return save(figure, folder, "precision-recall-reliability")


def size_table(result: Result) -> pd.DataFrame:
    """IoU and landslides found by size, in classes that hold about as many landslides or tiles.

    `iou`: pooled over the test tiles of a class, by landslide pixels in the tile; `found`: share
    of single landslides of a class of which at least half is predicted, by their own pixels.
    `low`, `high`: the 95 % bootstrap interval over test tiles.
    """
    tiles, rows = result.records[0].tiles, []
    tp, fp, fn, _ = tiles.counts(0.5).T
    tile, pixels, hit = tiles.landslides.T
    frames = {
        "iou": {"size": tp + fn, "tile": range(len(tp)), "part": tp, "whole": tp + fp + fn},
        "found": {"size": pixels, "tile": tile, "part": hit >= 0.5 * pixels, "whole": 1},
    }
    for kind, content in frames.items():
        frame = pd.DataFrame(content).query("size > 0")
        if frame.empty:
            continue
        cuts = np.unique(frame["size"].quantile(np.linspace(0, 1, SIZE_CLASSES + 1)))
        cuts = [*cuts[: max(1, len(cuts) - 1)], cuts[-1] + 1]  # the last class holds its upper end
        of_class = pd.cut(frame["size"], cuts, right=False)
        for sizes, inside in frame.groupby(of_class, observed=True):
            part, whole = (
                np.bincount(inside.tile, inside[x], minlength=len(tp)) for x in ("part", "whole")
            )
            low, high = ratio_interval(part, whole)
            rows.append(
                {
                    "kind": kind,
                    "from_px": int(np.ceil(sizes.left)),
                    "to_px": int(np.ceil(sizes.right)) - 1,
                    "count": len(inside),
                    "value": part.sum() / whole.sum(),
                    "low": low,
                    "high": high,
                }
            )
    return pd.DataFrame(rows)


def by_size(results: Results, folder):
    """IoU by landslide area in the tile, and the share of landslides found by their size.

    None where no run kept the counts of its tiles, or no test tile has a landslide.
    """
    counted = _with_counts(results)
    shown = {name: r for name, r in counted.items() if len(r.records[0].tiles.landslides)}
    if not shown:
        return None
    figure, axes = drawing().subplots(1, 2, figsize=(9.5, 4.2), layout="constrained")
    for i, (name, result) in enumerate(shown.items()):
        table = size_table(result)
        beside = 0.09 * (i - (len(shown) - 1) / 2)  # so that intervals do not hide each other
        for axis, kind in zip(axes, ("iou", "found"), strict=True):
            part = table[table.kind == kind]
            places = np.arange(len(part)) + beside
            line = {"color": COLOURS[name], "marker": "o", "ms": 4, "clip_on": False}
            label = result.experiment.title if kind == "iou" else None
            axis.plot(places, part.value, ls=STYLES[name], lw=0.8, label=label, **line)
            axis.vlines(places, part.low, part.high, color=COLOURS[name], lw=1.5, clip_on=False)
            ticks = [f"{r.from_px} to {r.to_px}\n({r.count})" for r in part.itertuples()]
            axis.set_xticks(range(len(part)), ticks, fontsize=8)
    axes[0].set(
        xlabel="pixels of landslide in the tile\n(in brackets: number of test tiles)",
        ylabel="IoU of the landslide class",
    )
    axes[1].set(
        xlabel="pixels of the single landslide\n(in brackets: number of landslides)",
        ylabel="share of landslides found\n(half of their pixels or more)",
    )
    for axis in axes:
        axis.set_ylim(0, 1)
    _bare(axes)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return save(figure, folder, "iou-by-size")


def cost(table: pd.DataFrame, folder):
    """Parameters, arithmetic, time an epoch and an image, beside the paper's times.

    `table` is that of `tables.cost_table`. What was not measured has no panel; None where nothing
    was run.
    """
    made = table.dropna(subset=["parameters"]) if "parameters" in table else table[:0]
    if made.empty:
        return None
    machines = made.machine.unique()
    machine = machines[0].replace(", ", ",\n") if len(machines) == 1 else "machine: see left"
    on = f"\n({machine})"
    panels = [
        ("parameters", "parameters, million", 1e6, None),
        ("gflop", "GFLOP a tile, forward", 1, None),
        ("seconds_per_epoch", f"seconds an epoch{on}", 1, "paper_seconds_per_epoch"),
        ("ms_per_image", f"milliseconds an image{on}", 1, "paper_ms_per_image"),
    ]
    panels = [panel for panel in panels if made[panel[0]].notna().any()]
    figure, axes = drawing().subplots(
        1, len(panels), figsize=(2.75 * len(panels), 0.35 * len(made) + 1.5), sharey=True,
        layout="constrained",
    )  # fmt: skip
    rows = np.arange(len(made))[::-1]
    for axis, (column, title, unit, paper) in zip(axes, panels, strict=True):
        axis.barh(rows, made[column] / unit, color=BLUE, height=0.6)
        if paper:
            axis.plot(
                made[paper], rows, "D", color=ORANGE, ms=5, mec="white", label="paper (T4 GPU)"
            )
        axis.set_xlabel(title, fontsize=9)
    _bare(axes)
    labels = made.model
    if len(machines) > 1:
        labels = made.model + "\n" + made.machine  # times of one row and another do not compare
    axes[0].set_yticks(rows, labels, fontsize=8)
    figure.legend(
        *axes[2].get_legend_handles_labels(), loc="outside lower right", frameon=False, fontsize=8
    )
    return save(figure, folder, "cost")
