"""Verdicts on the paper's claims, from made-up runs whose order is known."""

import dataclasses

import pytest

from landslide_tf.study.claims import CANNOT_TELL, DOES_NOT, HOLDS
from landslide_tf.study.claims import claims as claims_of
from landslide_tf.study.comparisons import best_of, find, paper_comparisons
from landslide_tf.study.matrices import SIX
from landslide_tf.study.paper_report import what_came_out
from landslide_tf.study.wording import what_it_means

NAMES = ("balanced", "dice", "small", "bce", "unetpp", "attention", "both", "contextual", "dem",
         "epoch", "image")  # fmt: skip
ALL = {
    f"{model}-none-{loss}": quality
    for model in ("unet", "resunet", "unetpp")
    for loss, quality in (("bce", 0.75), ("focal", 0.85), ("dice", 0.95), ("wce", 0.85))
}


def claims(results):
    return claims_of(results, paper_comparisons(results))


@pytest.fixture
def seeded(make_results):
    """Results with five seeds each, so that there may be verdicts."""
    return lambda qualities, **options: make_results(qualities, **{"seeds": 5, **options})


def verdicts(results):
    return {name: claim.verdict for name, claim in zip(NAMES, claims(results), strict=True)}


def test_nothing_run_tells_nothing(seeded):
    results = seeded({})
    assert set(verdicts(results).values()) == {CANNOT_TELL}
    assert what_came_out(results, claims(results)) == ["No run is complete yet."]
    assert what_it_means(results, paper_comparisons(results)) == ["Nothing yet."]


def test_one_seed_gives_no_verdict_however_large_the_difference(make_results):
    results = make_results({**ALL, "unet-none-bce": 0.55})
    assert {v for n, v in verdicts(results).items() if n not in ("balanced", "epoch", "image")} == {
        CANNOT_TELL
    }
    assert "all 9 comparisons: not enough seeds" in claims(results)[1].short
    assert "No comparison has three seeds" in what_it_means(results, paper_comparisons(results))[0]


def test_dice_above_all_others_holds(seeded):
    found = verdicts(seeded(ALL))
    assert found["dice"] == HOLDS
    assert found["bce"] == HOLDS
    assert found["small"] == HOLDS


def test_one_loss_above_dice_refutes_it(seeded):
    found = verdicts(seeded({**ALL, "resunet-none-wce": 0.99}))
    assert found["dice"] == DOES_NOT


def test_bce_as_good_as_the_best_other_cannot_be_told(seeded):
    same = {name: 0.85 for name in ALL}
    assert verdicts(seeded(same))["bce"] == CANNOT_TELL


def test_bce_above_the_others_in_one_model_refutes_it(seeded):
    assert verdicts(seeded({**ALL, "unet-none-bce": 0.99}))["bce"] == DOES_NOT


DICE_ALIKE = {"unet-none-dice": 0.8, "resunet-none-dice": 0.8, "unetpp-none-dice": 0.95}


def test_best_base_model_is_judged_with_the_papers_losses_and_at_equal_loss(seeded):
    base = {**DICE_ALIKE, "unet-none-bce": 0.8, "resunet-none-wce": 0.8}
    assert verdicts(seeded(base))["unetpp"] == HOLDS


def test_a_model_that_wins_by_its_loss_alone_does_not_hold(seeded):
    base = {**DICE_ALIKE, "unet-none-bce": 0.8, "resunet-none-wce": 0.8, "unet-none-dice": 0.95}
    assert verdicts(seeded(base))["unetpp"] == CANNOT_TELL


def test_a_missing_run_leaves_it_open(seeded):
    found = seeded({**DICE_ALIKE, "unet-none-bce": 0.8})
    assert verdicts(found)["unetpp"] == CANNOT_TELL
    claim = claims(found)[NAMES.index("unetpp")]
    assert claim.figures[-1] == "not run: U-Net++ (Dice) - ResUNet (WCE)"
    assert claim.short == "of 4 comparisons: 3 better, 1 not run"


