"""What the tags of a raster file say about its numbers: scale, unit, colours."""

from __future__ import annotations

import re

import numpy as np
from rasterio.enums import ColorInterp

from landslide_tf.checks import InputError, naming
from landslide_tf.data.crs import height_unit, unit_m

COLOURS = ("red", "green", "blue")
BAND_NUMBER = re.compile(r"(?:^|[^a-z0-9])b(?:and)?[ _]?0?(\d+)(?:$|[^a-z0-9])")
FOOT, US_FOOT = 0.3048, 1200 / 3937
UNITS_M = {
    **dict.fromkeys(("m", "metre", "meter", "metres", "meters"), 1.0),
    **dict.fromkeys(("ft", "foot", "feet", "international foot", "'"), FOOT),
    **dict.fromkeys(("us survey foot", "us survey feet", "us-ft", "ftus", "us ft"), US_FOOT),
    **dict.fromkeys(("foot_us", "us_survey_foot", "us foot", "us feet", "survey foot"), US_FOOT),
    **dict.fromkeys(("dm", "decimetre", "decimeter", "decimetres", "decimeters"), 0.1),
    **dict.fromkeys(("cm", "centimetre", "centimeter", "centimetres", "centimeters"), 0.01),
    **dict.fromkeys(("mm", "millimetre", "millimeter", "millimetres", "millimeters"), 0.001),
    **dict.fromkeys(("km", "kilometre", "kilometer", "kilometres", "kilometers"), 1000.0),
}


def data_bands(file) -> list[int]:
    """Numbers from 1 of the bands of an open raster that are not alpha."""
    return [i for i, kind in enumerate(file.colorinterp, 1) if kind != ColorInterp.alpha]


def colour_bands(file) -> list[int]:
    """`data_bands` in the order red, green, blue, where three are called so or tagged so."""
    numbers, kinds = data_bands(file), file.colorinterp
    if len(numbers) != 3:
        return numbers
    names = [_name(file, number) for number in numbers]
    for said in (names, [kinds[number - 1].name for number in numbers]):
        if set(said) == set(COLOURS):
            return [numbers[said.index(colour)] for colour in COLOURS]
    return numbers


def order_note(file, numbers) -> str | None:
    """A note if the bands read as red, green, blue are named B2, B3, B4; None otherwise."""
    names = [_name(file, number) for number in numbers]
    found = [BAND_NUMBER.search(name) for name in names]
    if [match and match[1] for match in found] != ["2", "3", "4"]:
        return None
    shown = ",".join(str(number) for number in numbers[::-1])
    return (
        f"its bands {', '.join(file.descriptions[n - 1] for n in numbers)} are read as red, green, "
        f"blue, and are blue, green, red of Sentinel-2 and Landsat 8; give --bands {shown}"
    )


def _name(file, number) -> str:
    return (file.descriptions[number - 1] or "").strip().lower()


def scale_and_offset(file, bands) -> tuple[np.ndarray, np.ndarray] | None:
    """Scale and offset of the bands (numbers from 1) of an open raster; None where all are plain.

    Raises:
        InputError: a scale of 0, or not a number.
    """
    if set(file.scales) == {1} and set(file.offsets) == {0}:
        return None
    index = [band - 1 for band in bands]
    scale, offset = np.array(file.scales, float)[index], np.array(file.offsets, float)[index]
    if not np.isfinite([scale, offset]).all() or (scale == 0).any():
        raise InputError(
            f"{file.name}: its tags say scale {scale[0]:g} and offset {offset[0]:g}, which makes "
            "all values one; mend them (gdal_edit -scale, -offset)"
        )
    return None if (scale == 1).all() and (offset == 0).all() else (scale, offset)


def elevation_unit(file) -> tuple[str, float] | None:
    """Name of the unit of elevation and its length in metres, by the band's tag or the CRS.

    None where nothing is said: metres, then.

    Raises:
        InputError: a unit that is not known, or a band and a CRS that say different ones.
    """
    text = ((file.units or (None,))[0] or "").strip()
    said = None
    if text.lower() not in ("", "unknown", "none"):
        factor = UNITS_M.get(text.lower())
        if factor is None:
            raise InputError(
                f"{file.name}: its unit of elevation {text!r} is not known; convert it to metres "
                "(gdal_calc), or correct the tag (gdal_edit -units m)"
            )
        said = (text, factor)
    with naming(file.name):
        by_crs = None if file.crs is None else height_unit(file.crs)
    if said and by_crs and abs(said[1] / by_crs[1] - 1) > 1e-3 and by_crs[1] != 1:
        raise InputError(
            f"{file.name}: its elevations are in {said[0]} by the band's tag, in {by_crs[0]} by "
            "the CRS; correct one (gdal_edit -units, -a_srs)"
        )
    return said or by_crs


def unit_note(file) -> str | None:
    """A line for the user about the unit of a DEM; None where its elevations are in metres."""
    unit = elevation_unit(file)
    if unit is not None:
        return None if unit[1] == 1 else f"elevations in {unit[0]} are converted to metres"
    if file.crs is None:
        return None
    try:
        length = unit_m(file.crs)
    except InputError:
        return None
    if length in (None, 1):
        return None
    return (
        f"nothing says in which unit the elevations are, and the coordinates are in units of "
        f"{length:.4g} m: elevations are taken as metres (else: gdal_edit -units ft)"
    )


def white_is_zero(file) -> bool:
    """Whether the file's one band counts from white to black (TIFF's MINISWHITE), with no table."""
    return (
        file.driver == "GTiff"
        and file.colorinterp[0] != ColorInterp.palette
        and file.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"
    )


def highest_number(file) -> int:
    """The highest number that the first band, of integers, can hold: 255 with 8 bits."""
    bits = file.tags(1, ns="IMAGE_STRUCTURE").get("NBITS")
    return 2 ** int(bits) - 1 if bits else int(np.iinfo(file.dtypes[0]).max)


def colour_table(file) -> np.ndarray | None:
    """The colours (N, 4) uint8 of a file of one band with a colour table, else None."""
    if file.count != 1 or file.colorinterp[0] != ColorInterp.palette:
        return None
    colours = file.colormap(1)
    return np.array([colours[number] for number in range(len(colours))], "uint8")
