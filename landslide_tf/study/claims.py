"""The paper's claims, each with what the runs say of it: holds here, does not, cannot tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landslide_tf.config import ATTENTIONS, LOSSES, MODELS
from landslide_tf.study.bootstrap import difference
from landslide_tf.study.experiments import MODEL_TITLES, SIX
from landslide_tf.study.records import Result, on_common_seeds
from landslide_tf.study.tables import Results, best_on_validation, loss_results

HOLDS, DOES_NOT, CANNOT_TELL = "holds here", "does not hold here", "cannot tell"
BALANCED = 0.4  # share of the rarer class from which two classes count as balanced
ONE_SEED = "one seed each"
DOUBLE = (1.5, 2.5)  # ratios of epoch times that count as double


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, the verdict of the runs, and the figures that it rests on.

    >>> figure = "with - without: +0.02 [+0.01, +0.03]"
    >>> claim = Claim("Adding the DEM helps", HOLDS, (figure,), "better")
    >>> claim.verdict
    'holds here'
    """

    text: str
    verdict: str
    figures: tuple[str, ...]  # one a comparison
    short: str  # all of them in a few words


def claims(results: Results) -> list[Claim]:
    """All claims that the runs can test, in the paper's order.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> found = claims(read_results(read_study("study"), "study"))
    >>> found[-1].text, found[-1].verdict
    ('Attention doubles the time of an epoch (5 s to 10 s)', 'does not hold here')
    """
    return [
        _balanced(results),
        _dice_is_best(results),
        _bce_is_unsuitable(results),
        _unetpp_is_best_base(results),
        _contextual_is_best(results),
        _dem_helps(results),
        _attention_doubles_time(results),
    ]


def _balanced(results: Results) -> Claim:
    text = "The data set is well balanced, so that imbalance is no concern"
    record = next((r for result in results.values() for r in result.records), None)
    counts = [] if record is None else [record.metrics["validation"], record.test]
    if not counts:
        return Claim(text, CANNOT_TELL, (), "no run")
    landslide = sum(c["tp"] + c["fn"] for c in counts)
    share = landslide / sum(c["tp"] + c["fp"] + c["fn"] + c["tn"] for c in counts)
    rarer = min(share, 1 - share)
    figure = f"{share:.1%} of the pixels of validation and test are landslide"
    return Claim(text, HOLDS if rarer >= BALANCED else DOES_NOT, (figure,), figure)


def _all_better(text: str, pairs: list[tuple[Result, Result]]) -> Claim:
    """Holds where every first is better than its second; does not where one is worse."""
    compared = [_compare(a, b) for a, b in pairs]
    found = [verdict for verdict, _ in compared]
    if "worse" in found:
        verdict = DOES_NOT
    else:
        verdict = HOLDS if set(found) == {"better"} else CANNOT_TELL
    return Claim(text, verdict, _figures(compared), _counted(found))


def _compare(a: Result, b: Result) -> tuple[str, str]:
    """The verdict on A against B, or 'not run', and the comparison in words."""
    names = f"{a.experiment.title} - {b.experiment.title}"
    if not a or not b:
        return "not run", names
    one = difference(a, b)
    if one is None:
        a, b = on_common_seeds([a, b])
        if not a:
            return CANNOT_TELL, f"{names}: no seed in common"
        value = a.mean("miou") - b.mean("miou")
        return (
            CANNOT_TELL,
            f"{names}: {value:+.3f}, no interval (a run without counts of its tiles)",
        )
    between = one.interval
    return one.verdict, f"{names}: {one.value:+.3f} [{between.low:+.3f}, {between.high:+.3f}]"


def _figures(compared: list[tuple[str, str]]) -> tuple[str, ...]:
    """The comparisons that were made; the others as one line."""
    missing = [figure for verdict, figure in compared if verdict == "not run"]
    made = [figure for verdict, figure in compared if verdict != "not run"]
    return (*made, f"not run: {', '.join(missing)}") if missing else tuple(made)


def _counted(found: list[str]) -> str:
    """
    >>> _counted(["better", "worse", "better", "not run"])
    'of 4 comparisons 2 better, 1 worse, 1 not run'
    """
    kinds = ("better", "worse", CANNOT_TELL, "not run")
    counts = ", ".join(f"{found.count(kind)} {kind}" for kind in kinds if kind in found)
    return f"of {len(found)} comparisons {counts}" if len(found) > 1 else counts


def _dice_is_best(results: Results) -> Claim:
    pairs = [
        (results[f"{model}-none-dice"], results[f"{model}-none-{loss}"])
        for model in MODELS
        for loss in LOSSES
        if loss != "dice"
    ]
    return _all_better("Dice is the significantly better loss", pairs)


def _bce_is_unsuitable(results: Results) -> Claim:
    """Holds where BCE is worse than the best other loss in every model."""
    compared = []
    for model in MODELS:
        bce = results[f"{model}-none-bce"]
        best = best_on_validation([r for r in loss_results(results, model) if r is not bce])
        if not bce or best is None:
            compared.append(("not run", f"{MODEL_TITLES[model]} (BCE) - its best other loss"))
            continue
        verdict, figure = _compare(bce, best)
        alike = on_common_seeds([bce, best])
        chosen = " against ".join(f"{r.mean('miou', 'test_chosen'):.3f}" for r in alike)
        compared.append((verdict, f"{figure}; {chosen} at thresholds chosen on validation"))
    found = [verdict for verdict, _ in compared]
    verdict = HOLDS if set(found) == {"worse"} else DOES_NOT if "better" in found else CANNOT_TELL
    return Claim(
        "BCE is not suitable for this task (worse than the best other loss)",
        verdict,
        _figures(compared),
        f"BCE: {_counted(found)}",
    )


