"""What the numbers of a mask file mean: one rule for masks of tiles, scenes and references.

The numbers of a mask are 0 (background) and 1, or 0 and 255 (landslide). A pixel that is not known
is NaN or has the value of the file's nodata tag. The tag must be neither 0 nor 1, and may be 255
only in a mask of 0 and 1. A mask in which some pixels are unknown and all others are landslide is
refused, because its background seems to be tagged as no data. (It is accepted if the unknown
pixels are a straight rim, as a tile may lie within a landslide.)

Nothing else makes a pixel unknown. Transparent pixels (of an alpha band, a mask within the file or
a colour table) are refused, because they may mean background as well as unknown.

Colours count as a viewer shows them. In a colour table of black and white, white is landslide,
whatever its number is. With other colours the numbers count, if landslide is drawn brighter than
background; otherwise the mask is refused. In a TIFF whose 0 is white (MINISWHITE), 0 is landslide.
"""

from __future__ import annotations

import numpy as np
from rasterio.enums import MaskFlags
from rasterio.windows import Window

from landslide_tf.checks import InputError
from landslide_tf.data.opening import open_raster, reading
from landslide_tf.data.orientation import upright
from landslide_tf.data.raster import Raster, read_window
from landslide_tf.data.tags import (
    colour_table,
    data_bands,
    highest_number,
    scale_and_offset,
    white_is_zero,
)

BLACK, WHITE = (0, 0, 0), (255, 255, 255)
PLAIN = "write it as plain grey, 0 for background and 255 for landslide"
MOST_NUMBERS = 512  # counting stops here: a file with more is no mask, `check_mask` refuses it
STRIP_PX = 2**22


def read_mask(path) -> Raster:
    """Read a mask file by the rule of this module: a `Raster` of numbers, upright, not checked yet.

    The numbers should be 0 and 1, or 0 and 255; `tile_rules.check_mask` checks that.

    Raises:
        InputError: the file cannot be read, or its tags leave open which pixels are landslide.

    >>> from landslide_tf.data.raster import write_geotiff
    >>> scene = Raster(np.zeros((2, 2, 1)), np.ones((2, 2), bool))
    >>> write_geotiff("m.tif", np.array([[0, 1], [1, 0]], "uint8"), scene, nodata=0)
    >>> read_mask("m.tif")
    Traceback (most recent call last):
        ...
    landslide_tf.checks.InputError: m.tif: says that 0 is no data, where a mask has background; ...
    """
    with open_raster(path) as file, reading(path):
        return upright(read_numbers(file, None, label_numbers(file)), file)


def read_numbers(file, window, numbers: dict[int, int] | None) -> Raster:
    """A part of a mask with its numbers exchanged as `label_numbers` says."""
    raster = read_window(file, window, kind="mask")
    if numbers is None:
        return raster
    values = np.zeros(raster.values.shape, "uint8")
    for number, label in numbers.items():
        values[raster.values == number] = label
    return Raster(values, raster.valid, raster.crs, raster.transform)


def label_numbers(file) -> dict[int, int] | None:
    """How the numbers of an open mask become 0 and 255; None where they count as they are.

    The file is read through where a tag makes that necessary.

    Raises:
        InputError: the tags leave open which pixels are landslide.
    """
    with reading(file.name):
        tags = _check_tags(file)
        _check_transparency(file)
        numbers = _meanings(file)
        if tags or np.dtype(file.dtypes[0]).kind == "f":
            _check_background(file, numbers or {})
    return numbers


def _meanings(file) -> dict[int, int] | None:
    """0 or 255 for each number, by its colour; None where there are no colours."""
    table = colour_table(file)
    if table is not None:
        return _by_colour(file, table)
    if not white_is_zero(file):
        return None
    high, used = highest_number(file), _used(file)
    if not used <= {0, high}:
        raise InputError(
            f"{file.name}: counts from white to black (MINISWHITE) and has other numbers than "
            f"0 and {high}; {PLAIN}"
        )
    return {0: 255, high: 0}


