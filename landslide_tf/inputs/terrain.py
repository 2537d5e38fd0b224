"""Slope and hillshade of a DEM as input channels, written in `keras.ops`."""

from __future__ import annotations

import math

import numpy as np
from keras import ops

SUN_AZIMUTH_DEG, SUN_ALTITUDE_DEG = 315.0, 45.0


def terrain_channels(dem, valid, names, resolution_m):
    """Channels (B, h, w, T), float32 in [0, 1], called `names` ('slope', 'hillshade').

    `dem` (B, h, w, 1) is in metres, `valid` its mask (bool), `resolution_m` the pixel size in
    metres along y and x.

    >>> import numpy as np
    >>> x = np.tile(np.arange(0, 80, 10.0), (8, 1))[None, ..., None]  # rises 10 m on 10 m
    >>> found = terrain_channels(x, x >= 0, ("slope",), (10.0, 10.0))
    >>> round(float(found[0, 4, 4, 0]), 3)  # 45 of 90 degrees
    0.5
    """
    functions = {"slope": slope, "hillshade": hillshade}
    return ops.concatenate([functions[name](dem, valid, resolution_m) for name in names], axis=-1)


def slope(dem, valid, resolution_m):
    """Steepness as angle / 90 degrees, (B, h, w, 1) in [0, 1).

    Central differences (Zevenbergen and Thorne 1987), one-sided beside no data and at the border;
    0 where a pixel has no valid neighbour.
    """
    dz_dy, dz_dx = gradient(dem, valid, resolution_m)
    return ops.arctan(ops.sqrt(dz_dx**2 + dz_dy**2)) / (math.pi / 2)


def hillshade(dem, valid, resolution_m):
    """Brightness in [0, 1], (B, h, w, 1), under a sun in the north-west, 45 degrees high.

    Lambert's cosine law on the surface normal, rows running from north to south. Level ground has
    sin 45 degrees = 0.707.
    """
    dz_dy, dz_dx = gradient(dem, valid, resolution_m)
    azimuth, altitude = math.radians(SUN_AZIMUTH_DEG), math.radians(SUN_ALTITUDE_DEG)
    # The sun's direction is (east, north, up); the normal is (-dz/dx, +dz/dy as rows run south, 1).
    east = math.sin(azimuth) * math.cos(altitude)
    north = math.cos(azimuth) * math.cos(altitude)
    light = -dz_dx * east + dz_dy * north + math.sin(altitude)
    return ops.clip(light / ops.sqrt(1.0 + dz_dx**2 + dz_dy**2), 0.0, 1.0)


def gradient(dem, valid, resolution_m):
    """dz/dy (down the rows) and dz/dx, metres per metre, each (B, h, w, 1).

    Central differences; one-sided beside no data and at the border; 0 where a pixel has no valid
    neighbour.
    """
    # a rim of no data around the tile, so that each pixel has four neighbours
    rim = ((0, 0), (1, 1), (1, 1), (0, 0))
    z = ops.pad(ops.where(valid, ops.cast(dem, "float32"), 0.0), rim)
    known = ops.pad(ops.cast(valid, "float32"), rim)
    above, below = np.s_[:, :-2, 1:-1], np.s_[:, 2:, 1:-1]
    left, right = np.s_[:, 1:-1, :-2], np.s_[:, 1:-1, 2:]
    here = np.s_[:, 1:-1, 1:-1]
    result = []
    for first, last, step in zip((above, left), (below, right), resolution_m, strict=True):
        before, after = known[first] * known[here], known[here] * known[last]
        rises = (z[here] - z[first]) / step * before + (z[last] - z[here]) / step * after
        result.append(rises / ops.maximum(before + after, 1.0))
    return result
