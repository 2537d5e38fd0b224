"""The whole files that `fuzz.py` damages: one of each kind."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import numpy as np


def make_files(folder: Path) -> None:
    """One whole file of each kind."""
    import geopandas
    import h5py
    import rasterio.shutil
    import shapely
    from PIL import Image
    from rasterio.transform import from_origin

    from conftest import write_raster, write_tiles
    from landslide_tf.config import TrainConfig
    from landslide_tf.data.arrays import load_tiles, pack_tiles
    from landslide_tf.geo.mapping import map_scenes
    from landslide_tf.study.experiments import Study, write_study
    from landslide_tf.training.fit import Extras, fit

    rng = np.random.default_rng(0)
    utm = {"crs": "EPSG:32647", "transform": from_origin(470000, 3445000, 2, 2)}
    image = rng.integers(1, 255, (64, 96, 3)).astype("uint8")
    label = np.zeros((64, 96), "uint8")
    label[10:20, 10:30] = 255
    dem = (1000 + np.add.outer(np.arange(64), np.arange(96))).astype("float32")
    for name, values, profile in (
        ("image.tif", image, utm),
        ("dem.tif", dem, utm | {"nodata": -9999}),
        ("mask.tif", label, utm | {"nodata": 7}),
        *((f"image.{suffix}", image, {}) for suffix in ("png", "jpg", "bmp")),
        ("image.jp2", image, utm | {"driver": "JP2OpenJPEG"}),
        ("dem.asc", dem, utm | {"driver": "AAIGrid"}),
        ("dem.img", dem, utm | {"driver": "HFA"}),
    ):
        write_raster(folder / name, values, **profile)
    rasterio.shutil.copy(folder / "image.tif", folder / "image.vrt", driver="VRT")
    blocks = {"compress": "deflate", "tiled": True, "blockxsize": 32, "blockysize": 32}
    rasterio.shutil.copy(folder / "image.tif", folder / "deflate.tif", driver="GTiff", **blocks)
    palette = Image.fromarray((label > 0).astype("uint8"), "P")
    palette.putpalette([0, 0, 0, 255, 255, 255])
    palette.save(folder / "mask.png")
    with h5py.File(folder / "image.h5", "w") as file:
        file["img"] = rng.random((128, 128, 14))
    with h5py.File(folder / "mask.h5", "w") as file:
        file["mask"] = (rng.random((128, 128)) > 0.9).astype("uint8")
    west, north = 470000, 3445000
    squares = [
        shapely.box(west + 2 * x, north - 2 * (y + 8), west + 2 * (x + 8), north - 2 * y)
        for x, y in ((10, 10), (50, 30), (30, 50), (70, 20))
    ]
    frame = geopandas.GeoDataFrame({"name": list("abcd")}, geometry=squares, crs="EPSG:32647")
    for suffix, driver in (("gpkg", "GPKG"), ("gml", "GML"), ("fgb", "FlatGeobuf")):
        frame.to_file(folder / f"shapes.{suffix}", driver=driver)
    lonlat = frame.to_crs(4326)
    lonlat.to_file(folder / "shapes.geojson", driver="GeoJSON")
    lonlat.to_file(folder / "shapes.kml", driver="KML")
    lines = [f'{n},"{g.wkt}"' for n, g in zip(lonlat.name, lonlat.geometry, strict=True)]
    (folder / "shapes.csv").write_text("\n".join(["name,WKT", *lines]) + "\n")
    (folder / "shp").mkdir()
    frame.to_file(folder / "shp/shapes.shp")
    shutil.make_archive(folder / "shapes", "zip", folder / "shp")
    tiles = write_tiles(folder / "tiles")
    pack_tiles(load_tiles(tiles, tile_px=32), folder / "tiles.npz")
    shutil.make_archive(folder / "tiles", "zip", tiles)
    (folder / "scenes.txt").write_text("image.tif,dem.tif\n\"image.png\"\n# none\n'image.jpg'\n")
    config = TrainConfig(
        data=str(tiles), model="unet", filters=2, epochs=2, batch_size=4
    ).with_options(tile_px=32)
    fit(config, folder / "run", extras=Extras(command=["test"]))
    write_study(Study(config), folder)
    (folder / "unet-none-dice-seed0").symlink_to(folder / "run", target_is_directory=True)
    map_scenes(folder / "run", [(folder / "image.tif", folder / "dem.tif", folder / "map")])
    _half_a_run(config, folder / "half")


def _half_a_run(config, folder: Path) -> None:
    """A run that was stopped after its first epoch."""
    import keras

    from landslide_tf.training.fit import fit

    def stop(epoch, logs):
        if epoch == 1:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        fit(config, folder, callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=stop)])
