"""`REPORT.md` of the paper's matrix as text: words first, then each table in Markdown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from landslide_tf.study import tables
from landslide_tf.study.audit import audit_table
from landslide_tf.study.cells import DASH, between, bullets, listed, number, spread, table
from landslide_tf.study.claims import DOES_NOT, HOLDS, Claim, claims
from landslide_tf.study.comparisons import best_of, paper_comparisons
from landslide_tf.study.experiments import Study
from landslide_tf.study.matrices import MODELS, SIX
from landslide_tf.study.records import Result, Results, on_common_seeds
from landslide_tf.study.tables import METRICS
from landslide_tf.study.wording import (
    HOW_TO_READ,
    NOTE,
    comparisons_text,
    data_name,
    document,
    how_many,
    missing_text,
    pictures_text,
    protocol,
    what_it_means,
)

PICTURES = {
    "figure1-samples": "Figure 1: image, elevation and truth of the test tiles of Figures 5 and 6.",
    "figure2-unet-none": "Figure 2: U-Net, drawn from the built model.",
    "figure2-unetpp-none": "Figure 2: U-Net++.",
    "figure2-unetpp-contextual": "Figure 2: U-Net++ with attention in its encoder.",
    "figure3-workflow": "Figure 3: the workflow.",
    "figure4-loss": "Figure 4: loss of the paper's models.",
    "figure5-predictions": "Figure 5: four test tiles, picked by a rule: the one of median IoU, "
    "a small and a large landslide, and a failure.",
    "figure6-gradcam-encoder": "Figure 6: Grad-CAM at the last encoder level; white lines: what "
    "the model calls landslide, as in Figure 5.",
    "figure6-gradcam-decoder": "Figure 6: Grad-CAM at the last decoder block.",
    "precision-recall-reliability": "Precision, recall and reliability on the test tiles.",
    "iou-by-size": "IoU by landslide area, landslides found by size; bars: 95 % over tiles.",
    "cost": "Cost beside the paper's times.",
}
CHOSEN, GAP = "test mIoU, chosen threshold", "inference gap"


def paper_tables(study: Study, results: Results) -> dict[str, pd.DataFrame]:
    """The tables of the paper's matrix by name."""
    all_models = tables.table3(results)
    return {
        "table1": tables.table1(results),
        "table2": all_models.head(len(MODELS)),  # the base models
        "table3": all_models,
        "table4": tables.table4(results),
        "comparisons": paper_comparisons(results),
        "audit": audit_table(results),
        "dem": tables.dem_table(results, study),
        "cost": tables.cost_table(results),
    }


def paper_report(study: Study, out: Path, results: Results, frames, missing) -> str:
    """The report, from `paper_tables`; `missing` names figures that were not drawn, and why."""
    compared = frames["comparisons"]
    found = claims(results, compared)
    return document(
        f"# Study of {data_name(study)}",
        NOTE,
        "## What was asked\n\nHow do the paper's six models compare, which loss suits which "
        "model, what does the DEM add, and which of the paper's claims hold?\n\n"
        + bullets(protocol(study, results)),
        f"## What came out\n\n{bullets(what_came_out(results, found))}",
        table(
            pd.DataFrame(found), {"claim of the paper": "text", "here": "verdict", "why": "short"}
        ),
        f"## What it means\n\n{bullets(what_it_means(results, compared))}",
        HOW_TO_READ,
        _table1(frames["table1"], results, compared),
        _table3(frames["table3"], results, compared),
        comparisons_text(compared),
        _claims(found),
        _dem(frames["dem"], study),
        "## Table 4: beside other published models\n\n"
        "Each row is on data of its own, so that the numbers do not rank the models.\n\n"
        + table(
            frames["table4"], {"model": "model", "reported by": "by", "mIoU": "miou", "F1": "f1"}
        ),
        _audit(frames["audit"]),
        _cost(frames["cost"]),
        pictures_text(out, PICTURES, missing, "Curves and predictions are of the first seed."),
        missing_text(out, results),
    )


