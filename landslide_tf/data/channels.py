"""From the rasters of a tile to the model's channels: scaling, terrain, normalisation, stacking."""

from __future__ import annotations

import numpy as np

from landslide_tf.checks import InputError, check_choice
from landslide_tf.config import DEM_NORMALISATIONS, TERRAIN

SUN_AZIMUTH_DEG, SUN_ALTITUDE_DEG = 315.0, 45.0


def scale_rgb(image, rgb_scale: float | None = None):
    """Image (..., 3) to float32 in [0, 1]: divided by 255 (8 bit), 65535 (16 bit) or `rgb_scale`.

    Values beyond `rgb_scale` become 1. Float images are taken as they are unless it is given, and
    must lie within [0, 1].

    Raises:
        InputError: a float image beyond [0, 1] without `rgb_scale`.

    >>> scale_rgb(np.array([0, 51, 255], "uint8"))
    array([0. , 0.2, 1. ], dtype=float32)
    """
    image = np.asarray(image)
    if rgb_scale is None:
        if np.issubdtype(image.dtype, np.integer):
            rgb_scale = float(np.iinfo(image.dtype).max)
        else:
            rgb_scale = 1.0
            finite = image[np.isfinite(image)]
            if finite.size and (finite.min() < -0.01 or finite.max() > 1.01):
                raise InputError(
                    f"float image has values from {finite.min():g} to {finite.max():g}, expected "
                    "0 to 1; give --rgb-scale, the value that becomes 1"
                )
    return np.clip(image.astype("float32") / np.float32(rgb_scale), 0, 1)


def slope(dem, valid, resolution_m: tuple[float, float]):
    """Steepness as angle / 90 degrees, float32 (H, W) in [0, 1), of a DEM (H, W) in metres.

    Central differences (Zevenbergen and Thorne 1987), one-sided beside no data and at the
    border; 0 where a pixel has no valid neighbour. `resolution_m` is the pixel size (y, x).

    >>> dem = np.array([[0.0, 10.0, 20.0]] * 3)
    >>> round(float(slope(dem, np.ones((3, 3), bool), (10.0, 10.0))[1, 1]), 3)  # 45 degrees
    0.5
    """
    dz_dy, dz_dx = _gradient(dem, valid, resolution_m)
    return (np.arctan(np.hypot(dz_dx, dz_dy)) / (np.pi / 2)).astype("float32")


def hillshade(dem, valid, resolution_m: tuple[float, float]):
    """Brightness in [0, 1], float32 (H, W), under a sun in the north-west, 45 degrees high.

    Lambert's cosine law on the surface normal, rows running from north to south. Level ground
    has sin 45 degrees = 0.707.

    >>> flat = np.zeros((2, 2))
    >>> round(float(hillshade(flat, flat == 0, (1.0, 1.0))[0, 0]), 3)
    0.707
    """
    dz_dy, dz_dx = _gradient(dem, valid, resolution_m)
    azimuth, altitude = np.radians(SUN_AZIMUTH_DEG), np.radians(SUN_ALTITUDE_DEG)
    # sun direction (east, north, up); the normal is (-dz/dx, +dz/dy as rows run south, 1)
    east, north = np.sin(azimuth) * np.cos(altitude), np.cos(azimuth) * np.cos(altitude)
    light = -dz_dx * east + dz_dy * north + np.sin(altitude)
    shade = light / np.sqrt(1 + dz_dx**2 + dz_dy**2)
    return np.clip(shade, 0, 1).astype("float32")


def _gradient(dem, valid, resolution_m):
    """dz/dy (down the rows) and dz/dx, metres per metre."""
    z = np.where(valid, np.asarray(dem, "float64"), np.nan)
    result = []
    for axis, step in zip((0, 1), resolution_m, strict=True):
        padded = np.pad(
            z, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], constant_values=np.nan
        )
        before = np.take(padded, range(z.shape[axis]), axis)
        after = np.take(padded, range(2, z.shape[axis] + 2), axis)
        forward, backward = (after - z) / step, (z - before) / step
        both = np.stack([forward, backward])
        count = np.sum(np.isfinite(both), axis=0)
        result.append(np.nansum(both, axis=0) / np.maximum(count, 1))
    return result


def terrain_channels(dem, valid, names, resolution_m):
    """Channels (H, W, T), float32 in [0, 1], called `names` ('slope', 'hillshade').

    >>> x = np.tile(np.arange(0, 80, 10.0), (8, 1))  # rises by 10 m on 10 m: 45 degrees of 90
    >>> terrain_channels(x, x >= 0, ("slope",), (10.0, 10.0))[4, 4].tolist()
    [0.5]
    """
    functions = {"slope": slope, "hillshade": hillshade}
    for name in names:
        check_choice("terrain", name, TERRAIN)
    return np.stack([functions[name](dem, valid, resolution_m) for name in names], axis=-1)


def normalise_dem(dem, valid, how: str = "relief", statistics: tuple[float, float] | None = None):
    """DEM (H, W) in metres to float32, 0 where not valid.

    'relief': (z - min) / (max - min) of the tile; 'zscore': (z - mean) / deviation of the tile;
    'dataset': the same with `statistics` = (mean, deviation) of the training part. Level ground
    (0/0) is 0.

    >>> normalise_dem(np.array([[10.0, 20.0, 15.0]]), np.array([[True, True, True]]))
    array([[0. , 1. , 0.5]], dtype=float32)
    """
    check_choice("dem_normalisation", how, DEM_NORMALISATIONS)
    dem = np.asarray(dem, "float64")
    z = dem[valid]
    if z.size == 0:
        return np.zeros(dem.shape, "float32")
    if how == "relief":
        offset, scale = z.min(), z.max() - z.min()
    elif how == "zscore":
        offset, scale = z.mean(), z.std()
    else:
        if statistics is None:
            raise InputError("`dem_normalisation` 'dataset' needs the training part's statistics")
        offset, scale = statistics
    if scale <= 1e-6 * max(1.0, abs(offset)):  # level ground, but for rounding of the resize
        return np.zeros(dem.shape, "float32")
    return np.where(valid, (dem - offset) / scale, 0).astype("float32")


def stack_channels(rgb, dem=None, terrain=None):
    """(H, W, 3), (H, W) and (H, W, T) to one (H, W, 3 + 1 + T) float32 input: the early fusion.

    >>> stack_channels(np.zeros((8, 8, 3)), np.zeros((8, 8)), np.zeros((8, 8, 2))).shape
    (8, 8, 6)
    """
    parts = [rgb]
    if dem is not None:
        parts.append(dem[..., None])
    if terrain is not None:
        parts.append(terrain)
    return np.concatenate(parts, axis=-1).astype("float32")
