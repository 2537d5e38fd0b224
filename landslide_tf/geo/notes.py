"""What a user should know of the files of a scene before the work."""

from __future__ import annotations

import contextlib
import os

import numpy as np
from rasterio.windows import Window

from landslide_tf.checks import InputError
from landslide_tf.data.opening import open_raster
from landslide_tf.data.raster import Raster, read_window
from landslide_tf.data.tags import unit_note
from landslide_tf.data.tile_rules import check_brightness
from landslide_tf.geo.overlay import Grid, same_grid
from landslide_tf.geo.reader import Scene
from landslide_tf.inputs import Preprocessor

DARK = 0.25  # an image whose brightest pixels are below this share of full scale


def dem_note(scene: Scene) -> str | None:
    """How the DEM came onto the image's pixels, in words; None where there is no DEM.

    >>> from landslide_tf.inputs import InputSpec
    >>> from landslide_tf.geo.source import open_scene
    >>> dem_note(open_scene("scene.tif", "dem.tif", InputSpec()))
    "on the image's grid"
    """
    if scene.dem is None:
        return None
    with open_raster(scene.image) as image, open_raster(scene.dem) as dem:
        note = unit_note(dem)
        said = f"; {note}" if note else ""
        if same_grid(Grid(image), dem):
            return f"on the image's grid{said}"
        crs = dem.crs.to_string() if dem.crs.to_epsg() else "another CRS"
        return (
            f"resampled onto the image's grid by bilinear interpolation, from {dem.height} x "
            f"{dem.width} pixels in {crs}{said}"
        )


def image_notes(scene: Scene) -> list[str]:
    """What is done because of the image's tags, and what is odd about them, a line each.

    >>> from landslide_tf.inputs import InputSpec
    >>> from landslide_tf.geo.source import open_scene
    >>> image_notes(open_scene("scene.tif", "dem.tif", InputSpec()))
    []
    """
    lines = []
    with open_raster(scene.image) as file, contextlib.suppress(InputError):  # told where it counts
        if missing := missing_bytes(file):
            lines.append(
                f"the file is cut off, {missing:,} bytes are missing at its end; restore it (copy "
                "or download it again)"
            )
        lines += read_window(file, Window(0, 0, 1, 1), bands=scene.bands).notes
    return [f"{scene.image}: {line}" for line in lines]


def missing_bytes(file) -> int:
    """Number of bytes of an open TIFF's last block that lie beyond the end of its file.

    >>> with open_raster("scene.tif") as scene:
    ...     missing_bytes(scene)
    0
    """
    if file.driver != "GTiff" or not os.path.isfile(file.name):
        return 0
    height, width = file.block_shapes[-1]
    block = f"{(file.width - 1) // width}_{(file.height - 1) // height}"
    about = [
        file.get_tag_item(f"BLOCK_{what}_{block}", "TIFF", bidx=file.count)
        for what in ("OFFSET", "SIZE")
    ]
    if None in about:  # a block that was never written
        return 0
    return max(0, sum(map(int, about)) - os.path.getsize(file.name))


def scale_notes(scene: Scene, values, valid, spec) -> list[str]:
    """A warning where the scaled image is far darker than what a model is trained on.

    Raises:
        InputError: an image whose type does not say what becomes 1, as floats beyond [0, 1].
    """
    if scene.stretch is not None or not valid.any():
        return []
    try:
        check_brightness(Raster(values, valid), spec)
    except InputError as error:
        reason = str(error).split("; give")[0]
        raise InputError(
            f"{scene.image}: {reason}; give --scale LOW,HIGH or --scale percentile"
        ) from None
    full = Preprocessor(spec).scale(values[valid])
    brightest = float(np.percentile(np.asarray(full), 98))
    if brightest >= DARK:
        return []
    return [
        f"the image reaches {brightest:.2f} of full scale only: a model trained on ordinary "
        "pictures sees it black; give --scale percentile or --scale LOW,HIGH"
    ]
