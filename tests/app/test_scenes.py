"""What the page says of a scene before it is mapped, of a tile, and of a run."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from conftest import write_raster
from landslide_tf.app import run_view, tiles
from landslide_tf.app.scenes import look_at_scene
from landslide_tf.app.warm import loaded
from landslide_tf.checks import InputError
from landslide_tf.geo.job import MapOptions
from landslide_tf.training.packaged import packaged_models, read_card


def test_facts_and_warnings_of_a_scene(red_run, make_scene):
    y, x = np.mgrid[:70, :90]
    dem = (1000 + 2 * x + y).astype("float32")
    dem[10:20, 10:20] = 0  # a void, a thousand metres below the ground around it
    image, dem = make_scene(image=np.full((70, 90, 3), 200, "uint8"), dem=dem)
    facts, warnings = look_at_scene(red_run, image, dem, MapOptions())
    assert dict(facts)["CRS"] == "EPSG:32647"
    assert dict(facts)["Bands"] == "3 (uint8)"
    assert dict(facts)["Size"] == "90 x 70 pixels of 2 m"
    assert "one colour everywhere" in warnings[0]
    assert warnings[1].startswith("scene_dem.tif: the DEM holds the value 0")
    assert len(warnings) == 2
    with pytest.raises(InputError, match="reads elevation"):
        look_at_scene(red_run, image, None, MapOptions())


def test_the_resolution_of_the_model_is_told(red_run, make_scene, tmp_path):
    run = shutil.copytree(red_run, tmp_path / "run")
    metrics = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(json.dumps(metrics | {"resolution_m": 4.0}))
    image, dem = make_scene()  # pixels of 2 m
    facts, _ = look_at_scene(run, image, dem, MapOptions())
    assert dict(facts)["The model sees"] == "4 m a pixel, as in its training"
    assert dict(run_view.needs(run)) == {
        "Reads": "red, green, blue, elevation; 32 x 32 pixels at once",
        "Pixel size in training": "4 m",
    }


def test_a_file_that_changes_is_looked_at_again(red_run, make_scene):
    image, dem = make_scene()
    assert look_at_scene(red_run, image, dem, MapOptions())[1] == []
    make_scene(image=np.full((70, 90, 3), 200, "uint8"))
    assert len(look_at_scene(red_run, image, dem, MapOptions())[1]) == 1


def test_a_tile_of_half_red(red_run, tmp_path):
    image = np.zeros((32, 32, 3), "uint8")
    image[:, :16] = 255  # logit 8 - 4: probability 0.982; else -4: 0.018
    write_raster(tmp_path / "image.png", image)
    write_raster(tmp_path / "dem.png", np.eye(32, dtype="uint8"))
    trial = tiles.try_tile(loaded(red_run), tmp_path / "image.png", tmp_path / "dem.png")
    assert tiles.share_above(trial, 0.5) == 0.5
    assert tiles.share_above(trial, 0.99) == 0
    assert trial.cam is None  # a model without our blocks has no layer to explain
    # without RGB every pixel has the mean, red 0.5: logit 0, probability 0.5; with it 0.982, 0.018
    assert trial.hidden["rgb"]["change"] == pytest.approx(0.482, abs=1e-3)
    assert trial.hidden["dem"] == {"change": 0.0, "flipped": 0.0}
    picture = tiles.outlined(trial, 0.5)
    assert picture.shape == (480, 480, 3)  # whole pixels, 15 times as large
    assert (picture[240, 238] == tiles.OUTLINE).all() and (picture[240, 100] == 255).all()
    with pytest.raises(InputError, match="give the DEM"):
        tiles.try_tile(loaded(red_run), tmp_path / "image.png")
    write_raster(tmp_path / "large.tif", np.ones((8, 3000, 3), "uint8"))
    with pytest.raises(InputError, match="is a scene"):
        tiles.try_tile(loaded(red_run), tmp_path / "large.tif", tmp_path / "dem.png")


def test_a_tile_is_as_bright_as_the_model_says(red_run, tmp_path, rng):
    run = loaded(red_run)
    run = dataclasses.replace(run, spec=dataclasses.replace(run.spec, rgb_scale=3000.0))
    write_raster(tmp_path / "image.tif", rng.integers(1, 3000, (32, 32, 3), dtype="uint16"))
    write_raster(tmp_path / "dem.png", np.eye(32, dtype="uint8"))
    trial = tiles.try_tile(run, tmp_path / "image.tif", tmp_path / "dem.png")
    assert not any("full scale" in line for line in trial.warnings)


def test_the_card_of_a_packaged_model_tells_its_terms_and_limits():
    for name, folder in packaged_models().items():
        shown, card = dict(run_view.card(folder)), read_card(name)
        assert (shown["Terms of the data"], shown["Not for"]) == (card["terms"], card["not_for"])


def test_a_run_without_pictures_is_shown_as_far_as_it_goes(red_run):
    assert dict(run_view.card(red_run))["Chosen threshold"].startswith("0.50")
    assert run_view.scores(red_run) == []
    assert run_view.pictures(red_run) == (None, None)
