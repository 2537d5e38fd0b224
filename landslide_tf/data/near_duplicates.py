"""Tiles that look alike, also when one is flipped, turned, brighter or darker."""

from __future__ import annotations

import numpy as np

from landslide_tf.data.alignment import ORIENTATIONS

SAME_FROM = 0.97  # correlation of two thumbnails from which tiles count as near-duplicates
# Squared distance 2 - 2 r of unit thumbnails that correlate by r, and a little for rounding.
APART = 2 - 2 * SAME_FROM + 1e-4
COARSE_PX = 8  # thumbnails are compared at this size first
CHUNK = 512
MAX_PAIRS = 100_000  # a folder with more near-duplicates needs no longer list


def near_duplicates(names: list[str], thumbnails, chosen=None) -> list[tuple[str, str]]:
    """Pairs of names of tiles that look alike.

    `thumbnails` is a grey array (N, S, S), or an object that returns such an array when indexed
    with an array of tile numbers. Two tiles look alike if their thumbnails correlate above 0.97
    (Pearson) in one of the eight orientations. Tiles of one brightness say nothing and are left
    out. `chosen` are the numbers of the tiles to compare, by default all. The list ends after about
    100,000 pairs.

    >>> a = np.random.default_rng(0).random((8, 8))
    >>> near_duplicates(["a", "b", "c"], np.array([a, 0.5 * np.rot90(a), a**5]))
    [('a', 'b')]
    """
    chosen = np.arange(len(names)) if chosen is None else chosen
    if len(chosen) == 0:
        return []
    side = thumbnails[chosen[:1]].shape[1]
    block = side // COARSE_PX if side % COARSE_PX == 0 else 1
    coarse, features = [], []
    for start in range(0, len(chosen), CHUNK):
        unit = _unit(thumbnails[chosen[start : start + CHUNK]])
        shape = (len(unit), side // block, block, side // block, block)
        # Averaging over blocks brings no two thumbnails further apart.
        coarse.append(unit.reshape(shape).sum(axis=(2, 4)) / block)
        features.append(_invariants(coarse[-1]))
    coarse, features = np.concatenate(coarse), np.concatenate(features)
    seen = coarse.any(axis=(1, 2))
    chosen, coarse = chosen[seen], coarse[seen]
    pairs: set[tuple[int, int]] = set()
    for i, j in _candidates(features[seen]):
        for k in range(0, len(i) if len(pairs) < MAX_PAIRS else 0, CHUNK):
            a, b = i[k : k + CHUNK], j[k : k + CHUNK]
            near = _closest(coarse[a], coarse[b]) < APART
            a, b = chosen[a[near]], chosen[b[near]]
            alike = _closest(_unit(thumbnails[a]), _unit(thumbnails[b])) < 2 - 2 * SAME_FROM
            pairs.update(zip(a[alike].tolist(), b[alike].tolist(), strict=True))
    return [(names[i], names[j]) for i, j in sorted(pairs)]


def _candidates(features):
    """Blocks of pairs i < j whose features (N, F) are less than `APART` apart, squared."""
    length = (features**2).sum(axis=1, keepdims=True)
    one = np.ones_like(length)
    for top in range(0, len(features), CHUNK):  # a block of the upper half of the N x N table
        here = slice(top, top + CHUNK)
        rows = np.hstack([-2 * features[here], length[here], one[here]])
        for left in range(top, len(features), 16 * CHUNK):
            there = slice(left, left + 16 * CHUNK)
            squares = rows @ np.hstack([features[there], one[there], length[there]]).T
            i, j = np.nonzero(squares < APART)
            i, j = top + i, left + j
            yield i[i < j], j[i < j]


def _invariants(images) -> np.ndarray:
    """Features (N, F) of images (N, S, S) that no turn or flip of an image changes.

    A ring is a set of pixels that turns and flips carry into each other. An image is the sum of
    three parts: its mean on each ring, what else a half turn keeps, and what a half turn reverses.
    No turn or flip mixes these parts or the rings. So on each ring the mean and the lengths of the
    other two parts stay the same, and two images are never further apart in these features than in
    any orientation.
    """
    count, side = images.shape[:2]
    places = np.arange(side * side).reshape(1, side, side)
    ring = np.min([_orient(places, *turn) for turn in ORIENTATIONS], axis=0).ravel()
    rings, ring = np.unique(ring, return_inverse=True)
    on_ring = (ring[:, None] == np.arange(len(rings))).astype("float32")
    size = on_ring.sum(axis=0)
    flat = images.reshape(count, -1)
    turned = images[:, ::-1, ::-1].reshape(count, -1)
    mean = flat @ on_ring / size
    kept, reversed_ = (flat + turned) / 2 - mean[:, ring], (flat - turned) / 2
    lengths = [np.sqrt(part**2 @ on_ring) for part in (kept, reversed_)]
    return np.hstack([mean * np.sqrt(size), *lengths])


def _closest(a, b) -> np.ndarray:
    """Smallest squared distance of images a and b (N, S, S) over the eight orientations of b."""
    both = (a**2).sum(axis=(1, 2)) + (b**2).sum(axis=(1, 2))
    like = [(a * _orient(b, *turn)).sum(axis=(1, 2)) for turn in ORIENTATIONS]
    return both - 2 * np.max(like, axis=0)


def _orient(images: np.ndarray, flip: bool, turns: int) -> np.ndarray:
    return np.rot90(images[:, :, ::-1] if flip else images, turns, axes=(1, 2))


def _unit(thumbnails) -> np.ndarray:
    """Thumbnails less their mean, of length 1 each; flat ones are 0."""
    centred = thumbnails.astype("float64")
    centred -= centred.mean(axis=(1, 2), keepdims=True)
    norm = np.sqrt((centred**2).sum(axis=(1, 2), keepdims=True))
    flat = norm < 1e-3 * centred.shape[1]
    return np.where(flat, 0, centred / np.maximum(norm, 1e-12)).astype("float32")
