"""Figures of the study of dropout before batch normalisation."""

from __future__ import annotations

import numpy as np

from landslide_tf.config import MODELS, PAPER_LOSS
from landslide_tf.study.batch_norm_study import LEVELS, WAYS, result_of
from landslide_tf.study.matrices import LOSS_TITLES, MODEL_TITLES
from landslide_tf.study.plots.common import save
from landslide_tf.study.tables import Results, paper_values
from landslide_tf.training.figures import BLUE, GREEN, ORANGE, VERMILION, drawing

SHOWN = {
    "as_it_is": ("as it is", VERMILION, "o", "-"),
    "reestimated": ("statistics re-estimated", BLUE, "s", "--"),
}
MARKS = {0: ("no dropout", GREEN), 1: ("1 level", BLUE), 2: ("2 levels", VERMILION)}


def _panels(results: Results):
    figure, axes = drawing().subplots(
        1, len(MODELS), figsize=(9.5, 3.7), sharex=True, sharey=True, layout="constrained"
    )
    for axis, model in zip(axes, MODELS, strict=True):
        axis.set_title(f"{MODEL_TITLES[model]} ({LOSS_TITLES[PAPER_LOSS[model]]})", fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
        if not any(result_of(results, model, n) for n in LEVELS):
            axis.text(0.5, 0.5, "not run", ha="center", transform=axis.transAxes, color="0.5")
    return figure, axes


def miou_by_levels(results: Results, folder):
    """Test mIoU at 0.5 by levels with dropout: seeds as dots, their mean as a line.

    >>> from landslide_tf.config import TrainConfig
    >>> from landslide_tf.study.experiments import Study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(Study(TrainConfig(), matrix="batch-norm"), "out")
    >>> miou_by_levels(results, "figures").name
    'batch-norm-miou.png'
    """
    figure, axes = _panels(results)
    for axis, model in zip(axes, MODELS, strict=True):
        for way, (label, colour, mark, line) in SHOWN.items():
            seeds = [result_of(results, model, n).values("miou", WAYS[way]) for n in LEVELS]
            shift = -0.06 if way == "as_it_is" else 0.06
            for levels, values in zip(LEVELS, seeds, strict=True):
                axis.plot([levels + shift] * len(values), values, mark, color=colour, ms=4, mew=0)
            means = [values.mean() if len(values) else np.nan for values in seeds]
            label = label if axis is axes[0] else None
            axis.plot(np.array(LEVELS) + shift, means, line, marker=mark, ms=0, color=colour,
                      label=label)  # fmt: skip
        axis.set(xticks=LEVELS, xlabel="deepest levels with dropout", xlim=(-0.3, 2.3))
    axes[0].set_ylabel("test mIoU, threshold 0.5")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return save(figure, folder, "batch-norm-miou")


def precision_recall_shift(results: Results, folder):
    """Precision and recall at 0.5 of each run, and an arrow to those with better statistics.

    >>> from landslide_tf.config import TrainConfig
    >>> from landslide_tf.study.experiments import Study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(Study(TrainConfig(), matrix="batch-norm"), "out")
    >>> precision_recall_shift(results, "figures").name
    'batch-norm-precision-recall.png'
    """
    figure, axes = _panels(results)
    arrow = {"arrowstyle": "-|>", "lw": 0.9, "shrinkA": 2, "shrinkB": 0}
    for axis, model in zip(axes, MODELS, strict=True):
        for levels, (_, colour) in MARKS.items():
            result = result_of(results, model, levels)
            points = [
                np.stack([result.values(m, WAYS[way]) for m in ("recall", "precision")], axis=1)
                for way in SHOWN
            ]
            for before, after in zip(*points, strict=True):
                if np.isfinite([before, after]).all():
                    axis.plot(*before, "o", color=colour, ms=4)
                    axis.annotate("", after, before, arrowprops=arrow | {"color": colour})
        if model == "unet":
            paper = [paper_values()["3", "unet-none", m] for m in ("recall", "precision")]
            axis.plot(*paper, "D", color=ORANGE, ms=6, mec="black", mew=0.6)
        axis.set(xlabel="recall, threshold 0.5", xlim=(0, 1), ylim=(0, 1.02))
    axes[0].set_ylabel("precision, threshold 0.5")
    line = drawing().Line2D
    handles = [line([], [], marker="o", ls="", color=c, label=t) for t, c in MARKS.values()]
    diamond = {"marker": "D", "ls": "", "color": ORANGE, "mec": "black", "mew": 0.6}
    handles.append(line([], [], label="the paper's U-Net", **diamond))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return save(figure, folder, "batch-norm-precision-recall")
