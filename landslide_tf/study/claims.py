"""The paper's claims, each with what the runs say of it: holds here, does not, cannot tell."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from landslide_tf.study.comparisons import CONTEXTUAL, SMALL_TABLE, find
from landslide_tf.study.matrices import ATTENTIONS, LOSSES, MODEL_TITLES, MODELS, SIX
from landslide_tf.study.records import Results, all_records
from landslide_tf.study.tables import best_on_validation, loss_results, times
from landslide_tf.study.verdicts import BETTER, CANNOT_TELL, NO_COUNTS, NOT_RUN, TOO_FEW, WORSE

HOLDS, DOES_NOT = "holds here", "does not hold here"
BALANCED = 0.4  # share of the rarer class from which two classes count as balanced
DOUBLE = (1.5, 2.5)  # ratios of epoch times that count as double
# Ratios of times an image that the paper's 4 to 5 ms over 3 to 4 ms allow.
PER_IMAGE = (1.0, 5 / 3)
SAVED = 0.95  # attention adds work: a ratio of times below this was disturbed by other work
ATTENDED = tuple(f"unetpp-{attention}-dice" for attention in ATTENTIONS[1:])
PLAIN, BOTH = "unetpp-none-dice", "unetpp-spatial_contextual-dice"


class Claim(NamedTuple):
    """A claim of the paper, the verdict of the runs, and the figures that it rests on."""

    text: str
    verdict: str
    figures: tuple[str, ...]  # one a comparison
    short: str  # all of them in a few words


def claims(results: Results, compared: pd.DataFrame) -> list[Claim]:
    """All claims that the runs can test, in the paper's order.

    `compared` is that of `comparisons.paper_comparisons`: a claim has the verdicts of its tables.
    """

    def all_better(text: str, pairs) -> Claim:
        return _all_better(text, [find(compared, results[a], results[b]) for a, b in pairs])

    dem, without = "Adding the DEM helps", f"{CONTEXTUAL}-rgb"
    small = compared[compared.table == SMALL_TABLE]
    spent = times(results)
    unet, resunet, unetpp = (e.name for e in SIX if e.attention == "none")
    return [
        _balanced(results),
        all_better(
            "Dice is the significantly better loss",
            [(f"{m}-none-dice", f"{m}-none-{x}") for m in MODELS for x in LOSSES if x != "dice"],
        ),
        _all_better("Dice is better on small landslides", [row for _, row in small.iterrows()]),
        _bce_is_unsuitable(results, compared),
        # With the paper's losses, and all with Dice: else a loss may pass for a model.
        all_better(
            "U-Net++ is the best base model (with the paper's losses, and all with Dice)",
            [(unetpp, x) for x in (unet, resunet, "unet-none-dice", "resunet-none-dice")],
        ),
        all_better("Attention improves U-Net++", [(name, PLAIN) for name in ATTENDED]),
        all_better(
            "Both attentions together are the advance (better than none and than each alone)",
            [(BOTH, name) for name in (PLAIN, *ATTENDED) if name != BOTH],
        ),
        all_better(
            "Contextual attention gives the highest mIoU of the six",
            [(CONTEXTUAL, e.name) for e in SIX if e.name != CONTEXTUAL],
        ),
        all_better(dem, [(CONTEXTUAL, without)])
        if without in results
        else Claim(dem, CANNOT_TELL, (), "the study was made without the DEM"),
        _time_ratio(
            "Attention doubles the time of an epoch (5 s to 10 s)",
            results,
            spent.seconds_per_epoch.rename("s an epoch"),
            DOUBLE,
        ),
        _time_ratio(
            "Attention takes inference from 3 to 4 ms an image to 4 to 5 ms (x 1.00 to 1.67)",
            results,
            spent.ms_per_image.rename("ms an image"),
            PER_IMAGE,
        ),
    ]


def _balanced(results: Results) -> Claim:
    text = "The data set is well balanced, so that imbalance is no concern"
    record = next(iter(all_records(results)), None)
    if record is None:
        return Claim(text, CANNOT_TELL, (), NOT_RUN)
    counts = pd.DataFrame([record.metrics["validation"], record.test])[["tp", "fp", "fn", "tn"]]
    pixels = counts.sum()
    share = (pixels.tp + pixels.fn) / pixels.sum()
    figure = f"{share:.1%} of the pixels of validation and test are landslide"
    verdict = HOLDS if min(share, 1 - share) >= BALANCED else DOES_NOT
    return Claim(text, verdict, (figure,), figure)


def _all_better(text: str, compared: list[pd.Series]) -> Claim:
    """A claim that A is better than B in each comparison of `compared`.

    It holds if every verdict is 'better', does not hold if one is 'worse', else it stays open.
    """
    found = [one.verdict for one in compared]
    if WORSE in found:
        verdict = DOES_NOT
    else:
        verdict = HOLDS if set(found) == {BETTER} else CANNOT_TELL
    figures = [in_words(one) for one in compared if one.verdict != NOT_RUN]
    missing = [f"{one.a} - {one.b}" for one in compared if one.verdict == NOT_RUN]
    if missing:
        figures.append(f"not run: {', '.join(missing)}")
    return Claim(text, verdict, tuple(figures), _counted(found))


def in_words(one: pd.Series) -> str:
    """A comparison as a line: the difference, its intervals, the seeds.

    >>> from landslide_tf.study.comparisons import paper_comparisons
    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> in_words(paper_comparisons(read_results(read_study("study"), "study")).iloc[0])
    'U-Net (BCE) - ResUNet (WCE): -0.0..., draws [-0..., -0...], 1 seed: not enough seeds'
    """
    if not one.seeds:
        return f"{one.a} - {one.b}: {one.verdict}"
    parts = [f"{one.a} - {one.b}: {one.difference:+.3f}"]
    for what in ("seeds", "draws"):
        low, high = one[f"{what}_low"], one[f"{what}_high"]
        if pd.notna(low):
            parts.append(f"{what} [{low:+.3f}, {high:+.3f}]")
    return f"{', '.join(parts)}, {one.seeds} seed{'s' if one.seeds > 1 else ''}: {one.verdict}"


def _counted(found: list[str]) -> str:
    """How often each verdict was found, in words.

    >>> _counted(["better", "worse", "better", "not run"])
    'of 4 comparisons: 2 better, 1 worse, 1 not run'
    >>> _counted(["not run"] * 9)
    'none of the 9 comparisons was run'
    """
    if len(found) > 1 and len(set(found)) == 1:
        if found[0] == NOT_RUN:
            return f"none of the {len(found)} comparisons was run"
        return f"all {len(found)} comparisons: {found[0]}"
    kinds = (BETTER, WORSE, CANNOT_TELL, TOO_FEW, NO_COUNTS, NOT_RUN)
    counts = ", ".join(f"{found.count(kind)} {kind}" for kind in kinds if kind in found)
    return f"of {len(found)} comparisons: {counts}" if len(found) > 1 else counts


def _bce_is_unsuitable(results: Results, compared: pd.DataFrame) -> Claim:
    """Holds where BCE is worse than the best other loss in every model."""
    figures, found = [], []
    for model in MODELS:
        bce = results[f"{model}-none-bce"]
        best = best_on_validation([r for r in loss_results(results, model) if r is not bce])
        if not bce or best is None:
            found.append(NOT_RUN)
            figures.append(f"{MODEL_TITLES[model]} (BCE) - its best other loss: not run")
            continue
        one = find(compared, bce, best)
        found.append(one.verdict)
        chosen = " against ".join(f"{r.mean('miou', 'test_chosen'):.3f}" for r in (bce, best))
        figures.append(f"{in_words(one)}; {chosen} at thresholds chosen on validation")
    verdict = HOLDS if set(found) == {WORSE} else DOES_NOT if BETTER in found else CANNOT_TELL
    text = "BCE is not suitable for this task (worse than the best other loss)"
    return Claim(text, verdict, tuple(figures), f"BCE: {_counted(found)}")


def _time_ratio(text: str, results: Results, spent: pd.Series, holds) -> Claim:
    """A claim about the ratio of times with and without attention, measured on the same machine.

    It holds if the ratio of each attention lies within `holds`. `spent` has the times by experiment
    and machine; the name of the series is the unit.
    """
    spent, ratios, figures = spent.dropna(), [], []
    for name in ATTENDED:
        title = results[name].experiment.title
        both = spent[spent.index.get_level_values(0).isin([name, PLAIN])].unstack(0).dropna()
        if both.shape[1] == 2 and len(both):
            machine, (ours, theirs) = both.index[0], both[[name, PLAIN]].iloc[0]
            ratios.append(ours / theirs)
            figures.append(
                f"{title}: {ours:.1f} against {theirs:.1f} {spent.name} without, "
                f"x {ratios[-1]:.2f} (fastest runs on {machine})"
            )
        elif results[name] and results[PLAIN]:
            figures.append(f"{title}: no time on the same machine as without attention")
    if not ratios:
        return Claim(text, CANNOT_TELL, tuple(figures), "not run on the same machine")
    inside = [holds[0] <= ratio <= holds[1] for ratio in ratios]
    verdict = HOLDS if all(inside) else DOES_NOT if not any(inside) else CANNOT_TELL
    if len(ratios) < len(ATTENDED):
        verdict = CANNOT_TELL
    told = f"with attention {', '.join(f'x {ratio:.2f}' for ratio in ratios)} as long"
    if min(ratios) < SAVED:
        verdict = CANNOT_TELL
        told += "; layers that are added save no time, so other work disturbed the measurement"
    return Claim(text, verdict, tuple(figures), told)
