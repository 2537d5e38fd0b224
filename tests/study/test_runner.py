"""One process a run: what is left is run, what failed is recorded, the rest goes on."""

import dataclasses
import json
import os
import shutil
from threading import Barrier, Event

import pytest
from made_runs import BASE, write_run

from landslide_tf.checks import InputError
from landslide_tf.cli import main
from landslide_tf.config import TrainConfig
from landslide_tf.study import planning, runner
from landslide_tf.study.experiments import Study, plan, read_study, write_study
from landslide_tf.study.plots import architecture
from landslide_tf.study.records import read_results
from landslide_tf.study.report import draw_tiles


@pytest.mark.slow
def test_a_reason_is_the_commands_own_error(tmp_path):
    log = tmp_path / "logs" / "a.log"
    reason = runner._process(["train", "--model", "unett", "--data", "x"], log, Event())
    assert reason == "`model` must be one of 'unet', 'resunet', 'unetpp'. Received: 'unett'"
    assert "error: " in log.read_text()
    log.write_text("error: of an earlier attempt\n")
    assert runner._process(["nothing"], log, Event()) != "of an earlier attempt"
    assert runner._process(["--version"], log, Event()) is None


def test_a_killed_process_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(runner.sys, "executable", "/bin/sh")

    def popen(command, **options):
        return original(["/bin/sh", "-c", "kill -9 $$"], **options)

    original = runner.subprocess.Popen
    monkeypatch.setattr(runner.subprocess, "Popen", popen)
    monkeypatch.setattr(runner, "POLL_S", 0.05)
    assert "killed by SIGKILL (out of memory?)" in runner._process(
        ["x"], tmp_path / "a.log", Event()
    )


def test_what_is_complete_is_not_run_again(study, tmp_path, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(runner, "_process", lambda command, log, stop: calls.append(command))
    planned = plan(study, tmp_path, ("unet-none-bce", "unet-none-dice"))
    write_run(planned[0].folder, planned[0].config, 0.9)
    assert runner.run_all(study, planned, tmp_path) == {}
    (command,) = calls
    assert command[command.index("--out") + 1] == str(tmp_path / "unet-none-dice-seed0")
    assert command[-1] == "--resume"
    assert "1/2 unet-none-bce-seed0: complete" in capsys.readouterr().out


def test_failures_are_kept_and_the_study_goes_on(study, tmp_path, monkeypatch):
    def process(command, log, stop):
        return "no such luck" if "unet" in command else None

    monkeypatch.setattr(runner, "_process", process)
    planned = plan(study, tmp_path, ("unet-none-bce", "resunet-none-wce"))
    assert runner.run_all(study, planned, tmp_path) == {"unet-none-bce-seed0": "no such luck"}
    assert runner.read_failures(tmp_path) == {"unet-none-bce-seed0": "no such luck"}
    # a later success takes it off the list
    monkeypatch.setattr(runner, "_process", lambda command, log, stop: None)
    assert runner.run_all(study, planned, tmp_path) == {}
    assert runner.read_failures(tmp_path) == {}


def test_an_interrupted_process_is_waited_for_and_then_killed(tmp_path, monkeypatch):
    """It is asked once; one that does not listen is not left behind."""
    monkeypatch.setattr(runner.sys, "executable", "/bin/sh")
    monkeypatch.setattr(runner, "GRACE_S", 0.2)
    children, original = [], runner.subprocess.Popen

    def popen(command, **options):
        children.append(
            original(["/bin/sh", "-c", "trap '' INT; echo deaf; sleep 60 & wait"], **options)
        )
        return children[-1]

    monkeypatch.setattr(runner.subprocess, "Popen", popen)
    stop, log = Event(), tmp_path / "a.log"
    monkeypatch.setattr(runner, "POLL_S", 0.05)
    monkeypatch.setattr(stop, "wait", lambda seconds: "deaf" in log.read_text())
    assert runner._process(["x"], log, stop) == "interrupted"
    assert children[0].returncode == -9
    stop.set()
    assert runner._process(["x"], tmp_path / "a.log", stop) == "interrupted"
    assert len(children) == 1


two_cores = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs Linux and two cores",
)


