"""What `data check` keeps of each tile: a row of numbers, not its pixels."""

from __future__ import annotations

import contextlib
import hashlib
import re
from dataclasses import dataclass

import numpy as np
import rasterio

from landslide_tf.checks import InputError
from landslide_tf.data.alignment import mask_fit
from landslide_tf.data.index import KINDS, Sample
from landslide_tf.data.opening import strictly
from landslide_tf.data.plausible import tile_warnings
from landslide_tf.data.raster import Raster
from landslide_tf.data.tile import known_in_all, place_of, read_rasters
from landslide_tf.inputs.spec import InputSpec

THUMBNAIL_PX = 32
RASTER = np.dtype([
    ("type", "S20"), ("height", "i8"), ("width", "i8"), ("low", "f8"), ("high", "f8"),
    ("known", "i8"), ("positive", "i8"),  # pixels with data, and of those the ones above 0
])  # fmt: skip
TILE = np.dtype([
    *((kind, RASTER) for kind in KINDS),  # all 0 where the tile has no such file
    ("place", "f8", 3), ("resolution_m", "f8"),  # NaN where they are not known
    ("crs", "S64"),  # the beginning of its name, in UTF-8
    ("digest", "u8"),
])  # fmt: skip


@dataclass(frozen=True)
class Look:
    """What is kept of a tile that can be used."""

    facts: tuple  # a row of type TILE
    thumbnail: np.ndarray  # (S, S) float16
    odd: list[str]  # warnings
    fit: np.ndarray | None  # of `mask_fit`


def look_at(spec: InputSpec, tiles: list[tuple[Sample, bool]]) -> list[Look | str]:
    """Read tiles and keep the facts of each, or the line that refuses it.

    Each of `tiles` is its sample, and whether the fit of its mask is measured.
    """
    # GDAL builds each CRS from the GeoTIFF keys alone. Looking it up in the EPSG database as well
    # would take as long as all the rest.
    with strictly(), rasterio.Env(GTIFF_SRS_SOURCE="GEOKEYS"):
        return [_look(spec, sample, judged) for sample, judged in tiles]


def _look(spec: InputSpec, sample: Sample, judged: bool) -> Look | str:
    try:
        image, dem, mask = read_rasters(sample, spec)
    except InputError as error:
        return str(error)
    name, metres = _ground(image)
    place = place_of(image) or (np.nan,) * 3
    digest = hashlib.blake2b(np.ascontiguousarray(image.values), digest_size=8).digest()
    rasters = (_facts(image), _facts(dem), _facts(mask))
    facts = (*rasters, place, metres, name, int.from_bytes(digest))
    fit = None
    if judged:
        fit = mask_fit(image.values, mask.values[..., 0], known_in_all(image, dem, mask))
    return Look(facts, _thumbnail(image), tile_warnings(image, dem, mask), fit)


_GROUND: dict[tuple, tuple] = {}  # some CRS take a quarter of a second to ask


def _ground(image: Raster) -> tuple[bytes, float]:
    """Name of the CRS, and metres a pixel; empty and NaN where they are not known."""
    if image.crs is None:
        return b"", np.nan
    wkt, t = image.crs.to_wkt(), image.transform
    key = (wkt, *(round(v, 9) for v in (t.a, t.b, t.d, t.e))) if t is not None else (wkt,)
    if key not in _GROUND:
        metres = None
        with contextlib.suppress(Exception):  # a CRS of no known unit
            metres = image.resolution_m()
        name = re.search(r'"(.*?)"', wkt).group(1).encode()
        _GROUND[key] = name, np.nan if metres is None else float(np.mean(metres))
    return _GROUND[key]


def _thumbnail(image: Raster) -> np.ndarray:
    """(S, S) float16, grey, 0 where there is no data; brightness has no unit."""
    import cv2

    values = np.where(image.valid[..., None], image.values, 0).astype("float32")
    size = (THUMBNAIL_PX, THUMBNAIL_PX)
    grey = cv2.resize(values, size, interpolation=cv2.INTER_AREA).mean(axis=-1)
    grey /= max(float(np.abs(grey).max()), 1e-30)  # float16 ends at 65504
    return grey.astype("float16")


def _facts(raster: Raster | None) -> tuple:
    """A row of type RASTER."""
    if raster is None:
        return b"", 0, 0, 0, 0, 0, 0
    values, bands = raster.known(), raster.values.shape[-1]
    low, high = (values.min(), values.max()) if len(values) else (np.nan, np.nan)
    positive = np.count_nonzero(values[:, 0] > 0)
    return f"{values.dtype} x {bands}".encode(), *raster.size, low, high, len(values), positive


def texts(column) -> list[str]:
    """A column of bytes as texts; a name that is cut off ends before its last character."""
    return [text.decode("utf-8", "ignore") for text in column.tolist()]
