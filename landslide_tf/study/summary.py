"""What a report says before its tables: what was asked, what came out, what it means."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from landslide_tf.config import TrainConfig
from landslide_tf.study.cells import listed
from landslide_tf.study.claims import DOES_NOT, HOLDS, Claim
from landslide_tf.study.comparisons import Comparison, best_of
from landslide_tf.study.experiments import Study
from landslide_tf.study.matrices import SIX
from landslide_tf.study.records import Record, Result, on_common_seeds
from landslide_tf.study.tables import Results, paper_values
from landslide_tf.study.verdicts import BETTER, LEAST_SEEDS, WORSE
from landslide_tf.training.scores import GAP_LIMIT

# Options whose difference from the paper's values a reader should know of.
PROTOCOL = ("filters", "epochs", "batch_size", "learning_rate", "schedule", "warmup_epochs",
            "weight_decay", "ema", "dropout", "dropout_levels", "tile_px", "augment", "fusion",
            "split", "negatives", "dem_normalisation", "terrain", "deep_supervision",
            "early_stopping", "reestimate_batch_norm")  # fmt: skip


MOST_PAIRS = 3  # of a table are named in words


def data_name(study: Study) -> str:
    """The data set of a study, without the path that leads to it.

    >>> data_name(Study(TrainConfig(data="/home/me/bijie"))), data_name(Study(TrainConfig()))
    ('bijie', 'the demo terrain')
    """
    return Path(study.base.data).name if study.base.data else "the demo terrain"


def all_records(results: Results) -> list[Record]:
    """The runs of all experiments, in their order.

    >>> all_records({})
    []
    """
    return [record for result in results.values() for record in result.records]


def protocol(study: Study, results: Results) -> list[str]:
    """How the runs were made: data, options that are not the paper's, hardware, seeds.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> study = read_study("study")
    >>> lines = protocol(study, read_results(study, "study"))
    >>> lines[0]
    'Data: tiles, 1 training, 1 validation and 12 test tiles (the paper: 770 tiles of Bijie, ...
    >>> lines[1].split("; ")
    ['Options: filters 4 (paper, or our reading of it: 64)', 'epochs 3 (paper, or our reading ...
    """
    base, paper, lines = study.base, TrainConfig(), []
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
        f"{name.replace('_', ' ')} {_value(base.options()[name])} "
        f"(paper, or our reading of it: {_value(paper.options()[name])})"
        for name in PROTOCOL
        if name not in varied and base.options()[name] != paper.options()[name]
    ]
    lines.append(f"Options: {'; '.join(different) or 'as the paper has them, all of them'}.")
    if records:
        hardware = sorted(
            {
                f"{r.environment.get('gpu_name') or r.environment['processor']} ({r.machine}), "
                f"{r.environment['backend']}, {r.environment['dtype_policy']}"
                for r in records
            }
        )
        lines.append(f"Hardware: {'; '.join(hardware)} (the paper: a Colab T4 GPU).")
    seeds = "a split of its own" if study.resplit else "the same split"
    lines.append(f"Seeds: {study.seeds}, each with {seeds} (the paper: one run each).")
    return lines


def _value(value) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return Path(value).name if isinstance(value, str) else str(value)


def seeds_each(made: list[Result]) -> str:
    """How many seeds the experiments that were run have.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> seeds_each(list(read_results(read_study("study"), "study").values()))
    'one seed each'
    """
    counts = [len(result.records) for result in made]
    low, high = min(counts), max(counts)
    if high == 1:
        return "one seed each"
    return f"{high} seeds each" if low == high else f"{low} to {high} seeds each"


def what_came_out(results: Results, found: list[Claim]) -> list[str]:
    """The results of the paper's matrix in a few sentences.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(read_study("study"), "study")
    >>> what_came_out(results, [])[0]
    '17 of 17 experiments have a complete run, one seed each.'
    """
    made = [result for result in results.values() if result]
    if not made:
        return ["No run is complete yet."]
    lines = [
        f"{len(made)} of {len(results)} experiments have a complete run, {seeds_each(made)}.",
        *_ranking([r for r in made if r.experiment in SIX]),
    ]
    baseline = made[0].records[0].metrics["baseline"]
    if baseline:
        floor = max(scores["miou"] for scores in baseline.values())
        below = [r.experiment.title for r in made if r.mean("miou") <= floor]
        above = f"These are not above both: {listed(below)}." if below else (
            "Every model is above both."
        )  # fmt: skip
        lines.append(
            "A map without any landslide scores mIoU "
            f"{baseline['background']['miou']:.3f}, and the best cut through one channel "
            f"{baseline['threshold']['miou']:.3f}. {above}"
        )
    if found:
        counts = {kind: [c for c in found if c.verdict == kind] for kind in (HOLDS, DOES_NOT)}
        lines.append(
            f"Of {len(found)} claims of the paper, {len(counts[HOLDS])} hold here, "
            f"{len(counts[DOES_NOT])} do not, and "
            f"{len(found) - len(counts[HOLDS]) - len(counts[DOES_NOT])} cannot be decided."
        )
    return lines


def _ranking(six: list[Result]) -> list[str]:
    alike = on_common_seeds(six)
    if len(six) < 2 or not all(alike):
        return []
    ranked = sorted(alike, key=lambda r: r.mean("miou"))
    low, high = ranked[0], ranked[-1]
    paper = paper_values()
    return [
        f"Of the paper's six models{'' if len(six) == 6 else f', {len(six)} run so far'}, "
        f"{high.experiment.title} has the highest mean test mIoU at threshold 0.5 "
        f"({high.mean('miou'):.3f}) and {low.experiment.title} the lowest "
        f"({low.mean('miou'):.3f}){'' if alike == six else ', over the seeds that all have'}. "
        "The paper has U-Net++ contextual first "
        f"({paper['3', 'unetpp-contextual', 'miou']:.2f}) and U-Net last "
        f"({paper['3', 'unet-none', 'miou']:.2f})."
    ]


def what_it_means(results: Results, tables: dict[str, list[Comparison]]) -> list[str]:
    """What a reader may conclude: which pairs can be told apart, and what stands in the way.

    `tables` are those of `comparisons.paper_comparisons`, or others of that form.

    >>> from landslide_tf.study.comparisons import paper_comparisons
    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(read_study("study"), "study")
    >>> what_it_means(results, paper_comparisons(results))[0]
    'No comparison has three seeds on both sides, so that nothing here may be called better or ...
    """
    made = [result for result in results.values() if result]
    if not made:
        return ["Nothing yet."]
    lines = []
    tested = {
        name: [one for one in table if one.found and one.found.seeds >= LEAST_SEEDS]
        for name, table in tables.items()
    }
    if not any(tested.values()):
        lines.append(
            "No comparison has three seeds on both sides, so that nothing here may be called "
            "better or worse: another start may turn any order round."
        )
    for name, table in tested.items():
        decided = [one for one in table if one.verdict in (BETTER, WORSE)]
        if not table:
            continue
        first = sorted(decided, key=lambda one: -abs(one.found.value))[:MOST_PAIRS]
        pairs = [
            f"{one.a.experiment.title} over {one.b.experiment.title} ({one.found.value:+.3f})"
            for one in (o if o.verdict == BETTER else o.turned() for o in first)
        ]
        more = len(decided) - len(first)
        lines.append(
            f"Table '{name}': {len(decided)} of {len(table)} tested pairs can be told apart"
            + (f": {'; '.join(pairs)}" if pairs else "")
            + (f"; and {more} with smaller differences." if more else ".")
        )
    return lines + [*_best_in_words(results, tables), gap_in_words(made)]


def _best_in_words(results: Results, tables: dict[str, list[Comparison]]) -> list[str]:
    """Which of the paper's six is better than all others, where all were run."""
    six = [results[e.name] for e in SIX if e.name in results]
    if len(six) < len(SIX) or not all(six):
        return []
    best = best_of(tables, six)
    if best is None:
        return ["None of the six models can be called better than all others."]
    return [f"{best.experiment.title} is better than the five others."]


def gap_in_words(made: list[Result]) -> str:
    """Whether the batch-normalisation statistics of the runs fit inference.

    >>> gap_in_words([])
    'The runs do not record their inference gap.'
    """
    gaps = {result.experiment.title: result.gap for result in made if np.isfinite(result.gap)}
    if not gaps:
        return "The runs do not record their inference gap."
    large = [f"{title} ({gap:.3f})" for title, gap in gaps.items() if gap > GAP_LIMIT]
    if large:
        return (
            f"The inference gap is above {GAP_LIMIT} in {listed(large)}: the scores of these "
            "say something of batch normalisation, not of the model and the loss alone."
        )
    return (
        f"The inference gap is at most {max(gaps.values()):.3f}: batch normalisation does not "
        "disturb the comparison."
    )


def how_to_read() -> str:
    """The words of the tables, explained once.

    >>> how_to_read().splitlines()[0]
    '## How to read the tables'
    """
    return (
        "## How to read the tables\n\n"
        "Scores are pooled over all test pixels at threshold 0.5 unless a column says otherwise. "
        "A score is the mean over seeds, ± the standard deviation from three seeds on; with two, "
        "their range is in brackets. 'Chosen threshold' is the one with the highest validation "
        "mIoU. 'Over tiles' is the 95 % interval when test tiles are drawn anew (bootstrap). "
        "Neighbouring tiles are alike, so that it is rather too narrow. The 'inference gap' is how "
        "much mIoU a model gains on its training tiles when its batch-normalisation statistics are "
        "estimated anew; near 0 is sound.\n\n"
        "A verdict needs at least three seeds on both sides. The t-interval over the paired seeds "
        "and the bootstrap over tiles and seeds must both exclude zero, at a level that Holm's "
        "method corrects for the number of comparisons in the table. Bold is what is better than "
        "all others by these verdicts. A dash is what was not run."
    )
