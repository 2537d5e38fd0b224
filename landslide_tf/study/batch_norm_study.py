"""The study of dropout before batch normalisation: its table and its words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from landslide_tf.study.cells import bullets, listed, number, spread, table
from landslide_tf.study.experiments import Study
from landslide_tf.study.matrices import LOSS_TITLES, MODEL_TITLES
from landslide_tf.study.records import Results
from landslide_tf.study.tables import paper_values, spread_cells
from landslide_tf.study.wording import (
    NOTE,
    data_name,
    document,
    how_many,
    missing_text,
    pictures_text,
    protocol,
)
from landslide_tf.training.scores import GAP_LIMIT

METRICS = {"miou": "mIoU", "precision": "precision", "recall": "recall", "accuracy": "accuracy",
           "auc": "AUC"}  # fmt: skip
# How a model is scored: with which statistics, and at which threshold.
WAYS = {
    "as_it_is": "test",
    "as_it_is_chosen": "test_chosen",
    "reestimated": "batch_norm.reestimated.test",
    "reestimated_chosen": "batch_norm.reestimated.test_chosen",
}
WAY_TITLES = {
    "as_it_is": "moving averages",
    "as_it_is_chosen": "moving averages, chosen threshold",
    "reestimated": "re-estimated",
    "reestimated_chosen": "re-estimated, chosen threshold",
}
PLACES = {0: "no dropout", 1: "dropout at the deepest level",
          2: "dropout at the two deepest levels"}  # fmt: skip
NEAR = 0.1  # a score this near to the paper's is called near
HIGH, LOW = 0.85, 0.5  # precision and recall of a model that hardly calls a landslide
KINDS = {
    "near": f"Reproduced (within {NEAR} of the paper's precision and recall)",
    "alike": f"Alike in kind (precision at least {HIGH}, recall below {LOW}), but not as far",
    "removed": f"Absent (recall at least {LOW})",
}
PICTURES = {
    "batch-norm-miou": "Test mIoU by the number of deepest levels with dropout, with the moving "
    "averages of batch normalisation and with re-estimated statistics. Dots: seeds; lines: their "
    "mean.",
    "batch-norm-precision-recall": "Precision and recall on test at threshold 0.5. An arrow leads "
    "from a run with its moving averages to the same weights with re-estimated statistics.",
}


def batch_norm_table(results: Results) -> pd.DataFrame:
    """A row each model, number of levels and way of scoring (`WAYS`): scores, gap, seeds."""
    rows = []
    for result in results.values():
        one = result.experiment
        for way, part in WAYS.items():
            row = {"model": MODEL_TITLES[one.model], "loss": LOSS_TITLES[one.loss]}
            row |= {"levels": one.options["dropout_levels"], "way": way}
            row["seeds"] = len(result.records)
            for metric in METRICS:
                row |= spread_cells(result, metric, part)
            rows.append(row | {"gap": result.gap})
    return pd.DataFrame(rows)


def batch_norm_report(study: Study, out: Path, results: Results, frame: pd.DataFrame) -> str:
    """The report, from `batch_norm_table`."""
    return document(
        f"# Dropout before batch normalisation: a study of {data_name(study)}",
        NOTE,
        "## What was asked\n\n"
        "Batch normalisation uses the statistics of the batch in training, and moving averages of "
        "them in inference. Dropout before it changes the variance in training alone, so that the "
        "averages may not fit (variance shift, Li et al. 2018). The paper has dropout 0.5 and does "
        "not say where. How much does its place matter, and does it repair a finished model to "
        "estimate the statistics anew (PreciseBN, Wu and Johnson 2021)?\n\n"
        "Each model was trained with dropout at no level, at the deepest, and at the two deepest "
        "levels of the encoder. Each run was scored twice with the same weights: with its moving "
        "averages, and with statistics that were re-estimated on training tiles without "
        "dropout.\n\n" + bullets(protocol(study, results)),
        f"## What came out\n\n{how_many(results)} Scores are of the test part, at threshold 0.5 "
        "or at the chosen one, which has the highest validation mIoU of the same statistics. ± is "
        "the standard deviation over seeds from three seeds on; with two, their range is in "
        f"brackets.\n\n{_all_scores(frame)}",
        f"## What it means\n\n{bullets(what_it_means(results))}",
        f"## The paper's U-Net row\n\n{papers_row(frame)}",
        pictures_text(out, PICTURES, {}),
        missing_text(out, results),
    )


def _all_scores(frame: pd.DataFrame) -> str:
    columns = {
        "model": lambda r: f"{r['model']} ({r['loss']})",
        "levels with dropout": "levels",
        "scored": lambda r: WAY_TITLES[r["way"]],
        **{title: lambda r, m=metric: spread(r, m) for metric, title in METRICS.items()},
        "inference gap": "gap",
        "seeds": "seeds",
    }
    return table(frame[frame.seeds > 0], columns)


def what_it_means(results: Results) -> list[str]:
    """What follows from the gaps, in sentences that the numbers carry."""
    lines = []
    for levels, place in PLACES.items():
        made = [
            r for r in results.values() if r and r.experiment.options["dropout_levels"] == levels
        ]
        if not made:
            continue
        gaps = np.concatenate([r.values("inference_gap", "batch_norm") for r in made])
        gain = np.mean([r.mean("miou", WAYS["reestimated"]) - r.mean("miou") for r in made])
        beyond = int((np.abs(gaps) > GAP_LIMIT).sum())
        many = f"between {gaps.min():.3f} and {gaps.max():.3f}"
        lines.append(
            f"With {place}, {beyond} of {len(gaps)} runs have an inference gap "
            f"beyond {GAP_LIMIT} ({many if len(gaps) > 1 else f'{gaps[0]:.3f}'}). Statistics that "
            f"are estimated anew change test mIoU by {gain:+.3f} on average."
        )
    return lines or ["Nothing yet."]


def papers_row(frame: pd.DataFrame) -> str:
    """Text on the paper's U-Net row: which dropout and statistics give its scores, which do not."""
    at_half = frame.way.isin(["as_it_is", "reestimated"])
    ours = frame[(frame.model == MODEL_TITLES["unet"]) & at_half & (frame.seeds > 0)]
    if ours.empty:
        return "No run of U-Net with BCE is complete yet."
    paper = {m: paper_values()["3", "unet-none", m] for m in METRICS}
    printed = listed([f"{title} {paper[m]:.2f}" for m, title in METRICS.items()])
    readings = [
        f"dropout at {r.levels} level{'' if r.levels == 1 else 's'}, {WAY_TITLES[r.way]}"
        for r in ours.itertuples()
    ]
    off = (ours[["precision", "recall"]] - pd.Series(paper)[["precision", "recall"]]).abs()
    kinds = np.select(
        [off.max(axis=1) <= NEAR, (ours.precision >= HIGH) & (ours.recall < LOW),
         ours.recall >= LOW],
        list(KINDS), "",
    )  # fmt: skip
    of_kind = {k: [r for r, kind in zip(readings, kinds, strict=True) if kind == k] for k in KINDS}
    return "\n\n".join(
        [
            f"For U-Net with BCE the paper prints {printed}, and concludes that BCE does not suit "
            "the task. A model that seldom calls a landslide but ranks pixels well is also what "
            "comes of moving averages that do not fit inference. Our scores at threshold 0.5:",
            bullets(
                [
                    f"{KINDS[k]}: {'; '.join(v) or 'none of the variants'}."
                    for k, v in of_kind.items()
                ]
            ),
            *_what_is_left(ours.set_index(["levels", "way"]), **of_kind),
        ]
    )


