"""The paper's claims, each with what the runs say of it: holds here, does not, cannot tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landslide_tf.config import ATTENTIONS, LOSSES, MODELS
from landslide_tf.study.bootstrap import difference
from landslide_tf.study.experiments import LOSS_TITLES, MODEL_TITLES, SIX
from landslide_tf.study.records import Result
from landslide_tf.study.tables import Results, best_on_validation, loss_results

HOLDS, DOES_NOT, CANNOT_TELL = "holds here", "does not hold here", "cannot tell"
BALANCED = 0.4  # share of the rarer class from which two classes count as balanced
DOUBLE = (1.5, 2.5)  # ratios of epoch times that count as double


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, the verdict of the runs, and the figures that it rests on."""

    text: str
    verdict: str
    figures: tuple[str, ...]


def claims(results: Results) -> list[Claim]:
    """All claims that the runs can test, in the paper's order."""
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
        return Claim(text, CANNOT_TELL, ("no run",))
    landslide = sum(c["tp"] + c["fn"] for c in counts)
    share = landslide / sum(c["tp"] + c["fp"] + c["fn"] + c["tn"] for c in counts)
    rarer = min(share, 1 - share)
    return Claim(
        text,
        HOLDS if rarer >= BALANCED else DOES_NOT,
        (f"{share:.1%} of the pixels of validation and test are landslide",),
    )


def _all_better(text: str, pairs: list[tuple[Result, Result]]) -> Claim:
    """Holds where every first is better than its second; does not where one is worse."""
    found, figures = [], []
    for a, b in pairs:
        one = difference(a, b)
        found.append(one.verdict if one else CANNOT_TELL)
        figures.append(_in_words(a, b, one))
    if "worse" in found:
        verdict = DOES_NOT
    else:
        verdict = HOLDS if set(found) == {"better"} else CANNOT_TELL
    return Claim(text, verdict, tuple(figures))


def _in_words(a: Result, b: Result, one) -> str:
    names = f"{a.experiment.title} - {b.experiment.title}"
    if not a or not b:
        missing = " and ".join(r.experiment.title for r in (a, b) if not r)
        return f"{names}: {missing} not run"
    if one is None:
        value = a.mean("miou") - b.mean("miou")
        return f"{names}: {value:+.3f}, no interval (a run without counts of its tiles)"
    between = one.interval
    return f"{names}: {one.value:+.3f} [{between.low:+.3f}, {between.high:+.3f}]"


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
    text = "BCE is not suitable for this task"
    found, figures = [], []
    for model in MODELS:
        bce = results[f"{model}-none-bce"]
        others = [r for r in loss_results(results, model) if r is not bce]
        best = best_on_validation(others)
        if not bce or best is None:
            found.append(CANNOT_TELL)
            figures.append(f"{MODEL_TITLES[model]}: not enough losses run")
            continue
        one = difference(bce, best)
        found.append(one.verdict if one else CANNOT_TELL)
        chosen = [f"{LOSS_TITLES[r.experiment.loss]} {r.mean('miou', 'test_chosen'):.3f}"
                  for r in (bce, best)]  # fmt: skip
        figures.append(
            f"{_in_words(bce, best, one)}; at the thresholds chosen on validation "
            f"{' against '.join(chosen)}"
        )
    if "better" in found:
        return Claim(text, DOES_NOT, tuple(figures))
    verdict = HOLDS if set(found) == {"worse"} else CANNOT_TELL
    return Claim(text, verdict, tuple(figures))


def _unetpp_is_best_base(results: Results) -> Claim:
    base = [results[e.name] for e in SIX if e.attention == "none"]
    return _all_better("U-Net++ is the best base model", [(base[2], other) for other in base[:2]])


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
        return Claim(text, CANNOT_TELL, ("the study was made without the DEM",))
    return _all_better(text, [(results["unetpp-contextual-dice"], without)])


def _attention_doubles_time(results: Results) -> Claim:
    text = "Attention doubles the time of an epoch (5 s to 10 s)"
    plain = results["unetpp-none-dice"]
    ratios, figures = [], []
    for attention in ATTENTIONS[1:]:
        result = results[f"unetpp-{attention}-dice"]
        if plain and result:
            seconds = [min(r.seconds_per_epoch for r in x.records) for x in (result, plain)]
            ratios.append(seconds[0] / seconds[1])
            figures.append(
                f"{result.experiment.title}: {seconds[0]:.1f} s against {seconds[1]:.1f} s "
                f"without, x {ratios[-1]:.2f} (fastest epochs)"
            )
    if not ratios:
        return Claim(text, CANNOT_TELL, ("not run",))
    inside = [DOUBLE[0] <= ratio <= DOUBLE[1] for ratio in ratios]
    verdict = HOLDS if all(inside) else DOES_NOT if not any(inside) else CANNOT_TELL
    return Claim(text, verdict, tuple(figures))


def summary(results: Results) -> list[str]:
    """What the tables say, in about ten sentences."""
    made = [result for result in results.values() if result]
    if not made:
        return ["No run is complete yet."]
    seeds = max(len(result.records) for result in made)
    lines = [
        f"{len(made)} of {len(results)} experiments have a complete run; "
        + (
            f"up to {seeds} seeds each."
            if seeds > 1
            else "one seed each, so that no difference below is free of the luck of one start."
        )
    ]
    lines += _sentences_on_six([r for r in made if r.experiment in SIX], made)
    for claim in claims(results):
        lines.append(f"“{claim.text}”: **{claim.verdict}** ({claim.figures[0]}{_more(claim)}).")
    return lines


def _more(claim: Claim) -> str:
    count = len(claim.figures) - 1
    return f"; {count} more comparisons below" if count > 1 else "; one more below" if count else ""


def _sentences_on_six(six: list[Result], made: list[Result]) -> list[str]:
    lines = []
    if len(six) > 1:
        ranked = sorted(six, key=lambda r: r.mean("miou"))
        low, high = ranked[0], ranked[-1]
        lines.append(
            f"Of the paper's {'six' if len(six) == 6 else f'six, {len(six)} run so far,'} "
            f"{high.experiment.title} has the highest test mIoU at threshold 0.5 "
            f"({high.mean('miou'):.3f}) and {low.experiment.title} the lowest "
            f"({low.mean('miou'):.3f}); the paper has U-Net++ contextual first (0.76) and U-Net "
            "last (0.50)."
        )
    baseline = made[0].records[0].metrics["baseline"]
    if baseline:
        floor = max(scores["miou"] for scores in baseline.values())
        below = [r.experiment.title for r in made if r.mean("miou") <= floor]
        lines.append(
            f"Calling everything background scores {baseline['background']['miou']:.3f}, the best "
            f"single cut through one channel {baseline['threshold']['miou']:.3f}; "
            + (f"not above these: {', '.join(below)}." if below else "every model is above both.")
        )
    gaps = [r.mean("miou", "validation") - r.mean("miou") for r in made]
    lines.append(
        f"Validation mIoU is {abs(np.mean(gaps)):.3f} {'above' if np.mean(gaps) > 0 else 'below'} "
        "test mIoU on average."
    )
    return lines
