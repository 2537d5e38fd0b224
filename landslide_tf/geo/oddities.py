"""What is odd about a scene and its DEM, found before the work; see `data.plausible`."""

from __future__ import annotations

import contextlib

import numpy as np
from rasterio.windows import Window

from landslide_tf.checks import InputError
from landslide_tf.data.alignment import SCENE_TILE_PX, scene_alignment_warnings
from landslide_tf.data.crs import horizontal
from landslide_tf.data.opening import open_raster
from landslide_tf.data.plausible import (
    MAX_MARKS,
    dem_warnings,
    image_warnings,
    share_warnings,
    slopes,
    steep_warnings,
)
from landslide_tf.data.raster import Raster, read_window
from landslide_tf.data.tile_rules import check_dem
from landslide_tf.geo.overlay import Grid, moved_bounds, sorted_bounds
from landslide_tf.geo.vector import attribute_warnings

KEPT_PX = 1200  # of the longer side
SAMPLED_ROWS = 64
STRIP_PX = 2**22


def image_oddities(path, *, nodata=None, bands=None) -> list[str]:
    """Warnings about an image, from a sample of its rows and columns."""
    kept, notes = [], ()
    with open_raster(path) as file:
        step = -(-max(file.height, file.width) // KEPT_PX)
        for y in range(0, file.height, step):
            for row in _read(file, Window(0, y, file.width, 1), nodata, bands, "image"):
                kept.append(_thin(row, step))
                notes = row.notes
    return _lines(path, notes, kept, image_warnings)


def dem_oddities(path, grid: Grid, *, nodata=None) -> list[str]:
    """Warnings about the part of a DEM that lies beneath a scene.

    All pixels are read, because few may be missing data. What is judged is a sample of them, and
    the lowest and highest values of each strip.

    Raises:
        InputError: its bands differ, so that none is known to be elevation.
    """
    with open_raster(path) as file:
        left, top, width, height = (int(n) for n in window_beneath(file, grid).flatten())
        step, rows = -(-max(width, height) // KEPT_PX), max(1, STRIP_PX // width)
        kept, rises, notes = [], [], ()
        for y in range(top, top + height, rows):
            window = Window(left, y, width, min(rows, top + height - y))
            for strip in _read(file, window, nodata, None, "dem"):
                check_dem(strip, path)
                notes = strip.notes
                kept += [_thin(strip, step), _ends(strip)]
                rises.append(slopes(strip)[:: -(-height // rows)])  # memory stays flat
    steep = steep_warnings(np.concatenate(rises)) if rises else []
    return [*_lines(path, notes, kept, dem_warnings), *(f"{path}: {line}" for line in steep)]


def reference_oddities(
    path, image, labels, *, nodata=None, bands=None, tile_px: int = SCENE_TILE_PX
) -> list[str]:
    """Warnings about a reference and its image, a line each; [] where all is well.

    The reference may look shifted or turned against the image, or be mostly landslide. Its polygons
    may be too small for the image's pixels, or an attribute may call them something else than
    landslides.

    `path` is the reference's file, `labels` what `open_labels` returns for it. `tile_px` is the
    side of the tiles in which reference and image are compared.

    >>> from landslide_tf.geo.overlay import open_labels
    >>> with open_raster("scene.tif") as scene:
    ...     labels = open_labels("landslides.geojson", Grid(scene))
    >>> reference_oddities("landslides.geojson", "scene.tif", labels)
    []
    """

    def window(box):
        return Window(box[1], box[0], box[3] - box[1], box[2] - box[0])

    with open_raster(image) as file:
        step = -(-file.height // SAMPLED_ROWS)
        rows = [labels(Window(0, y, file.width, 1)) for y in range(0, file.height, step)]
        lines = share_warnings(
            sum(int(row.values[..., 0][row.valid].sum()) for row in rows),
            sum(int(row.valid.sum()) for row in rows),
        )
        lines += scene_alignment_warnings(
            (file.height, file.width),
            lambda box: next(iter(_read(file, window(box), nodata, bands, "image")), None),
            lambda box: labels(window(box)),
            tile_px,
        )
    unseen = getattr(labels, "unseen", None)  # of polygons, not of a mask
    if unseen is not None:
        lines += attribute_warnings(path)
    if unseen:
        lines.append(
            f"polygons too small or narrow to hold a pixel's centre: {unseen}; they count as "
            "background; draw them larger ('landslide data tiles --all-touched' counts them)"
        )
    return [f"{path}: {line}" for line in lines]


def _read(file, window, nodata, bands, kind) -> list[Raster]:
    """A part of a file in a list; an empty one where it is damaged, which mapping will report."""
    with contextlib.suppress(InputError):
        return [read_window(file, window, nodata=nodata, bands=bands, kind=kind)]
    return []


def _thin(raster: Raster, step: int) -> np.ndarray:
    """Some of the pixels with data, (N, C)."""
    return raster.values[::step, ::step][raster.valid[::step, ::step]]


def _ends(dem: Raster) -> np.ndarray:
    """The four lowest and four highest elevations (N, 1), each twice if several pixels have it."""
    known, found = dem.values[..., 0][dem.valid], []
    for extreme in (np.min, np.max):
        left = known
        for _ in range(MAX_MARKS + 1):
            if len(left):
                value, before = extreme(left), len(left)
                left = left[left != value]
                found += [value] * min(2, before - len(left))
    return np.array(found, known.dtype)[:, None]


def _lines(path, notes, pixels, look) -> list[str]:
    if not pixels:
        return []
    bands = min(part.shape[-1] for part in pixels)  # of a DEM the first one is looked at
    values = np.concatenate([part[:, :bands] for part in pixels])[None]
    lines = (*notes, *look(Raster(values, np.ones(values.shape[:2], bool))))
    return [f"{path}: {line}" for line in lines]


def window_beneath(file, grid: Grid) -> Window:
    """The part of an open raster that lies beneath the scene; all of it where that is not known.

    >>> with open_raster("scene.tif") as scene, open_raster("dem.tif") as dem:
    ...     window_beneath(dem, Grid(scene)).flatten()
    (0, 0, 96, 64)
    """
    whole, t, box = Window(0, 0, file.width, file.height), file.transform, grid.outline().bounds
    if not grid.same_crs(file):
        box = moved_bounds(box, grid.crs, file.crs)
    if box is None or t.b or t.d:
        return whole
    west, _, east, _ = sorted_bounds(file.bounds)
    if horizontal(file.crs).is_geographic and not west <= box[0] <= box[2] <= east:
        return whole  # a part of the scene may lie a turn of 360 degrees away
    columns, rows = (
        sorted((side - origin) / size for side in sides)
        for sides, origin, size in ((box[0::2], t.c, t.a), (box[1::2], t.f, t.e))
    )
    # two pixels more, which interpolation reads
    left, top = (max(0, int(first) - 2) for first, _ in (columns, rows))
    right = min(file.width, int(columns[1]) + 3)
    bottom = min(file.height, int(rows[1]) + 3)
    beneath = left < right and top < bottom
    return Window(left, top, right - left, bottom - top) if beneath else whole
