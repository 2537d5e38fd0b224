"""Tiles of one pixel with names and places, for the tests of splits."""

import itertools

import numpy as np

from landslide_tf.data.arrays import Tiles
from landslide_tf.data.split import PARTS
from landslide_tf.inputs import InputSpec


def make_tiles(names, negative=(), place=None) -> Tiles:
    """Tiles of one pixel: a split looks at names and places alone."""
    count = len(names)
    blank = np.zeros((count, 1, 1), "float32")
    return Tiles(
        spec=InputSpec(),
        names=tuple(names),
        negative=np.array([name in negative for name in names]),
        has_dem=np.ones(count, bool),
        place=np.full((count, 3), np.nan) if place is None else np.array(place, "float64"),
        files={name: {"image": f"hash of {name}"} for name in names},
        rgb=np.zeros((count, 1, 1, 3), "float32"),
        dem=blank,
        terrain=np.zeros((count, 1, 1, 0), "float32"),
        mask=blank.astype("uint8"),
        image_valid=blank == 0,
        input_valid=blank == 0,
        valid=blank == 0,
    )


def numbered(count, prefix="t"):
    return [f"{prefix}{i:04d}" for i in range(count)]


def sizes(split):
    return tuple(len(split[part]) for part in PARTS)


def grid(columns, rows, origin=(500_000, 3_000_000), side=64.0):
    """Names and places of adjoining tiles."""
    cells = list(itertools.product(range(columns), range(rows)))
    x, y = origin
    return (
        [f"t_{c:03d}_{r:03d}" for c, r in cells],
        [(x + (c + 0.5) * side, y + (r + 0.5) * side, side) for c, r in cells],
    )
