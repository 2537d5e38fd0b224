"""Which experiment is better: all pairwise comparisons of a study, in tables.

The comparisons are a data frame with one row for each: its table, the titles of A and B, A minus B
as `verdicts.measure` gives it, the p-value corrected for the multiple comparisons of the table, and
the verdict on A.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from landslide_tf.study.bootstrap import difference
from landslide_tf.study.matrices import LOSSES, MODELS, SIX
from landslide_tf.study.records import Result, Results
from landslide_tf.study.verdicts import BETTER, NOT_RUN, WORSE, holm, verdict
from landslide_tf.training.tile_scores import TileScores

SMALL = 0.25  # this share of the landslide tiles, those with the fewest landslide pixels, is small
SMALL_TABLE = "small landslides"  # compares IoU of the landslide class, all others mIoU
CONTEXTUAL = "unetpp-contextual-dice"
COLUMNS = ["table", "a", "b", "seeds", "difference", "seeds_low", "seeds_high", "draws_low",
           "draws_high", "p", "verdict"]  # fmt: skip


def compare(table: str, pairs, metric: str = "miou", chosen=None) -> pd.DataFrame:
    """One table of comparisons, from pairs of results: its p-values are corrected together."""
    rows = []
    for a, b in pairs:
        run = bool(a and b)
        row = {"table": table, "a": a.experiment.title, "b": b.experiment.title, "run": run}
        found = difference(a, b, metric, chosen) if run else None
        rows.append(row | (found or {"seeds": 0}))
    frame = pd.DataFrame(rows, columns=[*COLUMNS, "run"])
    frame["p"] = holm(frame.p)
    frame["verdict"] = [
        verdict(row.seeds, row.difference, row.p) if row.run else NOT_RUN
        for row in frame.itertuples()
    ]
    return frame[COLUMNS].astype(dict.fromkeys(COLUMNS[4:-1], float))


def paper_comparisons(results: Results) -> pd.DataFrame:
    """The comparisons of the paper's matrix.

    Table 'models': all pairs of the six. 'losses': all pairs of losses of each base model. 'models
    with Dice': all pairs of base models. 'DEM': all pairs of fusions. 'small landslides': Dice and
    the other losses by IoU, on the tiles with the fewest landslide pixels (`small_tiles`).

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> found = paper_comparisons(read_results(read_study("study"), "study"))
    >>> found.table.value_counts(sort=False).to_dict()
    {'models': 15, 'losses': 18, 'models with Dice': 3, 'DEM': 3, 'small landslides': 9}
    """

    def of(names):
        return itertools.combinations([results[name] for name in names], 2)

    dem = [e.experiment.name for e in results.values() if e.experiment.group == "ablation"]
    losses = [pair for m in MODELS for pair in of([f"{m}-none-{loss}" for loss in LOSSES])]
    dice = [
        (results[f"{model}-none-dice"], results[f"{model}-none-{loss}"])
        for model in MODELS
        for loss in LOSSES
        if loss != "dice"
    ]
    tables = [
        compare("models", of([e.name for e in SIX])),
        compare("losses", losses),
        compare("models with Dice", of([f"{model}-none-dice" for model in MODELS])),
        compare("DEM", of([CONTEXTUAL, *dem])),
        compare(SMALL_TABLE, dice, "iou", small_tiles),
    ]
    return pd.concat(tables, ignore_index=True)


def small_tiles(tiles: TileScores) -> np.ndarray:
    """Mask (N,) of the tiles with few landslide pixels: a quarter of those with a landslide.

    >>> from landslide_tf.training.tile_scores import read_tile_scores
    >>> tiles = read_tile_scores("study/unet-none-bce-seed0/tile_scores.npz")
    >>> small_tiles(tiles).nonzero()[0].tolist()  # of 8, 16 … 48, 8, 16 … 40 and 0 pixels
    [0, 6]
    """
    tp, _, fn, _ = tiles.counts(0.5).T
    pixels = tp + fn
    if not pixels.any():
        return pixels > 0
    ranked = np.sort(pixels[pixels > 0])
    return (pixels > 0) & (pixels <= ranked[max(0, int(SMALL * len(ranked)) - 1)])


def find(compared: pd.DataFrame, a: Result, b: Result) -> pd.Series:
    """The comparison of A against B in the tables of mIoU, whichever way round it stands there.

    Raises:
        KeyError: no table has it.
    """
    wanted = [a.experiment.title, b.experiment.title]
    for _, row in compared[compared.table != SMALL_TABLE].iterrows():
        if [row.a, row.b] == wanted:
            return row
        if [row.b, row.a] == wanted:
            return turned(row)
    raise KeyError(wanted)


def turned(row: pd.Series) -> pd.Series:
    """A comparison of A against B as one of B against A."""
    return pd.Series({
        **row,
        "a": row.b,
        "b": row.a,
        "difference": -row.difference,
        "seeds_low": -row.seeds_high,
        "seeds_high": -row.seeds_low,
        "draws_low": -row.draws_high,
        "draws_high": -row.draws_low,
        "verdict": {BETTER: WORSE, WORSE: BETTER}.get(row.verdict, row.verdict),
    })  # fmt: skip


def best_of(compared: pd.DataFrame, results: list[Result]) -> Result | None:
    """The result that is better than each of the others by the verdicts, if there is one."""
    for one in results:
        others = [other for other in results if other is not one]
        if all(find(compared, one, other).verdict == BETTER for other in others):
            return one
    return None
