"""Coordinate reference systems compared by what they mean on the ground, and their units."""

from __future__ import annotations

import functools

import numpy as np
import pyproj
from pyproj.exceptions import ProjError
from rasterio.crs import CRS

from landslide_tf.checks import InputError

SHIFT_PX = 0.1  # places that differ by less than this share of a pixel are the same


def horizontal(crs) -> pyproj.CRS:
    """The plain two-dimensional CRS: without heights and without a shift to WGS 84 (TOWGS84).

    Raises:
        InputError: PROJ does not understand the CRS.

    >>> horizontal(CRS.from_string("EPSG:26911+6360")).name  # with heights in US survey feet
    'NAD83 / UTM zone 11N'
    """
    try:
        return _horizontal(crs.to_wkt())
    except (ProjError, ValueError) as error:
        reason = str(error).splitlines()[0][:120]
        raise InputError(
            f"the CRS cannot be understood ({reason}); assign another (gdal_edit -a_srs)"
        ) from None


@functools.lru_cache(maxsize=64)
def _horizontal(wkt: str) -> pyproj.CRS:
    crs = pyproj.CRS.from_wkt(wkt)
    while crs.is_bound or crs.is_compound:
        crs = crs.source_crs if crs.is_bound else crs.sub_crs_list[0]
    return crs if crs.is_engineering or len(crs.axis_info) < 3 else crs.to_2d()


@functools.lru_cache(maxsize=64)
def _unbound(wkt: str) -> pyproj.CRS:
    """The CRS without its shift to WGS 84, but with its heights."""
    crs = pyproj.CRS.from_wkt(wkt)
    while crs.is_bound:
        crs = crs.source_crs
    return crs


def flat_crs(crs) -> CRS:
    """`crs` without its heights, as a CRS of rasterio; the same object where it has none.

    >>> flat_crs(CRS.from_epsg(4979)).to_epsg(), flat_crs(CRS.from_epsg(32647)).to_epsg()
    (4326, 32647)
    """
    try:
        full = _unbound(crs.to_wkt())
        if not full.is_compound and len(full.axis_info) < 3:
            return crs
        return CRS.from_wkt(horizontal(crs).to_wkt())
    except (ProjError, ValueError):
        return crs


def unit_m(crs) -> float | None:
    """Metres in a unit of the CRS's coordinates; None where they are angles or of no known unit.

    >>> unit_m(CRS.from_epsg(32647)), unit_m(CRS.from_epsg(4326))
    (1.0, None)
    """
    flat = horizontal(crs)
    if flat.is_geographic or flat.is_geocentric or not flat.axis_info:
        return None
    axis = flat.axis_info[0]
    angular = any(word in axis.unit_name.lower() for word in ("degree", "grad", "radian"))
    factor = axis.unit_conversion_factor
    return None if angular or not factor > 0 or axis.unit_name == "unknown" else factor


def height_unit(crs) -> tuple[str, float] | None:
    """Name and length in metres of the unit of heights; None where the CRS has no heights.

    Raises:
        InputError: the CRS counts depths, downwards.

    >>> height_unit(CRS.from_string("EPSG:26911+5773")), height_unit(CRS.from_epsg(32647))
    (('metre', 1.0), None)
    """
    try:
        full = _unbound(crs.to_wkt())
    except (ProjError, ValueError):
        return None
    axes = full.sub_crs_list[-1].axis_info if full.is_compound else full.axis_info[2:3]
    if not axes:
        return None
    if axes[0].direction.lower() == "down":
        raise InputError(
            "its CRS counts depths downwards; turn the sign and give it a CRS with heights "
            "(gdal_calc, gdal_edit -a_srs)"
        )
    return axes[0].unit_name, axes[0].unit_conversion_factor


