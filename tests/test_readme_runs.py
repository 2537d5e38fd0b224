"""The README's commands and Python, all of them, from top to bottom in a small form."""

import re
import shlex
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from conftest import write_tiles
from landslide_tf.cli import main
from landslide_tf.data.demo import write_demo_scene
from landslide_tf.data.download import DATA_SETS, DataSet
from landslide_tf.data.raster import read_raster, write_geotiff
from landslide_tf.geo.cut import cut_scene
from landslide_tf.geo.settings import CutOptions

README = (Path(__file__).parents[1] / "README.md").read_text()
STEP = re.compile(
    r"^```python\n(?P<code>(?:(?!```).*\n)*)|"
    r"^(?P<command>landslide [a-z].*)|"
    r"python train\.py(?P<train> (?!--help)[^`\n]*)",
    re.MULTILINE,
)
TRAIN = shlex.split(
    "--filters 2 --tile-px 32 --epochs 1 --batch-size 8 --learning-rate 0.01 --warmup-epochs 0"
)


def small(line: str) -> list[str]:
    """The words of a command after 'landslide', so that it takes seconds."""
    words = shlex.split(line.split("#")[0])[1:]
    if words[0] == "train":
        return [*words, *TRAIN]
    if words[0] == "study":
        first = "unet-none-bce-rgb" if "dem" in words else "unet-none-bce"
        only = [] if "--only" in words else ["--only", first]
        words = ["1" if before == "--seeds" else word for before, word in pairwise(["", *words])]
        return [*words, *only, *(TRAIN if "--data" in words else [])]
    if words[0] == "map" and "--resume" not in words:  # all are written to one place
        words = [word if word != "2.5" else "10" for word in words]  # metres, as the scene has
        coarse = ["--resolution-m", "10"] if "bijie-rgb" in words else []
        return [*words, *coarse, "--overwrite"]
    if words[:2] == ["data", "tiles"]:
        return [*words, "--tile-px", "64", "--name", "B"]
    if words[:2] == ["data", "split"]:  # so few tiles leave no room for a gap
        return [word if word != "group" else "random" for word in words]
    if words[:2] == ["data", "demo"]:  # the tiles are made by the first of all commands
        return ["data", "demo", "demo", "--scene"]
    return words


def small_code(code: str) -> str:
    """The README's Python, with a model and tiles that take seconds."""
    small_model = 'attention="contextual", filters=2, input_shape=(32, 32, 4))'
    code = code.replace("tile_px=128", "tile_px=32").replace("epochs=50", "epochs=1")
    return code.replace('attention="contextual")', small_model)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A user's folder: a scene of three bands, one of four, DEM, landslides, tiles of area A."""
    monkeypatch.chdir(tmp_path)
    write_demo_scene(".", size_px=320)
    scene = read_raster("scene.tif")
    four = np.dstack([scene.values, scene.values[..., :1]]).astype("uint16") * 40
    write_geotiff("s2.tif", four, scene)
    cut_scene(
        "scene.tif", "landslides.gpkg", "DIR", CutOptions(tile_px=64, name="A"), dem="dem.tif"
    )
    return tmp_path


@pytest.fixture
def published(web, tmp_path_factory, monkeypatch):
    """The Bijie archive as a few tiles on a server of this machine."""
    folder, address = web
    made = write_tiles(tmp_path_factory.mktemp("made"), count=4)
    shutil.make_archive(folder / "Bijie", "zip", made)
    bijie = DataSet("Bijie", "http://page", "terms", "the archive", urls=(f"{address}Bijie.zip",))
    monkeypatch.setitem(DATA_SETS, "bijie", bijie)


@pytest.mark.slow
def test_all_of_it_runs(desk, published, capsys):
    pytest.importorskip("tf2onnx")
    pytest.importorskip("ai_edge_litert")
    rng = np.random.default_rng(0)
    names = {
        "image": rng.integers(0, 256, (60, 80, 3), "uint8"),
        "dem": np.zeros((60, 80)),
        "images": rng.integers(0, 256, (2, 60, 80, 3), "uint8"),
        "dems": np.zeros((2, 60, 80), "float32"),
    }
    steps = [s for s in STEP.finditer(README) if "landslide app" not in s[0]]  # it would not end
    train, others = [s for s in steps if s["train"]], [s for s in steps if not s["train"]]
    assert len(train) >= 3 and len(others) > 24
    # the table of models stands before the command that makes the tiles in DIR
    others.sort(key=lambda step: "data tiles" not in step[0])
    train.sort(key=lambda step: "runs/first" not in step[0])
    assert "runs/first" in train[0][0]
    for step in (train[0], *others, *train[1:]):
        if step["code"]:
            exec(small_code(step["code"]), names)
            continue
        words = small(step["command"] or "landslide train" + step["train"])
        code = main(words)
        output = "".join(capsys.readouterr())
        # with attention and after one epoch int8 may flip too many pixels, and says so
        refused = "--int8" in words and "model.tflite is kept" in output
        assert code == 0 or refused, f"landslide {' '.join(words)}\n{output}"
    assert names["probability"].shape == (2, 60, 80)
    for made in ("map/errors.png", "runs/bijie/REPORT.md", "explained/gradcam.png", "tiles.npz"):
        assert Path(made).exists(), made
