"""Models that come with the package: found by name, described, small, and without data."""

import json
import shutil

import numpy as np
import pytest

from landslide_tf.checks import InputError
from landslide_tf.cli import main
from landslide_tf.cli.cmd_model import CARD_ENTRIES
from landslide_tf.runs.run import load_run
from landslide_tf.training import packaged
from landslide_tf.training.run_folder import FILES

NAMES = list(packaged.packaged_models())


@pytest.fixture
def toy(finished_run, tmp_path, monkeypatch):
    """A package with one model, 'toy', in an empty working folder."""
    shutil.copytree(finished_run, tmp_path / "package" / "toy")
    monkeypatch.setattr(packaged, "FOLDER", tmp_path / "package")
    packaged.packaged_models.cache_clear()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    yield tmp_path / "package" / "toy"
    packaged.packaged_models.cache_clear()


def test_a_name_is_enough(toy):
    assert load_run("toy").folder == toy


def test_a_run_of_the_users_comes_first(toy, finished_run, tmp_path):
    (tmp_path / "work/toy").mkdir()  # a folder that is no run does not count
    assert load_run("toy").folder == toy
    shutil.rmtree(tmp_path / "work/toy")
    shutil.copytree(finished_run, tmp_path / "work/toy")
    assert load_run("toy").folder.resolve() == tmp_path / "work/toy"


def test_a_wrong_name_tells_the_right_ones(toy):
    with pytest.raises(InputError, match=r"tyo: is not a run folder .*packaged model \(toy\)"):
        load_run("tyo")


def test_there_are_four():
    assert NAMES == ["bijie-rgb", "demo-rgb-dem", "jinsha-rgb-dem", "mars-rgb-dem"]


@pytest.mark.parametrize("name", NAMES)
def test_each_is_small_and_complete_and_holds_no_picture(name):
    folder = packaged.packaged_models()[name]
    files = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert sum(files.values()) < 10e6
    assert set(FILES) | {"card.json", "validation_scores.npz"} >= set(files) >= {"card.json"}
    assert set(FILES) - set(files) <= {"tile_scores.npz"}
    text = " ".join((folder / f).read_text() for f in files if f.endswith((".json", ".csv")))
    assert "/root" not in text and "/work" not in text


@pytest.mark.parametrize("name", NAMES)
def test_each_predicts(name):
    run = load_run(name)
    image = np.random.default_rng(0).integers(0, 255, (140, 150, 3), "uint8")
    dem = np.add.outer(np.arange(140.0), np.arange(150.0))
    probability = run.predict(image, dem, resolution_m=run.metrics["resolution_m"])
    assert probability.shape == (140, 150)
    assert probability.min() >= 0 and probability.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_each_has_a_card_with_the_scores_of_its_run(name, capsys):
    assert main(["models", name]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert all(title in shown for title in CARD_ENTRIES.values())
    folder = packaged.packaged_models()[name]
    metrics = json.loads((folder / "metrics.json").read_text())
    scores = metrics["test"] or metrics["validation"]
    assert f"mIoU {scores['miou']:.3f}" in shown
    assert metrics["min_area_m2"] == packaged.read_card(name)["min_area_m2"]


def test_the_list_names_all(capsys):
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    assert all(f"{name}: " in out for name in NAMES)
    assert main(["models", "no-such-model"]) == 2
