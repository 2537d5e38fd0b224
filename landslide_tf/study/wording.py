"""What all reports of a study say: how its runs were made, which differ, what is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from landslide_tf.config import TrainConfig
from landslide_tf.study.cells import between, bullets, listed, number, table
from landslide_tf.study.comparisons import best_of, turned
from landslide_tf.study.experiments import Study
from landslide_tf.study.matrices import SIX
from landslide_tf.study.records import Record, Result, Results, all_records, threshold_again
from landslide_tf.study.runner import read_failures
from landslide_tf.study.verdicts import BETTER, LEAST_SEEDS, WORSE
from landslide_tf.training.scores import GAP_LIMIT

NOTE = "Made from the run folders beside this file by `landslide study`; nothing in it is typed in."
# Options whose difference from the paper's values a reader should know of.
PROTOCOL = ("filters", "epochs", "batch_size", "learning_rate", "schedule", "warmup_epochs",
            "weight_decay", "ema", "dropout", "dropout_levels", "tile_px", "augment", "fusion",
            "split", "negatives", "dem_normalisation", "terrain", "deep_supervision",
            "early_stopping", "reestimate_batch_norm")  # fmt: skip
MOST_PAIRS = 3  # of a table are named in words
HOW_TO_READ = """## How to read the tables

Scores are pooled over all test pixels at threshold 0.5 unless a column says otherwise. A score is \
the mean over seeds, ± the standard deviation from three seeds on; with two, their range is in \
brackets. 'Chosen threshold' is the one with the highest validation mIoU. 'Over tiles' is the 95 % \
interval when test tiles are drawn anew (bootstrap); it is somewhat too narrow, because \
neighbouring tiles are alike. The 'inference gap' is how much mIoU a model gains on its training \
tiles when its batch-normalisation statistics are estimated anew; it should be near 0.

A verdict needs at least three seeds on both sides. The t-interval over the paired seeds and the \
bootstrap over tiles and seeds must both exclude zero, after Holm's correction for the number of \
comparisons in the table. A bold score is better than all others by these verdicts. A dash stands \
for what was not run."""


def document(*parts: str) -> str:
    """A report of these parts, one below the other; empty ones are left out."""
    return "\n\n".join(filter(None, parts)) + "\n"


def data_name(study: Study) -> str:
    """The data set of a study, without the path that leads to it."""
    return Path(study.base.data).name if study.base.data else "the demo terrain"


def protocol(study: Study, results: Results) -> list[str]:
    """How the runs were made: data, options that are not the paper's, hardware, seeds.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> study = read_study("study")
    >>> lines = protocol(study, read_results(study, "study"))
    >>> lines[0]
    'Data: tiles, 1 training, 1 validation and 12 test tiles (the paper: 770 tiles of Bijie, ...
    >>> lines[1].split(": ")[1].split("; ")[:2]
    ['filters 4 (64)', 'epochs 3 (50).']
    """
    ours, papers, lines = study.base.options(), TrainConfig().options(), []
    varied = () if study.matrix == "paper" else study.varied
    records = all_records(results)
    if records:
        count = records[0].metrics["tiles"]
        lines.append(
            f"Data: {data_name(study)}, {count['train']} training, {count['validation']} "
            f"validation and {count['test']} test tiles (the paper: 770 tiles of Bijie, split "
            "64 / 16 / 20 %)."
        )
    different = [
        f"{name.replace('_', ' ')} {_value(ours[name])} ({_value(papers[name])})"
        for name in PROTOCOL
        if name not in varied and ours[name] != papers[name]
    ]
    options = "Options that are not the paper's, or our reading of it (which is in brackets)"
    lines.append(f"{options}: {'; '.join(different) or 'none'}.")
    if records:
        hardware = {
            f"{r.machine}, {r.environment['backend']}, {r.environment['dtype_policy']}"
            for r in records
        }
        lines.append(f"Hardware: {'; '.join(sorted(hardware))} (the paper: a Colab T4 GPU).")
    seeds = "a split of its own" if study.resplit else "the same split"
    lines.append(f"Seeds: {study.seeds} planned, each with {seeds} (the paper: one run each).")
    return lines


def _value(value) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return Path(value).name if isinstance(value, str) else str(value)


def how_many(results: Results) -> str:
    """How many experiments were run, with how many seeds."""
    counts = [len(result.records) for result in results.values() if result]
    if not counts:
        return "No run is complete yet."
    low, high = min(counts), max(counts)
    seeds = f"{high} seeds each" if low == high else f"{low} to {high} seeds each"
    seeds = "one seed each" if high == 1 else seeds
    return f"{len(counts)} of {len(results)} experiments have a complete run, {seeds}."


