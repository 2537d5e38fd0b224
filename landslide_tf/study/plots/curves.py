"""Figure 4 (loss curves), and what the paper lacks: precision-recall, reliability, size, cost."""

from __future__ import annotations

import numpy as np
import pandas as pd

from landslide_tf.study.bootstrap import ratio_interval
from landslide_tf.study.matrices import LOSS_TITLES, SIX
from landslide_tf.study.plots.common import COLOURS, STYLES, save
from landslide_tf.study.records import Result
from landslide_tf.study.tables import Results
from landslide_tf.training.figures import BLUE, ORANGE, drawing
from landslide_tf.training.tile_scores import EDGES

SIZE_CLASSES = 4
LEAST_RECALL = 0.01
RELIABILITY_BINS = 10
FEW_PX = 100


def loss_curves(results: Results, folder):
    """Figure 4: training and validation loss of the six models, first seed.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(read_study("study"), "study")
    >>> loss_curves(results, "figures").name
    'figure4-loss.png'
    """
    figure, axes = drawing().subplots(2, 3, figsize=(9.5, 5.2), sharex=True, layout="constrained")
    for axis, experiment in zip(axes.flat, SIX, strict=True):
        result = results[experiment.name]
        axis.set_title(experiment.title, fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
        if not result:
            axis.text(0.5, 0.5, "not run", ha="center", transform=axis.transAxes, color="0.5")
            axis.set_axis_off()
            continue
        record = result.records[0]
        epochs = [row["epoch"] for row in record.history]
        for column, label, colour in (
            ("loss", "training", BLUE),
            ("val_loss", "validation", ORANGE),
        ):
            axis.plot(epochs, [row[column] for row in record.history], color=colour, label=label)
        best = record.metrics["best_epoch"]
        axis.axvline(best, color="0.6", lw=1, ls="--", zorder=0, label="scored epoch")
        axis.set_title(f"{experiment.title}\nscored epoch {best}", fontsize=9)
        axis.xaxis.get_major_locator().set_params(integer=True)
    for axis in axes[-1]:
        axis.set_xlabel("epoch")
    for axis, experiment in zip(axes.flat, SIX, strict=True):
        axis.set_ylabel(f"{LOSS_TITLES[experiment.loss]} loss")
    handles = next((a.get_legend_handles_labels() for a in axes.flat if a.lines), ([], []))
    figure.legend(*handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return save(figure, folder, "figure4-loss")


def _with_counts(results: Results) -> list[tuple[str, Result]]:
    """The six models whose first seed kept the counts of its tiles."""
    return [
        (experiment.name, results[experiment.name])
        for experiment in SIX
        if results[experiment.name] and results[experiment.name].records[0].tiles is not None
    ]


def precision_recall(histogram) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall at each of `EDGES` from pixel counts (2, BINS) by label.

    A precision that rests on fewer than 100 pixels is NaN.

    >>> histogram = np.zeros((2, len(EDGES) + 1))
    >>> histogram[:, -1] = 100, 300  # background and landslide called at any threshold
    >>> histogram[1, 0] = 300  # landslide missed at all of them
    >>> precision, recall = precision_recall(histogram)
    >>> float(precision[0]), float(recall[0])  # 300 / 400, 300 / 600
    (0.75, 0.5)
    """
    fp, tp = histogram[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]  # at or above each edge
    precision = np.where(tp + fp >= FEW_PX, tp / np.maximum(tp + fp, 1), np.nan)
    return precision, tp / max(1, histogram[1].sum())


def reliability(histogram) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean probability, share of landslide and pixels of ten equal bins of probability.

    A pixel's probability is taken to be the middle of its bin in the counts; empty bins are NaN.

    >>> from landslide_tf.training.tile_scores import tile_scores
    >>> probability = np.full((1, 10, 10), 0.355, "float32")
    >>> mask = np.arange(100).reshape(1, 10, 10) < 30
    >>> counts = tile_scores(["a"], probability, mask, probability > 0)
    >>> [round(float(values[3]), 3) for values in reliability(counts.histogram[0])]  # 0.3 to 0.4
    [0.355, 0.3, 100.0]
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

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(read_study("study"), "study")
    >>> probability_curves(results, "figures").name
    'precision-recall-reliability.png'
    """
    shown = _with_counts(results)
    if not shown:
        return None
    figure, (left, right) = drawing().subplots(1, 2, figsize=(9.5, 4.6), layout="constrained")
    for name, result in shown:
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
    left.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    left.set_title("precision and recall (dots: threshold 0.5)", fontsize=9)
    right.plot([0, 1], [0, 1], color="0.7", lw=1, zorder=0)
    right.set(xlabel="predicted probability", ylabel="observed share of landslide")
    right.set(xlim=(0, 1), ylim=(0, 1.02))
    right.set_title("reliability (on the diagonal: calibrated)", fontsize=9)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return save(figure, folder, "precision-recall-reliability")


def size_table(result: Result) -> pd.DataFrame:
    """IoU and landslides found by size, in classes that hold about as many landslides or tiles.

    `iou`: pooled over the test tiles of a class, by landslide pixels in the tile; `found`: share
    of single landslides of a class of which at least half is predicted, by their own pixels.
    `low`, `high`: the 95 % bootstrap interval over test tiles.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(read_study("study"), "study")
    >>> table = size_table(results["unet-none-bce"])
    >>> table[table.kind == "iou"][["from_px", "to_px", "count"]]  # 11 tiles with landslide
       from_px  to_px  count
    0        8     15      2
    1       16     23      2
    2       24     35      4
    3       36     48      3
    """
    tiles, rows = result.records[0].tiles, []
    tp, fp, fn, _ = tiles.counts(0.5).T
    tile, pixels, hit = tiles.landslides.T
    everywhere = np.arange(len(tp))
    for kind, sizes, of_tile, parts, wholes in (
        ("iou", tp + fn, everywhere, tp, tp + fp + fn),
        ("found", pixels, tile, hit >= 0.5 * pixels, np.ones_like(pixels)),
    ):
        if not (sizes > 0).any():
            continue
        quantiles = np.linspace(0, 1, SIZE_CLASSES + 1)
        cuts = np.unique(np.quantile(sizes[sizes > 0], quantiles))
        # the last class holds its upper end
        for low, high in zip(cuts, [*cuts[1:-1], cuts[-1] + 1], strict=False):
            inside = (sizes >= low) & (sizes < high)
            if not inside.any():  # few landslides, of very different sizes
                continue
            part, whole = (
                np.bincount(of_tile[inside], x[inside], minlength=len(tp)) for x in (parts, wholes)
            )
            between = ratio_interval(part, whole)
            rows.append(
                {
                    "kind": kind,
                    "from_px": int(np.ceil(low)),
                    "to_px": int(np.ceil(high)) - 1,
                    "count": int(inside.sum()),
                    "value": part.sum() / whole.sum(),
                    "low": between.low,
                    "high": between.high,
                }
            )
    return pd.DataFrame(rows)


def by_size(results: Results, folder):
    """IoU by landslide area in the tile, and the share of landslides found by their size.

    None where no run kept the counts of its tiles.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(read_study("study"), "study")
    >>> by_size(results, "figures").name
    'iou-by-size.png'
    """
    shown = _with_counts(results)
    if not shown:
        return None
    figure, axes = drawing().subplots(1, 2, figsize=(9.5, 4.2), layout="constrained")
    for i, (name, result) in enumerate(shown):
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
        xlabel="landslide pixels in the tile (tiles)",
        ylabel="IoU of the landslide class",
        ylim=(0, 1),
    )
    axes[1].set(
        xlabel="pixels of the landslide (landslides)",
        ylabel="share of landslides found\n(half of their pixels or more)",
        ylim=(0, 1),
    )
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return save(figure, folder, "iou-by-size")


def cost(table: pd.DataFrame, folder):
    """Parameters, arithmetic, time an epoch and an image, beside the paper's times.

    `table` is that of `tables.cost_table`; None where nothing was run.

    >>> row = {"model": "U-Net", "parameters": 2e6, "gflop": 24.0, "seconds_per_epoch": 60.0}
    >>> row |= {"ms_per_image": 5.0, "paper_seconds_per_epoch": 20.0, "paper_ms_per_image": 30.0}
    >>> cost(pd.DataFrame([row]), "figures").name
    'cost.png'
    >>> cost(pd.DataFrame([{"model": "U-Net"}]), "figures") is None
    True
    """
    made = table.dropna(subset=["parameters"]) if "parameters" in table else table[:0]
    if made.empty:
        return None
    machines = made.machine.dropna().unique() if "machine" in made else []
    on = ""
    if len(machines):
        on = f"\n({machines[0]})" if len(machines) == 1 else "\n(machine: see left)"
    panels = (
        ("parameters", "parameters, million", 1e6, None),
        ("gflop", "GFLOP a tile, forward", 1, None),
        ("seconds_per_epoch", f"seconds an epoch{on}", 1, "paper_seconds_per_epoch"),
        ("ms_per_image", f"milliseconds an image{on}", 1, "paper_ms_per_image"),
    )
    figure, axes = drawing().subplots(1, 4, figsize=(11, 2.9), sharey=True, layout="constrained")
    rows = np.arange(len(made))[::-1]
    for axis, (column, title, unit, paper) in zip(axes, panels, strict=True):
        axis.barh(rows, made[column] / unit, color=BLUE, height=0.6)
        if paper:
            axis.plot(
                made[paper], rows, "D", color=ORANGE, ms=5, mec="white", label="paper (T4 GPU)"
            )
        axis.set_xlabel(title, fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    labels = made.model
    if len(machines) > 1:
        labels = made.model + "\n" + made.machine  # times of one row and another do not compare
    axes[0].set_yticks(rows, labels, fontsize=8)
    figure.legend(
        *axes[2].get_legend_handles_labels(), loc="outside lower right", frameon=False, fontsize=8
    )
    return save(figure, folder, "cost")
