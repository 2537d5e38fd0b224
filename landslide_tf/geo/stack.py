"""`data stack`: image and elevation as one file of four bands, for QGIS' plugin Deepness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from landslide_tf.checks import InputError
from landslide_tf.data.crs import horizontal
from landslide_tf.data.opening import open_raster
from landslide_tf.files import atomic_path, check_outputs
from landslide_tf.geo.job import sources
from landslide_tf.geo.notes import dem_note, image_notes
from landslide_tf.geo.outputs import STRIP_PX
from landslide_tf.geo.reader import Reader
from landslide_tf.geo.settings import SceneOptions
from landslide_tf.geo.source import open_scene
from landslide_tf.inputs import InputSpec
from landslide_tf.inputs.spec import STACK_NODATA

BANDS = ("red", "green", "blue", "elevation in metres")


def write_stack(
    image, dem, out, *, nodata=None, bands=None, overwrite: bool = False
) -> dict[str, object]:
    """Write red, green, blue and elevation in metres as four float32 bands on the image's grid.

    The colours keep the values of the image. Elevation is read as `map` reads it: as it is where
    the grids agree, otherwise interpolated bilinearly. The file's nodata tag is -32768: the three
    colours have it where the image has no data, the fourth band where the DEM has none. Files are
    read and written strip by strip.

    Args:
        image, dem: as for `map`.
        out: GeoTIFF to write.
        nodata: this value, or these, are no data in both, beside the files' own tags.
        bands: numbers from 1 of red, green and blue.
        overwrite: replace `out`.

    Returns:
        'size' (height, width), 'valid' (share of pixels with all data), 'dem' (how the DEM came
        onto the grid) and 'notes' (what Deepness or a model may stumble over).

    Raises:
        InputError: bad files, an `out` that exists or is an input.

    Example:
        >>> found = write_stack("scene.tif", "dem.tif", "stack.tif")
        >>> found["size"], found["valid"], found["dem"]
        ((64, 96), 1.0, "on the image's grid")
        >>> with rasterio.open("stack.tif") as file:
        ...     file.read(4)[0, :3].tolist(), file.nodata
        ([1000.0, 1001.0, 1002.0], -32768.0)
    """
    out = Path(out)
    check_outputs([out], sources(image, dem))
    if out.exists() and not overwrite:
        raise InputError(f"{out}: exists; give --overwrite to replace it, or another --out")
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise InputError(f"{out}: a stack is a GeoTIFF; give --out a name that ends in .tif")
    # Rasters need no more of the spec than this.
    scene = open_scene(image, dem, InputSpec(bands=bands), SceneOptions(nodata=nodata))
    reader, (height, width) = Reader(scene), scene.size
    profile = {
        "driver": "GTiff", "count": 4, "height": height, "width": width, "dtype": "float32",
        "nodata": STACK_NODATA, "crs": reader.grid.crs, "transform": reader.grid.transform,
        "tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate",
        "predictor": 3, "bigtiff": "if_safer",
    }  # fmt: skip
    rows, valid = max(1, STRIP_PX // width // 256) * 256, 0
    with atomic_path(out) as scratch, rasterio.open(scratch, "w", **profile) as file:
        for top in range(0, height, rows):
            box = (top, 0, min(top + rows, height), width)
            colours, heights = reader.image(box), reader.dem(box)
            strip = np.concatenate([colours.values, heights.values], axis=-1, dtype="float32")
            strip[~colours.valid, :3] = STACK_NODATA
            strip[~heights.valid, 3] = STACK_NODATA
            valid += int((colours.valid & heights.valid).sum())
            file.write(np.moveaxis(strip, -1, 0), window=Window(0, top, width, len(strip)))
        if not valid:
            raise InputError(f"{image}: image and DEM have no data in common; look at both")
        file.descriptions = BANDS
        file.set_band_unit(4, "metre")
        file.colorinterp = [
            ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined
        ]  # fmt: skip
    return {
        "size": scene.size,
        "valid": valid / (height * width),
        "dem": dem_note(scene),
        "notes": [*image_notes(scene), *_notes(image)],
    }


def _notes(image) -> list[str]:
    """What Deepness or a model may stumble over in a stack of this image."""
    notes = []
    with open_raster(image) as file:
        if file.dtypes[0] != "uint8":
            notes.append(
                f"{image}: is {file.dtypes[0]} and keeps its numbers; the metadata of "
                "model-qgis.onnx say which one is full brightness for the model (brightness)"
            )
        if not horizontal(file.crs).is_projected:
            notes.append(
                f"{image}: is not in a projected CRS; Deepness counts in metres: reproject image "
                "and DEM first (gdalwarp -t_srs EPSG:...)"
            )
        if not file.transform.is_rectilinear:
            notes.append(f"{image}: is rotated, which QGIS does not read well; gdalwarp turns it")
    return notes
