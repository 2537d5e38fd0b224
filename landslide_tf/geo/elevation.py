"""Gradient of a DEM beneath a strip of a map, for the attributes of its landslides."""

from __future__ import annotations

import numpy as np

from landslide_tf.geo.reader import Reader
from landslide_tf.inputs import terrain

COLUMNS = 4096  # worked at once: the arrays are large


def gradient(z, valid, pixel_m: tuple[float, float]):
    """`inputs.terrain.gradient` of one DEM (H, W) in metres, as NumPy: dz/dy and dz/dx.

    >>> z = np.array([[0.0, 10.0, 40.0]])
    >>> gradient(z, np.ones((1, 3), bool), (5.0, 5.0))[1].tolist()
    [[2.0, 4.0, 6.0]]
    """
    lowest = z[valid].min() if valid.any() else 0.0  # float32 holds heights above it better
    batch = (z - lowest)[None, ..., None], valid[None, ..., None]
    return tuple(np.asarray(rise)[0, ..., 0] for rise in terrain.gradient(*batch, pixel_m))


def terrain_layers(reader: Reader, top: int, landslide) -> dict:
    """Terrain layers, (h, w) float32 each, of the strip from row `top` on, by name.

    They are summed up over each landslide later; `landslide` (h, w) bool says where they are
    needed. 'dem' is 1 where elevation is known, 'slope' is in degrees, 'rise_y' and 'rise_x' are
    the gradient (m per m); all are 0 where elevation is not known. 'low' and 'high' are elevation
    in metres, infinite where it is not known. Empty where the scene has no DEM.
    """
    if reader.scene.dem is None:
        return {}
    shape = landslide.shape
    names = ("dem", "slope", "rise_y", "rise_x", "low", "high")
    layers = {name: np.zeros(shape, "float32") for name in names}
    if not landslide.any():
        return layers
    # a gradient needs a pixel around the strip
    before, after = min(top, 1), min(reader.scene.size[0] - top - shape[0], 1)
    dem = reader.dem((top - before, 0, top + shape[0] + after, shape[1]))
    pixel = dem.resolution_m()
    columns = np.flatnonzero(landslide.any(axis=0))
    for left in range(columns[0], columns[-1] + 1, COLUMNS):
        right = min(left + COLUMNS, shape[1])
        cut = np.s_[:, max(0, left - 1) : right + 1]
        z, valid = dem.values[..., 0][cut], dem.valid[cut]
        first = min(left, 1)
        inner = np.s_[before : before + shape[0], first : first + right - left]
        dy, dx = (rise[inner] for rise in gradient(z, valid, pixel))
        z, valid = z[inner], valid[inner]
        here = np.s_[:, left:right]
        layers["dem"][here] = valid
        layers["slope"][here] = np.degrees(np.arctan(np.hypot(dy, dx)))
        layers["rise_y"][here], layers["rise_x"][here] = dy, dx
        # an extreme must not be that of a pixel that is not known
        layers["low"][here] = np.where(valid, z, np.inf)
        layers["high"][here] = np.where(valid, z, -np.inf)
    return layers
