"""Whether values can be what they are taken for: elevations, brightness, labels.

The functions look at one tile, or at a sample of a scene, and return short warnings without the
path. Each says what is odd and which option mends it. A caller puts the file's name in front.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np

from landslide_tf.data.raster import Raster

LOWEST_M, HIGHEST_M = -11_000.0, 9_000.0  # the deepest sea floor, the highest summit, rounded
JUMP_M = 50.0  # a lowest or highest value further than this from all others is suspicious
# Values that software often writes for missing data.
MARKS = (0, 9999, -999, -9999, -99999, -32768, -32767, 32767, 65535)
MAX_MARKS = 3  # at most this many such values are reported
STEEP_OVER_M = 10.0  # slopes are measured over about this distance
LEAST_RISES = 1000  # fewest slopes to judge by: a few at the rim of a survey may be artefacts
# Half of a scene is never steeper than the first, half of a tile (a cliff, say) than the second.
STEEP_DEG, STEEP_TILE_DEG = 70.0, 80.0
PICTURE = 230  # a hillshade in 8 bits: level ground has 180, 20 degrees towards the sun have 230
MOST_LANDSLIDE, LEAST_MASKS = 0.6, 10  # largest plausible share; fewest masks to judge by
DARK_8_BIT, DARK = 0.05, 0.25  # share of full scale that hardly any pixel of a dark image reaches


def tile_warnings(image: Raster, dem: Raster | None, mask: Raster | None) -> list[str]:
    """What is odd about one tile, or about a sample of a scene, a line each; [] where all is well.

    For each raster, the notes on what its tags did to the values (a scale, feet) come first.

    Only valid pixels are looked at. `image.scale` is the value of full brightness; None takes the
    highest value of the dtype, 65535 for a 16-bit image. The mask may have the numbers of its file
    or the labels 0 and 1.

    >>> def raster(values):
    ...     values = np.atleast_3d(values)
    ...     return Raster(values, np.ones(values.shape[:2], bool))
    >>> image = raster(np.linspace(1, 3000, 192).reshape(8, 8, 3).astype("uint16"))
    >>> dem, mask = raster(np.arange(64.0).reshape(8, 8)), raster(np.eye(8, dtype="uint8"))
    >>> dem.values[0, 0] = -32768
    >>> for line in tile_warnings(image, dem, mask):
    ...     print(line)
    the image reaches less than 25% of full scale: ...; give --rgb-scale, ...
    the DEM holds the value -32768, which is no elevation here: ... give --nodata=-32768
    """
    lines = [*image.notes, *image_warnings(image)]
    if dem is not None:
        lines += [*dem.notes, *dem_warnings(dem), *steep_warnings(slopes(dem), STEEP_TILE_DEG)]
    if mask is not None:
        lines += mask_warnings(mask)
    return lines


def without_numbers(line: str) -> str:
    """A warning with # for each number: the same for warnings that differ in numbers alone.

    >>> without_numbers("the value -32768 comes 1,024 times")
    'the value # comes # times'
    """
    return re.sub(r"-?\d[\d.,]*", "#", line)


def group_warnings(found: Mapping[str, Iterable[str]]) -> list[str]:
    """The warnings of many tiles, by tile name: one line for those that differ in numbers alone.

    >>> for line in group_warnings({"a": ["it is 1 m"], "b": ["it is 2 m"], "c": ["odd"]}):
    ...     print(line)
    2 of 3 tiles (a, b): it is 1 m
    1 of 3 tiles (c): odd
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, lines in found.items():
        for line in lines:
            groups.setdefault(without_numbers(line), []).append((name, line))
    return [
        f"{len(same)} of {len(found)} tiles ({', '.join(name for name, _ in same[:3])}"
        f"{', …' if len(same) > 3 else ''}): {same[0][1]}"
        for same in groups.values()
    ]


def image_warnings(image: Raster) -> list[str]:
    """Warnings about an image: far too dark for its range, or of one colour everywhere."""
    values = image.known()
    if len(values) < 2:
        return []
    lines = one_colour(image)
    wide = image.scale is None and values.dtype.kind in "iu" and values.dtype.itemsize > 1
    full = image.scale or (np.iinfo(values.dtype).max if values.dtype.kind in "iu" else 1.0)
    least = DARK if wide else DARK_8_BIT
    if np.count_nonzero(values >= least * full) <= 0.02 * values.size:
        lines.append(
            f"the image reaches less than {least:.0%} of full scale: the model sees it black; give "
            "--rgb-scale, the value that becomes 1 (3000 suits reflectance x 10000; 'map' has "
            "--scale percentile)"
        )
    return lines


def one_colour(image: Raster) -> list[str]:
    """The warning about an image that is of one colour everywhere.

    >>> one_colour(Raster(np.full((4, 4, 3), 200, "uint8"), np.ones((4, 4), bool)))
    ['the image has one colour everywhere; look at the file, or leave it out']
    """
    values = image.known()
    if len(values) < 2 or (values[-1] != values[0]).any() or (values != values[0]).any():
        return []
    return ["the image has one colour everywhere; look at the file, or leave it out"]