@two_cores
def test_runs_at_one_time_have_cores_of_their_own(study, tmp_path, monkeypatch):
    both, cores, before = Barrier(2, timeout=30), [], os.sched_getaffinity(0)

    def process(command, log, stop):
        both.wait()  # breaks where they do not run at one time
        cores.append(os.sched_getaffinity(0))

    monkeypatch.setattr(runner, "_process", process)
    planned = plan(study, tmp_path, ("unet-none-bce", "unet-none-dice"))
    assert runner.run_all(study, planned, tmp_path, jobs=2) == {}
    assert cores[0] | cores[1] == before
    assert not cores[0] & cores[1]
    assert os.sched_getaffinity(0) == before


@two_cores
def test_further_seeds_wait_for_the_first_ones_split(tmp_path, monkeypatch):
    seen = []

    def process(command, log, stop):
        seen.append((log.stem, (tmp_path / "split.json").exists()))
        if log.stem == "unet-none-bce-seed0":
            write_run(planned[0].folder, planned[0].config, 0.9)

    monkeypatch.setattr(runner, "_process", process)
    planned = plan(Study(BASE, 3), tmp_path, ("unet-none-bce",))
    assert runner.run_all(Study(BASE, 3), planned, tmp_path, jobs=2) == {}
    assert seen[0] == ("unet-none-bce-seed0", False)
    assert sorted(seen[1:]) == [("unet-none-bce-seed1", True), ("unet-none-bce-seed2", True)]


@two_cores
def test_no_seed_waits_where_the_split_is_known(tmp_path, monkeypatch):
    both = Barrier(2, timeout=30)
    monkeypatch.setattr(runner, "_process", lambda command, log, stop: both.wait() and None)
    (tmp_path / "split.json").write_text("{}")
    planned = plan(Study(BASE, 2), tmp_path, ("unet-none-bce",))
    assert runner.run_all(Study(BASE, 2), planned, tmp_path, jobs=2) == {}


@pytest.mark.parametrize(("jobs", "message"), [(0, "at least 1"), (10_000, "may use")])
def test_no_more_jobs_than_cores(study, tmp_path, jobs, message):
    with pytest.raises(InputError, match=f"--jobs.*{message}"):
        runner.run_all(study, [], tmp_path, jobs=jobs)


def test_dem_scores_are_made_where_there_are_weights(study, tmp_path):
    early, rgb = plan(study, tmp_path, ("unetpp-contextual-dice", "unetpp-contextual-dice-rgb"))
    for run in (early, rgb):
        write_run(run.folder, run.config, 0.9)
    assert runner._dem_steps(early) == []  # a record without weights
    for run in (early, rgb):
        (run.folder / "model.keras").touch()
    steps = runner._dem_steps(early)
    assert [step[3] for step in steps] == ["zero", "others"]
    assert runner._dem_steps(rgb) == []
    (early.folder / "dem-zero.json").touch()
    assert [step[3] for step in runner._dem_steps(early)] == ["others"]


@pytest.fixture
def three(study, tmp_path, monkeypatch):
    """A complete run, one of the same model and one of a model that costs three times as much."""
    cost = {"unet": 1.0, "unetpp": 3.0}
    monkeypatch.setattr(planning, "run_cost", lambda config: cost[config.model])
    names = ("unet-none-bce", "unet-none-dice", "unetpp-none-dice")
    planned = [plan(study, tmp_path, (name,))[0] for name in names]
    write_run(planned[0].folder, planned[0].config, 0.9)  # epochs of 9, 8 and 7 seconds
    return planned


def test_estimates_follow_the_epochs_that_were_made(three):
    seconds = planning.estimate_seconds(three)
    # 3 epochs of 8 seconds each, three times that for the larger model, and 30 s around them
    assert list(seconds.values()) == [0, 24 + 30, 72 + 30]
    text = planning.format_plan(three, seconds).splitlines()
    assert text[1].split() == ["unet-none-bce-seed0", "complete"]
    assert text[3].split() == ["unetpp-none-dice-seed0", "0", "of", "3", "2", "min"]
    assert text[-1] == "3 runs, about 3 min left, one at a time, on this machine"


