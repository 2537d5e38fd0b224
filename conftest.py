"""Shared by tests and doctests: quiet TensorFlow, small tiles, runs and scenes on disk.

It lies beside the package, not in `tests`, because the examples in docstrings use it too.
"""

import functools
import http.server
import itertools
import os
import shutil
import threading
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import numpy as np
import pytest
import rasterio

from landslide_tf.config import ATTENTIONS, MODELS

collect_ignore = ["tests/fuzz.py", "tests/fuzz_files.py"]  # a tool, not a test


def model_pairs() -> list:
    """Parameters: every model with every attention; those that the paper has not are slow."""
    paper = {("unet", "none"), ("resunet", "none"), *(("unetpp", a) for a in ATTENTIONS)}
    return [
        pytest.param(pair, marks=() if pair in paper else pytest.mark.slow, id="-".join(pair))
        for pair in itertools.product(MODELS, ATTENTIONS)
    ]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real tiles; tests marked `data` need it."""
    root = Path(__file__).parent
    folder = root / os.environ.get("LANDSLIDE_DATA", "../shared/data")
    if not folder.is_dir():
        pytest.skip(f"no real tiles in {folder} (set LANDSLIDE_DATA)")
    return folder


def write_raster(path, values, *, crs=None, transform=None, nodata=None, driver=None):
    """Write (H, W) or (H, W, C) as an image file; returns the path."""
    values = np.atleast_3d(values)
    path.parent.mkdir(parents=True, exist_ok=True)
    drivers = {".png": "PNG", ".tif": "GTiff", ".jpg": "JPEG", ".bmp": "BMP"}
    profile = {
        "driver": driver or drivers[path.suffix],
        "height": values.shape[0],
        "width": values.shape[1],
        "count": values.shape[2],
        "dtype": values.dtype,
        "nodata": nodata,
        "crs": crs,
    }
    if transform is not None:
        profile["transform"] = transform
    with rasterio.open(path, "w", **profile) as file:
        file.write(np.moveaxis(values, -1, 0))
    return path


def write_tiles(root, count=12, size=(32, 32), dem=True, seed=0):
    """A tiny data set in Bijie's layout: a bright square on a slope is the landslide."""
    rng = np.random.default_rng(seed)
    height, width = size
    for i in range(count):
        name = f"{'ab'[i % 2]}{i:03d}.png"
        mask = np.zeros(size, "uint8")
        y, x = rng.integers(0, height // 2), rng.integers(0, width // 2)
        mask[y : y + height // 3, x : x + width // 3] = 1
        image = rng.integers(40, 90, (*size, 3)) + 120 * mask[..., None]
        write_raster(root / "landslide/image" / name, image.astype("uint8"))
        write_raster(root / "landslide/mask" / name, mask * 255)
        if dem:
            relief = np.linspace(0, 200, height)[:, None] + np.zeros(size) + 20 * mask
            write_raster(root / "landslide/dem" / name, relief.astype("uint8"))
    return root


@pytest.fixture(scope="session")
def tiny_tiles(tmp_path_factory) -> Path:
    """Twelve tiles of 32 x 32 pixels with a DEM."""
    return write_tiles(tmp_path_factory.mktemp("tiles"))


@pytest.fixture(scope="session")
def tiny_config(tiny_tiles):
    """Options that train in seconds."""
    from landslide_tf.config import TrainConfig
    from landslide_tf.inputs import InputSpec

    return TrainConfig(
        data=str(tiny_tiles),
        model="unet",
        filters=2,
        epochs=3,
        batch_size=4,
        learning_rate=1e-2,
        dropout=0.2,
        input=InputSpec(tile_px=32),
    )


@pytest.fixture(scope="session")
def finished_run(tiny_config, tmp_path_factory) -> Path:
    """The folder of a complete run; not to be changed by a test."""
    from landslide_tf.training.fit import Extras, fit

    out = tmp_path_factory.mktemp("runs") / "finished"
    return fit(tiny_config, out, extras=Extras(command=["test"]))


@pytest.fixture
def web(tmp_path_factory):
    """A folder that a server of this machine shows, and its address."""
    folder = tmp_path_factory.mktemp("web")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=folder)
    )
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def study():
    """A study of made-up runs."""
    from made_runs import BASE

    from landslide_tf.study.experiments import Study

    return Study(BASE)


@pytest.fixture
def make_results(tmp_path):
    """`make_results({name: quality, …})`: results of made-up runs."""
    from made_runs import results_of

    return lambda qualities, **options: results_of(tmp_path, qualities, **options)


@pytest.fixture(scope="session")
def constant_run(tmp_path_factory):
    """Probability 0.73 everywhere: logit 1, sigmoid 0.731."""
    from scene_runs import make_run

    return make_run(tmp_path_factory.mktemp("run") / "constant", [0, 0, 0, 0], 1.0)


