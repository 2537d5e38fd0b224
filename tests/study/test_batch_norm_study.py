"""The report on dropout before batch normalisation: its numbers, and words that they carry."""

import dataclasses

import cv2
import pytest
from made_runs import BASE, write_run

from landslide_tf.cli import main
from landslide_tf.study.batch_norm_study import batch_norm_table, papers_row, what_it_means
from landslide_tf.study.experiments import Study, plan, write_study
from landslide_tf.study.records import Result, read_results
from landslide_tf.study.report import write_report


@pytest.fixture
def study():
    return Study(BASE, seeds=3, matrix="batch-norm")


def make(study, out, only, gaps):
    """Runs of an experiment for each of the gaps, one a seed."""
    for run, gap in zip(plan(study, out, (only,)), gaps, strict=False):
        write_run(run.folder, run.config, 0.7, gap=gap)
    write_study(study, out)
    return read_results(study, out)


def test_each_way_of_scoring_has_its_row(study, tmp_path):
    results = make(study, tmp_path, "unet-none-bce-levels2", (0.25, 0.15, 0.05))
    frame = batch_norm_table(results).query("model == 'U-Net' and levels == 2").set_index("way")
    records = results["unet-none-bce-levels2"].records
    assert frame.miou["as_it_is"] == pytest.approx(
        sum(r.metrics["test"]["miou"] for r in records) / 3
    )
    assert frame.miou["reestimated"] == 1  # made up to be all right
    assert frame.recall["reestimated_chosen"] == 1
    assert set(frame.gap.round(9)) == {0.15}
    assert set(frame.seeds) == {3}


def test_gaps_are_counted_by_levels(study, tmp_path):
    make(study, tmp_path, "unet-none-bce-levels1", (0.001, 0.002, 0.019))
    results = make(study, tmp_path, "unet-none-bce-levels2", (0.25, 0.15, 0.02))
    lines = what_it_means(results)
    gain = 1 - results["unet-none-bce-levels1"].mean("miou")  # re-estimated, all is right
    assert lines[0] == (
        "With dropout at the deepest level, 0 of 3 runs have an inference gap beyond 0.02 (between "
        f"0.001 and 0.019). Statistics that are estimated anew change test mIoU by {gain:+.3f} on "
        "average."
    )
    assert (
        "levels, 2 of 3 runs have an inference gap beyond 0.02 (between 0.020 and 0.250)"
        in (lines[1])
    )


def scored(results, levels, as_it_is, anew):
    """The runs of U-Net with other precision and recall."""
    name = f"unet-none-bce-levels{levels}"
    records = []
    for record in results[name].records:
        metrics = {**record.metrics}
        metrics["test"] = {**metrics["test"], **as_it_is}
        reestimated = {**metrics["batch_norm"]["reestimated"], "test": {**metrics["test"], **anew}}
        metrics["batch_norm"] = {**metrics["batch_norm"], "reestimated": reestimated}
        records.append(dataclasses.replace(record, metrics=metrics))
    return results | {name: Result(results[name].experiment, tuple(records))}


def test_the_papers_row_is_consistent_with_the_fault_not_proved(study, tmp_path):
    results = make(study, tmp_path, "unet-none-bce-levels2", (0.25,))
    found = {"precision": 0.96, "recall": 0.14}
    results = scored(results, 2, found, {"precision": 0.7, "recall": 0.68})
    text = papers_row(batch_norm_table(results))
    near = "Reproduced (within 0.1 of the paper's precision and recall)"
    assert f"{near}: dropout at 2 levels, moving averages." in text
    assert "Absent (recall at least 0.5): dropout at 2 levels, re-estimated." in text
    assert "recall 0.140 with their moving averages and 0.680 with re-estimated statistics" in text
    assert "consistent with a mismatch" in text
    assert "not proved" in text


def test_alike_in_kind_is_not_called_reproduced(study, tmp_path):
    results = make(study, tmp_path, "unet-none-bce-levels2", (0.25,))
    found = {"precision": 0.9, "recall": 0.36}
    results = scored(results, 2, found, {"precision": 0.8, "recall": 0.66})
    text = papers_row(batch_norm_table(results))
    assert (
        "Reproduced (within 0.1 of the paper's precision and recall): none of the variants." in text
    )
    assert "but not as far: dropout at 2 levels, moving averages." in text
    assert "Our recall stays above the paper's, which this leaves open." in text


def test_no_words_that_the_runs_do_not_carry(study, tmp_path):
    results = make(study, tmp_path, "unet-none-bce-levels2", (0.25,))
    same = {"precision": 0.7, "recall": 0.6}
    text = papers_row(batch_norm_table(scored(results, 2, same, same)))
    assert "precision and recall): none of the variants." in text
    assert "neither support nor exclude" in text
    assert "consistent" not in text


def test_the_report_is_written(study, tmp_path):
    make(study, tmp_path, "unet-none-bce-levels2", (0.25, 0.15))
    text = write_report(study, tmp_path).read_text()
    for title in ("What was asked", "What came out", "What it means", "The paper's U-Net row"):
        assert f"## {title}" in text
    row = text.split("| U-Net (BCE) | 2 | moving averages |")[1].splitlines()[0]
    assert row.count(" to ") == 5 and "±" not in row  # two seeds: their range
    for name in ("batch-norm-miou", "batch-norm-precision-recall"):
        drawn = cv2.imread(str(tmp_path / f"figures/{name}.png"))
        assert min(drawn.shape[:2]) > 300
        coloured = drawn.max(axis=-1) - drawn.min(axis=-1) > 60  # frame and words are grey
        assert coloured.sum() > 200
        assert f"figures/{name}.png" in text
    assert "not run: U-Net (BCE, levels0)" in text


def test_a_study_of_one_recipe_is_reported(tmp_path):
    study = Study(dataclasses.replace(BASE, model="unet"), seeds=5, matrix="dem")
    quality = {"rgb": 0.8, "early": 0.95, "bottleneck": 0.8}
    for run in plan(study, tmp_path):
        write_run(run.folder, run.config, quality[run.experiment.label], gap=0.01)
    write_study(study, tmp_path)
    assert main(["study", "--out", str(tmp_path), "--report"]) == 0
    text = (tmp_path / "REPORT.md").read_text()
    assert "1 of 2 tested pairs can be told apart: U-Net (BCE, early) over U-Net (BCE, rgb)" in text
    assert "The inference gap is at most 0.010" in text
    assert (tmp_path / "tables/rows.csv").exists()


def test_rows_are_compared_over_the_seeds_that_both_have(tmp_path):
    """The first row has a second, bad seed, which the other one lacks."""
    study = Study(dataclasses.replace(BASE, model="unet"), seeds=2, matrix="dem")
    quality = {("rgb", 0): 0.9, ("rgb", 1): 0.2, ("early", 0): 0.9}
    for run in plan(study, tmp_path):
        if (key := (run.experiment.label, run.config.seed)) in quality:
            write_run(run.folder, run.config, quality[key])
    text = write_report(study, tmp_path).read_text()
    assert "(+0.000 over the same seeds)." in text.split("- early: ")[1].splitlines()[0]
