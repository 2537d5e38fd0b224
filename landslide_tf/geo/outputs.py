"""GeoTIFFs of a map: written strip by strip, then turned into cloud-optimised ones."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.shutil import copy
from rasterio.windows import Window

from landslide_tf.checks import JobError
from landslide_tf.files import atomic_path

NO_DATA = 255  # of bytes
FULL_DISK = 2**20  # bytes free; GDAL does not say why it could not write
CACHE_MB = 256  # of GDAL; its default is 5 % of the machine
# found, false alarm, missed as in the pictures (Okabe and Ito)
ERROR_COLOURS = {
    0: (247, 247, 247),
    1: (0, 158, 115),
    2: (86, 180, 233),
    3: (213, 94, 0),
    NO_DATA: (209, 209, 209),
}


class StripFile:
    """A one-band GeoTIFF that grows strip by strip; a context manager.

    `grid` has the height, width, CRS and transform: an open raster or a `Grid`.

    >>> with rasterio.open("scene.tif") as scene, StripFile("map.tif", scene, "uint8", 255) as file:
    ...     file.write(0, np.ones((40, 96), "uint8"))
    ...     file.write(40, np.zeros((24, 96), "uint8"))
    >>> with rasterio.open("map.tif") as file:
    ...     file.shape, int(file.read().sum())
    ((64, 96), 3840)
    """

    def __init__(self, path, grid, dtype, nodata, colours=None):
        self.path = Path(path)
        profile = {
            "driver": "GTiff",
            "count": 1,
            "height": grid.height,
            "width": grid.width,
            "dtype": dtype,
            "nodata": nodata,
            "crs": grid.crs,
            "transform": grid.transform,
            "compress": "deflate",
            "zlevel": 1,
            "bigtiff": "if_safer",
        }
        self._file = rasterio.open(self.path, "w", **profile)
        if colours:
            self._file.write_colormap(1, colours)

    def write(self, top: int, values) -> None:
        """Write rows from `top` on."""
        self._file.write(values, 1, window=Window(0, top, values.shape[1], values.shape[0]))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()


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
    options = {
        "compress": "deflate",
        "predictor": "yes",
        "blocksize": 512,
        "overview_resampling": resampling,
        "bigtiff": "if_safer",
    }
    try:
        with atomic_path(target) as scratch:
            copy(strips, scratch, driver="COG", **options)
            _check_whole(scratch)
    except RasterioError as error:
        raise write_error(target, error) from None


def write_error(path, error) -> Exception:
    """What a failed write of GDAL is for the user: the disk is full, or its own words.

    >>> write_error("map.tif", "write failed")
    JobError('map.tif: cannot be written (write failed); continue with --resume')
    """
    if shutil.disk_usage(Path(path).parent).free < FULL_DISK:
        return OSError(errno.ENOSPC, "No space left on device", str(path))
    return JobError(f"{path}: cannot be written ({error}); continue with --resume")


def _check_whole(path) -> None:
    """Read the file once: GDAL reports a disk that filled in the last moment to nobody."""
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
