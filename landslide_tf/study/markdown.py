"""`REPORT.md` as text: each table of the study in Markdown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from landslide_tf.config import MODELS, TrainConfig
from landslide_tf.study.claims import ONE_SEED, Claim, claims, seeds_each, summary
from landslide_tf.study.experiments import MODEL_TITLES, Study
from landslide_tf.study.runner import read_failures
from landslide_tf.study.tables import METRICS, Results

DASH = "–"
SCORE_NAMES = dict(
    zip(METRICS, ("mIoU", "AUC", "precision", "recall", "F1", "accuracy"), strict=True)
)
# Options whose difference from the paper's values a reader should know of.
PROTOCOL = ("filters", "epochs", "batch_size", "learning_rate", "dropout", "tile_px", "augment",
            "fusion", "split", "negatives", "dem_normalisation", "terrain", "deep_supervision",
            "early_stopping")  # fmt: skip


def report_text(study: Study, out: Path, results: Results, frames, missing) -> str:
    """The report; `missing` names the figures that were not drawn, with the reason.

    `frames` are the tables by name, as `report.write_report` makes them.

    >>> from landslide_tf.study import tables
    >>> from landslide_tf.study.records import read_results
    >>> study, out = Study(TrainConfig(data="bijie")), Path("out")
    >>> results = read_results(study, out)  # no run yet
    >>> names = ("table1", "table3", "table4", "comparisons")
    >>> frames = {name: getattr(tables, name)(results) for name in names}
    >>> frames |= {"audit": tables.audit_table(results), "cost": tables.cost_table(results)}
    >>> frames["dem"] = tables.dem_table(results, study)
    >>> print(report_text(study, out, results, frames, {}).splitlines()[0])
    # Study of bijie
    """
    found = claims(results)
    parts = [
        f"# Study of {_data_name(study)}",
        "Made from the run folders beside this file by `python -m landslide_tf study`; nothing "
        "in it is typed in.",
        "## What the tables say",
        "\n".join(f"{n}. {line}" for n, line in enumerate(summary(results, found), 1)),
        "## What differs from the paper's protocol",
        "\n".join(f"- {line}" for line in protocol(study, results)),
        _table1(frames["table1"]),
        _table3(frames["table3"]),
        _table4(frames["table4"]),
        _comparisons(frames["comparisons"]),
        _dem(frames["dem"], study),
        _audit(frames["audit"]),
        _claims(results, found),
        _cost(frames["cost"], results),
        _pictures(out, missing),
        _failures(out, results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _data_name(study: Study) -> str:
    return Path(study.base.data).name if study.base.data else "the demo terrain"


def protocol(study: Study, results: Results) -> list[str]:
    """What a reader must know before comparing with the paper: data, options, hardware.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> study = read_study("study")
    >>> lines = protocol(study, read_results(study, "study"))
    >>> lines[0]
    'Data: tiles, 1 training, 1 validation and 12 test tiles (the paper: 770 tiles of Bijie, ...
    >>> lines[1].split("; ")
    ['Options: filters 4 (paper, or our reading of it: 64)', 'epochs 3 (paper, or our reading ...
    """
    base, paper = study.base, TrainConfig()
    lines = []
    record = next((r for result in results.values() for r in result.records), None)
    if record:
        count = record.metrics["tiles"]
        lines.append(
            f"Data: {_data_name(study)}, {count['train']} training, {count['validation']} "
            f"validation and {count['test']} test tiles (the paper: 770 tiles of Bijie, split "
            "64 / 16 / 20 %)."
        )
    different = [
        f"{name.replace('_', ' ')} {_value(base.options()[name])} "
        f"(paper, or our reading of it: {_value(paper.options()[name])})"
        for name in PROTOCOL
        if base.options()[name] != paper.options()[name]
    ]
    lines.append(
        f"Options: {'; '.join(different)}."
        if different
        else "Options: as the paper's, all of them."
    )
    if record:
        hardware = sorted(
            {
                f"{e['processor']} ({r.machine}), {e['backend']}, {e['dtype_policy']}"
                for result in results.values()
                for r in result.records
                for e in (r.environment,)
            }
        )
        lines.append(f"Hardware: {'; '.join(hardware)} (the paper: a Colab T4 GPU).")
    seeds = "a split of its own" if study.resplit else "the same split"
    lines.append(
        f"Seeds: {study.seeds} asked for, each with {seeds} (the paper: one run each). "
        "Scores are means over seeds at threshold 0.5, pooled over all test pixels; in brackets "
        "the 95 % bootstrap interval over test tiles, after ± the standard deviation over seeds. "
        "A comparison of two models draws the seeds as well; with one seed it does not hold the "
        "luck of the start, with two or three little of it. Neighbouring tiles are alike, which "
        "makes intervals too narrow; and they are not corrected for the number of comparisons, "
        "of which one in twenty excludes zero by chance."
    )
    return lines


def _value(value) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(value, digits: int = 3, sign: bool = False) -> str:
    if value is None or not np.isfinite(value):
        return DASH
    return f"{value:{'+' if sign else ''}.{digits}f}"


def _score(row, metric: str, bold: bool) -> str:
    value = row[metric]
    if not np.isfinite(value):
        return DASH
    text = f"**{value:.3f}**" if bold else f"{value:.3f}"
    if np.isfinite(row.get(f"{metric}_sd", np.nan)):
        text += f" ± {row[f'{metric}_sd']:.3f}"
    if np.isfinite(row.get(f"{metric}_low", np.nan)):
        text += f" [{row[f'{metric}_low']:.3f}, {row[f'{metric}_high']:.3f}]"
    return text


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _as_many_seeds(frame: pd.DataFrame) -> bool:
    """Whether the rows that were run have as many seeds: a best one is marked only then."""
    return frame.seeds[frame.seeds > 0].nunique() == 1


def _table1(frame: pd.DataFrame) -> str:
    rows = []
    for model in (MODEL_TITLES[m] for m in MODELS):
        part = frame[frame.model == model]
        even = _as_many_seeds(part)
        for row in part.to_dict("records"):
            rows.append(
                [
                    model,
                    row["loss"] + (" (our choice)" if row["our_choice"] else ""),
                    _score(row, "miou", even and row["miou"] == part.miou.max()),
                    _number(row["miou_paper"]),
                    _number(row["miou_difference"], sign=True),
                    _number(row["validation"]),
                    _number(row["test_chosen"]),
                    str(row["seeds"]),
                ]
            )
    header = ["model", "loss", "test mIoU", "paper", "difference", "validation mIoU",
              "test mIoU, chosen threshold", "seeds"]  # fmt: skip
    return (
        "## Table 1: base models under the four losses\n\n"
        "Bold: the best loss of a model on test, where all have as many seeds; 'our choice': the "
        "best on validation, over the seeds that all have.\n\n" + _markdown(header, rows)
    )


def _table3(frame: pd.DataFrame) -> str:
    paper_rows = frame[frame.kind == "paper"]
    even = _as_many_seeds(paper_rows)
    miou, others = [], []
    for row in frame.to_dict("records"):
        name = f"{row['model']} ({row['loss']})" if row["loss"] else row["model"]
        if row["kind"] == "our choice on validation":
            name += ", our choice"
        mine = even and row["kind"] == "paper"
        best = {m: mine and row[m] == paper_rows[m].max() for m in METRICS}
        miou.append(
            [
                name,
                _score(row, "miou", best["miou"]),
                _number(row["miou_paper"], 2),
                _number(row["miou_difference"], sign=True),
                _number(row["miou_table1"]),
                _number(row["miou_validation"]),
                _number(row["miou_chosen"]),
                f"{row['seeds']:.0f}" if np.isfinite(row["seeds"]) else DASH,
            ]
        )
        others.append(
            [
                name,
                *(
                    f"{_score(row, m, best[m])} / {_number(row[f'{m}_paper'], 2)} / "
                    f"{_number(row[f'{m}_difference'], 2, sign=True)}"
                    for m in METRICS[1:]
                ),
            ]
        )
    header = ["model", "test mIoU", "paper, Tables 2 and 3", "difference", "paper, Table 1",
              "validation mIoU", "test mIoU, chosen threshold", "seeds"]  # fmt: skip
    return (
        "## Tables 2 and 3: the six models\n\n"
        "The paper prints two mIoU for the same pair of model and loss; both are shown. Bold: the "
        "best of the six, where all have as many seeds. The last rows are what any model should "
        "beat.\n\n"
        + _markdown(header, miou)
        + "\n\nThe other scores, as ours / paper / difference:\n\n"
        + _markdown(["model", *(SCORE_NAMES[m] for m in METRICS[1:])], others)
    )


def _table4(frame: pd.DataFrame) -> str:
    rows = [
        [r["model"], r["by"], _number(r["miou"]), _number(r["f1"])]
        for r in frame.to_dict("records")
    ]
    return (
        "## Table 4: beside other published models\n\n"
        "Each row is on data of its own, so that the numbers do not rank the models.\n\n"
        + _markdown(["model", "reported by", "mIoU", "F1"], rows)
    )


def _comparisons(frame: pd.DataFrame) -> str:
    if frame.empty:
        return ""
    rows = [
        [
            r["a"],
            r["b"],
            f"{_number(r['difference'], sign=True)} [{r['low']:+.3f}, {r['high']:+.3f}]",
            {"better": "A better", "worse": "B better"}.get(r["a_is"], "cannot tell"),
        ]
        for r in frame.to_dict("records")
    ]
    return (
        "## Which model is better?\n\nTest mIoU of A minus B, both scored on the same resampled "
        "test tiles and seeds; a claim is made only where the 95 % interval excludes zero.\n\n"
        + _markdown(["A", "B", "difference", "verdict"], rows)
    )


def _dem(frame: pd.DataFrame, study: Study) -> str:
    title = "## What is the DEM worth?\n\n"
    if study.base.input.fusion == "rgb":
        return title + "Not tested here: the study was made without the DEM."
    rows = [
        [r["experiment"], r["fusion"], _score(r, "miou", False), _number(r["dem_zero"]),
         _number(r["dem_others"])]
        for r in frame.to_dict("records")
    ]  # fmt: skip
    return (
        title
        + "Models trained with the DEM stacked at the input (early), with an encoder of its own "
        "(bottleneck), and without it (rgb). The last two columns score the finished model with "
        "the DEM set to zero and with the DEM of another test tile: where they are as high as the "
        "first, the model does not use it.\n\n"
        + _markdown(["experiment", "fusion", "test mIoU", "DEM zeroed", "other tiles' DEM"], rows)
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
    return (
        "## Audit: do the rows of Table 3 fit together?\n\n"
        "F1 and the two-class mIoU follow from precision, recall and accuracy. 'Fits': some values "
        "within the printed rounding (half a unit of the second digit) give all five numbers. Ours "
        "(the first seed: means need not fit together) are held to the same check after rounding "
        "to two digits.\n\n"
        + _markdown(
            ["whose", "model", "F1, printed / recomputed", "mIoU, printed / recomputed",
             "implied share of landslide", "fits"],
            rows,
        )
    )  # fmt: skip


def _claims(results: Results, found: list[Claim]) -> str:
    rows = [[c.text, f"**{c.verdict}**", "<br>".join(c.figures) or c.short] for c in found]
    return (
        "## The paper's claims\n\nDifferences are in test mIoU, intervals over test tiles "
        f"and seeds. {_seeds(results)}\n\n" + _markdown(["claim", "here", "figures"], rows)
    )


def _seeds(results: Results) -> str:
    made = [result for result in results.values() if result]
    if not made or seeds_each(made) == ONE_SEED:
        return "One seed each: a verdict can still be the luck of one start."
    return f"{seeds_each(made).capitalize()}; pairs are compared seed by seed."


def _cost(frame: pd.DataFrame, results: Results) -> str:
    rows = []
    for r in frame.to_dict("records"):
        parameters = r.get("parameters", np.nan)
        rows.append(
            [
                r["model"],
                f"{parameters / 1e6:.2f} M" if np.isfinite(parameters) else DASH,
                _number(r.get("gflop", np.nan), 2),
                r["machine"] if isinstance(r.get("machine"), str) else DASH,
                _number(r.get("seconds_per_epoch", np.nan), 1),
                f"{r['paper_seconds_per_epoch']:.0f}",
                _number(r.get("ms_per_image", np.nan), 1),
                f"{r['paper_ms_per_image']:.0f}",
            ]
        )
    header = ["model", "parameters", "GFLOP a tile", "on", "s an epoch", "paper", "ms an image",
              "paper"]  # fmt: skip
    return (
        "## Cost\n\nSeconds of the fastest epoch and milliseconds an image in batches, both "
        "on the hardware named and not free of other work on it; the paper's are from a T4 GPU at "
        "its own width.\n\n" + _markdown(header, rows)
    )


PICTURES = {
    "figure1-samples": "Figure 1: image, elevation and mask of the test tiles of Figure 5.",
    "figure2-unet-none": "Figure 2: U-Net, drawn from the built model.",
    "figure2-unetpp-none": "Figure 2: U-Net++.",
    "figure2-unetpp-contextual": "Figure 2: U-Net++ with attention in its encoder.",
    "figure3-workflow": "Figure 3: the workflow.",
    "figure4-loss": "Figure 4: loss of the six models.",
    "figure5-predictions": "Figure 5: test tiles, from the models' worst to their best.",
    "figure6-gradcam-encoder": "Figure 6: Grad-CAM at the last encoder level.",
    "figure6-gradcam-decoder": "Figure 6: Grad-CAM at the last decoder block.",
    "precision-recall-reliability": "Precision, recall and reliability on the test tiles.",
    "iou-by-size": "IoU by landslide area, landslides found by size; bars: 95 % intervals.",
    "cost": "Cost beside the paper's times.",
}


def _pictures(out: Path, missing: dict[str, str]) -> str:
    lines = ["## Figures\n\nCurves and predictions are of the first seed."]
    lines += [f"- {what}: not drawn, {why}" for what, why in missing.items()]
    for name, caption in PICTURES.items():
        if (out / "figures" / f"{name}.png").exists():
            lines.append(
                f"\n![{caption}](figures/{name}.png)\n\n{caption} ([PDF](figures/{name}.pdf))"
            )
    return "\n".join(lines)


def _failures(out: Path, results: Results) -> str:
    lines = [f"- {name}: {reason}" for name, reason in read_failures(out).items()]
    missing = [r.experiment.title for r in results.values() if not r]
    if missing:
        lines.append(f"- not run: {', '.join(missing)}")
    kept_none = [
        r.folder.name for result in results.values() for r in result.records if r.tiles is None
    ]
    if kept_none:
        lines.append(
            f"- no interval, since the run kept no counts of its tiles: {', '.join(kept_none)}"
        )
    return "## What is missing\n\n" + "\n".join(lines) if lines else ""
