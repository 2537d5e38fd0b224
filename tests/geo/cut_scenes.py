"""Where the scenes of the tests of cutting lie, and polygons on them."""

import geopandas
import shapely
from rasterio.transform import from_origin

from conftest import write_raster
from landslide_tf.data.raster import read_raster

CRS = "EPSG:32647"
LEFT, TOP, PIXEL = 500_000.0, 3_000_000.0, 10.0
HEIGHT, WIDTH = 40, 56  # of the scene: with 16 px, 2.5 x 3.5 tiles


def place(row, column):
    """Ground coordinates of a corner of pixels."""
    return LEFT + PIXEL * column, TOP - PIXEL * row


def rectangle(top, left, bottom, right):
    """The ground of pixel rows top to bottom, columns left to right."""
    (x0, y0), (x1, y1) = place(top, left), place(bottom, right)
    return shapely.box(x0, y1, x1, y0)


def write_scene(path, rng):
    """A scene of random pixels, none of them 0."""
    values = rng.integers(1, 256, (HEIGHT, WIDTH, 3)).astype("uint8")
    transform = from_origin(LEFT, TOP, PIXEL, PIXEL)
    return write_raster(path, values, crs=CRS, transform=transform)


def write_polygons(path, polygons, crs=CRS, **options):
    geopandas.GeoSeries(polygons, crs=crs).to_file(path, **options)
    return path


def rows(folder):
    """The tiles of a folder by name."""
    return {path.stem: read_raster(path) for path in sorted(folder.glob("*.tif"))}
