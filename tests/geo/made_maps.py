"""Maps of made scenes, and reading them."""

import rasterio

from landslide_tf.geo.job import MapOptions
from landslide_tf.geo.mapping import map_scenes

FLOAT = MapOptions(dtype="float32")


def read(path):
    with rasterio.open(path) as file:
        return file.read(1)


def make_map(run, scene, out, options=FLOAT, **how):
    (report,) = map_scenes(run, [(*scene, out)], options, **how)
    return report
