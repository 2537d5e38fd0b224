"""`REPORT.md`, the tables and the figures of a study, all of them from its run folders."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd

from landslide_tf.checks import InputError
from landslide_tf.console import say
from landslide_tf.files import atomic_path
from landslide_tf.study.ablation import ablation_report, ablation_tables
from landslide_tf.study.batch_norm_study import batch_norm_report, batch_norm_table
from landslide_tf.study.experiments import Study
from landslide_tf.study.matrices import SIX
from landslide_tf.study.paper_report import paper_report, paper_tables
from landslide_tf.study.plots import architecture, batch_norm_curves, curves, outcomes, workflow
from landslide_tf.study.records import Results, all_records, read_results
from landslide_tf.training.fit import load_own_tiles
from landslide_tf.training.recipe import build


def write_report(study: Study, out, *, with_tiles: bool = True) -> Path:
    """Write `OUT/tables/*.csv`, `OUT/figures/*` and `OUT/REPORT.md`; returns the last's path.

    Without `with_tiles` no figure is drawn that shows tiles of the data.

    Raises:
        InputError: a run cannot be read, or runs were made from different data or splits.

    >>> from landslide_tf.config import TrainConfig
    >>> report = write_report(Study(TrainConfig(filters=1)), "out")  # before the first run
    >>> report.read_text().splitlines()[0]
    '# Study of the demo terrain'
    >>> len(list(Path("out/tables").iterdir())), len(list(Path("out/figures").iterdir()))
    (8, 6)
    """
    out = Path(out)
    results = read_results(study, out)
    frames = study_tables(study, results)
    if study.matrix == "paper":
        missing = draw_figures(study, results, frames["cost"], out / "figures", with_tiles)
        text = paper_report(study, out, results, frames, missing)
    elif study.matrix == "batch-norm":
        batch_norm_curves.miou_by_levels(results, out / "figures")
        batch_norm_curves.precision_recall_shift(results, out / "figures")
        text = batch_norm_report(study, out, results, frames["batch-norm"])
    else:
        text = ablation_report(study, out, results, frames)
    (out / "tables").mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        made = frame[frame.seeds > 0] if name == "comparisons" else frame
        with atomic_path(out / "tables" / f"{name}.csv") as scratch:
            made.to_csv(scratch, index=False, float_format="%.6g")
    with atomic_path(out / "REPORT.md") as scratch:
        scratch.write_text(text, encoding="utf-8", newline="\n")
    return out / "REPORT.md"


def study_tables(study: Study, results: Results) -> dict[str, pd.DataFrame]:
    """The tables of a study by name; of 'comparisons' those that were made go to its file."""
    if study.matrix == "paper":
        return paper_tables(study, results)
    if study.matrix == "batch-norm":
        return {"batch-norm": batch_norm_table(results)}
    return ablation_tables(results)


def draw_figures(
    study: Study, results: Results, cost: pd.DataFrame, folder, with_tiles: bool = True
) -> dict[str, str]:
    """Draw what the runs and the data allow; returns a reason for each figure that was left out."""
    missing = {}
    for experiment in (SIX[0], SIX[2], SIX[4]):
        config = dataclasses.replace(
            study.base, model=experiment.model, attention=experiment.attention
        )
        title = f"{experiment.title.split(' (')[0]}, {config.filters} filters"
        name = f"figure2-{experiment.model}-{experiment.attention}"
        architecture.architecture(build(config), title, folder, name)
    records = all_records(results)
    if not records:
        return {"all but Figure 2": "no complete run yet"}
    workflow.workflow(study, records[0], folder)
    curves.loss_curves(results, folder)
    if curves.probability_curves(results, folder) is None:
        missing["precision, recall, reliability"] = "no run kept the counts of its tiles"
    curves.by_size(results, folder)
    curves.cost(cost, folder)
    return missing | (draw_tiles(study, results, folder) if with_tiles else {})


def draw_tiles(study: Study, results: Results, folder) -> dict[str, str]:
    """Figures 1, 5 and 6, which show tiles; returns the reasons of those that were left out."""
    first = [result.records[0] for result in results.values() if result]
    try:
        tiles = load_own_tiles(study.base)
        shown = outcomes.shown_tiles(first)
        tiles.indices(list(shown.values()))
    except (InputError, KeyError) as error:
        return {"Figures 1, 5 and 6": f"the tiles cannot be read here ({str(error).split(';')[0]})"}
    outcomes.samples(tiles, shown, folder)
    six = [results[e.name] for e in SIX if results[e.name]]
    drawn = [result for result in six if result.records[0].has_weights]
    hidden = [result.experiment.title for result in six if result not in drawn]
    missing = {}
    if hidden:  # what was drawn when more weights were there shows more
        reason = f"no weights (model.keras) of {', '.join(hidden)}"
        if (Path(folder) / "figure5-predictions.png").exists():
            say(f"Figures 5 and 6 are left as they were: {reason}")
            return missing
        missing["Figures 5 and 6"] = reason
    if drawn:
        outcomes.outcomes_and_cams(tiles, drawn, shown, folder)
    return missing