def same_ground(a, b, points, tolerance: float) -> bool:
    """Whether coordinates `points` of CRS `a` are the same places in CRS `b`.

    `points` is (N, 2), x and y; `tolerance` is in units of the CRS. Names, heights, TOWGS84
    parameters and realisations of one datum may differ, if that moves the points no further.

    >>> utm = [(470000.0, 3445000.0)]
    >>> same_ground(CRS.from_epsg(32647), CRS.from_string("EPSG:32647+5773"), utm, 0.1)
    True
    >>> same_ground(CRS.from_epsg(32647), CRS.from_epsg(32648), utm, 0.1)
    False
    """
    if a == b:
        return True
    flat_a, flat_b = horizontal(a), horizontal(b)
    if flat_a == flat_b:
        return not _both_bound(a, b) or _agree(a.to_wkt(), b.to_wkt(), points, tolerance)
    if flat_a.is_engineering or flat_b.is_engineering:
        # nothing is known of local coordinates but their unit: their names are free
        same = flat_a.is_engineering and flat_b.is_engineering
        return same and unit_m(a) == unit_m(b)
    if not _both_bound(a, b) and _agree(flat_a.to_wkt(), flat_b.to_wkt(), points, tolerance):
        return True
    return _agree(a.to_wkt(), b.to_wkt(), points, tolerance)


def _both_bound(a, b) -> bool:
    """Whether both bring their own shift to WGS 84: then the shifts count."""
    return all(_without_heights(crs.to_wkt()).is_bound for crs in (a, b))


def _agree(wkt_a: str, wkt_b: str, points, tolerance) -> bool:
    x, y = np.asarray(points, float).T
    try:
        moved = _transformer(wkt_a, wkt_b).transform(x, y)
    except ProjError:
        return False
    apart = np.array(moved[:2]) - (x, y)
    if _horizontal(wkt_b).is_geographic:
        apart[0] -= 360 * np.round(apart[0] / 360)
    return bool(np.isfinite(apart).all() and np.abs(apart).max() <= tolerance)


@functools.lru_cache(maxsize=64)
def _transformer(wkt_a: str, wkt_b: str):
    a, b = _without_heights(wkt_a), _without_heights(wkt_b)
    # If PROJ knows no transformation between two datums, `allow_ballpark` treats them as one. That
    # is right if one of them has no name, and accurate enough for two modern datums (GRS 80 or
    # WGS 84 ellipsoid), which satellites define.
    loose = _datum(a) == _datum(b) or "" in (_datum(a), _datum(b)) or _modern(a) and _modern(b)
    return pyproj.Transformer.from_crs(a, b, always_xy=True, allow_ballpark=loose)


def _datum(crs) -> str:
    """The letters and digits of the datum's name; '' where it has none."""
    crs = crs.source_crs if crs.is_bound else crs
    datum = crs.geodetic_crs.datum if crs.geodetic_crs is not None else None
    name = (datum.name if datum is not None else "").lower().removeprefix("d_")
    unnamed = any(word in name for word in ("unknown", "unnamed", "not specified", "based on"))
    return "" if unnamed else "".join(filter(str.isalnum, name))


def _modern(crs) -> bool:
    ellipsoid = crs.ellipsoid
    if ellipsoid is None:
        return False
    axis, flattening = ellipsoid.semi_major_metre, ellipsoid.inverse_flattening
    return abs(axis - 6378137) < 0.5 and abs(flattening - 298.25722) < 1e-4


@functools.lru_cache(maxsize=64)
def _without_heights(wkt: str) -> pyproj.CRS:
    """The horizontal part, with its shift to WGS 84 if it has one."""
    crs = pyproj.CRS.from_wkt(wkt)
    crs = crs.sub_crs_list[0] if crs.is_compound else crs
    return crs if crs.is_bound or len(crs.axis_info) < 3 else crs.to_2d()


def box_text(bounds) -> str:
    """Bounds (left, bottom, right, top) as text for messages, with six significant digits.

    >>> box_text((0, 1.23456789, 2, 3))
    '(0, 1.23457, 2, 3)'
    """
    return "(" + ", ".join(f"{value:.6g}" for value in bounds) + ")"


def crs_name(crs) -> str:
    """A short name for messages: the EPSG code, or the beginning of the WKT."""
    return f"EPSG:{crs.to_epsg()}" if crs.to_epsg() else crs.to_wkt()[:40]
