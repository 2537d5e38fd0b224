"""GeoTIFFs of a map: written strip by strip, then turned into cloud-optimised ones."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.shutil import copy
from rasterio.windows import Window

from landslide_tf.checks import JobError
from landslide_tf.files import atomic_path, disk_is_full
from landslide_tf.geo.styles import ERROR_CLASSES, LANDSLIDE_COLOUR, rgb

NO_DATA = 255  # the no-data value of uint8 rasters
FULL_DISK = 2**20  # with fewer bytes free, the disk counts as full: GDAL gives no reason
STRIP_PX = 2**21  # pixels of a strip, about
CACHE_MB = 256  # block cache of GDAL; its default is 5 % of the machine's memory
GREY = (209, 209, 209)  # colour of no data
COLOURS = {
    "landslides.tif": {0: (255, 255, 255), 1: rgb(LANDSLIDE_COLOUR), NO_DATA: GREY},
    "errors.tif": {value: rgb(colour) for value, colour, _ in ERROR_CLASSES} | {NO_DATA: GREY},
}
MEANING = {
    "probability.tif": "probability of landslide",
    "landslides.tif": "landslide: 1 where the probability reaches the threshold, 0 elsewhere",
    "errors.tif": "against the reference: 0 background, 1 found, 2 false alarm, 3 missed",
}


def new_raster(path, grid, dtype: str, tags: dict):
    """A new GeoTIFF of one band, open for writing.

    `grid`, an open raster or a `Grid`, gives height, width, CRS and transform. The file's name
    decides colours and description. No data is 255 in uint8 files and NaN in float32 files.

    >>> with rasterio.open("scene.tif") as scene:
    ...     with new_raster("landslides.tif", scene, "uint8", {"model": "unet"}) as file:
    ...         file.write(np.ones((40, 96), "uint8"), 1, window=Window(0, 0, 96, 40))
    ...         file.write(np.zeros((24, 96), "uint8"), 1, window=Window(0, 40, 96, 24))
    >>> with rasterio.open("landslides.tif") as file:
    ...     file.shape, int(file.read().sum()), file.tags()["model"]
    ((64, 96), 3840, 'unet')
    """
    name = Path(path).name
    file = rasterio.open(
        path, "w", driver="GTiff", count=1, height=grid.height, width=grid.width, dtype=dtype,
        nodata=NO_DATA if dtype == "uint8" else float("nan"), crs=grid.crs,
        transform=grid.transform, compress="deflate", zlevel=1, bigtiff="if_safer",
    )  # fmt: skip
    unit = "class"
    if name == "probability.tif":
        unit = "percent" if dtype == "uint8" else "1"
    file.set_band_description(1, MEANING[name])
    file.set_band_unit(1, unit)
    file.update_tags(**{key: str(value) for key, value in tags.items()}, values=unit)
    if name in COLOURS:
        file.write_colormap(1, COLOURS[name])
    return file


def write_cog(strips, target, resampling: str) -> None:
    """A cloud-optimised GeoTIFF (tiles of 512, deflate, overviews by `resampling`) of `strips`.

    Raises:
        JobError: it cannot be written, or not read back.

    Example:
        >>> write_cog("scene.tif", "map.tif", "average")
        >>> with rasterio.open("map.tif") as file:
        ...     file.shape, file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"]
        ((64, 96), 'COG')
    """
    try:
        with atomic_path(target) as scratch:
            copy(
                strips, scratch, driver="COG", compress="deflate", predictor="yes", blocksize=512,
                overview_resampling=resampling, bigtiff="if_safer",
            )  # fmt: skip
            _check_whole(scratch)
    except RasterioError as error:
        raise write_error(target, error) from None


def write_error(path, error) -> Exception:
    """The error to raise where GDAL could not write: the disk is full, or GDAL's own words.

    >>> write_error("map.tif", "write failed")
    JobError('map.tif: cannot be written (write failed); continue with --resume')
    """
    if shutil.disk_usage(Path(path).parent).free < FULL_DISK or disk_is_full(error):
        return OSError(errno.ENOSPC, "No space left on device", str(path))
    return JobError(f"{path}: cannot be written ({error}); continue with --resume")


def _check_whole(path) -> None:
    """Read the file once, because GDAL does not report a disk that filled at the last moment."""
    with rasterio.open(path) as file:
        for _, window in file.block_windows(1):
            file.read(1, window=window)


def outcome(landslide, mask, known):
    """uint8 (h, w): 0 background, 1 found, 2 false alarm, 3 missed, 255 not known.

    >>> a = np.array([0, 1, 1, 0], bool)
    >>> outcome(a, np.array([0, 1, 0, 1], bool), np.ones(4, bool))
    array([0, 1, 2, 3], dtype=uint8)
    """
    result = np.select([landslide & mask, landslide, mask], [1, 2, 3], 0)
    return np.where(known, result, NO_DATA).astype("uint8")


def thin_mean(path, shape):
    """The mean probability of a `probability.tif` in each of `shape` blocks, 0 to 1, float32.

    NaN without data.

    >>> with rasterio.open("scene.tif") as scene:
    ...     with new_raster("probability.tif", scene, "uint8", {}) as file:
    ...         file.write(np.full((64, 96), 50, "uint8"), 1)
    >>> thin_mean("probability.tif", (2, 1)).tolist()
    [[0.5], [0.5]]
    """
    with rasterio.open(path) as file:
        values = file.read(
            1, out_shape=shape, resampling=Resampling.average, out_dtype="float32", masked=True
        )
        full = 100 if file.dtypes[0] == "uint8" else 1
    return values.filled(np.nan) / full


def thin_any(path, wanted, step: int):
    """Which blocks of `step` x `step` pixels of a raster have one of the values `wanted`; bool.

    >>> with rasterio.open("scene.tif") as scene:
    ...     with new_raster("errors.tif", scene, "uint8", {}) as file:
    ...         file.write(np.eye(64, 96, dtype="uint8"), 1)
    >>> thin_any("errors.tif", [1], 32).astype(int).tolist()
    [[1, 0, 0], [0, 1, 0]]
    """
    with rasterio.open(path) as file:
        height, width = file.shape
        found = np.zeros((-(-height // step), -(-width // step)), bool)
        rows = max(1, STRIP_PX // width // step) * step
        for top in range(0, height, rows):
            part = file.read(1, window=Window(0, top, width, min(rows, height - top)))
            part = np.isin(part, wanted)
            part = np.pad(part, [(0, -n % step) for n in part.shape])
            blocks = part.reshape(part.shape[0] // step, step, -1, step).any(axis=(1, 3))
            found[top // step : top // step + len(blocks)] = blocks
    return found
