"""A run whose files are cut off, empty or of another kind: one line that names file and repair."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from landslide_tf.checks import InputError
from landslide_tf.runs.run import load_run
from landslide_tf.training.fit import fit
from landslide_tf.training.recipe import build
from landslide_tf.training.recorder import Recorder, load_best, read_history
from landslide_tf.training.run_folder import check_folder, read_config
from landslide_tf.training.tile_scores import read_tile_scores

ANY_BYTE = st.floats(0, 1, exclude_max=True)  # where a file is cut off, as a share of its length
few = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
OTHERS = [b"", b"\0", b"null", b"[]", b"3", b'"text"', b"{}", b"{", b"\xff\xfe\x00", b"PK\x03\x04"]


def refused(action, path, *words):
    with pytest.raises(InputError) as error:
        action()
    message = str(error.value)
    assert str(path) in message and "\n" not in message, message
    for word in words:
        assert word in message
    return message


@pytest.fixture
def run(finished_run, tmp_path):
    return shutil.copytree(finished_run, tmp_path / "run")


def cut(path, share, whole) -> bool:
    """Cut the file off; whether more than the last line's end is lost."""
    path.write_bytes(whole[: int(share * len(whole))])
    return path.read_bytes().strip() != whole.strip()


@pytest.mark.parametrize("name", ["config.json", "split.json", "metrics.json", "model.keras"])
def test_a_complete_run_with_a_file_cut_off_anywhere(name, run):
    path = run / name
    whole = path.read_bytes()

    @few
    @given(ANY_BYTE)
    def check(share):
        if cut(path, share, whole):
            refused(lambda: load_run(run), path)

    check()
    for content in OTHERS:
        if content == b"{}" and name in ("config.json", "split.json"):
            continue  # what is left out of the options takes its default
        path.write_bytes(content)
        refused(lambda: load_run(run), run)
    if name in ("split.json", "model.keras"):  # without the others it is no complete run
        path.unlink()
        refused(lambda: load_run(run), path)


@few
@given(ANY_BYTE)
def test_tile_scores_cut_off_anywhere(run, share):
    path = run / "tile_scores.npz"
    whole = path.read_bytes()
    cut(path, share, whole)
    try:
        refused(lambda: read_tile_scores(path), path, "delete it")
    finally:
        path.write_bytes(whole)


def test_tile_scores_of_another_kind(run):
    path = run / "tile_scores.npz"
    for content in OTHERS:
        path.write_bytes(content)
        assert "pickle" not in refused(lambda: read_tile_scores(path), path, "delete it")
    np.savez(path, names=np.array(["a"]), histogram=np.zeros(3), landslides=np.zeros((0, 3)))
    refused(lambda: read_tile_scores(path), path, "delete it")
    np.save(run / "a.npy", np.zeros(3))
    refused(lambda: read_tile_scores(run / "a.npy"), run / "a.npy")


@few
@given(ANY_BYTE)
def test_history_cut_off_anywhere(run, share):
    path = run / "history.csv"
    whole = path.read_bytes()
    expected = read_history(path)
    cut(path, share, whole)
    try:
        rows = read_history(path)
    except InputError as error:
        assert str(path) in str(error)
    else:  # between two lines: fewer epochs, each as it was
        assert 0 < len(rows) < len(expected) and rows == expected[: len(rows)]
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize(
    "text", ["", "\n", "epoch,loss\n", "epoch,loss\n2,0.5\n", "epoch,loss\n1,low\n", "loss\n1\n"]
)
def test_history_of_another_kind(text, tmp_path):
    (tmp_path / "history.csv").write_text(text)
    refused(lambda: read_history(tmp_path / "history.csv"), tmp_path / "history.csv")


# ---- a run under way ---------------------------------------------------------------------------


@pytest.fixture
def started(finished_run, tmp_path):
    """A run after its second epoch of three, its model, and its recorder's state on disk."""
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.json", "split.json", "environment.json"):
        shutil.copy(finished_run / name, run / name)
    config = read_config(run)
    model, recorder = build(config), Recorder(config, run, tensorboard=False)
    model.compile("adam")
    model.optimizer.build(model.trainable_variables)
    recorder.set_model(model)
    for epoch, miou in enumerate((0.7, 0.6)):
        recorder.on_epoch_begin(epoch)
        recorder.on_epoch_end(epoch, {"loss": 0.5, "val_loss": 0.6, "val_miou": miou})
    return run, model