def what_came_out(results: Results, found: list[Claim]) -> list[str]:
    """The results in a few sentences."""
    made = [result for result in results.values() if result]
    if not made:
        return [how_many(results)]
    lines = [how_many(results), *_ranking([r for r in made if r.experiment in SIX])]
    baseline = made[0].records[0].metrics["baseline"]
    if baseline and baseline["background"]["miou"] is not None:  # the test part has landslides
        floor = max(scores["miou"] for scores in baseline.values())
        below = [r.experiment.title for r in made if r.mean("miou") <= floor]
        not_above = f"These are not above both: {listed(below)}."
        lines.append(
            "A map without any landslide scores mIoU "
            f"{baseline['background']['miou']:.3f}, and the best cut through one channel "
            f"{baseline['threshold']['miou']:.3f}. "
            + (not_above if below else "Every model is above both.")
        )
    verdicts = [claim.verdict for claim in found]
    hold, do_not = verdicts.count(HOLDS), verdicts.count(DOES_NOT)
    lines.append(
        f"Claims of the paper that hold here: {hold} of {len(found)}; that do not: {do_not}; "
        f"that cannot be decided: {len(found) - hold - do_not}."
    )
    return lines


def _ranking(six: list[Result]) -> list[str]:
    alike = on_common_seeds(six)
    if len(six) < 2 or not all(alike):
        return []
    low, *_, high = sorted(alike, key=lambda r: r.mean("miou"))
    paper = tables.paper_values()
    return [
        f"Of the paper's six models{'' if len(six) == 6 else f', {len(six)} run so far'}, "
        f"{high.experiment.title} has the highest mean test mIoU at threshold 0.5 "
        f"({high.mean('miou'):.3f}) and {low.experiment.title} the lowest "
        f"({low.mean('miou'):.3f}){'' if alike == six else ', over the seeds that all have'}. "
        "The paper has U-Net++ contextual first "
        f"({paper['3', 'unetpp-contextual', 'miou']:.2f}) and U-Net last "
        f"({paper['3', 'unet-none', 'miou']:.2f})."
    ]


def _table1(frame: pd.DataFrame, results: Results, compared: pd.DataFrame) -> str:
    best = (best_of(compared, tables.loss_results(results, model)) for model in MODELS)
    first = {result.experiment.title for result in best if result}
    columns = {
        "model": "model",
        "loss": lambda r: r["loss"] + (" (our choice)" if r["our_choice"] else ""),
        "test mIoU": lambda r: _bold(spread(r, "miou"), f"{r['model']} ({r['loss']})" in first),
        "over tiles": lambda r: between(r, "miou"),
        "paper": "miou_paper",
        "difference": lambda r: number(r["miou_difference"], sign=True),
        "validation mIoU": "validation",
        CHOSEN: lambda r: spread(r, "miou_chosen"),
        GAP: "gap",
        "seeds": "seeds",
    }
    return (
        "## Table 1: base models under the four losses\n\n"
        "'Our choice' has the highest validation mIoU of a model's losses, over the seeds that all "
        "of them have; validation mIoU is over these seeds too.\n\n" + table(frame, columns)
    )


def _bold(text: str, bold: bool) -> str:
    return f"**{text}**" if bold else text


def _table3(frame: pd.DataFrame, results: Results, compared: pd.DataFrame) -> str:
    best = best_of(compared, [results[e.name] for e in SIX])

    def name(row):
        title = f"{row['model']} ({row['loss']})" if row["loss"] else row["model"]
        return title + (", our choice" if row["kind"] == "our choice on validation" else "")

    def all_three(metric):
        return lambda r: (
            f"{spread(r, metric)} / {number(r[f'{metric}_paper'], 2)} / "
            f"{number(r[f'{metric}_difference'], 2, sign=True)}"
        )

    columns = {
        "model": name,
        "test mIoU": lambda r: _bold(
            spread(r, "miou"), best is not None and best.experiment.title == name(r)
        ),
        "over tiles": lambda r: between(r, "miou"),
        "paper, Tables 2 and 3": lambda r: number(r["miou_paper"], 2),
        "difference": lambda r: number(r["miou_difference"], sign=True),
        "paper, Table 1": "miou_table1",
        "validation mIoU": "miou_validation",
        CHOSEN: lambda r: spread(r, "miou_chosen"),
        GAP: "gap",
        "seeds": lambda r: number(r["seeds"], 0),
    }
    others = {"model": name} | {METRICS[m]: all_three(m) for m in METRICS if m != "miou"}
    return (
        "## Tables 2 and 3: the six models\n\n"
        "The paper prints two mIoU for the same pair of model and loss; both are shown. The last "
        f"rows are what any model should beat.\n\n{table(frame, columns)}\n\n"
        f"The other scores, as ours / paper / difference:\n\n{table(frame, others)}"
    )