def _check_background(file, numbers) -> None:
    """Refuse a mask that is landslide wherever it is known, unless a straight rim is unknown."""
    labels = set()
    for window in _strips(file):
        known = np.unique(read_window(file, window, kind="mask").known())[: MOST_NUMBERS + 1]
        labels |= {numbers.get(number, number) for number in known.tolist()}
        if 0 in labels or len(labels) > MOST_NUMBERS:
            return
    if not labels:
        return
    if file.height * file.width <= STRIP_PX:
        known = read_window(file, kind="mask").valid
        rows, columns = known.any(axis=1), known.any(axis=0)
        rectangle = known[np.ix_(rows, columns)].all() and _one_piece(rows) and _one_piece(columns)
        if rectangle and known[[0, 0, -1, -1], [0, -1, 0, -1]].any():  # in a corner of the file
            return
    raise InputError(
        f"{file.name}: all that is known of it is landslide, its background is no data; write 0 "
        "there (QGIS: Fill NoData cells)"
    )


def _one_piece(line) -> bool:
    return bool(np.ptp(np.flatnonzero(line)) + 1 == line.sum())


def _check_tags(file) -> set:
    """The nodata tags, none of which is a label."""
    tags = {tag for tag in file.nodatavals if tag is not None}
    for tag, name in ((0, "background"), (1, "landslide")):
        if tag in tags:
            tiff = file.driver == "GTiff"
            how = "gdal_edit -unsetnodata" if tiff else "gdal_translate -a_nodata none"
            raise InputError(
                f"{file.name}: says that {tag} is no data, where a mask has {name}; "
                f"take that off ({how})"
            )
    if 255 in tags:
        used = _used(file)
        if 255 in used and 1 not in used:
            raise InputError(
                f"{file.name}: says that 255 is no data, and no pixel is 1; take that off if 255 "
                "is landslide (gdal_edit -unsetnodata), else give no data another number "
                "(gdalwarp -dstnodata 254)"
            )
    if scale_and_offset(file, range(1, file.count + 1)) is not None:
        raise InputError(
            f"{file.name}: a mask has no scale and offset; take the tags off (gdal_edit -scale 1 "
            "-offset 0)"
        )
    return tags


def _check_transparency(file) -> None:
    alpha = set(file.indexes) - set(data_bands(file))
    hidden = [flags for flags in file.mask_flag_enums if MaskFlags.per_dataset in flags]
    for number in alpha:
        used = _used(file, number)
        if 0 in used or len(used) > 1:
            raise _transparent(file, "an alpha band")
    if hidden and not alpha:
        for window in _strips(file):
            if not file.dataset_mask(window=window).all():
                raise _transparent(file, "a mask within the file")


def _transparent(file, what) -> InputError:
    return InputError(
        f"{file.name}: {what} makes pixels transparent, which may be background or not known; "
        f"{PLAIN} (gdal_translate -b 1 -mask none), and mark what is not known with a nodata tag"
    )


def _by_colour(file, table) -> dict[int, int] | None:
    used = _used(file)
    if max(used) >= len(table):
        raise InputError(f"{file.name}: has numbers beyond its colour table; {PLAIN}")
    if any(table[number, 3] < 255 for number in used):
        raise _transparent(file, "a colour of its table")
    # also those of a mask that are not used here: the file may be one of a set
    usual = {number for number in (0, 1, 255) if number < len(table)}
    colours = {number: tuple(map(int, table[number, :3])) for number in used | usual}
    shown = set(colours.values())
    alike = len(used) > 1 and len({colours[number] for number in used}) == 1
    if shown <= {BLACK, WHITE} and BLACK in shown and not alike:
        return {number: 255 * (colour == WHITE) for number, colour in colours.items()}
    light = {n: float(np.dot((0.299, 0.587, 0.114), colour)) for n, colour in colours.items()}
    ones = used - {0} or usual - {0}
    brighter = [light[number] > light.get(0, 256) for number in ones]
    if not (all(brighter) if used - {0} else any(brighter)):
        raise InputError(
            f"{file.name}: its colour table leaves open which colour is landslide (0 is drawn in "
            f"{colours.get(0)}, others in {[colours[n] for n in sorted(ones)]}); {PLAIN} "
            "(gdal_translate -expand gray)"
        )
    return None


def _used(file, band=None) -> set:
    """All numbers of a band, or of all that are not alpha."""
    bands = [band] if band else data_bands(file)
    found = set()
    for window in _strips(file):
        found |= set(np.unique(file.read(bands, window=window)).tolist())
        if len(found) > MOST_NUMBERS:
            break
    return found


def _strips(file):
    rows = max(1, STRIP_PX // file.width)
    for top in range(0, file.height, rows):
        yield Window(0, top, file.width, min(rows, file.height - top))
