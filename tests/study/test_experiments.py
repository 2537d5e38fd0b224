"""The study as data: what runs, under which name, and what may lie in its folder already."""

import dataclasses
import json

import pytest
from made_runs import BASE, write_run

from landslide_tf.checks import InputError
from landslide_tf.config import TrainConfig
from landslide_tf.files import write_json
from landslide_tf.inputs import InputSpec
from landslide_tf.study.experiments import (
    Study,
    check_runs,
    plan,
    read_study,
    split_file,
    write_study,
)
from landslide_tf.study.matrices import MATRICES, relative
from landslide_tf.study.records import read_record, read_results
from landslide_tf.training.recorder import write_history

SIX = [
    "unet-none-bce",
    "resunet-none-wce",
    "unetpp-none-dice",
    "unetpp-spatial-dice",
    "unetpp-contextual-dice",
    "unetpp-spatial_contextual-dice",
]


def matrix(fusion):
    return MATRICES["paper"](TrainConfig(input=InputSpec(fusion=fusion)))


def test_the_papers_pairing_comes_first():
    assert [e.name for e in matrix("early")][:6] == SIX


def test_every_model_meets_every_loss():
    pairs = {(e.model, e.loss) for e in matrix("early") if e.attention == "none"}
    assert len(pairs) == 12


def test_the_ablation_has_the_fusions_that_the_base_lacks():
    fusions = {e.label for e in matrix("early") if e.group == "ablation"}
    assert fusions == {"rgb", "bottleneck"}
    assert {e.label for e in matrix("bottleneck") if e.group == "ablation"} == {"rgb"}


def test_names_are_unique_and_configs_follow_them(study, tmp_path):
    runs = plan(dataclasses.replace(study, seeds=3), tmp_path)
    assert len({run.folder for run in runs}) == len(runs) == 3 * 17
    for run in runs:
        parts = run.folder.name.split("-")
        assert parts[-1] == f"seed{run.config.seed}"
        assert parts[:3] == [run.config.model, run.config.attention, run.config.loss]
        assert run.config.input.fusion == run.experiment.options.get("fusion", "early")
        assert run.config.filters == BASE.filters


def test_further_seeds_keep_the_split(study, tmp_path):
    runs = plan(dataclasses.replace(study, seeds=2), tmp_path, ("unet-none-bce",))
    assert [run.folder.name for run in runs] == ["unet-none-bce-seed0", "unet-none-bce-seed1"]
    assert [run.config.seed for run in runs] == [0, 1]
    assert [run.config.split for run in runs] == ["random", str(tmp_path / "split.json")]


def test_resplit_gives_each_seed_its_own(study, tmp_path):
    whole = dataclasses.replace(study, seeds=2, resplit=True)
    runs = plan(whole, tmp_path, ("unet-none-bce",))
    assert [run.folder.name for run in runs] == ["unet-none-bce-split0", "unet-none-bce-split1"]
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
    assert [r.experiment.name for r in chosen] == [
        "unet-none-bce", "unetpp-contextual-dice-rgb", "unetpp-contextual-dice-bottleneck"
    ]  # fmt: skip
    with pytest.raises(
        InputError, match="`only` must be one of 'six', 'ablation', 'losses', 'unet-"
    ):
        plan(study, tmp_path, ("unet",))


def test_no_seed_at_all():
    with pytest.raises(InputError, match="--seeds must be at least 1"):
        Study(BASE, seeds=0)


def test_a_study_before_there_were_matrices_is_the_papers(study, tmp_path):
    content = {"base": study.base.to_dict(), "seeds": 2, "resplit": False}
    (tmp_path / "study.json").write_text(json.dumps(content))
    assert read_study(tmp_path) == dataclasses.replace(study, seeds=2, matrix="paper")


def test_an_unknown_matrix():
    with pytest.raises(InputError, match="`matrix` must be one of 'paper', 'batch-norm', 'dem'"):
        Study(BASE, matrix="papers")


def test_dropout_levels_are_options_of_an_experiment(tmp_path):
    study = Study(BASE, seeds=2, matrix="batch-norm")
    runs = plan(study, tmp_path, ("unet",))
    assert [r.folder.name for r in runs][:4] == [
        "unet-none-bce-levels0-seed0", "unet-none-bce-levels1-seed0",
        "unet-none-bce-levels2-seed0", "unet-none-bce-levels0-seed1",
    ]  # fmt: skip
    assert [r.config.dropout_levels for r in runs] == [0, 1, 2, 0, 1, 2]
    write_run(tmp_path / "any-name", runs[2].config, 0.9)
    results = read_results(study, tmp_path)
    assert {name for name, result in results.items() if result} == {"unet-none-bce-levels2"}
    # the same folder, with another number of levels in it
    write_run(runs[0].folder, runs[1].config, 0.9)
    with pytest.raises(InputError, match="dropout-levels 1, study 0"):
        check_runs(runs[:1], study)


