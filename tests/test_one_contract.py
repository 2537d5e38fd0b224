"""One tile through every way into a model gives one probability: there is one input contract."""

import keras
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from conftest import write_raster
from landslide_tf.cli import main
from landslide_tf.config import TrainConfig
from landslide_tf.data.arrays import load_tiles
from landslide_tf.data.dataset import Part, scoring_batches
from landslide_tf.data.landslide4sense import BAND_MEANS
from landslide_tf.export import formats
from landslide_tf.inputs import InputSpec, Preprocessor
from landslide_tf.runs.run import load_run
from landslide_tf.training.fit import fit

PX = 32
PLACE = {"crs": "EPSG:32647", "transform": from_origin(470000, 3445000, 2, 2)}


def read(path):
    with rasterio.open(path) as file:
        return file.read(1)


def command(*words):
    assert main([str(word) for word in words]) == 0


@pytest.fixture
def folder(tmp_path, rng):
    """One georeferenced tile of the model's size, with a DEM and a hole in it."""
    image = rng.integers(1, 255, (PX, PX, 3)).astype("uint8")
    dem = (1000 + 50 * rng.random((PX, PX))).astype("float32")
    dem[:6, :9] = -9999
    mask = (image[..., 0] > 128).astype("uint8")
    root = tmp_path / "tile"
    write_raster(root / "landslide/image/t.tif", image, **PLACE)
    write_raster(root / "landslide/dem/t.tif", dem, nodata=-9999, **PLACE)
    write_raster(root / "landslide/mask/t.tif", mask, **PLACE)
    return root


@pytest.mark.slow
def test_one_tile_through_every_way(finished_run, folder, tmp_path):
    run = load_run(finished_run)
    image = np.moveaxis(rasterio.open(folder / "landslide/image/t.tif").read(), 0, -1)
    dem = read(folder / "landslide/dem/t.tif")
    dem[dem == -9999] = np.nan
    known = np.isfinite(dem)

    # By hand: brightness / 255, relief of the valid pixels, zeros where there is no data.
    relief = (dem - np.nanmin(dem)) / (np.nanmax(dem) - np.nanmin(dem))
    x = np.concatenate([image / 255, relief[..., None]], axis=-1)
    x = np.where(known[..., None], x, 0).astype("float32")
    logits = keras.ops.convert_to_numpy(run.model(x[None]))[0, ..., 0].astype("float64")
    expected = np.where(known, 1 / (1 + np.exp(-logits)), np.nan)

    found = {"Run.predict": run.predict(image, dem)}
    inputs, valid = Preprocessor(run.spec)(image[None], dem[None])
    np.testing.assert_array_equal(np.asarray(valid)[0, ..., 0], known)
    found["Preprocessor"] = run.predictor(inputs)[0]
    tiles = load_tiles(folder, run.spec)
    part = Part(tiles, np.array([0]), run.spec)
    found["arrays"] = run.predictor(part.arrays([0])[0])[0]
    (batch,) = list(scoring_batches(part, 4))
    found["tf.data"] = run.predictor(np.asarray(batch[0]))[0]
    command("predict", finished_run, "--data", folder, "--out", tmp_path / "predicted")
    found["predict"] = read(tmp_path / "predicted/t_probability.tif")
    command(
        "map", "--model", finished_run, "--image", folder / "landslide/image/t.tif",
        "--dem", folder / "landslide/dem/t.tif", "--out", tmp_path / "map", "--dtype", "float32",
    )  # fmt: skip
    found["map"] = read(tmp_path / "map/probability.tif")
    formats.write_savedmodel(run.model, run.spec, tmp_path / "saved")
    raw = formats.run_savedmodel(tmp_path / "saved", "serve_raw", image=image[None], dem=dem[None])
    found["serve_raw"] = raw[0]
    for way, probability in found.items():
        probability = np.where(known, probability, np.nan)
        np.testing.assert_allclose(probability, expected, atol=1e-5, err_msg=way)


@pytest.mark.slow
def test_landslide4sense_as_hdf5_and_as_geotiff(tmp_path, rng):
    """A run on Landslide4Sense keeps its scale and its bands, whatever the values come in."""
    import h5py

    root, tif = tmp_path / "hdf5", tmp_path / "tif/landslide/image"
    stacks = {}
    for i in range(5):
        stack = rng.random((PX, PX, 14)) * 2
        stacks[f"image_{i}"] = stack * np.array(BAND_MEANS)  # reflectance x 10000; the DEM last
        for kind, name, values in (
            ("img", f"image_{i}", stack),
            ("mask", f"mask_{i}", stack[..., 0] > 1),
        ):
            (root / kind).mkdir(parents=True, exist_ok=True)
            with h5py.File(root / kind / f"{name}.h5", "w") as file:
                file[kind] = values.astype("float64" if kind == "img" else "uint8")
    config = TrainConfig(
        data=str(root), model="unet", filters=2, epochs=1, input=InputSpec(tile_px=PX, fusion="rgb")
    )
    run = load_run(fit(config, tmp_path / "run"))
    assert run.spec.rgb_scale == 3000 and run.spec.bands == (4, 3, 2)
    command("predict", tmp_path / "run", "--data", root, "--out", tmp_path / "from_hdf5")
    for name, values in stacks.items():
        write_raster(tif / f"{name}.tif", values.astype("float32"), **PLACE)
    command("predict", tmp_path / "run", "--data", tmp_path / "tif", "--out", tmp_path / "from_tif")
    image, out = tif / "image_0.tif", tmp_path / "map"
    how = ("--dtype", "float32")
    command("map", "--model", tmp_path / "run", "--image", image, "--out", out, *how)
    rgb = stacks["image_0"][..., [3, 2, 1]].astype("float32")
    logits = run.model((np.clip(rgb / 3000, 0, 1))[None])
    expected = 1 / (1 + np.exp(-keras.ops.convert_to_numpy(logits)[0, ..., 0].astype("float64")))
    name = "image_0_probability.tif"
    for way, probability in {
        "HDF5": read(next((tmp_path / "from_hdf5").glob("*0_probability.tif"))),
        "GeoTIFF": read(tmp_path / "from_tif" / name),
        "map": read(tmp_path / "map/probability.tif"),
        "Run.predict": run.predict(rgb),
    }.items():
        np.testing.assert_allclose(probability, expected, atol=1e-5, err_msg=way)