def dem_warnings(dem: Raster) -> list[str]:
    """Warnings about a DEM: no relief, impossible elevations, undeclared no data, or a hillshade.

    >>> dem = np.add.outer(np.arange(8.0), np.arange(1500.0, 1508.0))
    >>> dem[2:4, 2:4] = 0  # voids filled with 0, 1500 m below the ground around them
    >>> dem_warnings(Raster(dem[..., None], np.ones((8, 8), bool)))
    ['the DEM holds the value 0, which is no elevation here: ... give --nodata=0']
    """
    heights = dem.known()[:, 0]
    picture = heights.dtype == np.uint8
    heights = heights.astype("float64")
    heights = heights[np.isfinite(heights)]
    if len(heights) < 2:
        return []
    if heights.min() == heights.max():
        return [
            f"the DEM is {heights[0]:g} everywhere: it tells the model nothing; look at the file, "
            "or use --fusion rgb"
        ]
    marks, lines = [], []
    while len(marks) < MAX_MARKS and (mark := _mark(heights)) is not None:
        marks.append(mark)
        heights = heights[heights != mark]
    if marks:
        shown = [f"{mark:.10g}" for mark in marks]
        one = len(marks) == 1
        lines.append(
            f"the DEM holds the {'value' if one else 'values'} {' and '.join(shown)}, "
            f"{'which is no elevation' if one else 'which are no elevations'} here: missing data, "
            f"it seems, that the file does not declare; give --nodata={','.join(shown)}"
        )
    low, high = heights.min(), heights.max()
    if picture and high >= PICTURE:
        lines.append(
            f"the DEM has 8 bits and goes from {low:g} to {high:g}, as pictures do: a hillshade, "
            "or elevations stretched for the eye, not metres; give the DEM that it was made of"
        )
    if low < LOWEST_M or high > HIGHEST_M:
        lines.append(
            f"the DEM goes from {low:.6g} to {high:.6g}, where the Earth has {LOWEST_M:g} to "
            f"{HIGHEST_M:g} m: its unit is not metres, or missing data was mixed in by resampling; "
            "convert it (gdal_calc), or mark its missing data before resampling"
        )
    return lines


def slopes(dem: Raster) -> np.ndarray:
    """Slopes of a DEM as rise over run, (N,) float64: all, or a sample of at most 131,072.

    They are measured over about 10 m, or over one pixel where pixels are larger. Empty where the
    size of a pixel is not known.

    >>> from rasterio.crs import CRS
    >>> from rasterio.transform import from_origin
    >>> z = np.add.outer(np.zeros(8), 3.0 * np.arange(8))[..., None]  # pixels of 2 m
    >>> place = {"crs": CRS.from_epsg(32647), "transform": from_origin(470000, 3445000, 2, 2)}
    >>> set(slopes(Raster(z, np.ones((8, 8), bool), **place)).tolist())
    {1.5}
    """
    metres = dem.resolution_m()
    if metres is None:
        return np.empty(0)
    down, across = (max(1, round(STEEP_OVER_M / side)) for side in metres)
    z, valid = dem.values[..., 0].astype("float64"), dem.valid
    if z.shape[0] <= down or z.shape[1] <= across:
        return np.empty(0)
    here, below, beside = np.s_[:-down, :-across], np.s_[down:, :-across], np.s_[:-down, across:]
    known = valid[here] & valid[below] & valid[beside]
    rise = [
        (z[there][known] - z[here][known]) / (step * side)
        for there, step, side in ((below, down, metres[0]), (beside, across, metres[1]))
    ]
    return np.hypot(*rise)[:: max(1, known.sum() // 2**16)]


def steep_warnings(rises, most: float = STEEP_DEG) -> list[str]:
    """The warning where half of a DEM is steeper than `most` degrees; see `slopes`.

    >>> steep_warnings(np.full(2000, 0.6))  # 31 degrees
    []
    """
    steep = np.degrees(np.arctan(np.median(rises))) if len(rises) >= LEAST_RISES else 0
    if steep <= most:
        return []
    return [
        f"half of the DEM is steeper than {steep:.0f} degrees: its unit is not metres, or its "
        "pixels are larger than its georeference says; convert it (gdal_calc), or correct the unit "
        "(gdal_edit -units dm)"
    ]


def share_warnings(landslide: int, known: int) -> list[str]:
    """The warning where most of the pixels of a scene's mask, or of many tiles', are landslide.

    >>> share_warnings(landslide=20, known=100)
    []
    """
    if landslide <= MOST_LANDSLIDE * known:
        return []
    return [
        f"landslides cover {landslide / known:.0%} of the mask: landslide and background are "
        "exchanged, or the outline of the whole area is among the polygons; look at it in a GIS"
    ]


def _mark(heights) -> float | None:
    """The lowest or highest value, if it stands alone far from all others, or None."""
    ends = heights.min(), heights.max()
    for value in sorted(ends, key=lambda end: LOWEST_M <= end <= HIGHEST_M):
        rest = heights[heights != value]
        if len(rest) == 0:
            continue
        low, high = rest.min(), rest.max()
        gap = low - value if value < low else value - high
        known = value in MARKS or not LOWEST_M <= value <= HIGHEST_M
        spread = 0 if value in MARKS else high - low
        # a single pixel may be a mast, and two values alone may be two levels
        alone = known or (len(heights) - len(rest) > 1 and low < high)
        if gap > JUMP_M and gap > spread and alone:
            return float(value)
    return None


def mask_warnings(mask: Raster) -> list[str]:
    """Warnings about a mask that says the same everywhere."""
    labels = mask.known()[:, 0] != 0
    if not len(labels):
        return ["the mask says nothing: all of it is no data; look at its nodata tag"]
    if labels.all():
        return [
            "the mask is landslide everywhere: background is lost or inverted, unless the tile is "
            "that small; look at the mask, and at what its file calls no data"
        ]
    if not labels.any():
        return [
            "the mask has no landslide: right if the tile has none; else it was drawn on other "
            "ground"
        ]
    return []