def _claims(found: list[Claim]) -> str:
    columns = {
        "claim": "text",
        "here": "verdict",
        "figures": lambda c: "<br>".join(c["figures"]) or c["short"],
    }
    return (
        "## The paper's claims, with their figures\n\nDifferences are in test mIoU (in IoU of the "
        "landslide class for small landslides: the quarter of the test tiles with the fewest "
        "landslide pixels). 'Seeds' is the t-interval, 'draws' the bootstrap's.\n\n"
        + table(pd.DataFrame(found), columns)
    )


def _dem(frame: pd.DataFrame, study: Study) -> str:
    title = "## What is the DEM worth?\n\n"
    if study.base.input.fusion == "rgb":
        return title + "Not tested here: the study was made without the DEM."
    columns = {
        "experiment": "experiment",
        "fusion": "fusion",
        "test mIoU": lambda r: spread(r, "miou"),
        "over tiles": lambda r: between(r, "miou"),
        "DEM zeroed": "dem_zero",
        "other tiles' DEM": "dem_others",
        GAP: "gap",
        "seeds": "seeds",
    }
    return (
        title
        + "Models trained with the DEM stacked at the input (early), with an encoder of its own "
        "(bottleneck), and without it (rgb). Two columns score the finished model with the DEM set "
        "to zero, and with the DEM of another test tile: where they are as high as the test mIoU, "
        "the model does not use the DEM.\n\n" + table(frame, columns)
    )


def _audit(frame: pd.DataFrame) -> str:
    columns = {
        "whose": "whose",
        "model": "model",
        "F1, printed / recomputed": lambda r: f"{r['f1']:.2f} / {r['f1_recomputed']:.3f}",
        "mIoU, printed / recomputed": lambda r: f"{r['miou']:.2f} / {r['miou_recomputed']:.3f}",
        "implied share of landslide": lambda r: f"{r['positive_share']:.1%}",
        "fits": lambda r: "yes" if r["fits"] else f"no, by {r['excess']:.4f}",
    }
    return (
        "## Audit: do the rows of Table 3 fit together?\n\n"
        "F1 and the two-class mIoU follow from precision, recall and accuracy. A row fits where "
        "some values within the printed rounding (half a unit of the second digit) give all five "
        "numbers. Ours are of the first seed, rounded to two digits, under the same check.\n\n"
        + table(frame, columns)
    )


def _cost(frame: pd.DataFrame) -> str:
    def millions(row):
        count = row.get("parameters", np.nan)
        return f"{count / 1e6:.2f} M" if np.isfinite(count) else DASH

    columns = {
        "model": "model",
        "parameters": millions,
        "GFLOP a tile": lambda r: number(r.get("gflop"), 2),
        "on": lambda r: r["machine"] if isinstance(r.get("machine"), str) else DASH,
        "s an epoch": lambda r: number(r.get("seconds_per_epoch"), 1),
        "paper, s": lambda r: number(r["paper_seconds_per_epoch"], 0),
        "ms an image": lambda r: number(r.get("ms_per_image"), 1),
        "paper, ms": lambda r: number(r["paper_ms_per_image"], 0),
    }
    return (
        "## Cost\n\nSeconds of the fastest epoch, and milliseconds an image in batches. Other "
        "work on the machine only ever adds to them. The paper's are from a T4 GPU at its own "
        "width: compare ratios, not seconds.\n\n" + table(frame, columns)
    )