@pytest.fixture(scope="session")
def red_run(tmp_path_factory):
    """Logit 8 red - 4, red from 0 to 1; it reads a DEM and makes nothing of it."""
    from scene_runs import make_run

    return make_run(tmp_path_factory.mktemp("run") / "red", [8, 0, 0, 0], -4.0)


@pytest.fixture(scope="session")
def relief_run(tmp_path_factory):
    """Logit red - green + 4 relief - 2: elevation is scaled within each window."""
    from scene_runs import make_run

    return make_run(tmp_path_factory.mktemp("run") / "relief", [1, -1, 0, 4], -2.0)


@pytest.fixture(scope="session")
def served_page(red_run, finished_run, tmp_path_factory):
    """The web page, with two models and a folder of files: `landslide_tf.app.server.Server`."""
    pytest.importorskip("gradio", reason="needs requirements-app.txt")
    from landslide_tf.app import launch
    from landslide_tf.data.demo import write_demo_scene

    folder = tmp_path_factory.mktemp("app")
    (folder / "runs").mkdir()
    for name, run in (("red", red_run), ("trained", finished_run)):
        shutil.copytree(run, folder / "runs" / name)
    write_demo_scene(folder / "files", size_px=128)
    (folder / "secret.tif").write_bytes((folder / "files/scene.tif").read_bytes())
    server = launch(folder / "runs", folder / "files", upload_mb=1)
    yield server
    server.close()
    assert not server.folder.exists()


@pytest.fixture
def make_scene(tmp_path):
    """A function that writes `scene.tif` and `dem.tif`; returns their paths."""

    def make(size=(70, 90), *, image=None, dem=None, name="scene", place=None, **options):
        from scene_runs import UTM

        place = place or UTM
        rng = np.random.default_rng(0)
        if image is None:
            image = rng.integers(1, 255, (*size, 3)).astype("uint8")
        if dem is None:
            y, x = np.mgrid[: size[0], : size[1]]
            dem = (1000 + 2 * x + y).astype("float32")
        return (
            write_raster(tmp_path / f"{name}.tif", image, **place, **options),
            write_raster(tmp_path / f"{name}_dem.tif", dem, **place),
        )

    return make


@pytest.fixture(autouse=True)
def example_files(request):
    """An example in a docstring finds, in the folder that it runs in, the files that it names.

    `tiles` and `runs/first` (a trained run), `study` (made-up runs), `scene.tif`, `dem.tif` and
    `landslides.geojson` (two 8 x 8 pixel squares). They are links: no example may change them.
    """
    if not isinstance(request.node, pytest.DoctestItem):
        return
    folder = request.getfixturevalue("tmp_path")
    request.getfixturevalue("monkeypatch").chdir(folder)
    code = "".join(example.source for example in request.node.dtest.examples)
    makers = {
        "tiles": "tiny_tiles",
        "runs/first": "finished_run",
        "study": "example_study",
        "scene.tif": "example_scene",
        "dem.tif": "example_dem",
        "landslides.geojson": "example_landslides",
    }
    for name, maker in makers.items():
        if f'"{name}' in code:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).symlink_to(request.getfixturevalue(maker))


@pytest.fixture(scope="session")
def example_study(tmp_path_factory):
    """A study with a made-up run of every experiment, each a little better than the one before."""
    from made_runs import BASE, write_run

    from landslide_tf.study.experiments import Study, plan, write_study

    folder, study = tmp_path_factory.mktemp("example") / "study", Study(BASE)
    for i, run in enumerate(plan(study, folder)):
        write_run(run.folder, run.config, 0.6 + 0.02 * i)
    write_study(study, folder)
    return folder


EXAMPLE_PLACE = {"crs": "EPSG:32647", "transform": rasterio.Affine(2, 0, 470000, 0, -2, 3445000)}


@pytest.fixture(scope="session")
def example_scene(tmp_path_factory):
    """A scene of 64 x 96 pixels of 2 m, no pixel 0."""
    values = np.random.default_rng(0).integers(1, 255, (64, 96, 3)).astype("uint8")
    return write_raster(tmp_path_factory.mktemp("example") / "scene.tif", values, **EXAMPLE_PLACE)


@pytest.fixture(scope="session")
def example_dem(tmp_path_factory):
    """The scene's elevation in metres: 1000 in the north-west, 1 m a pixel east and south."""
    y, x = np.mgrid[:64, :96]
    values = (1000 + x + y).astype("float32")
    return write_raster(tmp_path_factory.mktemp("example") / "dem.tif", values, **EXAMPLE_PLACE)


@pytest.fixture(scope="session")
def example_landslides(tmp_path_factory):
    """Two landslides of 8 x 8 pixels, 256 m2 each."""
    import geopandas
    import shapely

    path = tmp_path_factory.mktemp("example") / "landslides.geojson"
    west, north = 470000, 3445000
    squares = [
        shapely.box(west + 2 * x, north - 2 * (y + 8), west + 2 * (x + 8), north - 2 * y)
        for x, y in ((10, 10), (50, 30))
    ]
    geopandas.GeoSeries(squares, crs="EPSG:32647").to_file(path)
    return path
