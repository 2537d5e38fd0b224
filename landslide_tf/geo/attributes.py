"""What the table of landslides says of each, where it comes from, and how it is computed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely

from landslide_tf.data.ground import Ground
from landslide_tf.geo.components import Component

# Values and short words of the confidence in the USGS inventory (Belair, Jones, Slaughter and
# Mirus 2022, Landslide Inventories across the United States version 2, doi:10.5066/P9FZUX6N): 1
# possible landslide in the area, 3 likely landslide at or near this location, 5 confident
# consequential landslide, 8 high confidence in extent or nature of landslide. Its class 2, probable
# landslide in the area, is left out, so that four classes are the quarters between threshold and 1.
# In the inventory people have judged; here only the model's mean probability decides.
CONFIDENCE = {1: "possible", 3: "likely", 5: "confident", 8: "high confidence"}
EDGE = ("no", "cut", "sliver")
YES = ("no", "yes")
SLIVER = 1 / 3  # least share of pixels at the edge: a sliver is about three pixels wide
GENTLE_DEG = 5.0  # mean slope below which `low_slope` is yes
AMALGAMATED = 0.5  # ellipticity below which `amalgam` is yes


@dataclass(frozen=True)
class Field:
    """A column: its name (10 characters at most, as shapefiles have), title, unit and source.

    >>> FIELDS[1].name, FIELDS[1].title, FIELDS[1].kind
    ('area_m2', 'Area (m²)', 'float64')
    """

    name: str
    title: str
    source: str
    kind: str = "float64"
    with_dem: bool = False


FIELDS = (
    Field("id", "Number", "Counted from the top of the image to the bottom, roughly", "int32"),
    Field("area_m2", "Area (m²)", "Of the outline, on the ellipsoid"),
    Field("perim_m", "Perimeter (m)", "Of the outline with its holes, on the ellipsoid"),
    Field("axis_m", "Longest axis (m)", "Longer side of the smallest rectangle around it; this is "
          "not the length: many landslides are wider than long (Niculita 2016)"),
    Field("length_m", "Length downslope (m)", "Extent along the mean downslope direction of the "
          "DEM (aspect_deg), on the plane", with_dem=True),
    Field("width_m", "Width (m)", "Extent across the mean downslope direction", with_dem=True),
    Field("height_m", "Height H (m)", "Highest minus lowest elevation within", with_dem=True),
    Field("h_over_l", "H / L", "height_m over length_m: the tangent of the angle from crown to "
          "toe; source and deposit are not told apart", with_dem=True),
    Field("slope_deg", "Mean slope (°)", "Mean over the pixels, of the DEM on the image's pixels",
          with_dem=True),
    Field("aspect_deg", "Aspect (°)", "Direction of the mean gradient downhill, clockwise from "
          "north; empty on level ground", with_dem=True),
    Field("crown_m", "Elevation of crown (m)", "Highest elevation within", with_dem=True),
    Field("toe_m", "Elevation of toe (m)", "Lowest elevation within", with_dem=True),
    Field("prob_mean", "Mean probability", "Of the model, over the pixels above the threshold"),
    Field("prob_max", "Highest probability", "Of the model, over the pixels"),
    Field("confidence", "Confidence (1, 3, 5, 8)", "Class of prob_mean between threshold and 1, "
          "in quarters, with the values of the USGS inventory (Belair and others 2022, "
          "doi:10.5066/P9FZUX6N); it is the model's, nobody has looked", "int32"),
    Field("conf_text", "Confidence", "The same in words: possible, likely, confident, high "
          "confidence", "str"),
    Field("ellipt", "Ellipticity", "Share within the ellipse of equal area whose axes are those of "
          "an ellipse with the convex hull's area and perimeter (Taylor and others 2018)"),
    Field("amalgam", "Likely several", "yes where the ellipticity is below 0.5: likely several "
          "landslides that run together (Taylor and others 2018)", "str"),
    Field("low_slope", "Gentle slope", "yes where the mean slope is below 5 degrees, on which "
          "landslides hardly occur: look for water, fields and roads", "str", True),
    Field("edge", "Edge of the survey", "no; cut: touches no data or the scene's border, the area "
          "is a lower bound; sliver: lies along it, a third of its pixels touch it", "str"),
)  # fmt: skip


def fields(with_dem: bool) -> list[Field]:
    """The columns of a map: without a DEM those of the terrain are absent.

    >>> "slope_deg" in [field.name for field in fields(with_dem=False)]
    False
    """
    return [field for field in FIELDS if with_dem or not field.with_dem]


def confidence(mean: float, threshold: float) -> int:
    """Class of a mean probability above the threshold: 1, 3, 5 or 8.

    >>> [confidence(p, 0.6) for p in (0.6, 0.71, 0.85, 0.9, 1.0)]
    [1, 3, 5, 8, 8]
    """
    quarter = math.floor(4 * (mean - threshold) / (1 - threshold))
    return list(CONFIDENCE)[min(max(quarter, 0), 3)]


def ellipticity(shape) -> float:
    """Share of a polygon that lies within its ellipse (Taylor, Malamud and others 2018).

    The ellipse has the polygon's own area and centroid. Its aspect ratio is that of an ellipse with
    the area and perimeter of the convex hull, and its long axis is parallel to the longer side of
    the hull's minimum rotated rectangle.

    >>> circle = shapely.Point(0, 0).buffer(1, quad_segs=64)
    >>> round(ellipticity(circle), 2), round(ellipticity(shapely.box(0, 0, 2, 1)), 2)
    (1.0, 0.86)
    """
    hull = shapely.convex_hull(shape)
    ratio = float(np.interp(hull.length**2 / (4 * math.pi * hull.area), _ROUNDNESS, _ASPECTS))
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(hull))
    sides = corners[1:3] - corners[:2]
    dx, dy = sides[np.argmax(np.hypot(*sides.T))]
    short = math.sqrt(shape.area / (math.pi * ratio))
    angle = np.linspace(0, 2 * math.pi, 129)[:-1]
    # the polygon of 128 corners gets the area of the ellipse
    short /= math.sqrt(64 * math.sin(math.pi / 64) / math.pi)
    along, across = ratio * short * np.cos(angle), short * np.sin(angle)
    length = math.hypot(dx, dy)
    cos, sin = dx / length, dy / length
    centre = shapely.get_coordinates(shape.centroid)
    ellipse = np.stack([cos * along - sin * across, sin * along + cos * across], axis=1) + centre
    return shapely.intersection(shapely.Polygon(ellipse), shape).area / shape.area


# Long over short axis of ellipses, and perimeter^2 / (4 pi area) of each.
_ASPECTS = np.geomspace(1, 100, 2000)
_H = ((_ASPECTS - 1) / (_ASPECTS + 1)) ** 2
# perimeter by Ramanujan's second formula, with short axis 1
_ROUNDNESS = (math.pi * (_ASPECTS + 1) * (1 + 3 * _H / (10 + np.sqrt(4 - 3 * _H)))) ** 2 / (
    4 * math.pi**2 * _ASPECTS
)


def describe_landslide(component: Component, outline, ground: Ground, threshold: float) -> dict:
    """The attributes of a landslide, all columns but `id`, rounded to their significant digits.

    Args:
        component: with sums of 'probability' and 'edge', and of `terrain_layers` with a DEM.
        outline: smoothed, in pixels.
        threshold: of the map.
    """
    area, perimeter = ground.geodesic(outline)
    flat, scale = ground.plane(outline)
    digits = decimals(scale)
    mean = component.sums["probability"] / component.px
    quality = confidence(mean, threshold)
    round_shape = ellipticity(flat)
    at_edge = component.sums["edge"]
    row = {
        "area_m2": round(area, decimals(scale, 2)),
        "perim_m": round(perimeter, digits),
        "axis_m": round(ground.longest_axis_m(outline), digits),
        "prob_mean": round(mean, 2),
        "prob_max": round(component.highs["probability"], 2),
        "confidence": quality,
        "conf_text": CONFIDENCE[quality],
        "ellipt": round(round_shape, 2),
        "amalgam": YES[round_shape < AMALGAMATED],
        "edge": EDGE[int(at_edge > 0) + int(at_edge >= SLIVER * component.px)],
    }
    if "dem" in component.sums:
        middle = shapely.get_coordinates(shapely.envelope(outline)).mean(axis=0)
        row |= _terrain(component, flat, ground.north(middle), scale)
    return row


def decimals(pixel_m: tuple[float, float], dimensions: int = 1) -> int:
    """Number of decimals to round a length to (`dimensions` 1), or an area (2).

    The last decimal is worth at most half a pixel, and at most 1 m or 1 m2.

    >>> decimals((0.5, 0.5)), decimals((0.5, 0.5), 2), decimals((30.0, 30.0))
    (1, 1, 0)
    """
    return max(0, -math.floor(dimensions * math.log10(math.sqrt(math.prod(pixel_m))) - 0.301))


def _terrain(c: Component, flat, north, scale) -> dict:
    """Values from the DEM; NaN where it is not known beneath the landslide."""
    known = c.sums["dem"]
    if not known:
        return {f.name: None if f.kind == "str" else math.nan for f in FIELDS if f.with_dem}
    high, low = round(c.highs["high"], 1), round(c.lows["low"], 1)
    steep = c.sums["slope"] / known
    row = {
        "height_m": round(high - low, 1),
        "slope_deg": round(steep, 1),
        "crown_m": high,
        "toe_m": low,
        "low_slope": YES[steep < GENTLE_DEG],
    }
    # x along the rows, y down the columns
    downhill = -np.array([c.sums["rise_x"], c.sums["rise_y"]]) / known
    size = np.hypot(*downhill)
    if size < 1e-6:
        return row | dict.fromkeys(("length_m", "width_m", "h_over_l", "aspect_deg"), math.nan)
    downhill /= size
    points = shapely.get_coordinates(flat)
    length = np.ptp(points @ downhill)
    width = np.ptp(points @ (-downhill[1], downhill[0]))
    north = np.array(north) * scale
    # from north to downhill, clockwise as y runs down
    cross, dot = north[0] * downhill[1] - north[1] * downhill[0], north @ downhill
    digits = decimals(scale)
    return row | {
        "length_m": round(float(length), digits),
        "width_m": round(float(width), digits),
        "h_over_l": round(float((high - low) / length), 2),
        "aspect_deg": round(math.degrees(math.atan2(cross, dot))) % 360,
    }