def test_a_run_under_way_goes_on_at_its_own_pace(three):
    three[2].folder.mkdir()
    (three[2].folder / "history.csv").write_text("epoch,seconds\n1,100\n2,110\n")
    assert list(planning.seconds_left(three, overhead=0).values())[2] == pytest.approx(105)
    labels = {run.folder: run.folder.name for run in three}
    line, share = runner.progress(three, three[1:], labels, 2, 0)
    assert "unetpp-none-dice-seed0: epoch 2 of 3" in line
    # the other: the median of 8 a cost of 1 and 105 / 3, 3 epochs; both at one time
    assert line.endswith(f"about {planning.duration((3 * (8 + 35) / 2 + 105) / 2)} left")
    assert share == pytest.approx(5 / 9)


def test_before_the_first_epoch_nothing_is_known(study, tmp_path):
    planned = plan(study, tmp_path, ("unet-none-bce",))
    assert planning.seconds_left(planned) is None
    line, share = runner.progress(planned, planned, {planned[0].folder: "1/1 a"}, 1, 30)
    assert line == "1/1 a: epoch 0 of 3; time left: known after the first epoch"
    assert share == 0


def test_columns_of_the_plan_do_not_run_together(tmp_path):
    long = Study(dataclasses.replace(BASE, epochs=501))
    planned = plan(long, tmp_path, ("unetpp-spatial_contextual-dice",))
    row = planning.format_plan(planned, {planned[0].folder: 360_900.0}).splitlines()[1]
    assert row.split("  ") == ["unetpp-spatial_contextual-dice-seed0", "0 of 501", "100 h 15 min"]


def test_progress_is_said_where_there_is_no_terminal(study, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runner, "_process", lambda command, log, stop: None)
    monkeypatch.setattr(runner, "SAY_S", -1.0)
    planned = plan(study, tmp_path, ("unet-none-bce",))
    assert runner.run_all(study, planned, tmp_path) == {}
    assert "1/1 unet-none-bce-seed0: epoch 0 of 3; time left" in capsys.readouterr().out


def test_cost_grows_with_the_square_of_the_width():
    narrow, wide = (planning.run_cost(TrainConfig(model="unet", filters=f)) for f in (16, 64))
    assert wide == pytest.approx(16 * narrow)
    # the first convolution does not grow so: 12.05 GMAC were counted at 64 filters
    assert wide == pytest.approx(12.05, rel=0.05)


@pytest.mark.slow
def test_an_epoch_is_timed_where_none_was_made(tiny_config, tmp_path):
    planned = plan(Study(tiny_config), tmp_path, ("unet-none-bce",))
    (seconds,) = planning.estimate_seconds(planned).values()
    assert seconds > planning.OVERHEAD_S


@pytest.fixture
def begun(finished_run, tiny_config, tmp_path):
    """A study whose first run, of U-Net with BCE, is complete, and its folder."""
    folder = tmp_path / "study"
    write_study(Study(tiny_config, seeds=2), folder)
    first = folder / "unet-none-bce-seed0"
    shutil.copytree(finished_run, first)
    for kind in ("zero", "others"):
        scores = {"dem": kind, "scores": {"default": {"miou": 0.5}}}
        (first / f"dem-{kind}.json").write_text(json.dumps(scores))
    return folder


