"""The measure of seams: shares known by hand; and maps, which must have none."""

import dataclasses

import keras
import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from made_maps import FLOAT, make_map, read
from scene_runs import WINDOW, make_run
from seams import seam_shares

from conftest import write_raster


@given(st.floats(0.1, 3), st.floats(0.1, 3))
@settings(max_examples=50, deadline=None)
def test_shares_by_hand(seam, ground):
    """cos along x with amplitude a has variance a^2 / 2; periods of 24 and 40 both fit into 240."""
    y, x = np.mgrid[:240, :240]

    def a_map(shift):
        return seam * np.cos(2 * np.pi * (x - shift) / 24) + ground * np.sin(2 * np.pi * y / 40)

    windows, control = seam_shares(a_map(0), a_map(8), 24, 8)
    share = seam**2 / (seam**2 + ground**2)
    assert windows == pytest.approx(share, abs=1e-9)
    assert control == pytest.approx(-share / 2, abs=1e-9)  # cos 120 degrees
    # what the ground repeats at the very step stays where it is: the control has it
    same = ground * np.sin(2 * np.pi * y / 24)
    windows, control = seam_shares(same, same, 24, 8)
    assert (windows, control) == (pytest.approx(-0.5), pytest.approx(1.0))


def test_dots_at_every_step_are_found_and_noise_is_not():
    rng = np.random.default_rng(0)
    dots, moved = np.zeros((480, 480)), np.zeros((480, 480))
    dots[::24, ::24], moved[8::24, 8::24] = 1, 1
    windows, control = seam_shares(dots, moved, 24, 8)
    # dots of density 1 / 576 are all of it; those 8 off never meet: -(1/576)^2 / variance
    density = 1 / 24**2
    assert windows == pytest.approx(1.0)
    assert control == pytest.approx(-(density**2) / (density * (1 - density)))
    noise = rng.normal(size=(2, 480, 480))
    assert np.abs(seam_shares(*noise, 24, 8)).max() < 3 / 400 / 24
    hole = dots.copy()
    hole[:96] = np.nan
    assert seam_shares(hole, moved, 24, 8)[0] == pytest.approx(1.0)
    assert seam_shares(np.ones((48, 48)), np.ones((48, 48)), 24, 8) == (0.0, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("cause", ["relief", "borders"])
def test_windows_leave_no_seams(cause, tmp_path):
    """A slope scaled anew in each window, and the zeros that convolutions see beyond a border."""
    size = 208
    y, x = np.mgrid[:size, :size]
    image = np.random.default_rng(0).integers(60, 190, (size, size, 3)).astype("uint8")
    dem = (1000 + 2 * x + y).astype("float32")
    run = make_run(tmp_path / "run", [1, -1, 0, 4], -2.0)
    if cause == "borders":
        inputs = keras.Input((WINDOW, WINDOW, 4))
        mean = keras.layers.Conv2D(1, 7, padding="same")
        model = keras.Model(inputs, mean(inputs))
        kernel = np.zeros((7, 7, 4, 1))
        kernel[:, :, :3] = 8 / 49 / 3
        kernel[3, 3, 0] += 2
        mean.set_weights([kernel, np.array([-6.0])])
        model.save(run / "model.keras")

    def shares(overlap, step):
        shift, maps = step // 3, []
        for first in (0, shift):
            place = {"crs": "EPSG:32647", "transform": rasterio.Affine(2, 0, 4e5, 0, -2, 3e6)}
            scene = [
                write_raster(tmp_path / f"{name}{first}.tif", values[first:, first:], **place)
                for name, values in (("image", image), ("dem", dem))
            ]
            out = tmp_path / f"map{overlap}_{first}"
            make_map(run, scene, out, dataclasses.replace(FLOAT, overlap=overlap))
            maps.append(read(out / "probability.tif"))
        inner = np.s_[WINDOW:-48, WINDOW:-48]  # the last window is not a step from the one before
        return seam_shares(maps[0][shift:, shift:][inner], maps[1][inner], step, shift)

    alone, _ = shares(0, WINDOW)
    assert alone > 0.1
    blended, _ = shares(None, WINDOW // 2)
    assert abs(blended) < 0.1 * alone
