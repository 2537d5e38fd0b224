"""A scene and its landslide polygons, cut into tiles in Bijie's layout."""

from __future__ import annotations

import functools
import os
import re
import shutil
from pathlib import Path

import numpy as np
from rasterio.windows import Window

from landslide_tf.checks import InputError
from landslide_tf.console import progress_bar, warn
from landslide_tf.data.alignment import SCENE_TILE_PX
from landslide_tf.data.opening import open_raster, reading
from landslide_tf.data.raster import Raster, nodata_values, read_window, write_geotiff
from landslide_tf.data.tags import colour_table, scale_and_offset, white_is_zero
from landslide_tf.data.tile_rules import check_image
from landslide_tf.files import SCRATCH, check_outputs
from landslide_tf.geo.oddities import dem_oddities, image_oddities, reference_oddities
from landslide_tf.geo.overlay import Grid, open_dem, open_labels
from landslide_tf.geo.settings import CutOptions

MASK_NODATA = 255


def cut_scene(
    image, polygons, out, options: CutOptions | None = None, *, dem=None, overwrite: bool = False
) -> dict[str, int]:
    """Write the tiles of a scene to `out`; returns how many, by what became of them.

    The scene is read window by window. Tiles are GeoTIFFs on its own pixels, called
    NAME_ROW_COL after their upper left pixel; those at the rim are filled up with no data.
    `landslide/{image,dem,mask}` holds the tiles with landslides, `non-landslide/{image,dem}`
    those without.

    Args:
        image: scene with georeference, of three bands or those chosen by `bands`.
        polygons: landslides, a vector file in any CRS (all polygons of it), or a mask raster of
            0 and 1 or 255 on any grid.
        out: folder; other scenes' tiles in it are kept.
        options: see the fields of `CutOptions`.
        dem: elevation on any grid, brought onto the scene's by bilinear interpolation.
        overwrite: replace tiles of that name in `out`.

    Returns:
        'landslide', 'non_landslide', 'no_data' (left out), 'few_landslide_px' (left out), and
        the pixels of the tiles written: 'landslide_px', 'valid_px'.

    Raises:
        InputError: files that cannot be read or do not fit each other, no landslide in the
            scene, tiles of that name in `out`.

    >>> options = CutOptions(tile_px=32)
    >>> counts = cut_scene("scene.tif", "landslides.geojson", "cut", options, dem="dem.tif")
    >>> counts["landslide"], counts["non_landslide"], counts["landslide_px"]  # two of 8 x 8 pixels
    (3, 3, 128)
    """
    options, out = options or CutOptions(), Path(out)
    tile_px, min_valid, nodata = options.tile_px, options.min_valid, options.nodata
    name = Path(image).stem if options.name is None else options.name
    if not re.fullmatch(r"[\w-][\w.-]*", name):
        raise InputError(f"--name must be letters, digits, '_' and '-'. Received: {name!r}")
    old = _tiles_called(out, name)
    check_outputs(old, (image, polygons, dem))
    if old and not overwrite:
        raise InputError(f"{old[0]}: exists; give --overwrite to replace it, or another --name")
    scratch = out.absolute().with_name(f"{SCRATCH}{os.getpid()}-{out.absolute().name}")
    try:
        with open_raster(image) as scene:
            with reading(image):
                grid = Grid(scene)
            if scene.height * scene.width < min_valid * tile_px**2:
                raise InputError(
                    f"{image}: {scene.height} x {scene.width} pixels fill less than "
                    f"{min_valid:.0%} of a tile of {tile_px} x {tile_px}; give a smaller "
                    "--tile-px, or lower --min-valid"
                )
            corner = Window(0, 0, min(scene.width, 8), min(scene.height, 8))
            sample = read_window(scene, corner, bands=options.bands)
            check_image(sample, image)
            readers = (
                functools.partial(read_window, scene, nodata=nodata, bands=options.bands),
                open_labels(polygons, grid, options.all_touched),
                open_dem(dem, grid, nodata) if dem else None,
            )
            odd = image_oddities(image, nodata=nodata, bands=options.bands)
            odd += dem_oddities(dem, grid, nodata=nodata) if dem else []
            side = min(tile_px, SCENE_TILE_PX)
            odd += reference_oddities(
                polygons, image, readers[1], nodata=nodata, bands=options.bands, tile_px=side
            )
            warn(odd)
            write = functools.partial(_write, tile_px=tile_px, fill=_fill(scene, nodata, sample))
            windows = _windows(scene, name, tile_px, options.overlap)
            counts = _cut(windows, readers, options, scratch, write)
        if not counts["landslide"]:
            raise InputError(
                f"{polygons}: no tile of {image} has {options.min_landslide_px} landslide pixels "
                f"and {min_valid:.0%} of data; look at both in a GIS, or lower --min-valid"
            )
        for path in _tiles_called(out, name):
            path.unlink()
        for path in sorted(scratch.rglob("*.tif")):
            target = out / path.relative_to(scratch)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return counts