def _what_is_left(unet: pd.DataFrame, near, alike, removed) -> list[str]:
    """The careful conclusion: the same weights, other statistics; then BCE with the default."""
    lines, made = [], unet.index.get_level_values("levels")
    if 2 in made:
        recall = [spread(unet.loc[2, way], "recall") for way in ("as_it_is", "reestimated")]
        lines.append(
            f"With dropout at two levels, the same weights have recall {recall[0]} with their "
            f"moving averages and {recall[1]} with re-estimated statistics."
        )
    if removed and (near or alike):
        further = "" if near else " Our recall stays above the paper's, which this leaves open."
        lines.append(
            "The paper's row is consistent with a mismatch of batch-normalisation statistics."
            f"{further} That is not proved: the paper gives neither the place of dropout nor the "
            "momentum, its width, data and split are not ours, and other faults can give such "
            "scores, a threshold or too few epochs for instance."
        )
    else:
        lines.append("These runs neither support nor exclude that explanation of the paper's row.")
    if 1 in made:
        miou, printed = unet.loc[1, "as_it_is"].miou, paper_values()["1", "unet", "bce"]
        lines.append(
            "What is left of “BCE is not suitable”: with dropout at the deepest level alone, U-Net "
            f"with BCE reaches test mIoU {number(miou)} (the paper: 0.50 and {printed}). "
            + ("That gives no reason to call BCE unsuitable as such. " if miou > printed else "")
            + "Whether another loss is better still is for the study of the losses."
        )
    return lines
