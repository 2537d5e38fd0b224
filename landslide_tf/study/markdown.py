"""`REPORT.md` of the paper's matrix as text: words first, then each table in Markdown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from landslide_tf.config import MODELS
from landslide_tf.study.cells import DASH, between, bullets, number, spread, table
from landslide_tf.study.claims import Claim, Compared, claims
from landslide_tf.study.comparisons import best_of
from landslide_tf.study.experiments import Study
from landslide_tf.study.matrices import MODEL_TITLES, SIX
from landslide_tf.study.records import threshold_again
from landslide_tf.study.runner import read_failures
from landslide_tf.study.summary import (
    all_records,
    data_name,
    how_to_read,
    protocol,
    what_came_out,
    what_it_means,
)
from landslide_tf.study.tables import METRICS, Results, loss_results

SCORE_NAMES = dict(
    zip(METRICS, ("mIoU", "AUC", "precision", "recall", "F1", "accuracy"), strict=True)
)
NOTE = "Made from the run folders beside this file by `landslide study`; nothing in it is typed in."


def paper_report(study: Study, out: Path, results: Results, frames, compared, missing) -> str:
    """The report; `missing` names the figures that were not drawn, with the reason.

    `frames` are the tables by name, as `report.write_report` makes them; `compared` is that of
    `comparisons.paper_comparisons`.

    >>> from landslide_tf.study.comparisons import paper_comparisons
    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> from landslide_tf.study.report import paper_frames
    >>> study = read_study("study")
    >>> results = read_results(study, "study")
    >>> compared = paper_comparisons(results)
    >>> frames = paper_frames(study, results, compared)
    >>> text = paper_report(study, Path("study"), results, frames, compared, {})
    >>> [line for line in text.splitlines() if line.startswith("#")][:4]
    ['# Study of tiles', '## What was asked', '## What came out', '## What it means']
    """
    found = claims(results, compared)
    parts = [
        f"# Study of {data_name(study)}",
        NOTE,
        "## What was asked\n\nHow do the paper's six models compare, which loss suits which "
        "model, what does the DEM add, and which of the paper's claims hold?\n\n"
        + bullets(protocol(study, results)),
        f"## What came out\n\n{bullets(what_came_out(results, found))}",
        _claims_in_short(found),
        f"## What it means\n\n{bullets(what_it_means(results, compared))}",
        how_to_read(),
        _table1(frames["table1"], results, compared),
        _table3(frames["table3"], results, compared),
        comparisons_text(frames["comparisons"]),
        _claims(found),
        _dem(frames["dem"], study),
        _table4(frames["table4"]),
        _audit(frames["audit"]),
        _cost(frames["cost"]),
        pictures_text(out, PICTURES, missing, "Curves and predictions are of the first seed."),
        missing_text(out, results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _claims_in_short(found: list[Claim]) -> str:
    rows = [[c.text, c.verdict, c.short] for c in found]
    return table(["claim of the paper", "here", "why"], rows)


def _claims(found: list[Claim]) -> str:
    rows = [[c.text, c.verdict, "<br>".join(c.figures) or c.short] for c in found]
    return (
        "## The paper's claims, with their figures\n\nDifferences are in test mIoU (in IoU of the "
        "landslide class for small landslides: the quarter of the test tiles with the fewest "
        "landslide pixels). 'Seeds' is the t-interval, 'draws' the bootstrap's.\n\n"
        + table(["claim", "here", "figures"], rows)
    )


def _bold(text: str, bold: bool) -> str:
    return f"**{text}**" if bold else text


def _table1(frame: pd.DataFrame, results: Results, compared: Compared) -> str:
    rows = []
    for model in MODELS:
        best = best_of(compared, loss_results(results, model))
        part = frame[frame.model == MODEL_TITLES[model]].to_dict("records")
        for row, result in zip(part, loss_results(results, model), strict=True):
            rows.append(
                [
                    row["model"],
                    row["loss"] + (" (our choice)" if row["our_choice"] else ""),
                    _bold(spread(row, "miou"), result is best),
                    between(row["miou_low"], row["miou_high"]),
                    number(row["miou_paper"]),
                    number(row["miou_difference"], sign=True),
                    number(row["validation"]),
                    spread(row, "miou_chosen"),
                    number(row["gap"]),
                    str(row["seeds"]),
                ]
            )
    header = ["model", "loss", "test mIoU", "over tiles", "paper", "difference", "validation mIoU",
              "test mIoU, chosen threshold", "inference gap", "seeds"]  # fmt: skip
    return (
        "## Table 1: base models under the four losses\n\n"
        "'Our choice' has the highest validation mIoU of a model's losses, over the seeds that all "
        "of them have; validation mIoU is over these seeds too.\n\n" + table(header, rows)
    )


def _table3(frame: pd.DataFrame, results: Results, compared: Compared) -> str:
    best = best_of(compared, [results[e.name] for e in SIX])
    miou, others = [], []
    for row in frame.to_dict("records"):
        name = f"{row['model']} ({row['loss']})" if row["loss"] else row["model"]
        if row["kind"] == "our choice on validation":
            name += ", our choice"
        first = row["kind"] == "paper" and best is not None and best.experiment.title == name
        miou.append(
            [
                name,
                _bold(spread(row, "miou"), first),
                between(row.get("miou_low", np.nan), row.get("miou_high", np.nan)),
                number(row["miou_paper"], 2),
                number(row["miou_difference"], sign=True),
                number(row["miou_table1"]),
                number(row["miou_validation"]),
                spread(row, "miou_chosen"),
                number(row["gap"]),
                f"{row['seeds']:.0f}" if np.isfinite(row["seeds"]) else DASH,
            ]
        )
        others.append(
            [
                name,
                *(
                    f"{spread(row, m)} / {number(row[f'{m}_paper'], 2)} / "
                    f"{number(row[f'{m}_difference'], 2, sign=True)}"
                    for m in METRICS[1:]
                ),
            ]
        )
    header = ["model", "test mIoU", "over tiles", "paper, Tables 2 and 3", "difference",
              "paper, Table 1", "validation mIoU", "test mIoU, chosen threshold", "inference gap",
              "seeds"]  # fmt: skip
    return (
        "## Tables 2 and 3: the six models\n\n"
        "The paper prints two mIoU for the same pair of model and loss; both are shown. The last "
        "rows are what any model should beat.\n\n"
        + table(header, miou)
        + "\n\nThe other scores, as ours / paper / difference:\n\n"
        + table(["model", *(SCORE_NAMES[m] for m in METRICS[1:])], others)
    )


def _table4(frame: pd.DataFrame) -> str:
    rows = [
        [r["model"], r["by"], number(r["miou"]), number(r["f1"])] for r in frame.to_dict("records")
    ]
    return (
        "## Table 4: beside other published models\n\n"
        "Each row is on data of its own, so that the numbers do not rank the models.\n\n"
        + table(["model", "reported by", "mIoU", "F1"], rows)
    )


def comparisons_text(frame: pd.DataFrame) -> str:
    """The tables of comparisons, one below the other.

    >>> comparisons_text(pd.DataFrame())
    ''
    """
    if frame.empty:
        return ""
    parts = [
        "## Which is better?\n\nA minus B. 'Over seeds' is the t-interval, 'over draws' that of "
        "the bootstrap of tiles and seeds. The p-values are corrected within each table."
    ]
    for name, part in frame.groupby("table", sort=False):
        rows = [
            [
                r["a"],
                r["b"],
                number(r["difference"], sign=True),
                between(r["seeds_low"], r["seeds_high"], sign=True),
                between(r["draws_low"], r["draws_high"], sign=True),
                number(r["p"]),
                str(r["seeds"]),
                {"better": "A better", "worse": "B better"}.get(r["verdict"], r["verdict"]),
            ]
            for r in part.to_dict("records")
        ]
        header = ["A", "B", "difference", "over seeds", "over draws", "p, corrected", "seeds",
                  "verdict"]  # fmt: skip
        parts.append(f"### {name[0].upper()}{name[1:]}\n\n" + table(header, rows))
    return "\n\n".join(parts)


def _dem(frame: pd.DataFrame, study: Study) -> str:
    title = "## What is the DEM worth?\n\n"
    if study.base.input.fusion == "rgb":
        return title + "Not tested here: the study was made without the DEM."
    rows = [
        [r["experiment"], r["fusion"], spread(r, "miou"), between(r["miou_low"], r["miou_high"]),
         number(r["dem_zero"]), number(r["dem_others"]), number(r["gap"]), str(r["seeds"])]
        for r in frame.to_dict("records")
    ]  # fmt: skip
    header = ["experiment", "fusion", "test mIoU", "over tiles", "DEM zeroed", "other tiles' DEM",
              "inference gap", "seeds"]  # fmt: skip
    return (
        title
        + "Models trained with the DEM stacked at the input (early), with an encoder of its own "
        "(bottleneck), and without it (rgb). Two columns score the finished model with the DEM set "
        "to zero, and with the DEM of another test tile: where they are as high as the test mIoU, "
        "the model does not use the DEM.\n\n" + table(header, rows)
    )


def _audit(frame: pd.DataFrame) -> str:
    rows = [
        [
            r["whose"],
            r["model"],
            f"{r['f1']:.2f} / {r['f1_recomputed']:.3f}",
            f"{r['miou']:.2f} / {r['miou_recomputed']:.3f}",
            f"{r['positive_share']:.1%}",
            "yes" if r["fits"] else f"no, by {r['excess']:.4f}",
        ]
        for r in frame.to_dict("records")
    ]
    header = ["whose", "model", "F1, printed / recomputed", "mIoU, printed / recomputed",
              "implied share of landslide", "fits"]  # fmt: skip
    return (
        "## Audit: do the rows of Table 3 fit together?\n\n"
        "F1 and the two-class mIoU follow from precision, recall and accuracy. A row fits where "
        "some values within the printed rounding (half a unit of the second digit) give all five "
        "numbers. Ours are of the first seed, rounded to two digits, under the same check.\n\n"
        + table(header, rows)
    )


def _cost(frame: pd.DataFrame) -> str:
    rows = []
    for r in frame.to_dict("records"):
        parameters = r.get("parameters", np.nan)
        rows.append(
            [
                r["model"],
                f"{parameters / 1e6:.2f} M" if np.isfinite(parameters) else DASH,
                number(r.get("gflop", np.nan), 2),
                r["machine"] if isinstance(r.get("machine"), str) else DASH,
                number(r.get("seconds_per_epoch", np.nan), 1),
                f"{r['paper_seconds_per_epoch']:.0f}",
                number(r.get("ms_per_image", np.nan), 1),
                f"{r['paper_ms_per_image']:.0f}",
            ]
        )
    header = ["model", "parameters", "GFLOP a tile", "on", "s an epoch", "paper", "ms an image",
              "paper"]  # fmt: skip
    return (
        "## Cost\n\nSeconds of the fastest epoch, and milliseconds an image in batches. Other "
        "work on the machine only ever adds to them. The paper's are from a T4 GPU at its own "
        "width: compare ratios, not seconds.\n\n" + table(header, rows)
    )


PICTURES = {
    "figure1-samples": "Figure 1: image, elevation and mask of the test tiles of Figures 5 and 6.",
    "figure2-unet-none": "Figure 2: U-Net, drawn from the built model.",
    "figure2-unetpp-none": "Figure 2: U-Net++.",
    "figure2-unetpp-contextual": "Figure 2: U-Net++ with attention in its encoder.",
    "figure3-workflow": "Figure 3: the workflow.",
    "figure4-loss": "Figure 4: loss of the six models.",
    "figure5-predictions": "Figure 5: four test tiles, picked by a rule: the one of median IoU, "
    "a small and a large landslide, and a failure.",
    "figure6-gradcam-encoder": "Figure 6: Grad-CAM at the last encoder level; white lines: what "
    "the model calls landslide, as in Figure 5.",
    "figure6-gradcam-decoder": "Figure 6: Grad-CAM at the last decoder block.",
    "precision-recall-reliability": "Precision, recall and reliability on the test tiles.",
    "iou-by-size": "IoU by landslide area, landslides found by size; bars: 95 % over tiles.",
    "cost": "Cost beside the paper's times.",
}


def pictures_text(out: Path, captions: dict[str, str], missing: dict[str, str], of="") -> str:
    """The figures that are in `OUT/figures`, and the reasons of those that are not.

    `of` says what they are of.

    >>> text = pictures_text(Path("out"), {"a": "Figure 1"}, {"Figure 1": "no tiles"})
    >>> text.splitlines()[-1]
    '- Figure 1: not drawn, no tiles'
    """
    parts = ["## Figures", *([of] if of else [])]
    if missing:
        parts.append(bullets([f"{what}: not drawn, {why}" for what, why in missing.items()]))
    for name, caption in captions.items():
        if (out / "figures" / f"{name}.png").exists():
            pdf = (out / "figures" / f"{name}.pdf").exists()
            as_pdf = f" ([PDF](figures/{name}.pdf))" if pdf else ""
            parts.append(f"![{caption}](figures/{name}.png)\n\n{caption}{as_pdf}")
    return "\n\n".join(parts)


def missing_text(out: Path, results: Results) -> str:
    """What failed, was not run or kept no counts, and thresholds that the counts do not give.

    '' where there is nothing of that.

    >>> missing_text(Path("out"), {})
    ''
    """
    lines = [f"{name}: {reason}" for name, reason in read_failures(out).items()]
    missing = [r.experiment.title for r in results.values() if not r]
    if missing:
        lines.append(f"not run: {', '.join(missing)}")
    for record in all_records(results):
        chosen = record.metrics["thresholds"]["chosen"]
        counted = record.validation_tiles and threshold_again(record.validation_tiles)
        if counted not in (None, chosen):
            lines.append(
                f"{record.folder.name}: threshold {chosen:.2f} is recorded, and the counts of its "
                f"validation tiles give {counted:.2f}"
            )
    kept_none = [r.folder.name for r in all_records(results) if r.tiles is None]
    if kept_none:
        lines.append(f"no interval, as no counts of tiles were kept: {', '.join(kept_none)}")
    return f"## What is missing\n\n{bullets(lines)}" if lines else ""
