"""Virtual rasters of a file, to be warped: all no data as NaN, or moved by 360 degrees."""

from __future__ import annotations

from xml.sax.saxutils import escape

import numpy as np
import rasterio
from rasterio.enums import MaskFlags

from landslide_tf.data.crs import flat_crs, horizontal
from landslide_tf.data.raster import nodata_values
from landslide_tf.data.tags import data_bands

TYPES = {"uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32",
         "int32": "Int32", "uint64": "UInt64", "int64": "Int64", "float32": "Float32"}  # fmt: skip


def views(file, grid, nodata=None) -> list:
    """The rasters to warp onto the scene's `grid` in place of the open raster `file`.

    If `nodata` (a number or several) adds to the file's own tags or mask, all of them become NaN in
    float64, because warping knows one no-data value only. A raster in degrees is returned once for
    each shift by 0, 360 or -360 degrees with which it may reach into the scene.
    """
    marks = [_marks(file, band, nodata) for band in data_bands(file)]
    hidden = any(MaskFlags.per_dataset in flags for flags in file.mask_flag_enums)
    alone = all(set(m) <= {tag} for m, tag in zip(marks, file.nodatavals, strict=False))
    many = nodata is not None and (hidden or not alone)
    return [
        rasterio.open(_xml(file, marks if many else None, hidden, turn)) if many or turn else file
        for turn in _turns(file, grid)
    ]


def _marks(file, band, nodata) -> tuple[float, ...]:
    """What is no data in a band, as its dtype holds it."""
    values = nodata_values(file.nodatavals[band - 1]) + nodata_values(nodata)
    if file.dtypes[band - 1] == "float32":
        with np.errstate(over="ignore"):
            values = tuple(float(np.float32(value)) for value in values)
    return tuple(dict.fromkeys(values))


def _turns(file, grid) -> list[int]:
    if not horizontal(file.crs).is_geographic:
        return [0]
    left, right = sorted((file.bounds.left, file.bounds.right))
    ranges = [(-180.0, 180.0)]
    if horizontal(grid.crs).is_geographic:
        west, _, east, _ = grid.outline().bounds
        ranges.append((west, east))
    return [
        turn
        for turn in (0, 360, -360)
        if turn == 0 or any(left + turn < east and west < right + turn for west, east in ranges)
    ]


def _xml(file, marks, hidden: bool, turn: int) -> str:
    """The XML of a VRT of the bands; `marks` by band become NaN, one value in each nested VRT."""
    bands = data_bands(file)
    source, layers = file.name, 1 if marks is None else max(1, *(len(m) for m in marks))
    for layer in range(layers):
        parts = []
        for i, band in enumerate(bands):
            kind, tag = TYPES.get(file.dtypes[band - 1], "Float64"), file.nodatavals[band - 1]
            mark = masked = ""
            if marks is not None:
                kind, tag = "Float64", np.nan
                mark = f"<NODATA>{marks[i][layer]!r}</NODATA>" if layer < len(marks[i]) else ""
                masked = "<UseMaskBand>true</UseMaskBand>" if hidden and layer == 0 else ""
            nodata = "" if tag is None else f"<NoDataValue>{tag!r}</NoDataValue>"
            parts.append(
                f'<VRTRasterBand dataType="{kind}" band="{i + 1}">{nodata}<ComplexSource>'
                f'<SourceFilename relativeToVRT="0">{escape(source)}</SourceFilename>'
                f"<SourceBand>{band if layer == 0 else i + 1}</SourceBand>{mark}{masked}"
                "</ComplexSource></VRTRasterBand>"
            )
        t = file.transform
        place = (t.c + (turn if layer == layers - 1 else 0), t.a, t.b, t.f, t.d, t.e)
        source = (
            f'<VRTDataset rasterXSize="{file.width}" rasterYSize="{file.height}">'
            f"<SRS>{escape(flat_crs(file.crs).to_wkt())}</SRS>"
            f"<GeoTransform>{', '.join(map(repr, place))}</GeoTransform>{''.join(parts)}"
            "</VRTDataset>"
        )
    return source