@pytest.mark.slow
def test_a_study_from_the_command_line(begun, tiny_tiles, tmp_path, capsys, monkeypatch):
    """It is made of a run that is there and one that is missing, on the same split."""
    # what a process of its own does is tested above: one that imports Keras anew takes its time
    monkeypatch.setattr(runner, "_process", lambda command, log, stop: main(command) or None)
    command = ["study", "--out", str(begun), "--only", "unet-none-bce"]
    before = (begun / "unet-none-bce-seed0/metrics.json").stat().st_mtime_ns
    assert main([*command, "--dry-run"]) == 0
    assert "2 runs, about" in capsys.readouterr().out
    assert not (begun / "split.json").exists() and not (begun / "REPORT.md").exists()
    assert main(command) == 0
    first, second = (begun / f"unet-none-bce-seed{seed}" for seed in (0, 1))
    assert (first / "metrics.json").stat().st_mtime_ns == before
    for kind in ("zero", "others"):
        assert json.loads((second / f"dem-{kind}.json").read_text())["dem"] == kind
    splits = [json.loads((run / "split.json").read_text())["test"] for run in (first, second)]
    assert splits[0] == splits[1]
    assert len(read_results(read_study(begun), begun)["unet-none-bce"].records) == 2
    figures = {path.stem for path in (begun / "figures").glob("*.png")}
    pictures = {"figure1-samples", "figure5-predictions", "figure6-gradcam-encoder",
                "figure6-gradcam-decoder"}  # fmt: skip
    assert figures >= pictures | {"figure2-unet-none", "figure3-workflow", "figure4-loss", "cost"}
    assert {p.stem for p in (begun / "figures").glob("*.pdf")} == figures - pictures
    report = (begun / "REPORT.md").read_text()
    for figure in figures:
        assert f"figures/{figure}.png" in report
    # what is kept of it, where the data are given by another path that leads to the same place
    kept, other = tmp_path / "records", os.path.relpath(tiny_tiles)
    command = ["study", "--out", str(begun), "--data", other, "--records", str(kept)]
    monkeypatch.setattr(architecture, "architecture", lambda *_: None)  # drawn once is enough
    assert main([*command, "--show-tiles"]) == 0
    assert (kept / "figures/figure5-predictions.png").exists()
    assert (kept / "figures/figure4-loss.png").exists()
    assert not [*kept.rglob("*.keras"), *kept.rglob("*.pdf")]
    assert str(tmp_path) not in "".join(p.read_text() for p in kept.rglob("*.json"))


def test_without_the_weights_an_older_picture_is_kept(begun, capsys):
    (begun / "unet-none-bce-seed0/model.keras").unlink()
    study, folder = read_study(begun), begun / "figures"
    results = read_results(study, begun)
    reason = "no weights (model.keras) of U-Net (BCE)"
    assert draw_tiles(study, results, folder) == {"Figures 5 and 6": reason}
    (folder / "figure5-predictions.png").write_bytes(b"of better days")
    assert draw_tiles(study, results, folder) == {}
    assert f"left as they were: {reason}" in capsys.readouterr().out
    assert (folder / "figure5-predictions.png").read_bytes() == b"of better days"
    assert (folder / "figure1-samples.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--filters", "8"], "--filters 4 there, 8 now"),
        (["--matrix", "dem"], "--matrix paper there, dem now"),
        (["--model", "unet"], "--model: the matrix 'paper' decides it"),
        (["--show-tiles"], "--show-tiles: is for --records"),
        (["--seeds", "1"], "--seeds 2 there, 1 now"),
        (["--out", "typo", "--report"], "typo: holds no study"),
    ],
)
def test_options_that_do_not_fit_the_study(words, message, tmp_path, capsys):
    write_study(Study(BASE, seeds=2), tmp_path)
    assert main(["study", "--out", str(tmp_path), *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_that_fails_leaves_the_others(tmp_path, monkeypatch, capsys):
    """The report is written all the same, and names the failure."""
    study = Study(BASE)
    write_study(study, tmp_path)
    runs = plan(study, tmp_path, ("unet-none-bce", "resunet-none-wce"))

    def process(command, log, stop):
        if log.stem == runs[0].folder.name:
            return "the loss became NaN"
        write_run(runs[1].folder, runs[1].config, 0.9)
        return None

    monkeypatch.setattr(runner, "_process", process)
    monkeypatch.setattr(architecture, "architecture", lambda *_: None)  # takes a while
    words = ["study", "--out", str(tmp_path), "--only", "unet-none-bce,resunet-none-wce"]
    assert main(words) == 1
    assert "1 of 2 runs failed; unet-none-bce-seed0: the loss" in capsys.readouterr().err
    reasons = json.loads((tmp_path / "failures.json").read_text())
    assert reasons == {"unet-none-bce-seed0": "the loss became NaN"}
    missing = (tmp_path / "REPORT.md").read_text().split("## What is missing")[1]
    assert "unet-none-bce-seed0: the loss became NaN" in missing
