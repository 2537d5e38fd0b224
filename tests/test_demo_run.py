"""The first thing a new user does: training on the demo terrain, without --data."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_demo_terrain_is_learned_and_needs_the_dem(tmp_path):
    test = {}
    for fusion in ("early", "rgb"):
        out = tmp_path / fusion
        done = subprocess.run(
            [sys.executable, "train.py", "--model", "unetpp", "--attention", "contextual",
             "--fusion", fusion, "--out", str(out)],
            cwd=ROOT, check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert "synthetic demo terrain" in done.stdout
        assert "epochs 20 (paper 50)" in done.stdout
        test[fusion] = json.loads((out / "metrics.json").read_text())["test"]
    assert test["early"]["miou"] > 0.6
    assert test["early"]["iou"] > 0.3
    assert test["rgb"]["miou"] < test["early"]["miou"]
