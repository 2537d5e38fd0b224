"""Random augmentation of training tiles, which depends on (seed, epoch, tile) alone.

`draw` draws the random numbers of all tiles once per epoch. `augment` changes batches by these
numbers with `keras.ops`; the result is the same in a tf.data pipeline and on any other backend.
"""

from __future__ import annotations

import numpy as np
from keras import ops

BRIGHTNESS = 0.1  # added to RGB, at most
CONTRAST = 0.2  # relative change of the distance to the tile's mean colour, at most
SMALLEST = 0.6  # side of the part that 'scale' enlarges, as a share of the tile's side
GAIN = 0.15  # relative change of one band, at most
GAMMA = 1.8  # the exponent of 'tone' lies between this and its inverse
SATURATION = (0.4, 1.3)  # of the colours with 'tone': 0 would be grey, 1 changes nothing
EDGE_SHARE = 0.3  # share of the tiles that lose the data beyond an edge with 'edges'
GROUPS = (11, 2, 3)  # random numbers per tile: for the other four changes, 'tone' and 'edges'
DRAWS = sum(GROUPS)


def draw(count: int, seed: int, epoch: int) -> np.ndarray:
    """The random numbers of an epoch, one row a tile: (count, DRAWS) float32 in [0, 1).

    >>> draw(3, seed=0, epoch=1).shape
    (3, 16)
    """
    # The third number keeps these apart from the order of the tiles in the same epoch.
    drawn = [
        np.random.default_rng((seed, epoch, 1 + k)).random((count, numbers), "float32")
        for k, numbers in enumerate(GROUPS)
    ]
    return np.concatenate(drawn, axis=1)


def augment(x, y, w, numbers, names):
    """Augmented x (B, H, W, C), y and w (B, H, W, 1) of square tiles, by `numbers` (B, DRAWS).

    `names` are some of `config.AUGMENTATIONS`. 'flips': one of the eight flips and quarter turns,
    all equally likely. 'light': brightness and contrast of channels 0 to 2 change within small
    limits and stay in [0, 1]; elevation and terrain keep their values. 'scale': a square of 60 to
    100 % of the tile's side, somewhere in the tile, fills the whole tile (bilinear; the mask by
    nearest neighbour). 'colour': each of channels 0 to 2 is multiplied by a factor of its own.
    'tone': channels 0 to 2 are raised to a power, which looks like shade or haze, and their
    saturation changes. 'edges': three in ten tiles lose the data beyond a straight line, as at the
    edge of a survey. Pixels without data stay 0.

    >>> x = np.random.default_rng(0).random((2, 4, 4, 4), "float32")
    >>> changed, _, _ = augment(x, x[..., :1], x[..., :1], draw(2, 0, 0), ("flips",))
    >>> bool(np.allclose(np.sort(np.ravel(changed)), np.sort(x.ravel())))  # moved, not altered
    True
    """
    if "flips" in names:
        turned = _turn(ops.concatenate([x, y, w], axis=-1), numbers[:, :3] < 0.5)
        x, y, w = turned[..., :-2], turned[..., -2:-1], turned[..., -1:]
    if "scale" in names:
        x, y, w = _enlarge(x, y, w, numbers[:, 5], numbers[:, 6:8])
    rgb, rest = x[..., :3], x[..., 3:]
    if "colour" in names:
        gain = 1.0 + (2.0 * numbers[:, None, None, 8:11] - 1.0) * GAIN
        rgb = ops.clip(rgb * gain, 0.0, 1.0)
    if "tone" in names:
        rgb = _tone(rgb, numbers[:, 11], numbers[:, 12])
    if "light" in names:
        rgb = _light(rgb, numbers[:, 3], numbers[:, 4])
    x = ops.concatenate([rgb, rest], axis=-1)
    if "edges" in names:
        keep = _beside_an_edge(x.shape[1], *(numbers[:, i] for i in (13, 14, 15)))
        x, w = x * keep, w * keep
    return x, y, w


def _turn(array, which):
    """Transpose, flip the rows, flip the columns of each tile where `which` (B, 3) says so."""
    px = array.shape[1]
    index = ops.arange(px, dtype="int32")
    swap, rows_back, columns_back = (which[:, i, None] for i in range(3))
    # the row and column that each new pixel comes from, if the tile is not transposed
    row = ops.where(rows_back, px - 1 - index, index)[:, :, None]
    column = ops.where(columns_back, px - 1 - index, index)[:, None, :]
    swap = swap[:, :, None]
    return _pixels(array, ops.where(swap, column, row), ops.where(swap, row, column))