def tile_starts(size: int, tile_px: int, overlap: int = 0) -> list[int]:
    """First pixels of the tiles along an axis of `size`; the last may reach beyond it.

    >>> tile_starts(256, 128), tile_starts(257, 128), tile_starts(100, 128)
    ([0, 128], [0, 128, 256], [0])
    >>> tile_starts(256, 128, 64)
    [0, 64, 128]
    """
    return list(range(0, max(1, size - overlap), tile_px - overlap))


def _tiles_called(out: Path, name: str) -> list[Path]:
    pattern = re.compile(re.escape(name) + r"_\d+_\d+\.tif")
    return sorted(
        path
        for part in ("landslide", "non-landslide")
        for path in (out / part).glob("*/*.tif")
        if pattern.fullmatch(path.name)
    )


def _windows(scene, name, tile_px, overlap) -> list[tuple[str, Window]]:
    """File names of the tiles, and their windows within the scene."""
    digits = max(4, len(str(max(scene.height, scene.width))))
    whole = Window(0, 0, scene.width, scene.height)
    return [
        (
            f"{name}_{row:0{digits}d}_{column:0{digits}d}.tif",
            Window(column, row, tile_px, tile_px).intersection(whole),
        )
        for row in tile_starts(scene.height, tile_px, overlap)
        for column in tile_starts(scene.width, tile_px, overlap)
    ]


def _cut(windows, readers, options: CutOptions, folder, write) -> dict[str, int]:
    """Read, judge and write tile after tile; the counts that `cut_scene` returns.

    `readers` of image, labels and DEM (or None) take a window.
    """
    read_image, read_mask, read_dem = readers
    least_px = options.min_valid * options.tile_px**2
    counts = dict.fromkeys(
        ("landslide", "non_landslide", "no_data", "few_landslide_px", "landslide_px", "valid_px"), 0
    )
    for tile, window in progress_bar(windows, "cutting", unit="tile"):
        image = read_image(window)
        if image.valid.sum() < least_px:  # before the work on the others
            counts["no_data"] += 1
            continue
        mask = read_mask(window)
        dem = read_dem(window) if read_dem else None
        known = image.valid & mask.valid
        landslide = int((mask.values[..., 0] > 0)[known].sum())
        whole = known if dem is None else known & dem.valid
        if whole.sum() < least_px:
            counts["no_data"] += 1
            continue
        if 0 < landslide < options.min_landslide_px:
            counts["few_landslide_px"] += 1
            continue
        part = "landslide" if landslide else "non-landslide"
        counts[part.replace("-", "_")] += 1
        counts["landslide_px"] += landslide
        counts["valid_px"] += int(known.sum())
        # a tile of non-landslide/ has no mask that could say where it is not known
        image_valid = image.valid if landslide else known
        write(folder / part / "image" / tile, image.values, image_valid, image)
        if dem is not None:
            values = dem.values[..., :1].astype("float32")
            write(folder / part / "dem" / tile, values, dem.valid, image, fill=np.nan)
        if landslide:
            values = (mask.values > 0).astype("uint8")
            write(folder / part / "mask" / tile, values, mask.valid, image, fill=MASK_NODATA)
    return counts


def _fill(scene, nodata, sample: Raster):
    """The value for no data in image tiles, or None if their dtype can hold no such value.

    The scene's nodata tag names a stored value. Where a colour table, a scale or MINISWHITE has
    changed the values, the tag is not used: floats get NaN, other types None.
    """
    dtype = sample.values.dtype
    plain = scale_and_offset(scene, range(1, scene.count + 1)) is None and not white_is_zero(scene)
    if colour_table(scene) is not None or not plain:
        return np.nan if dtype.kind == "f" else None
    for value in (*nodata_values(nodata), scene.nodata):
        if value is not None and (dtype.kind == "f" or _fits(value, dtype)):
            return value
    return None


def _fits(value: float, dtype) -> bool:
    limits = np.iinfo(dtype)
    return np.isfinite(value) and limits.min <= value <= limits.max and value == int(value)


def _write(path: Path, values, valid, like: Raster, tile_px: int, fill) -> None:
    """Write a tile, filled up to `tile_px`; what is not valid gets the value `fill`, or a mask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = np.full((tile_px, tile_px, values.shape[-1]), 0 if fill is None else fill, values.dtype)
    height, width = valid.shape
    whole[:height, :width][valid] = values[valid]
    if fill is not None:
        write_geotiff(path, whole, like, nodata=fill)
        return
    mask = np.zeros((tile_px, tile_px), bool)
    mask[:height, :width] = valid
    write_geotiff(path, whole, like, valid=None if mask.all() else mask)
