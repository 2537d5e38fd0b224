"""The measure of seams: shares known by hand; and maps, which must have none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landslide_tf.geo.seams import seam_shares


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