def what_it_means(results: Results, compared: pd.DataFrame) -> list[str]:
    """What a reader may conclude: which pairs can be told apart, and what stands in the way."""
    made = [result for result in results.values() if result]
    if not made:
        return ["Nothing yet."]
    lines = []
    tested = compared[compared.seeds >= LEAST_SEEDS]
    if tested.empty:
        lines.append(
            "No comparison has three seeds on both sides, so that nothing here may be called "
            "better or worse: another start may turn any order round."
        )
    for name, part in tested.groupby("table", sort=False):
        decided = part[part.verdict.isin([BETTER, WORSE])]
        decided = decided.sort_values("difference", key=lambda d: -abs(d), kind="stable")
        first = [row for _, row in decided.head(MOST_PAIRS).iterrows()]
        pairs = [
            f"{one.a} over {one.b} ({one.difference:+.3f})"
            for one in (one if one.verdict == BETTER else turned(one) for one in first)
        ]
        more = len(decided) - len(first)
        lines.append(
            f"Table '{name}': {len(decided)} of {len(part)} tested pairs can be told apart"
            + (f": {'; '.join(pairs)}" if pairs else "")
            + (f"; and {more} with smaller differences." if more else ".")
        )
    six = [results[e.name] for e in SIX if e.name in results]
    if len(six) == len(SIX) and all(six):
        best = best_of(compared, six)
        lines.append(
            f"{best.experiment.title} is better than the five others."
            if best
            else "None of the six models can be called better than all others."
        )
    return [*lines, *still_learning(all_records(results)), gap_in_words(made)]


def still_learning(records: list[Record]) -> list[str]:
    """A line where most runs have their best epoch in the last tenth of the training.

    A learning rate that decays makes the last epochs the best ones anyway, and is not counted.
    """
    constant = [record for record in records if record.config.schedule == "constant"]
    late = sum(r.metrics["best_epoch"] > 0.9 * r.metrics["epochs"] for r in constant)
    if late <= len(constant) / 2:
        return []
    return [
        f"In {late} of {len(constant)} runs the best epoch is in the last tenth of the training: "
        "they were still learning. With more epochs the scores would rise, and their order may "
        "change."
    ]


def gap_in_words(made: list[Result]) -> str:
    """Whether the batch-normalisation statistics of the runs fit inference."""
    gaps = {result.experiment.title: result.gap for result in made if np.isfinite(result.gap)}
    if not gaps:
        return "The runs do not record their inference gap."
    large = [f"{title} ({gap:+.3f})" for title, gap in gaps.items() if abs(gap) > GAP_LIMIT]
    if large:
        return (
            f"The inference gap is beyond {GAP_LIMIT} in {listed(large)}: these scores also "
            "depend on batch normalisation, not on the model and the loss alone."
        )
    largest = max(map(abs, gaps.values()))
    return (
        f"The inference gap is at most {largest:.3f}: batch normalisation does not "
        "disturb the comparison."
    )


def comparisons_text(compared: pd.DataFrame) -> str:
    """The tables of comparisons that were made, one below the other; '' where there is none."""
    compared = compared[compared.seeds > 0]
    if compared.empty:
        return ""
    parts = [
        "## Which is better?\n\nA minus B. 'Over seeds' is the t-interval, 'over draws' that of "
        "the bootstrap of tiles and seeds. The p-values are corrected within each table."
    ]
    columns = {
        "A": "a",
        "B": "b",
        "difference": lambda r: number(r["difference"], sign=True),
        "over seeds": lambda r: between(r, "seeds", sign=True),
        "over draws": lambda r: between(r, "draws", sign=True),
        "p, corrected": "p",
        "seeds": "seeds",
        "verdict": lambda r: {BETTER: "A better", WORSE: "B better"}.get(
            r["verdict"], r["verdict"]
        ),
    }
    for name, part in compared.groupby("table", sort=False):
        parts.append(f"### {name[0].upper()}{name[1:]}\n\n" + table(part, columns))
    return "\n\n".join(parts)


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
            parts.append(f"![{caption}](figures/{name}.png)\n\n{caption}")
    return "\n\n".join(parts)


def missing_text(out: Path, results: Results) -> str:
    """The section on what is missing: runs that failed, were not made, or kept no counts of tiles.

    It also names runs whose recorded threshold is not the one that their counts give. The text is
    '' if nothing is missing.
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
