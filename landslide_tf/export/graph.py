"""The whole way from raw rasters to probabilities as TensorFlow operations, for `serve_raw`.

Each function does what its namesake in `data/` does with NumPy; a test holds the two together.
"""

from __future__ import annotations

import tensorflow as tf

from landslide_tf.config import TrainConfig


def resize_weights(size_in, size_out):
    """Matrix (size_out, size_in) of `data.raster.resize_weights` for sizes known at run time.

    >>> resize_weights(2, 4).numpy()
    array([[1.  , 0.  ],
           [0.75, 0.25],
           [0.25, 0.75],
           [0.  , 1.  ]], dtype=float32)
    """
    scale = tf.cast(size_in, tf.float64) / tf.cast(size_out, tf.float64)
    support = tf.maximum(scale, 1.0)
    centre = (tf.cast(tf.range(size_out), tf.float64)[:, None] + 0.5) * scale - 0.5
    distance = tf.abs(tf.cast(tf.range(size_in), tf.float64)[None] - centre)
    weights = tf.maximum(tf.constant(0.0, tf.float64), 1.0 - distance / support)
    return tf.cast(weights / tf.reduce_sum(weights, axis=1, keepdims=True), tf.float32)


def resize_bilinear(values, size, valid=None):
    """`data.raster.resize_bilinear` of (B, H, W, C), with `valid` (B, H, W, 1) as 0 and 1.

    >>> row = tf.constant([0.0, 1.0], shape=(1, 1, 2, 1))
    >>> wide, _ = resize_bilinear(row, (1, 4))
    >>> wide.numpy().ravel()
    array([0.  , 0.25, 0.75, 1.  ], dtype=float32)
    """
    rows = resize_weights(tf.shape(values)[1], size[0])
    columns = resize_weights(tf.shape(values)[2], size[1])

    def apply(x):
        return tf.einsum("wW,BhWc->Bhwc", columns, tf.einsum("hH,BHWc->BhWc", rows, x))

    if valid is None:
        return apply(values), None
    weight = apply(valid)
    keep = tf.cast(weight >= 0.5, tf.float32)
    return keep * apply(values * valid) / tf.maximum(weight, 0.5), keep


def resize_nearest(values, size):
    """`data.raster.resize_nearest` of (B, H, W, C).

    >>> row = tf.constant([0.0, 1.0], shape=(1, 1, 2, 1))
    >>> resize_nearest(row, (1, 4)).numpy().ravel()
    array([0., 0., 1., 1.], dtype=float32)
    """
    for axis, wanted in ((1, size[0]), (2, size[1])):
        have = tf.shape(values)[axis]
        place = (tf.cast(tf.range(wanted), tf.float64) + 0.5) * tf.cast(have, tf.float64)
        index = tf.cast(place / tf.cast(wanted, tf.float64), tf.int32)
        values = tf.gather(values, index, axis=axis)
    return values


def normalise_dem(dem, valid, how: str, statistics=None):
    """`data.channels.normalise_dem` of (B, H, W, 1), with `valid` as 0 and 1.

    >>> z = tf.constant([100.0, 125.0, 200.0], shape=(1, 1, 3, 1))
    >>> normalise_dem(z, tf.ones_like(z), "relief").numpy().ravel()
    array([0.  , 0.25, 1.  ], dtype=float32)
    """
    z, keep = tf.cast(dem, tf.float64), tf.cast(valid, tf.float64)
    axes, far = [1, 2, 3], tf.constant(1e30, tf.float64)
    count = tf.maximum(tf.reduce_sum(keep, axes, keepdims=True), 1)
    if how == "relief":
        offset = tf.reduce_min(tf.where(keep > 0, z, far), axes, keepdims=True)
        scale = tf.reduce_max(tf.where(keep > 0, z, -far), axes, keepdims=True) - offset
    elif how == "zscore":
        offset = tf.reduce_sum(z * keep, axes, keepdims=True) / count
        scale = tf.sqrt(tf.reduce_sum(tf.square(z - offset) * keep, axes, keepdims=True) / count)
    else:
        offset, scale = (tf.constant(value, tf.float64, (1, 1, 1, 1)) for value in statistics)
    level = scale <= 1e-6 * tf.maximum(tf.constant(1.0, tf.float64), tf.abs(offset))
    relief = tf.where(
        level, tf.zeros_like(z), (z - offset) / tf.where(level, tf.ones_like(scale), scale)
    )
    return tf.cast(relief * keep, tf.float32)


def raw_probability(model, config: TrainConfig, statistics, image, dem=None):
    """Probability (B, h, w) of raw rasters, NaN where the DEM has none.

    image: uint8 (B, h, w, 3); dem: float32 (B, h', w') metres over the same ground, NaN is no data.

    >>> import keras
    >>> model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(1, 1)])
    >>> config = TrainConfig(fusion="rgb", tile_px=16)
    >>> black = tf.zeros((1, 2, 3, 3), tf.uint8)  # without a bias its logits are 0
    >>> raw_probability(model, config, None, black).numpy().round(3)
    array([[[0.5, 0.5, 0.5],
            [0.5, 0.5, 0.5]]], dtype=float32)
    """
    size = (config.tile_px, config.tile_px)
    rgb = tf.clip_by_value(tf.cast(image, tf.float32) / (config.rgb_scale or 255.0), 0, 1)
    rgb, _ = resize_bilinear(rgb, size)
    full = (tf.shape(image)[1], tf.shape(image)[2])
    x = rgb
    if dem is not None:
        dem = dem[..., None]
        has_data = tf.math.is_finite(dem)
        known = tf.cast(has_data, tf.float32)
        height, valid = resize_bilinear(tf.where(has_data, dem, 0.0), size, known)
        relief = normalise_dem(height, valid, config.dem_normalisation, statistics)
        x = tf.concat([rgb, relief], axis=-1) * valid
    probability, _ = resize_bilinear(tf.sigmoid(model(x, training=False)), full)
    if dem is not None:
        probability = tf.where(resize_nearest(has_data, full), probability, float("nan"))
    return probability[..., 0]