def again(run) -> Recorder:
    return Recorder(read_config(run), run, tensorboard=False)


def test_state_cut_off_anywhere_or_of_another_kind(started):
    run, model = started
    path = run / "checkpoint/state.npz"
    whole = path.read_bytes()

    @few
    @given(ANY_BYTE)
    def check(share):
        cut(path, share, whole)
        refused(lambda: again(run).restore(model), path, "--overwrite")
        refused(lambda: load_best(run, model), path, "--overwrite")

    check()
    for content in OTHERS:
        path.write_bytes(content)
        refused(lambda: again(run).restore(model), path, "--overwrite")
    np.savez(path, facts=json.dumps({"rows": [], "best_epoch": 1}))
    refused(lambda: again(run).restore(model), path)


def test_state_of_another_model_is_refused(started):
    import dataclasses

    run, _ = started
    other = build(dataclasses.replace(read_config(run), filters=4))
    other.compile("adam")
    other.optimizer.build(other.trainable_variables)
    refused(lambda: again(run).restore(other), run / "checkpoint/state.npz")


def test_best_weights_cut_off_anywhere_or_missing(started):
    run, model = started
    path = run / "checkpoint/best-0001.npz"
    whole = path.read_bytes()

    @few
    @given(ANY_BYTE)
    def check(share):
        cut(path, share, whole)
        refused(lambda: load_best(run, model), path, "--overwrite")

    check()
    path.unlink()
    refused(lambda: load_best(run, model), path, "missing")


def test_a_run_cut_off_between_its_files_is_scored_from_what_its_state_names(started):
    run, model = started
    checkpoint = run / "checkpoint"
    # killed after the third epoch's weights were written and before the state that names them
    shutil.copy(checkpoint / "best-0001.npz", checkpoint / "best-0003.npz")
    (run / "history.csv").write_text("epoch,loss\n1,0")
    assert load_best(run, model) == 1
    recorder = again(run)
    recorder.restore(model)
    assert recorder.epoch == 2 and recorder.best_epoch == 1
    assert [row["val_miou"] for row in read_history(run / "history.csv")] == [0.7, 0.6]


def test_resume_does_not_begin_anew_in_silence(started):
    run, _ = started
    config = read_config(run)
    kept = (run / "checkpoint/state.npz").read_bytes()
    (run / "split.json").write_text('{"train": [')
    refused(lambda: fit(config, run, resume=True), run / "split.json", "--overwrite")
    (run / "split.json").unlink()
    refused(lambda: fit(config, run, resume=True), run, "split.json", "--overwrite")
    assert (run / "checkpoint/state.npz").read_bytes() == kept


@pytest.mark.parametrize("name", ["metrics.json", "split.json"])
def test_a_damaged_run_is_not_called_complete(name, run):
    (run / name).write_text("{")
    config = read_config(run)
    action = dict(resume=True, overwrite=False)
    refused(lambda: check_folder(run, config, **action), run / name, "--overwrite")


@pytest.mark.slow
def test_a_finished_training_is_scored_by_resume(tiny_config, tmp_path, monkeypatch):
    """What fails after the last epoch can be mended, and costs no training."""
    from landslide_tf.training import fit as module

    def fails(*words):
        raise InputError("tiles/a.tif: its CRS has no unit; give --resolution-m")

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(module, "score_model", fails)
        with pytest.raises(InputError):
            fit(tiny_config, run)
    history = (run / "history.csv").read_bytes()
    assert not (run / "metrics.json").exists() and (run / "checkpoint").is_dir()
    with monkeypatch.context() as patch:  # not one more epoch
        patch.setattr(Recorder, "on_epoch_begin", fails)
        fit(tiny_config, run, resume=True)
    assert load_run(run).metrics["epochs"] == 3
    assert (run / "history.csv").read_bytes() == history
    assert not (run / "checkpoint").exists()
