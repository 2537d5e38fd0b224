"""Outlines of pixels made into outlines of a map: holes filled, staircases smoothed."""

from __future__ import annotations

import numpy as np
import shapely

SMALLEST_PX = 9  # a landslide of fewer pixels cannot be told from noise
SMALLEST_M2 = 100.0
CUT_PX = 0.5  # taken off each side of a corner: a staircase of single pixels becomes straight
SIMPLIFY_PX = 0.25  # with CUT_PX and SHIFT_PX, neighbours that touch at a corner cannot overlap
SHIFT_PX = 0.1  # the outline moves by at most this to keep the area
AREA_KEPT = 0.02


def default_min_area_m2(pixel_m2: float) -> float:
    """The minimum mapping unit where none is asked for: nine pixels, and at least 100 m2.

    Nine pixels are three by three, below which a shape says nothing. At 0.5 m that would be
    2 m2, which is texture of the image: inventories from images hold few landslides under 100 m2.

    >>> default_min_area_m2(0.25), default_min_area_m2(100.0)
    (100.0, 900.0)
    """
    return max(SMALLEST_PX * pixel_m2, SMALLEST_M2)


def fill_holes(shape, smallest: float):
    """A polygon without its holes smaller than `smallest`, an area, and how many were filled.

    Areas are in squared units of the coordinates: in pixels for a shape in pixels.

    >>> ring = shapely.box(0, 0, 9, 9) - shapely.box(1, 1, 2, 2) - shapely.box(4, 4, 8, 8)
    >>> filled, count = fill_holes(ring, 2)
    >>> filled.area, count
    (65.0, 1)
    """
    kept = [hole for hole in shape.interiors if shapely.Polygon(hole).area >= smallest]
    return shapely.Polygon(shape.exterior, kept), len(shape.interiors) - len(kept)


def smooth(shape):
    """An outline of pixels, in pixel coordinates, without its staircases and with the same area.

    Corners are cut and small jogs straightened. Then the outline moves by at most a tenth of a
    pixel to restore the area of the pixels. No point moves by more than 0.7 pixels, and outlines of
    pixels that touch only at corners do not overlap. A shape that is too thin to stay in one piece
    with its area, to within 2 %, is returned as it is.

    >>> stairs = shapely.union_all([shapely.box(i, i, 10, i + 1) for i in range(10)])
    >>> smoothed = smooth(stairs)
    >>> len(stairs.exterior.coords), len(smoothed.exterior.coords), round(smoothed.area, 1)
    (32, 7, 55.0)
    """
    result = shapely.simplify(_cut_corners(shapely.simplify(shape, 0)), SIMPLIFY_PX)
    for limit in (0.8 * SHIFT_PX, 0.2 * SHIFT_PX):  # the second corrects the first
        shift = (shape.area - result.area) / max(result.length, 1e-9)
        result = shapely.buffer(result, np.clip(shift, -limit, limit), join_style="mitre")
    whole = result.geom_type == "Polygon" and result.is_valid
    return result if whole and abs(result.area / shape.area - 1) <= AREA_KEPT else shape


def _cut_corners(shape):
    """Each corner replaced by two points on its sides, half a pixel away at most."""
    holes = [_cut_ring(hole) for hole in shape.interiors]
    return shapely.union_all([shapely.Polygon(_cut_ring(shape.exterior), holes)])


def _cut_ring(ring):
    points = shapely.get_coordinates(ring)[:-1]
    to_next = np.roll(points, -1, axis=0) - points
    length = np.hypot(*to_next.T)[:, None]
    step = to_next / length * np.minimum(CUT_PX, length / 2)
    # the point before a corner lies on the side that ends there
    return np.stack([points - np.roll(step, 1, axis=0), points + step], axis=1).reshape(-1, 2)
