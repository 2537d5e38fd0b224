"""Tables from made-up run folders: each cell is that of the folder, or of the paper, or a dash."""

import dataclasses
import json

import numpy as np
import pytest
from made_runs import BASE, write_run
from scipy.stats import ttest_1samp

from landslide_tf.checks import InputError
from landslide_tf.study import tables
from landslide_tf.study.audit import audit_table
from landslide_tf.study.cells import spread
from landslide_tf.study.comparisons import paper_comparisons
from landslide_tf.study.experiments import Study, plan
from landslide_tf.study.paper_report import paper_tables
from landslide_tf.study.records import read_results
from landslide_tf.study.wording import comparisons_text, gap_in_words

SOME = {"unet-none-bce": 0.8, "unet-none-dice": 0.95, "unetpp-contextual-dice": 0.9}


def made(compared):
    return compared[compared.seeds > 0]


def metrics_of(results, name, seed=0):
    return results[name].records[seed].metrics


def test_papers_numbers_are_all_there():
    paper = tables.paper_values()
    assert sum(table == "1" for table, _, _ in paper) == 12
    assert sum(table == "3" for table, _, _ in paper) == 36
    # the two mIoU that the paper prints for one pair
    assert (paper["1", "unet", "bce"], paper["3", "unet-none", "miou"]) == (0.575, 0.50)


def test_table1(make_results):
    results = make_results(SOME)
    frame = tables.table1(results).set_index(["model", "loss"])
    row = frame.loc["U-Net", "BCE"]
    ours = metrics_of(results, "unet-none-bce")["test"]["miou"]
    assert row.miou == ours
    assert (row.miou_paper, row.miou_difference) == (0.575, ours - 0.575)
    assert row.miou_low <= ours <= row.miou_high
    assert np.isnan(row.miou_sd)
    assert frame.loc["U-Net", "Dice"].our_choice
    assert not row.our_choice
    missing = frame.loc["ResUNet", "focal"]
    assert np.isnan(missing.miou)
    assert (missing.seeds, missing.miou_paper) == (0, 0.786)


def test_several_seeds_are_averaged(make_results):
    results = make_results({"unet-none-bce": 0.8}, seeds=3)
    values = [metrics_of(results, "unet-none-bce", seed)["test"]["miou"] for seed in range(3)]
    assert len(set(values)) == 3
    row = tables.table1(results).iloc[0]
    mean = sum(values) / 3
    assert row.miou == pytest.approx(mean)
    assert row.miou_sd == pytest.approx((sum((v - mean) ** 2 for v in values) / 2) ** 0.5)
    assert row.seeds == 3


def test_table3_has_the_six_our_choices_and_the_baselines(make_results, study):
    results = make_results(SOME)
    frame = tables.table3(results)
    assert frame.kind.tolist() == ["paper"] * 6 + ["our choice on validation"] + ["baseline"] * 2
    first = frame.iloc[0]
    for metric in tables.METRICS:
        assert first[metric] == metrics_of(results, "unet-none-bce")["test"][metric]
        assert first[f"{metric}_paper"] == tables.paper_values()["3", "unet-none", metric]
    assert first.miou_table1 == 0.575
    choice = frame.iloc[6]
    assert (choice.model, choice.loss) == ("U-Net", "Dice")
    assert np.isnan(choice.auc_paper)
    background = frame.iloc[7]
    # 36 of 96 columns are landslide: background IoU 60/96, landslide IoU 0
    assert background.miou == pytest.approx(60 / 96 / 2)
    assert paper_tables(study, results)["table2"].model.tolist() == ["U-Net", "ResUNet", "U-Net++"]


def test_table4_names_who_reported_what(make_results):
    frame = tables.table4(make_results(SOME))
    assert frame.by.tolist()[-3:] == ["the paper", "ours", "ours"]
    assert "U-Net (Dice), our choice" in frame.model.iloc[-1]
    assert frame.set_index("model").loc["LandsNet (Yi et al.)", "f1"] == 0.86


def test_dem_table(make_results, study):
    results = make_results(SOME)
    folder = results["unetpp-contextual-dice"].records[0].folder
    for name, value in (("zero", 0.25), ("others", 0.5)):
        content = {"scores": {"default": {"miou": value}}}
        (folder / f"dem-{name}.json").write_text(json.dumps(content))
    results = read_results(study, folder.parent)
    row = tables.dem_table(results, study).set_index("experiment").loc["U-Net++ contextual (Dice)"]
    assert (row.dem_zero, row.dem_others, row.fusion) == (0.25, 0.5, "early")


def test_audit_holds_ours_to_the_same_check(make_results):
    frame = audit_table(make_results(SOME))
    assert frame.whose.tolist() == ["paper"] * 6 + ["ours"] * 2
    assert frame[frame.whose == "ours"].fits.all()
    # the made-up masks: 36 of 96 columns are landslide, as far as two digits tell
    assert frame[frame.whose == "ours"].positive_share.tolist() == pytest.approx(
        [0.375] * 2, abs=0.03
    )


def test_a_choice_is_made_on_the_seeds_that_all_have(tmp_path):
    """Seed 1 is an unlucky one, and only BCE was run with it."""
    both = Study(BASE, seeds=2)
    quality = {("bce", 0): 0.9, ("bce", 1): 0.5, ("wce", 0): 0.8}
    for run in plan(both, tmp_path):
        key = run.experiment.loss, run.config.seed
        if run.experiment.name.startswith("unet-none") and key in quality:
            write_run(run.folder, run.config, quality[key])
    results = read_results(both, tmp_path)
    bce, wce = results["unet-none-bce"], results["unet-none-wce"]
    assert bce.mean("miou", "validation") < wce.mean("miou", "validation")
    assert tables.best_on_validation([bce, wce]) is bce
    other = wce.of_seeds([])
    assert tables.best_on_validation([bce, other]) is None
    assert tables.best_on_validation([bce.of_seeds([1]), wce]) is None  # no seed in common