def _unetpp_is_best_base(results: Results) -> Claim:
    """With the paper's losses, and all with Dice: else a loss may pass for a model."""
    unet, resunet, ours = (results[e.name] for e in SIX if e.attention == "none")
    others = (unet, resunet, results["unet-none-dice"], results["resunet-none-dice"])
    return _all_better(
        "U-Net++ is the best base model (with the paper's losses, and all with Dice)",
        [(ours, other) for other in others],
    )


def _contextual_is_best(results: Results) -> Claim:
    ours = results["unetpp-contextual-dice"]
    others = [results[e.name] for e in SIX if e.attention != "contextual"]
    return _all_better(
        "Contextual attention gives the highest mIoU of the six", [(ours, o) for o in others]
    )


def _dem_helps(results: Results) -> Claim:
    text = "Adding the DEM helps"
    without = results.get("unetpp-contextual-dice-rgb")
    if without is None:
        return Claim(text, CANNOT_TELL, (), "the study was made without the DEM")
    return _all_better(text, [(results["unetpp-contextual-dice"], without)])


def _attention_doubles_time(results: Results) -> Claim:
    text = "Attention doubles the time of an epoch (5 s to 10 s)"
    plain = results["unetpp-none-dice"]
    ratios, figures = [], []
    for attention in ATTENTIONS[1:]:
        result = results[f"unetpp-{attention}-dice"]
        if plain and result:
            ours, theirs = result.fastest, plain.fastest
            if ours.machine != theirs.machine:
                figures.append(
                    f"{result.experiment.title}: run on {ours.machine}, without attention "
                    f"on {theirs.machine}"
                )
                continue
            ratios.append(ours.seconds_per_epoch / theirs.seconds_per_epoch)
            figures.append(
                f"{result.experiment.title}: {ours.seconds_per_epoch:.1f} s against "
                f"{theirs.seconds_per_epoch:.1f} s without, x {ratios[-1]:.2f} (fastest epochs, "
                f"{ours.machine})"
            )
    if not ratios:
        why = "not run on the same hardware" if figures else "not run"
        return Claim(text, CANNOT_TELL, tuple(figures), why)
    inside = [DOUBLE[0] <= ratio <= DOUBLE[1] for ratio in ratios]
    verdict = HOLDS if all(inside) else DOES_NOT if not any(inside) else CANNOT_TELL
    if len(ratios) < len(ATTENTIONS) - 1:
        verdict = CANNOT_TELL
    shown = ", ".join(f"x {ratio:.2f}" for ratio in ratios)
    return Claim(text, verdict, tuple(figures), f"an epoch takes {shown} as long with attention")


def summary(results: Results, found: list[Claim]) -> list[str]:
    """What the tables say, in about ten sentences, from the results and their `claims`.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(read_study("study"), "study")
    >>> summary(results, claims(results))[0]
    '17 of 17 experiments have a complete run; one seed each, so that no difference below is ...
    """
    made = [result for result in results.values() if result]
    if not made:
        return ["No run is complete yet."]
    seeds = seeds_each(made)
    luck = ", so that no difference below is free of the luck of one start"
    lines = [
        f"{len(made)} of {len(results)} experiments have a complete run; {seeds}"
        f"{luck if seeds == ONE_SEED else ''}."
    ]
    lines += _sentences_on_six([r for r in made if r.experiment in SIX], made)
    lines += [f"“{c.text}”: **{c.verdict}** ({c.short})." for c in found]
    return lines


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
        return ONE_SEED
    return f"{high} seeds each" if low == high else f"{low} to {high} seeds each"


def _sentences_on_six(six: list[Result], made: list[Result]) -> list[str]:
    lines = []
    alike = on_common_seeds(six)
    if len(six) > 1 and all(alike):
        ranked = sorted(alike, key=lambda r: r.mean("miou"))
        low, high = ranked[0], ranked[-1]
        lines.append(
            f"Of the paper's six{'' if len(six) == 6 else f', {len(six)} run so far'}, "
            f"{high.experiment.title} has the highest test mIoU at threshold 0.5"
            f"{'' if alike == six else ', over the seeds that all have'} "
            f"({high.mean('miou'):.3f}) and {low.experiment.title} the lowest "
            f"({low.mean('miou'):.3f}); the paper has U-Net++ contextual first (0.76) and U-Net "
            "last (0.50)."
        )
    gap = np.mean([r.mean("miou", "validation") - r.mean("miou") for r in made])
    baseline = made[0].records[0].metrics["baseline"]
    if baseline:
        floor = max(scores["miou"] for scores in baseline.values())
        below = [r.experiment.title for r in made if r.mean("miou") <= floor]
        lines.append(
            f"Calling everything background scores {baseline['background']['miou']:.3f}, the best "
            f"single cut through one channel {baseline['threshold']['miou']:.3f}; "
            + (f"not above both: {', '.join(below)}" if below else "every model is above both")
            + f"; validation mIoU is {abs(gap):.3f} {'above' if gap > 0 else 'below'} test mIoU "
            "on average."
        )
    return lines
