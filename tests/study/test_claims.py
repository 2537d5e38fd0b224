"""Verdicts on the paper's claims, from made-up runs whose order is known."""

import dataclasses

import pytest

from landslide_tf.study.claims import CANNOT_TELL, DOES_NOT, HOLDS, claims, summary

NAMES = ("balanced", "dice", "bce", "unetpp", "contextual", "dem", "time")
ALL = {
    f"{model}-none-{loss}": quality
    for model in ("unet", "resunet", "unetpp")
    for loss, quality in (("bce", 0.75), ("focal", 0.85), ("dice", 0.95), ("wce", 0.85))
}


def verdicts(results):
    return {name: claim.verdict for name, claim in zip(NAMES, claims(results), strict=True)}


def test_nothing_run_tells_nothing(make_results):
    results = make_results({})
    assert set(verdicts(results).values()) == {CANNOT_TELL}
    assert summary(results, claims(results)) == ["No run is complete yet."]


def test_dice_above_all_others_holds(make_results):
    found = verdicts(make_results(ALL))
    assert found["dice"] == HOLDS
    assert found["bce"] == HOLDS


def test_one_loss_above_dice_refutes_it(make_results):
    found = verdicts(make_results({**ALL, "resunet-none-wce": 0.99}))
    assert found["dice"] == DOES_NOT


def test_bce_as_good_as_the_best_other_cannot_be_told(make_results):
    same = {name: 0.85 for name in ALL}
    assert verdicts(make_results(same))["bce"] == CANNOT_TELL


def test_bce_above_the_others_in_one_model_refutes_it(make_results):
    assert verdicts(make_results({**ALL, "unet-none-bce": 0.99}))["bce"] == DOES_NOT


DICE_ALIKE = {"unet-none-dice": 0.8, "resunet-none-dice": 0.8, "unetpp-none-dice": 0.95}


def test_best_base_model_is_judged_with_the_papers_losses_and_at_equal_loss(make_results):
    base = {**DICE_ALIKE, "unet-none-bce": 0.8, "resunet-none-wce": 0.8}
    assert verdicts(make_results(base))["unetpp"] == HOLDS


def test_a_model_that_wins_by_its_loss_alone_does_not_hold(make_results):
    base = {**DICE_ALIKE, "unet-none-bce": 0.8, "resunet-none-wce": 0.8, "unet-none-dice": 0.95}
    assert verdicts(make_results(base))["unetpp"] == CANNOT_TELL


def test_a_missing_run_leaves_it_open(make_results):
    found = make_results({**DICE_ALIKE, "unet-none-bce": 0.8})
    assert verdicts(found)["unetpp"] == CANNOT_TELL
    claim = claims(found)[NAMES.index("unetpp")]
    assert claim.figures[-1] == "not run: U-Net++ (Dice) - ResUNet (WCE)"
    assert claim.short == "of 4 comparisons 3 better, 1 not run"


def test_worse_than_one_is_enough_against_it(make_results):
    base = {"unet-none-bce": 0.8, "resunet-none-wce": 0.99, "unetpp-none-dice": 0.9}
    assert verdicts(make_results(base))["unetpp"] == DOES_NOT


def test_contextual_against_all_five(make_results):
    six = dict.fromkeys(
        ("unet-none-bce", "resunet-none-wce", "unetpp-none-dice", "unetpp-spatial-dice",
         "unetpp-spatial_contextual-dice"), 0.8,
    )  # fmt: skip
    found = verdicts(make_results({**six, "unetpp-contextual-dice": 0.95}))
    assert found["contextual"] == HOLDS


@pytest.mark.parametrize(("without", "verdict"), [(0.8, HOLDS), (0.99, DOES_NOT)])
def test_the_dem_against_none(without, verdict, make_results):
    runs = {"unetpp-contextual-dice": 0.9, "unetpp-contextual-dice-rgb": without}
    assert verdicts(make_results(runs))["dem"] == verdict


def test_no_counts_no_claim(make_results):
    runs = {"unetpp-contextual-dice": 0.95, "unetpp-contextual-dice-rgb": 0.7}
    results = make_results(runs, counts=False)
    assert verdicts(results)["dem"] == CANNOT_TELL
    claim = claims(results)[NAMES.index("dem")]
    gap = 0.0
    for name, sign in (("unetpp-contextual-dice", 1), ("unetpp-contextual-dice-rgb", -1)):
        gap += sign * results[name].records[0].metrics["test"]["miou"]
    assert f"{gap:+.3f}, no interval" in claim.figures[0]


def test_balance_is_the_share_of_pixels(make_results):
    # the 12 masks hold 1 2 3 4 5 6 1 2 3 4 5 0 columns of 8: 36 of 96
    claim = claims(make_results({"unet-none-bce": 0.8}))[0]
    assert claim.verdict == DOES_NOT
    assert claim.figures == ("37.5% of the pixels of validation and test are landslide",)


def test_equal_epochs_are_not_double(make_results):
    names = ("none", "spatial", "contextual", "spatial_contextual")
    results = make_results({f"unetpp-{name}-dice": 0.8 for name in names})
    claim = claims(results)[NAMES.index("time")]
    assert claim.verdict == DOES_NOT
    # the fastest of 9, 8 and 7 s, in both
    assert "7.0 s against 7.0 s without, x 1.00" in claim.figures[0]


def test_epochs_on_unlike_machines_are_not_compared(make_results):
    results = make_results({"unetpp-none-dice": 0.8, "unetpp-spatial-dice": 0.8})
    result = results["unetpp-spatial-dice"]
    record = result.records[0]
    slower = dataclasses.replace(record, environment={**record.environment, "cores": 1})
    results["unetpp-spatial-dice"] = dataclasses.replace(result, records=(slower,))
    claim = claims(results)[NAMES.index("time")]
    assert claim.verdict == CANNOT_TELL
    assert claim.figures == ("U-Net++ spatial (Dice): run on 1 core, without attention on 2 cores",)


def test_summary_names_first_and_last(make_results):
    base = {"unet-none-bce": 0.7, "resunet-none-wce": 0.8, "unetpp-none-dice": 0.95}
    results = make_results(base)
    lines = summary(results, claims(results))
    assert lines[0].startswith("3 of 17 experiments have a complete run; one seed each")
    assert "six, 3 run so far, U-Net++ (Dice) has the highest" in lines[1]
    assert "U-Net (BCE) the lowest" in lines[1]


def test_no_seed_in_common_no_claim(make_results):
    ours, without = "unetpp-contextual-dice", "unetpp-contextual-dice-rgb"
    results = make_results({ours: 0.95, without: 0.7}, seeds=2)
    results |= {ours: results[ours].of_seeds([0]), without: results[without].of_seeds([1])}
    claim = claims(results)[NAMES.index("dem")]
    assert claim.verdict == CANNOT_TELL
    assert claim.figures[0].endswith("no seed in common")
