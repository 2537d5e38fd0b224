"""The first thing a new user does: training on the demo terrain, without --data."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from landslide_tf.runs.evaluate import evaluate_run

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_demo_terrain_is_learned_and_needs_the_dem(tmp_path):
    out = tmp_path / "first"
    done = subprocess.run(
        [sys.executable, "train.py", "--model", "unetpp", "--attention", "contextual",
         "--out", str(out)],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "synthetic demo terrain" in done.stdout
    assert "epochs 20 (paper 50)" in done.stdout
    test = json.loads((out / "metrics.json").read_text())["test"]
    assert test["miou"] > 0.6
    assert test["iou"] > 0.3
    others = evaluate_run(out, dem="others")["scores"]["default"]  # each tile with another's DEM
    assert others["miou"] < test["miou"] - 0.05
