"""`REPORT.md` of a study that varies one recipe: each row against the first one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from landslide_tf.study.cells import between, bullets, number, spread, table
from landslide_tf.study.comparisons import Comparison, compare
from landslide_tf.study.experiments import Study
from landslide_tf.study.markdown import NOTE, comparisons_text, missing_text
from landslide_tf.study.summary import data_name, how_to_read, protocol, what_it_means
from landslide_tf.study.tables import Results, score_cells

ASKED = {
    "dem": "Does the DEM help, and where should it meet the image?",
    "strong": "What does each part of the preset 'strong' give?",
}
METRICS = ("miou", "iou", "precision", "recall", "f1")


def ablation_comparisons(results: Results) -> dict[str, list[Comparison]]:
    """Each further row against the first, as one table of comparisons.

    >>> from landslide_tf.config import TrainConfig
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(Study(TrainConfig(), matrix="dem"), "out")  # no run yet
    >>> [one.verdict for one in ablation_comparisons(results)["rows"]]
    ['not run', 'not run']
    """
    first, *others = results.values()
    return {"rows": compare([(other, first) for other in others])}


def ablation_table(results: Results) -> pd.DataFrame:
    """A row each: scores on test, mIoU on validation and at the chosen threshold, inference gap.

    >>> from landslide_tf.config import TrainConfig
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(Study(TrainConfig(), matrix="dem"), "out")
    >>> ablation_table(results).row.tolist()
    ['rgb', 'early', 'bottleneck']
    """
    rows = []
    for result in results.values():
        row = {"row": result.experiment.label, "seeds": len(result.records)}
        for metric in METRICS:
            row |= score_cells(result, metric)
        row |= score_cells(result, "miou", "test_chosen", "miou_chosen")
        row |= {"miou_validation": result.mean("miou", "validation"), "gap": result.gap}
        rows.append(row)
    return pd.DataFrame(rows)


def ablation_report(study: Study, out: Path, results: Results, frames, compared) -> str:
    """The report, from the two tables of this module and the comparisons.

    >>> from landslide_tf.config import TrainConfig
    >>> from landslide_tf.study.comparisons import comparison_table
    >>> from landslide_tf.study.records import read_results
    >>> study = Study(TrainConfig(model="unet"), matrix="dem")
    >>> results = read_results(study, "out")
    >>> compared = ablation_comparisons(results)
    >>> frames = {"rows": ablation_table(results), "comparisons": comparison_table(compared)}
    >>> ablation_report(study, Path("out"), results, frames, compared).splitlines()[0]
    '# Study of the demo terrain: dem'
    """
    first = next(iter(results.values())).experiment
    rows = [
        [
            r["row"],
            *(spread(r, metric) for metric in METRICS),
            between(r["miou_low"], r["miou_high"]),
            number(r["miou_validation"]),
            spread(r, "miou_chosen"),
            number(r["gap"]),
            str(r["seeds"]),
        ]
        for r in frames["rows"].to_dict("records")
    ]
    header = ["row", "test mIoU", "IoU", "precision", "recall", "F1", "mIoU over tiles",
              "validation mIoU", "test mIoU, chosen threshold", "inference gap",
              "seeds"]  # fmt: skip
    asked = ASKED.get(study.matrix, "What does each part of the recipe give?")
    parts = [
        f"# Study of {data_name(study)}: {study.matrix}",
        NOTE,
        f"## What was asked\n\n{asked} The recipe is {first.title}; each row changes what its name "
        f"says. The rows are compared with the first, {first.label}.\n\n"
        + bullets(protocol(study, results)),
        f"## What came out\n\n{bullets(_what_came_out(results))}\n\n{table(header, rows)}",
        f"## What it means\n\n{bullets(what_it_means(results, compared))}",
        how_to_read(),
        comparisons_text(frames["comparisons"]),
        missing_text(out, results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _what_came_out(results: Results) -> list[str]:
    first, *others = results.values()
    if not first:
        return ["The first row was not run yet."]
    base = first.mean("miou")
    lines = [f"{first.experiment.label}: mean test mIoU {base:.3f} at threshold 0.5."]
    for other in others:
        if other:
            change = f"{other.mean('miou') - base:+.3f}"
            lines.append(f"{other.experiment.label}: {other.mean('miou'):.3f} ({change}).")
    return lines