def test_worse_than_one_is_enough_against_it(seeded):
    base = {"unet-none-bce": 0.8, "resunet-none-wce": 0.99, "unetpp-none-dice": 0.9}
    assert verdicts(seeded(base))["unetpp"] == DOES_NOT


def test_contextual_against_all_five(seeded):
    six = dict.fromkeys(
        ("unet-none-bce", "resunet-none-wce", "unetpp-none-dice", "unetpp-spatial-dice",
         "unetpp-spatial_contextual-dice"), 0.8,
    )  # fmt: skip
    found = verdicts(seeded({**six, "unetpp-contextual-dice": 0.95}))
    assert found["contextual"] == HOLDS


@pytest.mark.parametrize(("without", "verdict"), [(0.8, HOLDS), (0.99, DOES_NOT)])
def test_the_dem_against_none(without, verdict, seeded):
    runs = {"unetpp-contextual-dice": 0.9, "unetpp-contextual-dice-rgb": without}
    assert verdicts(seeded(runs))["dem"] == verdict


SIX_BUT_TWO = dict.fromkeys(("unet-none-bce", "resunet-none-wce", "unetpp-none-dice"), 0.75)


def test_attention_must_help_each_time(seeded):
    attended = {f"unetpp-{name}-dice": 0.9 for name in ("spatial", "contextual")}
    found = verdicts(seeded({**SIX_BUT_TWO, **attended, "unetpp-spatial_contextual-dice": 0.98}))
    assert (found["attention"], found["both"]) == (HOLDS, HOLDS)
    assert found["contextual"] == DOES_NOT


def test_both_attentions_as_good_as_each_are_no_advance(seeded):
    names = ("spatial", "contextual", "spatial_contextual")
    found = verdicts(seeded({**SIX_BUT_TWO, **{f"unetpp-{name}-dice": 0.9 for name in names}}))
    assert (found["attention"], found["both"]) == (HOLDS, CANNOT_TELL)


def test_no_counts_no_claim(seeded):
    runs = {"unetpp-contextual-dice": 0.95, "unetpp-contextual-dice-rgb": 0.7}
    results = seeded(runs, counts=False)
    assert verdicts(results)["dem"] == CANNOT_TELL
    assert claims(results)[NAMES.index("dem")].figures[0].endswith(": no counts of tiles")


def test_balance_is_the_share_of_pixels(seeded):
    # the 12 masks hold 1 2 3 4 5 6 1 2 3 4 5 0 columns of 8: 36 of 96
    claim = claims(seeded({"unet-none-bce": 0.8}))[0]
    assert claim.verdict == DOES_NOT
    assert claim.figures == ("37.5% of the pixels of validation and test are landslide",)


ATTENTIONS = ("none", "spatial", "contextual", "spatial_contextual")


def test_equal_times(make_results):
    results = make_results({f"unetpp-{name}-dice": 0.8 for name in ATTENTIONS})
    epoch, image = claims(results)[-2:]
    assert epoch.verdict == DOES_NOT
    # the fastest of 9, 8 and 7 s, in both
    assert (
        "7.0 against 7.0 s an epoch without, x 1.00 (fastest runs on P, 2 cores)"
        in epoch.figures[0]
    )
    # equal times an image lie within the paper's 4 to 5 ms over 3 to 4 ms
    assert image.verdict == HOLDS
    assert "2.0 against 2.0 ms an image without, x 1.00" in image.figures[0]


def changed(results, name, **environment):
    """The results with the first run of an experiment made on another machine."""
    result = results[name]
    record = result.records[0]
    record = dataclasses.replace(record, environment={**record.environment, **environment})
    return results | {name: dataclasses.replace(result, records=(record, *result.records[1:]))}


@pytest.mark.parametrize("machine", [{"cores": 1}, {"processor": "Q"}])
def test_times_on_unlike_machines_are_not_compared(machine, make_results):
    results = make_results({"unetpp-none-dice": 0.8, "unetpp-spatial-dice": 0.8})
    claim = claims(changed(results, "unetpp-spatial-dice", **machine))[NAMES.index("epoch")]
    assert claim.verdict == CANNOT_TELL
    assert claim.figures == (
        "U-Net++ spatial (Dice): no time on the same machine as without attention",
    )


