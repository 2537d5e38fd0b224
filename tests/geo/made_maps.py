"""Maps of made scenes, and reading them."""

import numpy as np
import pyogrio
import rasterio
from scipy import ndimage

from landslide_tf.geo.job import MapOptions
from landslide_tf.geo.mapping import map_scenes

FLOAT = MapOptions(dtype="float32")


def read(path, band=1):
    with rasterio.open(path) as file:
        return file.read(band)


def read_pixels(path):
    """All bands, (H, W, C)."""
    return np.moveaxis(read(path, None), 0, -1)


def read_table(folder):
    """The landslides of a map."""
    return pyogrio.read_dataframe(folder / "landslides.gpkg", layer="landslides")


def landslide_image(rng, size=1280):
    """An image (H, W) uint8, brighter on 80 landslides, and the mask of them."""
    image = ndimage.gaussian_filter(rng.normal(0, 120, (size, size)), 4) + 100
    mask = np.zeros(image.shape, "uint8")
    for top, left in rng.integers(0, size - 40, (80, 2)):
        mask[top : top + 40, left : left + 30] = 1
    return (image + 40 * mask).clip(1, 255).astype("uint8"), mask


def make_map(run, scene, out, options=FLOAT, **how):
    (report,) = map_scenes(run, [(*scene, out)], options, **how)
    return report
