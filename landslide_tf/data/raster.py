"""Raster files from and to NumPy arrays, and the one resizing that is used everywhere."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from landslide_tf.checks import InputError
from landslide_tf.data.ground import Ground
from landslide_tf.files import atomic_path

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
# PNG and JPEG have no georeference by nature. Not `catch_warnings`: tiles are read in threads.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
# A truncated JPEG is a warning to libjpeg, and GDAL's fast way to read a whole PNG returns noise
# for a truncated one without a word: both are lost data to us.
STRICT = {"GDAL_ERROR_ON_LIBJPEG_WARNING": True, "GDAL_PNG_WHOLE_IMAGE_OPTIM": False}


@dataclass(frozen=True)
class Raster:
    """A raster in memory: `values` (H, W, C) in the file's dtype, `valid` (H, W) bool.

    >>> raster = Raster(np.zeros((4, 6, 3), "uint8"), np.ones((4, 6), bool))
    >>> raster.size, raster.resolution_m()
    ((4, 6), None)
    """

    values: np.ndarray
    valid: np.ndarray
    crs: object = None  # rasterio CRS, or None
    transform: object = None  # affine.Affine, or None where the file carries none
    scale: float | None = None  # image value of full brightness; None: by the dtype

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return self.values.shape[:2]

    @property
    def corners(self) -> list[tuple[float, float]]:
        """x, y of the upper left, upper right, lower left and lower right corner, in the CRS."""
        height, width = self.size
        t = self.transform
        return [
            (t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f)
            for x, y in ((0, 0), (width, 0), (0, height), (width, height))
        ]

    @property
    def bounds(self) -> tuple[float, float, float, float] | None:
        """Left, bottom, right, top in units of the CRS; None without georeference."""
        if self.transform is None:
            return None
        xs, ys = zip(*self.corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    def resolution_m(self) -> tuple[float, float] | None:
        """Size on the ground of the pixel in the middle (along y, along x) in metres; None without
        a known CRS."""
        if self.transform is None or self.crs is None:
            return None
        return Ground(self.crs, self.transform, self.size).pixel_size_m()


def read_raster(path, *, nodata: float | None = None, palette: bool = True, bands=None) -> Raster:
    """Read PNG, JPEG, BMP or GeoTIFF of any bit depth, unscaled.

    `valid` is False where the file's nodata tag, an alpha band of 0, NaN or `nodata` says so (of
    several bands: where all carry the tag or `nodata`; where any is NaN). The alpha band is
    taken off. A colour table is applied unless `palette` is False. Of the rest, `bands` (numbers
    from 1) are returned; default all.

    Raises:
        InputError: the file is missing, truncated or not an image, or has too few bands.

    >>> scene = read_raster("scene.tif")
    >>> scene.values.shape, scene.values.dtype, bool(scene.valid.all()), scene.resolution_m()
    ((64, 96, 3), dtype('uint8'), True, (2.0, 2.0))
    """
    with open_raster(path) as file:
        return read_window(file, nodata=nodata, palette=palette, bands=bands)


def open_raster(path):
    """An open rasterio dataset, a context manager; `InputError` where it cannot be opened.

    >>> with open_raster("scene.tif") as file:
    ...     file.count, file.height, file.width
    (3, 64, 96)
    """
    try:
        with rasterio.Env(**STRICT):
            return rasterio.open(path)
    except RasterioError as error:
        reason = "no such file" if not Path(path).exists() else _first_line(error)
        raise InputError(f"{path}: cannot be read ({reason}); restore the file") from None


def read_window(file, window=None, *, nodata=None, palette: bool = True, bands=None) -> Raster:
    """A part of an open rasterio dataset, or all of it; for the rest see `read_raster`.

    >>> from rasterio.windows import Window
    >>> with open_raster("scene.tif") as file:
    ...     read_window(file, Window(10, 20, 5, 4)).values.shape  # column, row, width, height
    (4, 5, 3)
    """
    with contextlib.suppress(Exception):  # GDAL's error of an earlier read is raised here again
        file.colorinterp  # noqa: B018
    alpha = [i for i, ci in enumerate(file.colorinterp) if ci == ColorInterp.alpha]
    try:
        with rasterio.Env(**STRICT):
            values = np.moveaxis(file.read(window=window), 0, -1)  # (C, H, W) -> (H, W, C)
            valid = np.ones(values.shape[:2], bool)
            if alpha or any(
                MaskFlags.nodata in flags or flags == [MaskFlags.per_dataset]
                for flags in file.mask_flag_enums
            ):
                valid &= file.dataset_mask(window=window) > 0
    except RasterioError as error:
        raise InputError(
            f"{file.name}: cannot be read ({_first_line(error)}); restore the file"
        ) from None
    if alpha:  # which GDAL's mask leaves out in files of floats
        valid &= (values[..., alpha] > 0).all(axis=-1)
        values = np.delete(values, alpha, axis=-1)
    if palette and file.count == 1 and file.colorinterp[0] == ColorInterp.palette:
        values, opaque = _apply_palette(values[..., 0], file.colormap(1))
        valid &= opaque
    if np.issubdtype(values.dtype, np.complexfloating) or values.shape[-1] == 0:
        raise InputError(f"{file.name}: has no real-valued band; give an image")
    if bands is not None:
        if max(bands) > values.shape[-1]:
            raise InputError(
                f"{file.name}: has {values.shape[-1]} bands, --bands asks for {max(bands)}; "
                "count them from 1"
            )
        values = values[..., [band - 1 for band in bands]]
    # PNG and plain TIFF come with the identity transform
    transform = None if file.transform.is_identity else file.transform
    if window is not None and transform is not None:
        transform = file.window_transform(window)
    return Raster(values, mark_invalid(values, valid, nodata), file.crs, transform)


def mark_invalid(values, valid, nodata: float | None = None):
    """`valid` (H, W) without pixels that are NaN in any band, or `nodata` in all of (H, W, C).

    >>> values = np.array([[[1.0], [np.nan], [-9999.0]]])
    >>> mark_invalid(values, np.ones((1, 3), bool), nodata=-9999).tolist()
    [[True, False, False]]
    """
    if np.issubdtype(values.dtype, np.floating):
        valid = valid & np.isfinite(values).all(axis=-1)
    if nodata is not None:
        # a float: NumPy 2.1 crashes on a uint8 array == -9999
        valid = valid & ~(values == float(nodata)).all(axis=-1)
    return valid


def _apply_palette(index, colormap):
    table = np.zeros((max(256, int(index.max()) + 1), 4), "uint8")
    for key, rgba in colormap.items():
        table[key] = rgba
    colours = table[index]
    return colours[..., :3], colours[..., 3] > 0


def _first_line(error) -> str:
    return str(error.__cause__ or error).strip().splitlines()[0] if str(error) else "damaged"


def write_geotiff(path, values, like: Raster, nodata: float | None = None, valid=None) -> None:
    """Write (H, W) or (H, W, C) as compressed GeoTIFF, atomically, with the georeference of `like`.

    `valid` (H, W) bool is written as the file's internal mask: for no data without a value.

    >>> scene = read_raster("scene.tif")
    >>> write_geotiff("red.tif", scene.values[..., 0], scene)
    >>> read_raster("red.tif").values.shape, read_raster("red.tif").crs == scene.crs
    ((64, 96, 1), True)
    """
    values = np.atleast_3d(values)
    profile = {
        "driver": "GTiff",
        "count": values.shape[2],
        "height": values.shape[0],
        "width": values.shape[1],
        "dtype": values.dtype,
        "nodata": nodata,
        "compress": "deflate",
    }
    if values.shape[2] == 3 and values.dtype.kind == "u":
        profile["photometric"] = "RGB"
    if like.transform is not None:
        profile |= {"crs": like.crs, "transform": like.transform}
    with (
        atomic_path(path) as scratch,
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(scratch, "w", **profile) as file,
    ):
        file.write(np.moveaxis(values, -1, 0))
        if valid is not None:
            file.write_mask(valid)
