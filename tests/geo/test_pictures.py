"""What a picture of a map must look like, measured on the drawn figure."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from rasterio.crs import CRS
from rasterio.transform import from_origin

from landslide_tf.data.ground import Ground
from landslide_tf.geo.pictures import LONG, Sheet, _coordinates


@pytest.mark.parametrize("top", [3_200_000, 3_200_700, 3_200_100])
def test_coordinates_do_not_reach_into_the_title(top):
    """Scenes of 2 km that begin or end at a round northing, or near one."""
    valid = np.ones((200, 200), bool)
    ground = Ground(CRS.from_epsg(32648), from_origin(300_000, top, 10, 10), valid.shape)
    sheet = Sheet(np.zeros((200, 200, 3)), valid, 1, ground, "title", "subtitle", "source")
    figure = Figure(figsize=(LONG + 1, LONG + 1))
    axes = figure.add_axes([0.5 / (LONG + 1)] * 2 + [LONG / (LONG + 1)] * 2)
    axes.imshow(valid)
    _coordinates(axes, sheet)
    figure.draw_without_rendering()
    low, high = axes.get_window_extent().extents[[1, 3]]
    labels = axes.get_yticklabels()
    assert len(labels) >= 2
    for label in labels:
        extent = label.get_window_extent()
        assert low - 3 <= extent.y0 and extent.y1 <= high + 3  # pixels