def test_cost_is_of_the_fastest_run_on_the_same_machine(make_results):
    results = make_results({"unet-none-bce": 0.8}, seeds=3)
    first, second, third = results["unet-none-bce"].records  # 7 s an epoch, 2 ms an image each
    first.history[0]["seconds"] = 6.5
    second.metrics["seconds"]["per_image"] = 0.0015
    third.metrics["seconds"]["per_image"] = 0.0005
    third.environment["cores"] = 8
    row = tables.cost_table(results).iloc[0]
    assert (row.machine, row.seconds_per_epoch) == ("P, 2 cores", 6.5)
    assert row.ms_per_image == pytest.approx(1.5)


def test_comparisons_are_of_pairs_that_were_run(make_results):
    frame = made(paper_comparisons(make_results(SOME)))
    assert [(row.table, row.a, row.b) for row in frame.itertuples()] == [
        ("models", "U-Net (BCE)", "U-Net++ contextual (Dice)"),
        ("losses", "U-Net (BCE)", "U-Net (Dice)"),
        ("small landslides", "U-Net (Dice)", "U-Net (BCE)"),
    ]
    assert set(frame.verdict) == {"not enough seeds"}


def test_comparisons_of_three_ways_to_use_the_dem(make_results):
    ours = "unetpp-contextual-dice"
    names = (ours, f"{ours}-rgb", f"{ours}-bottleneck")
    results = make_results(dict(zip(names, (0.9, 0.8, 0.7), strict=True)), seeds=4)
    frame = made(paper_comparisons(results)).reset_index()
    assert [(row.a, row.b) for row in frame.itertuples()] == [
        ("U-Net++ contextual (Dice)", "U-Net++ contextual (Dice, rgb)"),
        ("U-Net++ contextual (Dice)", "U-Net++ contextual (Dice, bottleneck)"),
        ("U-Net++ contextual (Dice, rgb)", "U-Net++ contextual (Dice, bottleneck)"),
    ]
    gaps = results[ours].values("miou") - results[f"{ours}-rgb"].values("miou")
    row = frame.iloc[0]
    assert row.difference == pytest.approx(gaps.mean())
    between = ttest_1samp(gaps, 0).confidence_interval(0.95)
    assert (row.seeds_low, row.seeds_high) == pytest.approx(tuple(between))
    assert frame.seeds.tolist() == [4, 4, 4]
    assert (frame.p >= frame.p.min()).all()


def test_nothing_compared_is_a_table_with_its_header(make_results):
    frame = made(paper_comparisons(make_results({"unet-none-bce": 0.8})))
    assert frame.empty
    assert frame.to_csv(index=False).startswith("table,a,b,seeds,difference")
    assert comparisons_text(frame) == ""


def test_the_gap_is_in_every_row(make_results, study):
    results = make_results({"unet-none-bce": 0.8}, seeds=2, gap=0.25)
    assert tables.table1(results).gap[0] == 0.25
    assert tables.table3(results).gap[0] == 0.25
    assert tables.dem_table(results, study).gap[0] == 0.25
    assert np.isnan(tables.table1(results).gap[1])
    assert "beyond 0.02 in U-Net (BCE) (+0.250)" in gap_in_words([results["unet-none-bce"]])


def test_two_seeds_show_their_range(make_results):
    row = tables.table1(make_results({"unet-none-bce": 0.8}, seeds=2)).iloc[0]
    assert np.isnan(row.miou_sd)
    assert spread(row, "miou") == f"{row.miou:.3f} ({row.miou_min:.3f} to {row.miou_max:.3f})"
    assert row.miou_min < row.miou < row.miou_max


@pytest.mark.parametrize("change", [{"data": "e" * 64}, {"split": "xyz"}])
def test_runs_on_other_tiles_are_not_compared(change, study, tmp_path):
    runs = plan(study, tmp_path)
    write_run(runs[0].folder, runs[0].config, 0.9)
    write_run(runs[1].folder, runs[1].config, 0.9, **change)
    with pytest.raises(InputError, match=f"another {next(iter(change))} than"):
        read_results(study, tmp_path)


def test_runs_of_other_options_do_not_count(study, tmp_path):
    run = plan(study, tmp_path)[0]
    write_run(tmp_path / "other", dataclasses.replace(run.config, filters=8), 0.9)
    write_run(tmp_path / "same-but-named-otherwise", run.config, 0.9)
    results = read_results(study, tmp_path)
    assert [r.folder.name for r in results["unet-none-bce"].records] == ["same-but-named-otherwise"]
    assert not read_results(Study(dataclasses.replace(BASE, epochs=9)), tmp_path)["unet-none-bce"]


@pytest.mark.parametrize(
    ("where", "name"),
    [
        ({"gpu": False, "cores": 1}, "P, 1 core"),
        ({"gpu": True}, "GPU"),
        ({"gpu": True, "gpu_name": "T4", "workers": 1}, "T4"),
        ({"gpu": True, "gpu_name": "T4", "workers": 15}, "T4, 15 runs at one time"),
    ],
)
def test_a_machine_by_its_name(where, name, make_results):
    record = make_results({"unet-none-bce": 0.8})["unet-none-bce"].records[0]
    record.environment.update(where)
    assert record.machine == name
