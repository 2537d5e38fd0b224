"""Which experiment is better: all comparisons of a study, each table of them corrected as one."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from landslide_tf.config import LOSSES, MODELS
from landslide_tf.study.bootstrap import difference
from landslide_tf.study.matrices import SIX
from landslide_tf.study.records import Result
from landslide_tf.study.verdicts import BETTER, NOT_RUN, WORSE, Difference, holm, verdict

SMALL = 0.25  # this share of the landslide tiles, those with the fewest landslide pixels, is small
CONTEXTUAL = "unetpp-contextual-dice"


@dataclass(frozen=True)
class Comparison:
    """A against B: the difference, its p-value corrected for the table, and the verdict on A."""

    a: Result
    b: Result
    found: Difference | None
    p: float
    verdict: str

    @property
    def names(self) -> tuple[str, str]:
        """The names of both experiments."""
        return self.a.experiment.name, self.b.experiment.name

    def turned(self) -> Comparison:
        """B against A."""
        found = self.found
        if found is not None:
            seeds, draws = (
                i and type(i)(-i.high, -i.low) for i in (found.over_seeds, found.over_draws)
            )
            found = Difference(-found.value, found.seeds, seeds, draws, found.p)
        other = {BETTER: WORSE, WORSE: BETTER}.get(self.verdict, self.verdict)
        return Comparison(self.b, self.a, found, self.p, other)


def compare(pairs, metric: str = "miou", among=None) -> list[Comparison]:
    """One table of comparisons, from pairs of results: its p-values are corrected together.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(read_study("study"), "study")
    >>> compare([(results["unet-none-bce"], results["unet-none-dice"])])[0].verdict  # one seed
    'not enough seeds'
    """
    pairs = list(pairs)
    found = [difference(a, b, metric, among) if a and b else None for a, b in pairs]
    corrected = holm([np.nan if one is None else one.p for one in found])
    return [
        Comparison(a, b, one, float(p), verdict(one, p) if a and b else NOT_RUN)
        for (a, b), one, p in zip(pairs, found, corrected, strict=True)
    ]


def paper_comparisons(results: dict[str, Result]) -> dict[str, list[Comparison]]:
    """The tables of comparisons of the paper's matrix, by what they compare.

    'models': all pairs of the six. 'losses': all pairs of losses of each base model. 'models with
    Dice': all pairs of base models. 'DEM': all pairs of fusions. 'small landslides': Dice and the
    other losses by IoU, on the tiles with the fewest landslide pixels (`small_tiles`).

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> found = paper_comparisons(read_results(read_study("study"), "study"))
    >>> {name: len(table) for name, table in found.items()}
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
    return {
        "models": compare(of([e.name for e in SIX])),
        "losses": compare(losses),
        "models with Dice": compare(of([f"{model}-none-dice" for model in MODELS])),
        "DEM": compare(of([CONTEXTUAL, *dem])),
        "small landslides": compare(dice, "iou", small_tiles(results)),
    }


def small_tiles(results: dict[str, Result]) -> np.ndarray | None:
    """Which test tiles, (N,), hold a landslide and are of the quarter with the fewest pixels of it.

    None where no run kept the counts of its tiles.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(read_study("study"), "study")
    >>> small_tiles(results).nonzero()[0].tolist()  # of 8, 16 … 48, 8, 16 … 40 and 0 pixels
    [0, 6]
    """
    tiles = next((r.tiles for x in results.values() for r in x.records if r.tiles), None)
    if tiles is None:
        return None
    tp, _, fn, _ = tiles.counts(0.5).T
    pixels = tp + fn
    if not pixels.any():
        return pixels > 0
    ranked = np.sort(pixels[pixels > 0])
    return (pixels > 0) & (pixels <= ranked[max(0, int(SMALL * len(ranked)) - 1)])


def find(compared: dict[str, list[Comparison]], a: Result, b: Result) -> Comparison:
    """The comparison of A against B in the tables of mIoU, whichever way round it stands there.

    Raises:
        KeyError: no table has it.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(read_study("study"), "study")
    >>> a, b = results["unetpp-none-dice"], results["unet-none-bce"]
    >>> find(paper_comparisons(results), a, b).names
    ('unetpp-none-dice', 'unet-none-bce')
    """
    wanted = (a.experiment.name, b.experiment.name)
    for name, table in compared.items():
        for one in table if name != "small landslides" else ():
            if one.names == wanted:
                return one
            if one.names == wanted[::-1]:
                return one.turned()
    raise KeyError(wanted)


def best_of(compared: dict[str, list[Comparison]], results: list[Result]) -> Result | None:
    """The result that is better than each of the others by the verdicts; None where there is none.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(read_study("study"), "study")
    >>> six = [results[e.name] for e in SIX]
    >>> best_of(paper_comparisons(results), six) is None  # one seed each
    True
    """
    for one in results:
        others = [other for other in results if other is not one]
        if all(find(compared, one, other).verdict == BETTER for other in others):
            return one
    return None


def comparison_table(compared: dict[str, list[Comparison]]) -> pd.DataFrame:
    """All comparisons that were made, as a data frame: a row each, with the table's name.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> frame = comparison_table(paper_comparisons(read_results(read_study("study"), "study")))
    >>> frame[["table", "a", "b", "seeds", "verdict"]].head(2)
        table            a               b  seeds           verdict
    0  models  U-Net (BCE)   ResUNet (WCE)      1  not enough seeds
    1  models  U-Net (BCE)  U-Net++ (Dice)      1  not enough seeds
    """
    rows = []
    for name, table in compared.items():
        for one in table:
            if one.found is None:
                continue
            row = {
                "table": name,
                "a": one.a.experiment.title,
                "b": one.b.experiment.title,
                "seeds": one.found.seeds,
                "difference": one.found.value,
            }
            for what in ("seeds", "draws"):
                between = getattr(one.found, f"over_{what}")
                row[f"{what}_low"] = between.low if between else np.nan
                row[f"{what}_high"] = between.high if between else np.nan
            rows.append(row | {"p": one.p, "verdict": one.verdict})
    # named also where nothing was compared: an empty table has its header
    columns = ["table", "a", "b", "seeds", "difference", "seeds_low", "seeds_high", "draws_low",
               "draws_high", "p", "verdict"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)
