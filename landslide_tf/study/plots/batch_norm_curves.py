"""Figures of the study of dropout before batch normalisation."""

from __future__ import annotations

import numpy as np

from landslide_tf.config import PAPER_LOSS
from landslide_tf.study.batch_norm_study import WAYS
from landslide_tf.study.matrices import LOSS_TITLES, MODEL_TITLES, MODELS
from landslide_tf.study.plots.common import save
from landslide_tf.study.records import Result, Results
from landslide_tf.study.tables import paper_values
from landslide_tf.training.figures import BLUE, GREEN, ORANGE, VERMILION, drawing

SHOWN = {
    "as_it_is": ("moving averages", VERMILION, "o", "-"),
    "reestimated": ("statistics re-estimated", BLUE, "s", "--"),
}
MARKS = {0: ("no dropout", GREEN), 1: ("dropout at 1 level", BLUE),
         2: ("dropout at 2 levels", VERMILION)}  # fmt: skip


def _panels(results: Results) -> tuple:
    """A figure, and for each model that was run its axes and its results by levels.

    Where nothing was run, the panels are empty.
    """
    by_model = {
        model: {
            result.experiment.options["dropout_levels"]: result
            for result in results.values()
            if result and result.experiment.model == model
        }
        for model in MODELS
    }
    shown = {model: made for model, made in by_model.items() if made} or by_model
    figure, axes = drawing().subplots(
        1, len(shown), figsize=(3.2 * len(shown) + 1.2, 3.7), sharex=True, sharey=True,
        squeeze=False, layout="constrained",
    )  # fmt: skip
    panels = {}
    for axis, (model, made) in zip(axes[0], shown.items(), strict=True):
        panels[model] = (axis, made)
        axis.set_title(f"{MODEL_TITLES[model]} ({LOSS_TITLES[PAPER_LOSS[model]]})", fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, panels


def _legend(figure, handles) -> None:
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=8)


def miou_by_levels(results: Results, folder):
    """Test mIoU at 0.5 by levels with dropout: seeds as dots, their mean as a line."""
    figure, panels = _panels(results)
    levels_run = sorted({levels for _, made in panels.values() for levels in made})
    for axis, made in panels.values():
        for way, (_, colour, mark, line) in SHOWN.items():
            shift = -0.06 if way == "as_it_is" else 0.06
            for levels, result in made.items():
                values = result.values("miou", WAYS[way])
                axis.plot([levels + shift] * len(values), values, mark, color=colour, ms=4, mew=0)
            means = [result.mean("miou", WAYS[way]) for result in made.values()]
            axis.plot(np.array(list(made)) + shift, means, line, color=colour)
        axis.set(xticks=levels_run, xlabel="deepest levels with dropout")
    next(iter(panels.values()))[0].set_ylabel("test mIoU, threshold 0.5")
    line = drawing().Line2D
    _legend(figure, [
        line([], [], color=colour, marker=mark, ls=style, ms=4, label=label)
        for label, colour, mark, style in SHOWN.values()
    ])  # fmt: skip
    return save(figure, folder, "batch-norm-miou")


def precision_recall_shift(results: Results, folder):
    """Precision and recall at 0.5 of each run, and an arrow to those with better statistics."""
    figure, panels = _panels(results)
    marked = set()
    for model, (axis, made) in panels.items():
        for levels, result in made.items():
            _arrows(axis, result, MARKS[levels][1])
            marked.add(levels)
        if model == "unet":
            paper = [paper_values()["3", "unet-none", m] for m in ("recall", "precision")]
            axis.plot(*paper, "D", color=ORANGE, ms=6, mec="black", mew=0.6)
        axis.set(xlabel="recall, threshold 0.5", xlim=(0, 1), ylim=(0, 1.02))
    next(iter(panels.values()))[0].set_ylabel("precision, threshold 0.5")
    line = drawing().Line2D
    handles = [
        line([], [], marker="o", ls="", color=MARKS[n][1], label=MARKS[n][0])
        for n in sorted(marked)
    ]
    if "unet" in panels:
        diamond = {"marker": "D", "ls": "", "color": ORANGE, "mec": "black", "mew": 0.6}
        handles.append(line([], [], label="the paper's U-Net", **diamond))
    _legend(figure, handles)
    return save(figure, folder, "batch-norm-precision-recall")


def _arrows(axis, result: Result, colour: str) -> None:
    """A dot for each run as it is, and an arrow to the same weights with better statistics."""
    arrow = {"arrowstyle": "-|>", "lw": 0.9, "shrinkA": 2, "shrinkB": 0, "color": colour}
    ends = [
        np.stack([result.values(m, WAYS[way]) for m in ("recall", "precision")], axis=1)
        for way in SHOWN
    ]
    for before, after in zip(*ends, strict=True):
        if np.isfinite([before, after]).all():
            axis.plot(*before, "o", color=colour, ms=4)
            axis.annotate("", after, before, arrowprops=arrow)
