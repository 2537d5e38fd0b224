"""Raster files read into NumPy arrays, and written from them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np
import rasterio
from rasterio.enums import MaskFlags
from rasterio.io import MemoryFile

from landslide_tf.checks import InputError
from landslide_tf.data import tags
from landslide_tf.data.ground import Ground
from landslide_tf.data.opening import open_raster, reading, strictly
from landslide_tf.data.orientation import is_nowhere, upright
from landslide_tf.files import atomic_path

HIGHEST_BRIGHTNESS = 65535


@dataclass(frozen=True)
class Raster:
    """A raster in memory: `values` (H, W, C), and `valid` (H, W) bool, True where they are known.

    The dtype is the file's, unless a scale, a unit or a colour table was applied.

    >>> raster = Raster(np.zeros((4, 6, 3), "uint8"), np.ones((4, 6), bool))
    >>> raster.size, raster.resolution_m()
    ((4, 6), None)
    """

    values: np.ndarray
    valid: np.ndarray
    crs: object = None  # rasterio CRS, or None
    transform: object = None  # affine.Affine, or None where the file carries none
    scale: float | None = None  # image value of full brightness; None: by the dtype
    notes: tuple[str, ...] = ()  # what was done to the values because of the file's tags

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return self.values.shape[:2]

    @property
    def corners(self) -> list[tuple[float, float]]:
        """x, y of the upper left, upper right, lower left and lower right corner, in the CRS."""
        height, width = self.size
        return [self.transform @ xy for xy in ((0, 0), (width, 0), (0, height), (width, height))]

    @property
    def bounds(self) -> tuple[float, float, float, float] | None:
        """Left, bottom, right, top in units of the CRS; None without georeference."""
        if self.transform is None:
            return None
        xs, ys = zip(*self.corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    def known(self) -> np.ndarray:
        """The valid pixels (N, C)."""
        whole = self.valid.all()
        return self.values.reshape(-1, self.values.shape[-1]) if whole else self.values[self.valid]

    def resolution_m(self) -> tuple[float, float] | None:
        """Size on the ground of the pixel in the middle (along y, along x) in metres; None without
        a known CRS."""
        if self.transform is None or self.crs is None:
            return None
        try:
            return Ground(self.crs, self.transform, self.size).pixel_size_m()
        except InputError:  # coordinates without a unit of length
            return None


def read_raster(path, *, nodata=None, bands=None, kind: str = "image") -> Raster:
    """Read PNG, JPEG, BMP, GeoTIFF or any other format of GDAL, of any bit depth, as a `Raster`.

    A pixel is not `valid` if all its bands have the value of the file's nodata tag or of `nodata`;
    if one of them is NaN or infinite, or a no-data value that no brightness has (such as -9999); or
    if an alpha band, or the mask within the file, is 0. `nodata` is a number or several, as stored.
    Only `bands` (numbers from 1) are read, by default all except alpha. If three bands are named or
    tagged red, green and blue, they are returned in this order for an image. An alpha band that
    `bands` names is read like any other band.

    The file's tags are obeyed. A colour table, MINISWHITE, scale and offset are applied; with
    `kind` 'dem', elevations in feet or another unit become metres; a raster without georeference is
    turned as its EXIF orientation says.

    Raises:
        InputError: the file is missing, truncated or not an image, or has too few bands.

    >>> scene = read_raster("scene.tif")
    >>> scene.values.shape, scene.values.dtype, bool(scene.valid.all()), scene.resolution_m()
    ((64, 96, 3), dtype('uint8'), True, (2.0, 2.0))
    """
    with open_raster(path) as file, reading(path):
        return upright(read_window(file, nodata=nodata, bands=bands, kind=kind), file)


def read_window(
    file, window=None, *, nodata=None, bands=None, kind: str = "image", tagged=None
) -> Raster:
    """A part of an open rasterio dataset, or all of it; for the rest see `read_raster`.

    With `kind` 'mask' the numbers are returned as they are. `tagged` is the open file whose tags
    of scale and unit count, where that is another one than `file`.

    >>> from rasterio.windows import Window
    >>> with open_raster("scene.tif") as file:
    ...     read_window(file, Window(10, 20, 5, 4)).values.shape  # column, row, width, height
    (4, 5, 3)
    """
    with contextlib.suppress(Exception):  # GDAL's error of an earlier read is raised here again
        file.colorinterp  # noqa: B018
    with reading(file.name):
        table = None if kind == "mask" else tags.colour_table(file)
        numbers = _band_numbers(file, bands if table is None else None, kind)
        if table is not None and max(bands or (1,)) > 3:
            raise InputError(
                f"{file.name}: its colours have 3 bands, --bands asks for {max(bands)}; "
                "count them from 1"
            )
        with strictly():
            values, valid = _read(file, numbers, window)
            if table is not None:
                values, opaque = _apply_palette(values[..., 0], table)
                valid &= opaque
                values = values[..., [band - 1 for band in bands or (1, 2, 3)]]
            valid = mark_invalid(values, valid, nodata)
            notes = ()
            if kind != "mask" and table is None:
                values, notes = _interpret(tagged or file, values, numbers, kind)
            if kind == "image" and not bands and (note := tags.order_note(file, numbers)):
                notes = (*notes, note)
        # PNG and plain TIFF come with the identity transform
        transform = None if is_nowhere(file.transform) else file.transform
        if window is not None and transform is not None:
            transform = file.window_transform(window)
        return Raster(values, valid, file.crs, transform, notes=notes)


def _band_numbers(file, bands, kind) -> list[int]:
    """The bands to read: those asked for, or all but alpha."""
    numbers = list(bands or (tags.colour_bands if kind == "image" else tags.data_bands)(file))
    if numbers and max(numbers) > file.count:
        raise InputError(
            f"{file.name}: has {file.count} bands, --bands asks for {max(numbers)}; "
            "count them from 1"
        )
    dtypes = file.dtypes
    types = {dtypes[number - 1] for number in numbers}
    if not numbers or any("complex" in name for name in types):
        raise InputError(f"{file.name}: has no real-valued band; give an image")
    if len(types) > 1:
        repair = "name bands of one type with --bands, or write them as one (gdal_translate -ot)"
        if kind != "image":
            repair = "write the one that is meant to a file of its own (gdal_translate -b 1)"
        raise InputError(
            f"{file.name}: its bands have different types ({', '.join(sorted(types))}); {repair}"
        )
    return numbers


def _read(file, numbers, window):
    """Values (H, W, C) of the bands, and where they are valid by the file's tags and alpha."""
    values = np.moveaxis(file.read(numbers, window=window), 0, -1)  # (C, H, W) -> (H, W, C)
    valid = np.ones(values.shape[:2], bool)
    alpha = set(file.indexes) - set(tags.data_bands(file))
    for band in alpha - set(numbers):  # which GDAL's mask leaves out in files of floats
        valid &= file.read(band, window=window) > 0
    flags = file.mask_flag_enums
    flags = [flags[number - 1] for number in numbers]
    if any(MaskFlags.all_valid in kinds for kinds in flags):
        return values, valid
    if all(MaskFlags.nodata in kinds and MaskFlags.per_dataset not in kinds for kinds in flags):
        known = [file.read_masks(n, window=window) > 0 for n in numbers]
        # 0 in one band is a colour
        join = np.all if all(_no_brightness(file.nodatavals[n - 1]) for n in numbers) else np.any
        valid &= join(known, axis=0)
    elif all(MaskFlags.alpha not in kinds for kinds in flags):
        valid &= file.dataset_mask(window=window) > 0
    return values, valid


