"""Random changes of training tiles, a function of (seed, epoch, tile) alone.

The numbers are drawn once an epoch for all tiles (`draw`); batches are changed by them with
`keras.ops` (`augment`), inside the tf.data pipeline or on any other backend, with one result.
"""

from __future__ import annotations

import numpy as np
from keras import ops

BRIGHTNESS = 0.1  # added to RGB, at most
CONTRAST = 0.2  # relative change of the distance to the tile's mean colour, at most
DRAWS = 5  # random numbers a tile


def draw(count: int, seed: int, epoch: int) -> np.ndarray:
    """The random numbers of an epoch, one row a tile: (count, DRAWS) float32 in [0, 1).

    >>> draw(3, seed=0, epoch=1).shape
    (3, 5)
    """
    # The third number keeps these apart from the order of the tiles in the same epoch.
    return np.random.default_rng((seed, epoch, 1)).random((count, DRAWS), "float32")


def augment(x, y, w, numbers, names):
    """Change x (B, H, W, C), y and w (B, H, W, 1) of square tiles by `numbers` (B, DRAWS).

    `names` are of `config.AUGMENTATIONS`. 'flips': each of the eight flips and quarter turns is as
    likely as the others. 'light': brightness and contrast of channels 0 to 2 change within small
    limits and stay in [0, 1]; elevation and terrain keep their values. No data stays 0.

    >>> x = np.random.default_rng(0).random((2, 4, 4, 4), "float32")
    >>> changed, _, _ = augment(x, x[..., :1], x[..., :1], draw(2, 0, 0), ("flips",))
    >>> bool(np.allclose(np.sort(np.ravel(changed)), np.sort(x.ravel())))  # moved, not altered
    True
    """
    if "flips" in names:
        channels = x.shape[-1]
        together = _turn(ops.concatenate([x, y, w], axis=-1), numbers[:, :3] < 0.5)
        x, y, w = together[..., :channels], together[..., -2:-1], together[..., -1:]
    if "light" in names:
        x = _light(x, numbers[:, 3], numbers[:, 4])
    return x, y, w


def _turn(array, which):
    """Transpose, flip the rows, flip the columns of each tile where `which` (B, 3) says so."""
    changes = (lambda a: ops.swapaxes(a, 1, 2), lambda a: ops.flip(a, 1), lambda a: ops.flip(a, 2))
    for i, change in enumerate(changes):
        array = ops.where(which[:, i, None, None, None], change(array), array)
    return array


def _light(x, brightness, contrast):
    """Channels 0 to 2 brighter or darker, and further from or nearer to their mean."""
    rgb, rest = x[..., :3], x[..., 3:]
    brightness = ((2.0 * brightness - 1.0) * BRIGHTNESS)[:, None, None, None]
    contrast = (1.0 + (2.0 * contrast - 1.0) * CONTRAST)[:, None, None, None]
    valid = ops.any(rgb != 0, axis=-1, keepdims=True)
    count = ops.maximum(ops.sum(ops.cast(valid, "float32"), (1, 2), keepdims=True), 1.0)
    mean = ops.sum(rgb, (1, 2), keepdims=True) / count
    rgb = ops.clip((rgb - mean) * contrast + mean + brightness, 0.0, 1.0)
    return ops.concatenate([ops.where(valid, rgb, 0.0), rest], axis=-1)
