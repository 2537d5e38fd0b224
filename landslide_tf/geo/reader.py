"""A scene and its DEM read box by box, on the scene's pixels."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from dataclasses import dataclass

import numpy as np
from rasterio.errors import RasterioError
from rasterio.windows import Window
from rasterio.windows import transform as window_transform

from landslide_tf.checks import InputError, JobError
from landslide_tf.data.raster import Raster, open_raster, read_window
from landslide_tf.geo.overlay import Grid, open_dem
from landslide_tf.geo.windows import Layout

THUMBNAIL_PX = 1200  # the longer side at most
PERCENTILES = (2, 98)


@dataclass(frozen=True)
class Scene:
    """What is read, and in which windows: plain values, which can be sent to another machine.

    >>> from landslide_tf.geo.source import open_scene
    >>> from landslide_tf.inputs import InputSpec
    >>> scene = open_scene("scene.tif", "dem.tif", InputSpec())
    >>> scene.size, scene.resolution_m, scene.dem_in_model
    ((64, 96), (2.0, 2.0), True)
    """

    image: str
    dem: str | None
    dem_in_model: bool  # else it describes the polygons alone
    bands: tuple[int, int, int] | None
    nodata: float | list[float] | None
    stretch: tuple[tuple[float, float], ...] | None  # value of 0 and 1, by band
    skip_bad: bool
    resolution_m: tuple[float, float]  # of a pixel along y and x
    window_px: int  # side of a window in pixels of the model
    layout: Layout

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return self.layout.size


class Reader:
    """The open files of a scene. Not to be shared between threads.

    A box is (top, left, bottom, right) in pixels; beyond the scene there is no data. What cannot
    be read raises `JobError`, or with `skip_bad` is no data and listed in `bad` as ('image' or
    'dem', top, left, bottom, right).

    >>> from landslide_tf.inputs import InputSpec
    >>> from landslide_tf.geo.source import open_scene
    >>> reader = Reader(open_scene("scene.tif", "dem.tif", InputSpec()))
    >>> reader.image((0, 0, 4, 6)).values.shape
    (4, 6, 3)
    >>> reader.dem((0, 0, 2, 3)).values[..., 0].tolist()
    [[1000.0, 1001.0, 1002.0], [1001.0, 1002.0, 1003.0]]
    """

    def __init__(self, scene: Scene):
        self.scene = scene
        self.bad = []
        self._file = open_raster(scene.image)
        self.grid = Grid(self._file)
        self._dem = open_dem(scene.dem, self.grid, scene.nodata) if scene.dem else None

    def image(self, box) -> Raster:
        """The three bands, float32 in [0, 1] where the scene has a `stretch`, else as they are."""
        scene = self.scene
        read = functools.partial(read_window, self._file, nodata=scene.nodata, bands=scene.bands)
        raster = self._read("image", read, box, self._file.block_shapes[0])
        if scene.stretch is None:
            return raster
        low, high = np.array(scene.stretch, "float32").T
        values = np.clip((raster.values.astype("float32") - low) / (high - low), 0, 1)
        return Raster(values, raster.valid, raster.crs, raster.transform)

    def dem(self, box) -> Raster | None:
        """Elevation in metres (h, w, 1), or None where the scene has no DEM."""
        return self._read("dem", self._dem, box, (256, 256)) if self._dem else None

    def _read(self, kind, read, box, piece_shape) -> Raster:
        top, left, bottom, right = box
        height, width = self.scene.size
        inside = (top, left, min(bottom, height), min(right, width))
        try:
            raster = read(_window(inside))
        except (InputError, RasterioError) as error:
            if not self.scene.skip_bad:
                raise JobError(
                    f"{error} (rows {top} to {inside[2]}, columns {left} to {inside[3]}); what is "
                    "done is kept: continue with --resume, or with --resume --skip-bad to leave "
                    "this as no data"
                ) from None
            raster = self._read_pieces(kind, read, inside, piece_shape)
        missing = ((0, bottom - inside[2]), (0, right - inside[3]))
        if not np.any(missing):
            return raster
        values = np.pad(raster.values, (*missing, (0, 0)))
        return Raster(values, np.pad(raster.valid, missing), raster.crs, raster.transform)

    def _read_pieces(self, kind, read, box, shape) -> Raster:
        """The box put together from pieces of the file's own blocks, without those damaged."""
        top, left, bottom, right = box
        values, valid = None, np.zeros((bottom - top, right - left), bool)
        for y0, y1 in _cuts(top, bottom, shape[0]):
            for x0, x1 in _cuts(left, right, shape[1]):
                try:
                    piece = read(_window((y0, x0, y1, x1)))
                except (InputError, RasterioError):
                    self.bad.append((kind, y0, x0, y1, x1))
                    continue
                if values is None:
                    values = np.zeros((*valid.shape, piece.values.shape[-1]), piece.values.dtype)
                where = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
                values[where], valid[where] = piece.values, piece.valid
        if values is None:
            values = np.zeros((*valid.shape, 1 if kind == "dem" else 3), "uint8")
        transform = window_transform(_window(box), self.grid.transform)
        return Raster(values, valid, self.grid.crs, transform)


def thumbnail(scene: Scene):
    """The image thinned out to at most 1200 pixels a side: values (h, w, 3), valid, and the step.

    One pixel in `step` x `step` is kept. Damaged parts are no data.

    Raises:
        InputError: nothing of the image can be read.
    """
    height, width = scene.size
    step = -(-max(scene.size) // THUMBNAIL_PX)
    reader = Reader(dataclasses.replace(scene, dem=None, stretch=None, skip_bad=True))
    rows = max(1, 512 // step) * step  # of a part: memory stays flat

    def thin(top, left):
        box = (top, left, min(top + rows, height), min(left + 16 * rows, width))
        part = reader.image(box)
        return part.values[::step, ::step].copy(), part.valid[::step, ::step].copy()

    grid = [
        [thin(top, left) for left in range(0, width, 16 * rows)] for top in range(0, height, rows)
    ]
    values, valid = (
        np.concatenate([np.concatenate([part[i] for part in row], axis=1) for row in grid])
        for i in (0, 1)
    )
    if reader.bad and not valid.any():
        raise InputError(f"{scene.image}: cannot be read; restore the file")
    return values, valid, step


def limits(values, valid) -> np.ndarray:
    """2nd and 98th percentile of each band (h, w, C) over the pixels with data: (2, C)."""
    shown = values[valid] if valid.any() else values.reshape(-1, values.shape[-1])
    return np.percentile(shown.astype("float64"), PERCENTILES, axis=0)


def stretched(values, valid) -> np.ndarray:
    """Bands (h, w, C) between their `limits` as uint8 for the eye; 0 without data.

    >>> stretched(np.arange(101.0).reshape(1, 101, 1), np.ones((1, 101), bool))[0, ::50, 0].tolist()
    [0, 128, 255]
    """
    low, high = limits(values, valid)
    share = (values.astype("float64") - low) / np.maximum(high - low, 1e-9)
    share = np.clip(np.nan_to_num(share), 0, 1) * valid[..., None]
    return np.round(255 * share).astype("uint8")


def _window(box) -> Window:
    top, left, bottom, right = box
    return Window(left, top, right - left, bottom - top)


def _cuts(start, end, step):
    """From `start` to `end`, cut at the multiples of `step`: 3 to 4, 4 to 8, 8 to 11."""
    return itertools.pairwise([start, *range((start // step + 1) * step, end, step), end])
