"""A scene and its DEM, checked before the work: bands, grids, windows, and the scale of values."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from landslide_tf.checks import InputError, naming
from landslide_tf.data.ground import Ground
from landslide_tf.data.opening import not_a_file, open_raster, reading
from landslide_tf.data.raster import nodata_values
from landslide_tf.data.tags import colour_table, data_bands
from landslide_tf.data.tile_rules import other_bands
from landslide_tf.geo.overlay import Grid, open_dem
from landslide_tf.geo.reader import Scene, limits, thumbnail
from landslide_tf.geo.settings import SceneOptions
from landslide_tf.geo.windows import BLOCK_PX, Layout
from landslide_tf.inputs import InputSpec

SMALLEST_WINDOW_PX, MAX_WINDOW_PX = 4, 8192  # pixels of the scene


def open_scene(
    image, dem, spec: InputSpec, options: SceneOptions | None = None, *, sees_locally: bool = False
) -> Scene:
    """Check a scene and its DEM against the `InputSpec` of a run; returns the `Scene` to read.

    Args:
        image: GeoTIFF, or what else rasterio reads, with CRS and transform.
        dem: elevation in metres on any grid and CRS; None for a model of RGB alone.
        options: how the scene is read, and its windows; see the fields of `SceneOptions`.
        sees_locally: whether the model may run in windows of another size than it was trained on.

    Raises:
        InputError: one line with the file or option and the repair.

    Example:
        >>> from landslide_tf.inputs import InputSpec
        >>> spec = InputSpec(tile_px=32)
        >>> open_scene("scene.tif", "dem.tif", spec).layout.window  # pixels of 2 m
        (32, 32)
        >>> half = SceneOptions(resolution_m=1.0)
        >>> open_scene("scene.tif", "dem.tif", spec, half).layout.window
        (16, 16)
        >>> open_scene("scene.tif", None, spec)
        Traceback (most recent call last):
        landslide_tf.checks.InputError: this model reads elevation; give --dem
    """
    for path in filter(None, (image, dem)):
        wrong = not_a_file(path)
        if wrong:
            raise InputError(f"{path}: {wrong[0]}; {wrong[1]}")
    if spec.uses_dem and dem is None:
        raise InputError("this model reads elevation; give --dem")
    options = options or SceneOptions()
    if options.resolution_m is not None and not 0 < options.resolution_m < math.inf:
        raise InputError(f"--resolution-m must be above 0. Received: {options.resolution_m}")
    several = nodata_values(spec.nodata if options.nodata is None else options.nodata)
    nodata = list(several) if len(several) > 1 else several[0] if several else None
    with open_raster(image) as file, reading(image):
        grid = Grid(file)
        numbers = _band_numbers(file, options.bands) if options.bands else spec.bands
        _check_bands(file, numbers)
        size = (file.height, file.width)
        with naming(image):
            pixel = Ground(grid.crs, grid.transform, size).pixel_size_m()
    if dem is not None:
        open_dem(dem, grid)
    side = options.window_px or spec.tile_px
    if options.window_px is not None:
        _check_window(spec, options.window_px, sees_locally)
    elif sees_locally:
        coarser = [(options.resolution_m or metres) / metres for metres in pixel]
        side = default_window_px(spec.tile_px, size, coarser)
    overlap = spec.tile_px // 2 if options.overlap is None else options.overlap
    if not 0 <= overlap < side:
        raise InputError(
            f"--overlap must be at least 0 and below the window of {side}. Received: {overlap}"
        )
    window = _window_px(side, pixel, options.resolution_m)
    shared = (round(overlap * px / side) for px in window)
    shared = tuple(min(s, px - 1) for s, px in zip(shared, window, strict=True))
    scene = Scene(
        image=str(image),
        dem=None if dem is None else str(dem),
        dem_in_model=spec.uses_dem,
        bands=numbers,
        nodata=nodata,
        stretch=None,
        skip_bad=options.skip_bad,
        resolution_m=pixel,
        window_px=side,
        layout=Layout(size, window, shared),
    )
    return _with_stretch(scene, options.scale)


def default_window_px(tile_px: int, size, scale=(1.0, 1.0)) -> int:
    """Side of a window, in pixels of the model, for a model that sees only nearby pixels.

    It is three times `tile_px`, but at most 512 and at most about 1024 pixels of the scene. It is
    `tile_px` where the longer side of the scene has less than four tiles. `size` is (height, width)
    of the scene, `scale` the number of its pixels in a pixel of the model along y and x.

    With an overlap of half a tile of 128, windows of 384 compute each pixel (384 / 320)^2 = 1.4
    times, windows of 128 compute it 4 times.

    >>> default_window_px(128, (3000, 4000)), default_window_px(128, (300, 400))
    (384, 128)
    """
    needed = max(n / s for n, s in zip(size, scale, strict=True))
    if needed < 4 * tile_px:
        return tile_px
    most = min(3 * tile_px, 512, BLOCK_PX / max(scale))
    return max(tile_px, int(most // 16) * 16)


def _check_window(spec: InputSpec, window_px: int, sees_locally: bool) -> None:
    if window_px == spec.tile_px:
        return
    if not sees_locally:
        raise InputError(
            f"--window-px {window_px}: this model looks at all of a window (its attention, or "
            f"elevation scaled in each window), so it needs those it was trained on, "
            f"{spec.tile_px}; leave --window-px out"
        )
    if window_px < 16 or window_px % 16:
        raise InputError(f"--window-px must be a multiple of 16. Received: {window_px}")


def _check_bands(file, numbers) -> None:
    count = len(data_bands(file)) if colour_table(file) is None else 3
    if numbers is None and count != 3:
        raise other_bands(file.name, count)
    most = max(count, file.count)  # an alpha band that is named is a band like the others
    if numbers is not None and max(numbers) > most:
        raise InputError(
            f"{file.name}: has {most} bands, band {max(numbers)} is asked for; give --bands"
        )


def _band_numbers(file, text) -> tuple[int, ...]:
    names = [name.strip() for name in text.split(",")]
    known = [(description or "").lower() for description in file.descriptions]
    most = file.count if colour_table(file) is None else 3
    numbers = []
    for name in names:
        if name.isdigit() and 1 <= int(name) <= most:
            numbers.append(int(name))
        elif known.count(name.lower()) == 1:
            numbers.append(known.index(name.lower()) + 1)
        else:
            shown = ", ".join(f"{i} {d or ''}".strip() for i, d in enumerate(file.descriptions, 1))
            raise InputError(f"{file.name}: --bands {name!r} is none of its bands: {shown}")
    if len(numbers) != 3:
        raise InputError(f"--bands must name three bands: red,green,blue. Received: {text!r}")
    return tuple(numbers)


def _window_px(tile_px, pixel, resolution_m) -> tuple[int, int]:
    if resolution_m is None:
        return tile_px, tile_px
    window = tuple(round(tile_px * resolution_m / metres) for metres in pixel)
    if min(window) < SMALLEST_WINDOW_PX or max(window) > MAX_WINDOW_PX:
        raise InputError(
            f"--resolution-m {resolution_m:g} makes windows of {window[0]} x {window[1]} pixels "
            f"of {pixel[0]:.3g} x {pixel[1]:.3g} m; resample the image nearer to it (gdalwarp -tr)"
        )
    return window


def _with_stretch(scene: Scene, scale: str) -> Scene:
    if scale == "run":
        return scene
    if scale == "percentile":
        values, valid, _ = thumbnail(scene)
        if not valid.any():
            raise InputError(f"{scene.image}: no pixel of its overview has data; give --scale L,H")
        ends = limits(values, valid).T
        ends = tuple((float(low), float(max(high, low + 1e-6))) for low, high in ends)
    else:
        try:
            low, high = (float(number) for number in scale.split(","))
        except ValueError:
            low = high = np.nan
        if not low < high:
            raise InputError(
                f"--scale must be run, percentile, or two numbers LOW,HIGH. Received: {scale!r}"
            )
        ends = ((low, high),) * 3
    return dataclasses.replace(scene, stretch=ends)
