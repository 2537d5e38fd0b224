"""The paper's claims, each with what the runs say of it: holds here, does not, cannot tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landslide_tf.config import ATTENTIONS, LOSSES, MODELS
from landslide_tf.study.comparisons import CONTEXTUAL, Comparison, find
from landslide_tf.study.matrices import MODEL_TITLES, SIX
from landslide_tf.study.records import Record, Result
from landslide_tf.study.tables import Results, best_on_validation, loss_results
from landslide_tf.study.verdicts import BETTER, CANNOT_TELL, NO_COUNTS, NOT_RUN, TOO_FEW, WORSE

HOLDS, DOES_NOT = "holds here", "does not hold here"
BALANCED = 0.4  # share of the rarer class from which two classes count as balanced
DOUBLE = (1.5, 2.5)  # ratios of epoch times that count as double
# Ratios of times an image that the paper's 4 to 5 ms over 3 to 4 ms allow.
PER_IMAGE = (1.0, 5 / 3)
ATTENDED = tuple(f"unetpp-{attention}-dice" for attention in ATTENTIONS[1:])
PLAIN, BOTH = "unetpp-none-dice", "unetpp-spatial_contextual-dice"
Compared = dict[str, list[Comparison]]


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


def claims(results: Results, compared: Compared) -> list[Claim]:
    """All claims that the runs can test, in the paper's order.

    `compared` is that of `comparisons.paper_comparisons`: a claim has the verdicts of its tables.

    >>> from landslide_tf.study.comparisons import paper_comparisons
    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(read_study("study"), "study")
    >>> found = claims(results, paper_comparisons(results))
    >>> found[-2].text, found[-2].verdict
    ('Attention doubles the time of an epoch (5 s to 10 s)', 'does not hold here')
    """

    def all_better(text: str, pairs) -> Claim:
        return _all_better(text, [find(compared, results[a], results[b]) for a, b in pairs])

    unet, resunet, unetpp = (e.name for e in SIX if e.attention == "none")
    return [
        _balanced(results),
        all_better(
            "Dice is the significantly better loss",
            [(f"{m}-none-dice", f"{m}-none-{x}") for m in MODELS for x in LOSSES if x != "dice"],
        ),
        _all_better("Dice is better on small landslides", compared["small landslides"]),
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
        _dem_helps(results, compared),
        _time_ratio(
            results,
            "Attention doubles the time of an epoch (5 s to 10 s)",
            lambda record: record.seconds_per_epoch,
            DOUBLE,
            "s an epoch",
        ),
        _time_ratio(
            results,
            "Attention takes inference from 3 to 4 ms an image to 4 to 5 ms (x 1.00 to 1.67)",
            lambda record: 1000 * record.score("per_image", "seconds"),
            PER_IMAGE,
            "ms an image",
        ),
    ]


def _balanced(results: Results) -> Claim:
    text = "The data set is well balanced, so that imbalance is no concern"
    record = next((r for result in results.values() for r in result.records), None)
    counts = [] if record is None else [record.metrics["validation"], record.test]
    if not counts:
        return Claim(text, CANNOT_TELL, (), NOT_RUN)
    landslide = sum(c["tp"] + c["fn"] for c in counts)
    share = landslide / sum(c["tp"] + c["fp"] + c["fn"] + c["tn"] for c in counts)
    rarer = min(share, 1 - share)
    figure = f"{share:.1%} of the pixels of validation and test are landslide"
    return Claim(text, HOLDS if rarer >= BALANCED else DOES_NOT, (figure,), figure)


def _all_better(text: str, compared: list[Comparison]) -> Claim:
    """Holds where every first is better than its second; does not where one is worse."""
    found = [one.verdict for one in compared]
    if WORSE in found:
        verdict = DOES_NOT
    else:
        verdict = HOLDS if set(found) == {BETTER} else CANNOT_TELL
    return Claim(text, verdict, _figures(compared), _counted(found))


def in_words(one: Comparison) -> str:
    """A comparison as a line: the difference, its intervals, the seeds.

    >>> from landslide_tf.study.comparisons import paper_comparisons
    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> table = paper_comparisons(read_results(read_study("study"), "study"))["models"]
    >>> in_words(table[0])
    'U-Net (BCE) - ResUNet (WCE): -0.0..., draws [-0..., -0...], 1 seed: not enough seeds'
    """
    names = f"{one.a.experiment.title} - {one.b.experiment.title}"
    if one.found is None:
        return f"{names}: {one.verdict}"
    parts = [f"{names}: {one.found.value:+.3f}"]
    for what, between in (("seeds", one.found.over_seeds), ("draws", one.found.over_draws)):
        if between is not None:
            parts.append(f"{what} [{between.low:+.3f}, {between.high:+.3f}]")
    count = one.found.seeds
    return f"{', '.join(parts)}, {count} seed{'s' if count > 1 else ''}: {one.verdict}"


def _figures(compared: list[Comparison]) -> tuple[str, ...]:
    """The comparisons that were made; the others as one line."""
    made = [in_words(one) for one in compared if one.verdict != NOT_RUN]
    missing = [
        f"{one.a.experiment.title} - {one.b.experiment.title}"
        for one in compared
        if one.verdict == NOT_RUN
    ]
    return (*made, f"not run: {', '.join(missing)}") if missing else tuple(made)


def _counted(found: list[str]) -> str:
    """
    >>> _counted(["better", "worse", "better", "not run"])
    'of 4 comparisons 2 better, 1 worse, 1 not run'
    """
    kinds = (BETTER, WORSE, CANNOT_TELL, TOO_FEW, NO_COUNTS, NOT_RUN)
    counts = ", ".join(f"{found.count(kind)} {kind}" for kind in kinds if kind in found)
    return f"of {len(found)} comparisons {counts}" if len(found) > 1 else counts


def _bce_is_unsuitable(results: Results, compared: Compared) -> Claim:
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


def _dem_helps(results: Results, compared: Compared) -> Claim:
    text, without = "Adding the DEM helps", results.get(f"{CONTEXTUAL}-rgb")
    if without is None:
        return Claim(text, CANNOT_TELL, (), "the study was made without the DEM")
    return _all_better(text, [find(compared, results[CONTEXTUAL], without)])


def _time_ratio(results: Results, text: str, time_of, holds, unit: str) -> Claim:
    """A time with each attention over that without, on one machine: inside `holds` or not."""
    ratios, figures = [], []
    for name in ATTENDED:
        pair = _fastest_alike(results[name], results[PLAIN], time_of)
        title = results[name].experiment.title
        if pair is None:
            if results[name] and results[PLAIN]:
                figures.append(f"{title}: no time on the same machine as without attention")
            continue
        ours, theirs = (time_of(record) for record in pair)
        ratios.append(ours / theirs)
        figures.append(
            f"{title}: {ours:.1f} against {theirs:.1f} {unit} without, x {ratios[-1]:.2f} "
            f"(fastest runs, {pair[0].machine})"
        )
    if not ratios:
        return Claim(text, CANNOT_TELL, tuple(figures), "not run on the same machine")
    inside = [holds[0] <= ratio <= holds[1] for ratio in ratios]
    verdict = HOLDS if all(inside) else DOES_NOT if not any(inside) else CANNOT_TELL
    if len(ratios) < len(ATTENDED):
        verdict = CANNOT_TELL
    shown = ", ".join(f"x {ratio:.2f}" for ratio in ratios)
    return Claim(text, verdict, tuple(figures), f"with attention {shown} as long")


def _fastest_alike(a: Result, b: Result, time_of) -> tuple[Record, Record] | None:
    """The fastest record of each on one machine: other work on the machine only ever adds."""
    machines = {(r.environment["processor"], r.machine) for r in a.records}
    for machine in sorted(machines):
        pair = []
        for result in (a, b):
            alike = [
                r
                for r in result.records
                if (r.environment["processor"], r.machine) == machine and np.isfinite(time_of(r))
            ]
            if alike:
                pair.append(min(alike, key=time_of))
        if len(pair) == 2:
            return pair[0], pair[1]
    return None