def test_times_that_attention_seems_to_save_are_no_evidence(make_results):
    results = make_results({f"unetpp-{name}-dice": 0.8 for name in ATTENTIONS})
    for row in results["unetpp-none-dice"].records[0].history:
        row["seconds"] *= 2  # 14 s an epoch where the others have 7 s
    epoch, image = claims(results)[-2:]
    assert epoch.verdict == CANNOT_TELL
    assert "x 0.50, x 0.50, x 0.50 as long; layers that are added save no time" in epoch.short
    assert image.verdict == HOLDS and "save" not in image.short


def test_the_machine_that_both_ran_on_is_found(make_results):
    """The fastest run of one was on another machine than all of the other's."""
    results = make_results({"unetpp-none-dice": 0.8, "unetpp-spatial-dice": 0.8}, seeds=2)
    results = changed(results, "unetpp-spatial-dice", cores=8)
    results["unetpp-spatial-dice"].records[0].history[0]["seconds"] = 1.0
    claim = claims(results)[NAMES.index("epoch")]
    assert "7.0 against 7.0 s an epoch" in claim.figures[0]


def test_words_name_first_and_last(make_results):
    base = {"unet-none-bce": 0.7, "resunet-none-wce": 0.8, "unetpp-none-dice": 0.95}
    results = make_results(base)
    lines = what_came_out(results, claims(results))
    assert lines[0] == "3 of 17 experiments have a complete run, one seed each."
    assert "six models, 3 run so far, U-Net++ (Dice) has the highest" in lines[1]
    assert "U-Net (BCE) the lowest" in lines[1]


def test_words_name_the_pairs_that_can_be_told_apart(seeded):
    compared = paper_comparisons(results := seeded({"unet-none-bce": 0.7, "unet-none-dice": 0.95}))
    lines = what_it_means(results, compared)
    gain = results["unet-none-dice"].mean("miou") - results["unet-none-bce"].mean("miou")
    assert lines[0] == (
        "Table 'losses': 1 of 1 tested pairs can be told apart: U-Net (Dice) over U-Net (BCE) "
        f"({gain:+.3f})."
    )


def test_the_best_is_better_than_each_other(seeded):
    qualities = {e.name: 0.75 for e in SIX} | {"unetpp-contextual-dice": 0.95}
    results = seeded(qualities)
    compared, six = paper_comparisons(results), [results[e.name] for e in SIX]
    assert best_of(compared, six) is results["unetpp-contextual-dice"]
    one = find(compared, six[0], results["unetpp-contextual-dice"])
    other = find(compared, results["unetpp-contextual-dice"], six[0])
    assert (one.verdict, other.verdict) == ("worse", "better")
    assert one.seeds_low == -other.seeds_high
    assert best_of(compared, six[:4]) is None


def test_no_seed_in_common_no_claim(seeded):
    ours, without = "unetpp-contextual-dice", "unetpp-contextual-dice-rgb"
    results = seeded({ours: 0.95, without: 0.7}, seeds=2)
    results |= {ours: results[ours].of_seeds([0]), without: results[without].of_seeds([1])}
    claim = claims(results)[NAMES.index("dem")]
    assert claim.verdict == CANNOT_TELL
    assert claim.figures[0].endswith(": no counts of tiles")


@pytest.mark.parametrize(("late", "told"), [((3, 3, 2), True), ((3, 2, 2), False)])
def test_runs_whose_best_epoch_is_the_last_were_still_learning(late, told, make_results):
    """Of three epochs the third alone is in the last tenth (above 2.7)."""
    results = make_results({"unet-none-bce": 0.9}, seeds=3)
    for record, epoch in zip(results["unet-none-bce"].records, late, strict=True):
        record.metrics["best_epoch"] = epoch
    lines = what_it_means(results, paper_comparisons(results))
    assert any("In 2 of 3 runs the best epoch is in the last" in line for line in lines) == told