def _interpret(file, values, numbers, kind):
    """Values as the tags mean them, and a line for what was done: MINISWHITE, scale, unit."""
    if tags.white_is_zero(file):
        if kind == "dem":
            raise InputError(
                f"{file.name}: counts from white to black (MINISWHITE), which elevations do not; "
                "write it again (gdal_translate -co PHOTOMETRIC=MINISBLACK)"
            )
        values = (tags.highest_number(file) - values.astype("int64")).astype(values.dtype)
    linear = tags.scale_and_offset(file, [min(number, file.count) for number in numbers])
    notes = []
    if linear is not None:
        values = values * linear[0] + linear[1]
        values = values if kind == "dem" else values.astype("float32")
        notes.append(
            f"the {kind} has a scale of {linear[0][0]:g} and an offset of {linear[1][0]:g} in its "
            "tags: applied"
        )
    if kind == "dem":
        unit, note = tags.elevation_unit(file), tags.unit_note(file)
        if unit is not None and unit[1] != 1:
            values = values.astype("float64") * unit[1]
        if note:
            notes.append(f"the dem: {note}")
    return values, tuple(notes)


def mark_invalid(values, valid, nodata=None):
    """`valid` (H, W) bool, without the pixels of `values` (H, W, C) that have no data.

    These are NaN or infinite in any band, or have a value of `nodata` (a number or several) in all
    bands; a value that no brightness can be, such as -9999, is no data in any band. Values are
    compared as floats, so `nodata` may lie outside the range of the dtype.

    >>> values = np.array([[[1.0], [np.nan], [-9999.0], [-32768.0]]])
    >>> mark_invalid(values, np.ones((1, 4), bool), nodata=(-9999, -32768)).tolist()
    [[True, False, False, False]]
    """
    if np.issubdtype(values.dtype, np.floating):
        valid = valid & np.isfinite(values).all(axis=-1)
    marks = nodata_values(nodata)
    if marks:
        valid = valid & ~np.any([values == mark for mark in marks], axis=0).all(axis=-1)
    for mark in filter(_no_brightness, marks):
        valid = valid & (values != mark).all(axis=-1)
    return valid


def _no_brightness(mark) -> bool:
    return not 0 <= mark <= HIGHEST_BRIGHTNESS


def nodata_values(nodata) -> tuple[float, ...]:
    """The values that are no data: none, one number, or several, as a tuple."""
    if nodata is None:
        return ()
    return tuple(map(float, nodata if isinstance(nodata, tuple | list) else (nodata,)))


def _apply_palette(index, table):
    colours = np.zeros((max(len(table), int(index.max()) + 1), 4), "uint8")
    colours[: len(table)] = table
    colours = colours[index]
    return colours[..., :3], colours[..., 3] > 0


def write_geotiff(path, values, like: Raster, nodata: float | None = None, valid=None) -> None:
    """Write (H, W) or (H, W, C) as compressed GeoTIFF, atomically, with the georeference of `like`.

    `valid` (H, W) bool is written as the file's internal mask, where no value can mean no data.

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
    # In memory first: GDAL tells nobody of a disk that fills while it closes a file.
    with strictly(), MemoryFile() as memory:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), memory.open(**profile) as file:
            file.write(np.moveaxis(values, -1, 0))
            if valid is not None:
                file.write_mask(valid)
        with atomic_path(path) as scratch:
            scratch.write_bytes(memory.getbuffer())