def test_one_recipe_with_three_fusions(tmp_path):
    base = BASE.with_options(model="resunet", attention="spatial", terrain=("slope",))
    runs = plan(Study(base, matrix="dem"), tmp_path)
    assert [(r.config.input.fusion, r.config.input.terrain) for r in runs] == [
        ("rgb", ()), ("early", ("slope",)), ("bottleneck", ("slope",))
    ]  # fmt: skip
    assert {(r.config.model, r.config.attention, r.config.loss) for r in runs} == {
        ("resunet", "spatial", "wce")
    }


def test_rows_relative_to_a_recipe():
    base = dataclasses.replace(BASE, model="unet", augment=("flips",))
    rows = (("full", {}), ("no-augment", {"augment": ()}), ("dice", {"loss": "dice"}))
    full, plain, dice = (e.config(base) for e in relative(base, rows, "strong"))
    assert full == dataclasses.replace(base, loss="bce")
    assert plain == dataclasses.replace(full, augment=())
    assert dice == dataclasses.replace(full, loss="dice")


def test_study_file_round_trip(tmp_path):
    assert read_study(tmp_path) is None
    base = TrainConfig(data="x", input=InputSpec(terrain=("slope",), fusion="early"))
    study = Study(base, seeds=2, matrix="dem")
    write_study(study, tmp_path)
    assert read_study(tmp_path) == study
    (tmp_path / "study.json").write_text('{"base": 3}')
    with pytest.raises(InputError, match="study.json: is damaged"):
        read_study(tmp_path)


def test_runs_of_other_options_are_refused(study, tmp_path):
    run = plan(study, tmp_path)[0]
    write_run(run.folder, dataclasses.replace(run.config, filters=8), 0.9)
    with pytest.raises(
        InputError, match="unet-none-bce-seed0: was made with other options.*filters 8"
    ):
        check_runs([run], study)


@pytest.mark.parametrize("change", [{"seed": 5}, {"model": "resunet"}, {"loss": "focal"}])
def test_runs_of_another_experiment_are_refused(change, study, tmp_path):
    run = plan(study, tmp_path)[0]
    write_run(run.folder, dataclasses.replace(run.config, **change), 0.9)
    with pytest.raises(InputError, match=next(iter(change))):
        check_runs([run], study)


def test_one_run_in_two_folders_is_refused(study, tmp_path):
    config = plan(study, tmp_path)[0].config
    for name in ("one", "other"):
        write_run(tmp_path / name, config, 0.9)
    with pytest.raises(InputError, match="other: the same run as .*one; remove one"):
        read_results(study, tmp_path)


def test_runs_that_others_started_count(study, tmp_path):
    """Another path to the data, the paper's loss as 'auto', another preset's name."""
    run = plan(study, tmp_path)[0]
    config = dataclasses.replace(run.config, data="/elsewhere/tiles", loss="auto", preset="demo")
    write_run(run.folder, config, 0.9)
    check_runs([run], study)


@pytest.mark.parametrize("content", [None, ""])
def test_a_run_without_its_history_is_named(content, tmp_path):
    folder = write_run(tmp_path / "run", BASE, 0.9)
    (folder / "history.csv").unlink()
    if content is not None:
        (folder / "history.csv").write_text(content)
    with pytest.raises(InputError, match=r"history.csv: is (missing|damaged)"):
        read_record(folder)


def test_a_history_of_fewer_epochs_than_were_scored_is_named(tmp_path):
    folder = write_run(tmp_path / "run", BASE, 0.9)
    rows = read_record(folder).history
    metrics = json.loads((folder / "metrics.json").read_text())
    write_json(folder / "metrics.json", metrics | {"epochs": len(rows)})
    assert len(read_record(folder).history) == len(rows)
    write_history(folder / "history.csv", rows[:-1])
    wanted = f"history.csv: has {len(rows) - 1} epochs, metrics.json has {len(rows)}"
    with pytest.raises(InputError, match=wanted):
        read_record(folder)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff\xfe\x00", b'{"base": {}, "seeds"'])
@pytest.mark.parametrize("name", ["study.json", "environment.json", "metrics.json", "split.json"])
def test_damaged_files_of_a_study_are_one_line(name, content, study, tmp_path):
    write_study(study, tmp_path)
    folder = write_run(tmp_path / "run", BASE, 0.9)
    path = (tmp_path if name == "study.json" else folder) / name
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_study(tmp_path)
        read_record(folder)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
