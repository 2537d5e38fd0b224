"""Random changes of a training tile, a function of (seed, epoch, tile) alone."""

from __future__ import annotations

import numpy as np

BRIGHTNESS = 0.1  # added to RGB, at most
CONTRAST = 0.2  # relative change of the distance to the tile's mean colour, at most


def augment(x, y, w, key: tuple[int, int, int]):
    """Flip and turn x (H, W, C), y and w (H, W, 1) together; change the light of channels 0-2.

    Half of the tiles are flipped, all are turned by 0, 90, 180 or 270 degrees; brightness and
    contrast of the RGB change within small limits and stay in [0, 1]; the DEM and terrain
    channels keep their values. `key` = (seed, epoch, tile index) decides all of it. H = W.

    >>> x = np.zeros((2, 2, 4), "float32")
    >>> a = augment(x, x[..., :1], x[..., :1], (0, 0, 0))
    >>> b = augment(x, x[..., :1], x[..., :1], (0, 0, 0))
    >>> bool((a[0] == b[0]).all())
    True
    """
    rng = np.random.default_rng(key)
    turns, flip = rng.integers(4), rng.random() < 0.5
    brightness = rng.uniform(-BRIGHTNESS, BRIGHTNESS)
    contrast = 1 + rng.uniform(-CONTRAST, CONTRAST)

    def move(array):
        array = np.rot90(array, turns)
        return array[:, ::-1] if flip else array

    x, y, w = move(x).copy(), move(y), move(w)
    rgb = x[..., :3]
    valid = (rgb != 0).any(axis=-1, keepdims=True)  # no data stays 0
    mean = rgb.sum(axis=(0, 1)) / max(1, int(valid.sum()))
    x[..., :3] = np.where(valid, np.clip((rgb - mean) * contrast + mean + brightness, 0, 1), 0)
    return x, y, w
