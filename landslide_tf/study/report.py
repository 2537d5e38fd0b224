"""`REPORT.md`, the tables and the figures of a study, all of them from its run folders."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd

from landslide_tf.checks import InputError
from landslide_tf.console import say
from landslide_tf.files import atomic_path
from landslide_tf.study import tables
from landslide_tf.study.experiments import SIX, Study
from landslide_tf.study.markdown import report_text
from landslide_tf.study.records import read_results
from landslide_tf.study.tables import Results


def write_report(study: Study, out) -> Path:
    """Write `OUT/tables/*.csv`, `OUT/figures/*` and `OUT/REPORT.md`; returns the last's path.

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
    frames = {
        "table1": tables.table1(results),
        "table2": tables.table2(results),
        "table3": tables.table3(results),
        "table4": tables.table4(results),
        "comparisons": tables.comparisons(results),
        "audit": tables.audit_table(results),
        "dem": tables.dem_table(results, study),
        "cost": tables.cost_table(results),
    }
    (out / "tables").mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        with atomic_path(out / "tables" / f"{name}.csv") as scratch:
            frame.to_csv(scratch, index=False, float_format="%.6g")
    pictures = draw_figures(study, results, frames["cost"], out / "figures")
    with atomic_path(out / "REPORT.md") as scratch:
        scratch.write_text(report_text(study, out, results, frames, pictures))
    return out / "REPORT.md"


def draw_figures(study: Study, results: Results, cost: pd.DataFrame, folder) -> dict[str, str]:
    """Draw what the runs and the data allow; returns a reason for each figure that was left out.

    >>> from landslide_tf.config import TrainConfig
    >>> study = Study(TrainConfig(filters=1))
    >>> draw_figures(study, read_results(study, "out"), pd.DataFrame(), "figures")
    {'all but Figure 2': 'no complete run yet'}
    >>> sorted(path.name for path in Path("figures").glob("*.png"))
    ['figure2-unet-none.png', 'figure2-unetpp-contextual.png', 'figure2-unetpp-none.png']
    """
    from landslide_tf.study.plots import architecture, common, curves, outcomes, samples
    from landslide_tf.training.fit import build, load_own_tiles

    records = [record for result in results.values() for record in result.records[:1]]
    missing = {}
    for experiment in (SIX[0], SIX[2], SIX[4]):
        config = dataclasses.replace(
            study.base, model=experiment.model, attention=experiment.attention
        )
        architecture.architecture(
            build(config),
            f"{experiment.title.split(' (')[0]}, {config.filters} filters",
            folder,
            f"figure2-{experiment.model}-{experiment.attention}",
        )
    if not records:
        return {"all but Figure 2": "no complete run yet"}
    samples.workflow(study, records[0], folder)
    curves.loss_curves(results, folder)
    if curves.probability_curves(results, folder) is None:
        missing["precision, recall, reliability"] = "no run kept the counts of its tiles"
    curves.by_size(results, folder)
    curves.cost(cost, folder)
    try:
        tiles = load_own_tiles(study.base)
        names = common.spread_tiles(records)
        tiles.indices(names)
    except (InputError, KeyError) as error:
        return missing | {"Figures 1, 5 and 6": f"the tiles are not there ({error})"}
    samples.samples(tiles, records[0], names, folder)
    shown = outcomes.shown_records(results)
    hidden = [
        results[e.name].experiment.title
        for e in SIX
        if results[e.name] and results[e.name].records[0] not in shown
    ]
    if hidden:  # what was drawn when more weights were there shows more
        reason = f"no weights (model.keras) of {', '.join(hidden)}"
        if (Path(folder) / "figure5-predictions.png").exists():
            say(f"Figures 5 and 6 are left as they were: {reason}")
            return missing
        missing["Figures 5 and 6"] = reason
    if shown:
        outcomes.outcomes_and_cams(tiles, results, names, folder)
    return missing
