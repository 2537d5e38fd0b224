"""The options of maps and of cut tiles as dataclasses; the command line is made of their fields."""

from __future__ import annotations

from dataclasses import dataclass

from landslide_tf.checks import InputError, check_choice
from landslide_tf.fields import option
from landslide_tf.geo.vector_formats import parse_formats

SCENE, MODEL, RESULT = "scene", "windows and model", "result"


@dataclass(frozen=True)
class SceneOptions:
    """How a scene is read, and in which windows a model sees it.

    >>> SceneOptions(bands="4,3,2", resolution_m=2.5).scale
    'run'
    """

    bands: str | None = option(
        None,
        "numbers from 1 or descriptions of the red, green and blue band (default: the run's, or "
        "the three that there are)",
        group=SCENE,
        metavar="R,G,B",
    )
    scale: str = option(
        "run",
        "image values that become 0 and 1: as in training, 2nd and 98th percentile of each band, "
        "or two numbers",
        group=SCENE,
        metavar="{run,percentile,LOW,HIGH}",
    )
    nodata: float | tuple[float, ...] | None = option(
        None,
        "no data in image and DEM, beside their own tags; --nodata=-9999,-32768",
        group=SCENE,
        metavar="V[,V]",
    )
    skip_bad: bool = option(
        False,
        "what cannot be read is no data; of --scenes, leave out those that cannot be used",
        group=SCENE,
    )
    resolution_m: float | None = option(
        None,
        "run the model at this ground size of a pixel (default: the one that it was trained at "
        "where that is known; the image's own where the image is more than twice as coarse)",
        group=MODEL,
        metavar="M",
    )
    overlap: int | None = option(
        None,
        "pixels of the model that windows share (default: half of the training's tiles; with less, "
        "seams may show)",
        group=MODEL,
    )
    # Side of windows in pixels of the model; None: `source.default_window_px`, if the model may.
    window_px: int | None = None


@dataclass(frozen=True)
class MapOptions(SceneOptions):
    """The options of a map. Lengths are in pixels, or in metres where the name says so.

    Raises:
        InputError: a value is not legal.

    >>> MapOptions(formats="gpkg,geojson").dtype
    'uint8'
    >>> MapOptions(threshold=1.2)
    Traceback (most recent call last):
    landslide_tf.checks.InputError: --threshold must lie between 0 and 1. Received: 1.2
    """

    tta: bool = option(False, "mean over eight flips and turns: eight times as long", group=MODEL)
    batch_size: int = option(8, "windows at once", group=MODEL)
    threshold: float | None = option(
        None,
        "probability from which a pixel is landslide (default: the one chosen on validation)",
        group=RESULT,
        metavar="T",
    )
    min_area: float | None = option(
        None,
        "minimum mapping unit: smaller landslides are left out of the polygons, smaller holes "
        "filled (default: nine pixels, and at least 100 m2 or what a packaged model names)",
        group=RESULT,
        metavar="M2",
    )
    dtype: str = option(
        "uint8",
        "type of probability.tif: uint8 for percent, float32 for 0 to 1",
        group=RESULT,
        choices=("uint8", "float32"),
    )
    reference: str | None = option(
        None,
        "mapped landslides, polygons or a mask raster: adds scores to report.json, errors.tif and "
        "errors.png",
        group=RESULT,
        metavar="FILE",
    )
    formats: str = "gpkg"  # of the polygons, with commas; see `vector_formats`

    def __post_init__(self):
        check_choice("dtype", self.dtype, ("uint8", "float32"))
        parse_formats(self.formats)
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise InputError(f"--threshold must lie between 0 and 1. Received: {self.threshold}")
        if self.min_area is not None and not self.min_area >= 0:
            raise InputError(f"--min-area must be at least 0 m2. Received: {self.min_area}")
        if self.batch_size < 1:
            raise InputError(f"--batch-size must be at least 1. Received: {self.batch_size}")


@dataclass(frozen=True)
class CutOptions:
    """How a scene is cut into tiles.

    Raises:
        InputError: a value is not legal.

    >>> CutOptions(tile_px=64).overlap
    0
    >>> CutOptions(overlap=128)
    Traceback (most recent call last):
    landslide_tf.checks.InputError: --overlap must be at least 0 and below 128. Received: 128
    """

    name: str | None = option(
        None, "tiles are called NAME_ROW_COL (default: the scene's file name)", group="tiles"
    )
    tile_px: int = option(128, "side of a tile", group="tiles")
    overlap: int = option(0, "pixels that neighbouring tiles share", group="tiles")
    min_valid: float = option(
        0.5, "share of pixels with data that a tile needs", group="tiles", metavar="SHARE"
    )
    min_landslide_px: int = option(
        1,
        "landslide pixels that a tile of landslide/ needs; tiles with fewer, but some, are left "
        "out",
        group="tiles",
    )
    all_touched: bool = option(
        False,
        "every pixel that a polygon touches is landslide, not only those whose centre it covers",
        group="tiles",
    )
    nodata: float | tuple[float, ...] | None = None  # in image and DEM, beside the files' own
    bands: tuple[int, int, int] | None = None  # numbers from 1 of red, green and blue

    def __post_init__(self):
        px = self.tile_px
        if px < 16:
            raise InputError(f"--tile-px must be at least 16. Received: {px}")
        if not 0 <= self.overlap < px:
            raise InputError(
                f"--overlap must be at least 0 and below {px}. Received: {self.overlap}"
            )
        if not 0 < self.min_valid <= 1:
            raise InputError(
                f"--min-valid must be above 0 and at most 1. Received: {self.min_valid}"
            )
        if self.min_landslide_px < 1:
            raise InputError(
                f"--min-landslide-px must be at least 1. Received: {self.min_landslide_px}"
            )
