"""`REPORT.md` of a study that varies one recipe: each row against the first one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from landslide_tf.study.cells import between, bullets, spread, table
from landslide_tf.study.comparisons import compare
from landslide_tf.study.experiments import Study
from landslide_tf.study.records import Results, on_common_seeds
from landslide_tf.study.tables import score_cells, spread_cells
from landslide_tf.study.wording import (
    HOW_TO_READ,
    NOTE,
    comparisons_text,
    data_name,
    document,
    missing_text,
    protocol,
    what_it_means,
)

ASKED = {
    "dem": "Does the DEM help, and where should it meet the image?",
    "strong": "What does each part of the preset 'strong' give?",
}
METRICS = {"miou": "test mIoU", "iou": "IoU", "precision": "precision", "recall": "recall",
           "f1": "F1"}  # fmt: skip


def ablation_tables(results: Results) -> dict[str, pd.DataFrame]:
    """Two tables: 'rows' has the scores, 'comparisons' compares each further row with the first.

    The scores are those of the test part (at threshold 0.5, and mIoU at the chosen one), the
    validation mIoU, and the inference gap.
    """
    rows = []
    for result in results.values():
        row = {"row": result.experiment.label, "seeds": len(result.records)}
        for metric in METRICS:
            row |= score_cells(result, metric)
        row |= spread_cells(result, "miou", "test_chosen", "miou_chosen")
        row |= {"miou_validation": result.mean("miou", "validation"), "gap": result.gap}
        rows.append(row)
    first, *others = results.values()
    compared = compare("rows", [(other, first) for other in others])
    return {"rows": pd.DataFrame(rows), "comparisons": compared}


def ablation_report(study: Study, out: Path, results: Results, frames) -> str:
    """The report, from `ablation_tables`."""
    first = next(iter(results.values())).experiment
    compared = frames["comparisons"]
    columns = {
        "row": "row",
        **{title: lambda r, m=metric: spread(r, m) for metric, title in METRICS.items()},
        "mIoU over tiles": lambda r: between(r, "miou"),
        "validation mIoU": "miou_validation",
        "test mIoU, chosen threshold": lambda r: spread(r, "miou_chosen"),
        "inference gap": "gap",
        "seeds": "seeds",
    }
    return document(
        f"# Study of {data_name(study)}: {study.matrix}",
        NOTE,
        f"## What was asked\n\n{ASKED[study.matrix]} The recipe is {first.title}; each row changes "
        f"what its name says. The rows are compared with the first, {first.label}.\n\n"
        + bullets(protocol(study, results)),
        f"## What came out\n\n{bullets(_what_came_out(results))}\n\n"
        + table(frames["rows"], columns),
        f"## What it means\n\n{bullets(what_it_means(results, compared))}",
        HOW_TO_READ,
        comparisons_text(compared),
        missing_text(out, results),
    )


def _what_came_out(results: Results) -> list[str]:
    first, *others = results.values()
    if not first:
        return ["The first row was not run yet."]
    lines = [f"{first.experiment.label}: mean test mIoU {first.mean('miou'):.3f} at threshold 0.5."]
    for other in filter(None, others):
        mine, its = on_common_seeds([other, first])
        apart = (
            f" ({mine.mean('miou') - its.mean('miou'):+.3f} over the same seeds)" if mine else ""
        )
        lines.append(f"{other.experiment.label}: {other.mean('miou'):.3f}{apart}.")
    return lines
