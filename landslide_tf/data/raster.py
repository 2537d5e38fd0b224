"""Raster files from and to NumPy arrays, and the one resizing that is used everywhere."""

from __future__ import annotations

import contextlib
import functools
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from scipy.sparse import csr_array

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


def resize_weights(size_in: int, size_out: int) -> np.ndarray:
    """Matrix (size_out, size_in), float32, of antialiased bilinear interpolation along one axis.

    Pixel centres at i + 0.5; a triangle as wide as the coarser of the two pixels, rows
    normalised: `tf.image.resize(..., "bilinear", antialias=True)` computes the same.

    >>> resize_weights(4, 2)
    array([[0.42857143, 0.42857143, 0.14285715, 0.        ],
           [0.        , 0.14285715, 0.42857143, 0.42857143]], dtype=float32)
    """
    return _resize_weights(size_in, size_out).toarray()


@functools.lru_cache(maxsize=512)
def _resize_weights(size_in, size_out):
    scale = size_in / size_out
    support = max(scale, 1.0)
    centre = (np.arange(size_out)[:, None] + 0.5) * scale - 0.5
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(size_in)[None] - centre) / support)
    # Sparse: a few weights a row. And one thread: tiles are read by several already.
    return csr_array((weights / weights.sum(axis=1, keepdims=True)).astype("float32"))


def resize_bilinear(values, size: tuple[int, int], valid=None):
    """Antialiased bilinear resize of float32 (H, W, C) to `size` (height, width), no data apart.

    Returns the values (float32, 0 where not valid) and the valid mask (bool) of the new size.
    An invalid pixel has no weight; a new pixel is valid when at least half of its weight is.

    >>> values, valid = resize_bilinear(np.array([[[2.0], [4.0]]]), (1, 1))
    >>> float(values[0, 0, 0])
    3.0
    """
    values = np.asarray(values)
    if valid is not None:  # before the conversion: the mark of no data may not fit float32
        values = np.where(valid[..., None], values, 0)
    values = values.astype("float32")
    rows = _resize_weights(values.shape[0], size[0])
    columns = _resize_weights(values.shape[1], size[1])
    if valid is None or valid.all():
        return _apply_weights(values, rows, columns), np.ones(size, bool)
    valid = np.asarray(valid, bool)[..., None]
    weight = _apply_weights(valid.astype("float32"), rows, columns)
    total = _apply_weights(values, rows, columns)
    keep = weight[..., 0] >= 0.5
    return np.where(keep[..., None], total / np.maximum(weight, 0.5), 0).astype("float32"), keep


def _apply_weights(values, rows, columns):
    height, width, channels = values.shape
    # (h, H) @ (H, W C) -> (h, W, C) -> (W, h C), then (w, W) @ (W, h C) -> (w, h, C) -> (h, w, C)
    values = (rows @ values.reshape(height, width * channels)).reshape(-1, width, channels)
    values = values.swapaxes(0, 1).reshape(width, -1)
    values = (columns @ values).reshape(columns.shape[0], -1, channels)
    return np.ascontiguousarray(values.swapaxes(0, 1))


def resize_nearest(values, size: tuple[int, int]):
    """Nearest-neighbour resize of (H, W, ...) to `size`, pixel centres at i + 0.5.

    >>> resize_nearest(np.array([[0, 1]]), (1, 4))
    array([[0, 0, 1, 1]])
    """
    values = np.asarray(values)
    rows = ((np.arange(size[0]) + 0.5) * values.shape[0] / size[0]).astype(int)
    columns = ((np.arange(size[1]) + 0.5) * values.shape[1] / size[1]).astype(int)
    return values[rows][:, columns]


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