def _enlarge(x, y, w, side, corner):
    """A square part of each tile, enlarged to the whole tile.

    `side` (B,) and `corner` (B, 2) are random numbers in [0, 1) for its size and position.
    """
    px = x.shape[1]
    side = SMALLEST + (1.0 - SMALLEST) * side
    centre = ops.arange(px, dtype="float32") + 0.5
    # coordinates (B, px) of the new pixels' centres in pixels of the old tile
    rows, columns = (
        (corner[:, i, None] * (1.0 - side[:, None])) * px + centre[None] * side[:, None] - 0.5
        for i in (0, 1)
    )
    valid = ops.cast(w > 0, "float32")
    weight = _bilinear(valid, rows, columns)
    # no data has no weight; where less than half of the weight is left, there is no data
    keep = ops.cast(weight >= 0.5, "float32")
    x = _bilinear(x * valid, rows, columns) / ops.maximum(weight, 0.5) * keep
    near_rows, near_columns = (ops.cast(ops.round(c), "int32") for c in (rows, columns))
    y = _pixels(y, near_rows[:, :, None], near_columns[:, None, :])
    return x, y, keep


def _bilinear(array, rows, columns):
    """`array` (B, H, W, C) interpolated bilinearly at fractional rows (B, n) and columns (B, m)."""
    for axis, place in ((1, rows), (2, columns)):
        last = array.shape[axis] - 1
        low = ops.clip(ops.cast(ops.floor(place), "int32"), 0, last)
        high = ops.clip(low + 1, 0, last)
        share = ops.clip(place - ops.cast(low, "float32"), 0.0, 1.0)
        share = share[:, :, None, None] if axis == 1 else share[:, None, :, None]
        array = _take(array, low, axis) * (1.0 - share) + _take(array, high, axis) * share
    return array


def _take(array, index, axis):
    """Rows (axis 1) or columns (axis 2) of each tile by its own numbers (B, n)."""
    every = ops.arange(array.shape[3 - axis], dtype="int32")[None]
    row, column = (index, every) if axis == 1 else (every, index)
    return _pixels(array, row[:, :, None], column[:, None, :])


def _pixels(array, row, column):
    """The pixels of each tile at `row` and `column`, which broadcast to (B, H, W)."""
    _, height, width, channels = array.shape
    tile = ops.arange(ops.shape(array)[0], dtype="int32")[:, None, None]
    flat = ops.reshape(array, (-1, channels))
    return ops.take(flat, (tile * height + row) * width + column, axis=0)


def _beside_an_edge(px: int, chance, angle, distance):
    """Mask (B, px, px, 1) of 0 and 1: an edge, if a tile has one, takes 9 % to 63 % of it away."""
    angle = (2.0 * np.pi * angle)[:, None, None]
    offset = (0.5 * distance - 0.1)[:, None, None]  # from the tile's centre, in sides
    place = (ops.arange(px, dtype="float32") + 0.5) / px - 0.5
    across = place[None, None, :] * ops.cos(angle) + place[None, :, None] * ops.sin(angle)
    beyond = ops.logical_and(across > offset, (chance < EDGE_SHARE)[:, None, None])
    return ops.cast(ops.logical_not(beyond), "float32")[..., None]


def _tone(rgb, exponent, saturation):
    """Colours raised to a power, and nearer to or further from their mean."""
    low, high = SATURATION
    exponent = ops.power(GAMMA, 2.0 * exponent - 1.0)[:, None, None, None]
    saturation = (low + (high - low) * saturation)[:, None, None, None]
    rgb = ops.power(ops.clip(rgb, 0.0, 1.0), exponent)
    grey = ops.mean(rgb, axis=-1, keepdims=True)
    return ops.clip(grey + saturation * (rgb - grey), 0.0, 1.0)


def _light(rgb, brightness, contrast):
    """Colours brighter or darker, and further from or nearer to their mean."""
    brightness = ((2.0 * brightness - 1.0) * BRIGHTNESS)[:, None, None, None]
    contrast = (1.0 + (2.0 * contrast - 1.0) * CONTRAST)[:, None, None, None]
    valid = ops.any(rgb != 0, axis=-1, keepdims=True)
    count = ops.maximum(ops.sum(ops.cast(valid, "float32"), (1, 2), keepdims=True), 1.0)
    mean = ops.sum(rgb, (1, 2), keepdims=True) / count
    changed = ops.clip((rgb - mean) * contrast + mean + brightness, 0.0, 1.0)
    return ops.where(valid, changed, 0.0)
