"""The tutorial's Python, all of it, from top to bottom as it stands."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

import landslide_tf as lt
from landslide_tf.models.attention import ATTENTION

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "docs" / "add_an_attention.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_links_lead_somewhere():
    for path in (*ROOT.glob("docs/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
            assert (path.parent / link).exists(), f"{path.name}: {link}"


@pytest.mark.slow
def test_all_of_it_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("landslide_tf.models.attention.ATTENTION", dict(ATTENTION))
    names = {}
    blocks = BLOCK.findall(TUTORIAL.read_text())
    assert len(blocks) == 9
    for block in blocks[:-1]:
        exec(block, names)
    # the last one trains as the third does, once a seed and model: here that run stands for each
    monkeypatch.setattr(lt, "fit", lambda *_, **__: "runs/eca")
    exec(blocks[-1], names)
    said = capsys.readouterr().out
    assert "unet_eca 30" in said  # as the comment says
    assert "not enough seeds" in said
    assert names["nested"].name == "unetpp_eca"
    assert names["probability"].shape == (100, 80)
    assert Path("explained/gradcam.png").exists()
    # the attention as its authors write it: a sum over three neighbours of the channels' means
    x = np.random.default_rng(0).random((1, 8, 8, 5)).astype("float32")
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, names["eca"](inputs, "a"))
    kernel = np.array([0.5, -1.0, 2.0], "float32")
    model.set_weights([kernel.reshape(3, 1, 1)])
    means = np.pad(x.mean(axis=(1, 2))[0], 1)
    z = [means[i : i + 3] @ kernel for i in range(5)]
    np.testing.assert_allclose(model(x)[0], x[0] / (1 + np.exp(-np.array(z))), rtol=1e-5)
    # two epochs on the demo terrain learn something: more than calling everything landslide
    run = lt.load_run("runs/eca")
    assert run.metrics["test"]["auc"] > 0.6
