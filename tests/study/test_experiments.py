"""The study as data: what runs, under which name, and what may lie in its folder already."""

import dataclasses

import pytest
from made_runs import BASE, write_run

from landslide_tf.checks import InputError
from landslide_tf.config import TrainConfig
from landslide_tf.study.experiments import (
    Study,
    check_runs,
    matrix,
    plan,
    read_study,
    split_file,
    write_study,
)
from landslide_tf.study.records import read_record

SIX = [
    "unet-none-bce",
    "resunet-none-wce",
    "unetpp-none-dice",
    "unetpp-spatial-dice",
    "unetpp-contextual-dice",
    "unetpp-spatial_contextual-dice",
]


def test_the_papers_pairing_comes_first():
    assert [e.name for e in matrix("early")][:6] == SIX


def test_every_model_meets_every_loss():
    pairs = {(e.model, e.loss) for e in matrix("early") if e.attention == "none"}
    assert len(pairs) == 12


def test_the_ablation_has_the_fusions_that_the_base_lacks():
    fusions = {e.fusion for e in matrix("early") if e.group == "ablation"}
    assert fusions == {"rgb", "bottleneck"}
    assert {e.fusion for e in matrix("bottleneck") if e.group == "ablation"} == {"rgb"}


def test_names_are_unique_and_configs_follow_them(study, tmp_path):
    runs = plan(dataclasses.replace(study, seeds=3), tmp_path)
    assert len({run.folder for run in runs}) == len(runs) == 3 * 17
    for run in runs:
        parts = run.folder.name.split("-")
        assert parts[:3] == [run.config.model, run.config.attention, run.config.loss]
        assert run.config.input.fusion == (run.experiment.fusion or "early")
        assert run.config.filters == BASE.filters


def test_further_seeds_keep_the_split(study, tmp_path):
    runs = plan(dataclasses.replace(study, seeds=2), tmp_path, ("unet-none-bce",))
    assert [run.folder.name for run in runs] == ["unet-none-bce", "unet-none-bce-seed1"]
    assert [run.config.seed for run in runs] == [0, 1]
    assert [run.config.split for run in runs] == ["random", str(tmp_path / "split.json")]


def test_resplit_gives_each_seed_its_own(study, tmp_path):
    whole = dataclasses.replace(study, seeds=2, resplit=True)
    runs = plan(whole, tmp_path, ("unet-none-bce",))
    assert [run.folder.name for run in runs] == ["unet-none-bce", "unet-none-bce-split1"]
    assert [run.config.split for run in runs] == ["random", "random"]


def test_a_split_file_serves_all_seeds(tmp_path):
    study = Study(dataclasses.replace(BASE, split="mine.json"), seeds=2)
    assert {run.config.split for run in plan(study, tmp_path)} == {"mine.json"}
    assert split_file(study, tmp_path) == "mine.json"
    with pytest.raises(InputError, match="--resplit makes new splits, which the file mine.json"):
        dataclasses.replace(study, resplit=True)


def test_only_takes_names_and_groups(study, tmp_path):
    assert [r.experiment.name for r in plan(study, tmp_path, ("six",))] == SIX
    chosen = plan(study, tmp_path, ("unet-none-bce", "ablation"))
    assert [r.folder.name for r in chosen] == [
        "unet-none-bce", "unetpp-contextual-dice-rgb", "unetpp-contextual-dice-bottleneck"
    ]  # fmt: skip
    with pytest.raises(
        InputError, match="`only` must be one of 'six', 'ablation', 'losses', 'unet-"
    ):
        plan(study, tmp_path, ("unet",))


def test_no_seed_at_all():
    with pytest.raises(InputError, match="--seeds must be at least 1"):
        Study(BASE, seeds=0)


def test_study_file_round_trip(tmp_path):
    assert read_study(tmp_path) is None
    study = Study(TrainConfig(data="x").with_options(terrain=("slope",), fusion="early"), seeds=2)
    write_study(study, tmp_path)
    assert read_study(tmp_path) == study
    (tmp_path / "study.json").write_text('{"base": 3}')
    with pytest.raises(InputError, match="study.json: cannot be read"):
        read_study(tmp_path)


def test_runs_of_other_options_are_refused(study, tmp_path):
    run = plan(study, tmp_path)[0]
    write_run(run.folder, dataclasses.replace(run.config, filters=8), 0.9)
    with pytest.raises(InputError, match="unet-none-bce: was made with other options.*filters 8"):
        check_runs([run], study.base)


@pytest.mark.parametrize("change", [{"seed": 5}, {"model": "resunet"}, {"loss": "focal"}])
def test_runs_of_another_experiment_are_refused(change, study, tmp_path):
    run = plan(study, tmp_path)[0]
    write_run(run.folder, dataclasses.replace(run.config, **change), 0.9)
    with pytest.raises(InputError, match=next(iter(change))):
        check_runs([run], study.base)


def test_runs_that_others_started_count(study, tmp_path):
    """Another path to the data, the paper's loss as 'auto', another preset's name."""
    run = plan(study, tmp_path)[0]
    config = dataclasses.replace(run.config, data="/elsewhere/tiles", loss="auto", preset="demo")
    write_run(run.folder, config, 0.9)
    check_runs([run], study.base)


@pytest.mark.parametrize("content", [None, ""])
def test_a_run_without_its_history_is_named(content, tmp_path):
    folder = write_run(tmp_path / "run", BASE, 0.9)
    (folder / "history.csv").unlink()
    if content is not None:
        (folder / "history.csv").write_text(content)
    with pytest.raises(InputError, match=r"history.csv: cannot be read"):
        read_record(folder)
