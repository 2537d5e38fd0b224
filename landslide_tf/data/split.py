"""Training, validation and test part: which tile is where, written down and checked."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import shapely

from landslide_tf.checks import InputError
from landslide_tf.data.arrays import Tiles
from landslide_tf.files import read_json

PARTS = ("train", "validation", "test")
TEST_SHARE = 0.2  # of all tiles
VALIDATION_SHARE = 0.2  # of the rest
BLOCK_TILES = 4  # side of the smallest block of the 'group' split, in tiles
BLOCKS = 25  # the side of the blocks is doubled as long as at least this many remain
TRIES = 32  # orders of the blocks that are tried; the one whose parts have the best sizes is taken
APART = 1.01  # tiles touch if their centres are at most this many sides apart

Split = dict[str, list[str]]


def make_split(
    tiles: Tiles, how: str = "random", seed: int = 0, test_prefix: str | None = None
) -> Split:
    """Names of the tiles per part: 64 % train, 16 % validation, 20 % test, as in the paper.

    The 'group' split keeps neighbours together. If all tiles have a georeference, they are put into
    square blocks of at least 4 x 4 tiles on the ground, and each block goes to one part. If any
    tile has none, all tiles whose names begin alike go to one part instead. Between the parts is a
    gap: training tiles that touch or overlap a validation or test tile are in no part, nor are
    validation tiles that touch or overlap a test tile.

    Args:
        tiles: the data set; landslide tiles and negatives are split on their own.
        how: 'random' (by seed), 'group', or the path of a JSON file in the format of `split.json`.
        seed: decides the order.
        test_prefix: tiles whose name begins so are the test part; the rest is split 80 / 20.

    Raises:
        InputError: too few tiles or groups, or a file that does not fit the tiles.

    >>> from landslide_tf.data.arrays import load_tiles
    >>> tiles = load_tiles("tiles", tile_px=32)
    >>> {part: len(names) for part, names in make_split(tiles).items()}
    {'train': 8, 'validation': 2, 'test': 2}
    >>> make_split(tiles, test_prefix="b")["test"]
    ['b001', 'b003', 'b005', 'b007', 'b009', 'b011']
    """
    if how not in ("random", "group"):
        return read_split(how, tiles)
    held_out = np.zeros(len(tiles), bool)
    if test_prefix is not None:
        held_out = np.array([name.startswith(test_prefix) for name in tiles.names])
        if held_out.all():
            raise InputError(
                f"every tile's name begins with {test_prefix!r} (the test part); give a longer "
                "prefix"
            )
        if not held_out.any():
            raise InputError(f"no tile's name begins with {test_prefix!r} (the test part)")
    labels, pairs = np.array(tiles.names), np.zeros((0, 2), int)
    if how == "group":
        labels, pairs = _groups(tiles), overlapping(tiles.place)[0]
    groups = np.unique(labels, return_inverse=True)[1]
    best = (-1.0, None)
    for attempt in range(TRIES if len(pairs) else 1):
        part = _assign(tiles.negative, groups, held_out, seed, attempt)
        part[_gap(part, pairs)] = len(PARTS)
        counts = np.bincount(part, minlength=len(PARTS))[: len(PARTS)]
        wanted = _part_sizes(int((~held_out).sum()), with_test=test_prefix is None)
        least = float((counts / np.maximum(wanted, 1)).min())  # the worst served part's share
        best = max(best, (least, part), key=lambda pair: pair[0])
    least, part = best
    if least == 0:
        raise InputError(
            "--split group: the tiles lie so close together that the gap between the parts leaves "
            "one of them without tiles; use --split random, or name the tiles in a file with "
            "--split FILE"
        )
    return {
        name: sorted(tiles.names[i] for i in np.flatnonzero(part == number))
        for number, name in enumerate(PARTS)
    }


def _part_sizes(count: int, with_test: bool) -> np.ndarray:
    """Tiles wanted in each of `PARTS`."""
    if count < 3:
        raise InputError(f"a split needs at least 3 tiles of a kind. Received {count}")
    test = max(1, round(TEST_SHARE * count)) if with_test else 0
    validation = max(1, round(VALIDATION_SHARE * (count - test)))
    return np.array([count - test - validation, validation, test])


def _assign(negative, groups, held_out, seed, attempt) -> np.ndarray:
    """The part of each tile: groups in random order, each to the part that lacks most tiles.

    In the first attempt alone, large groups come first: if all sizes differ, this order is always
    the same. Negatives go to the part of the landslide tiles of their group; groups of negatives
    only are then assigned like the others.
    """
    part_of: dict[int, int] = {}
    part = np.full(len(groups), PARTS.index("test"))
    for kind in (False, True):
        chosen = np.flatnonzero((negative == kind) & ~held_out)
        if not len(chosen):
            continue
        ids, group_of, sizes = np.unique(groups[chosen], return_inverse=True, return_counts=True)
        wanted = _part_sizes(len(chosen), with_test=not held_out.any())
        parts = np.flatnonzero(wanted)
        known = [g for g in range(len(ids)) if ids[g] in part_of]
        if len(ids) < len(parts) and not known:
            raise InputError(
                f"--split group finds {len(ids)} group(s) of tiles, {len(parts)} parts need at "
                "least as many; use --split random, or name the tiles in a file with --split FILE"
            )
        order = np.random.default_rng([seed, attempt] if attempt else seed).permutation(len(ids))
        if attempt == 0:
            order = order[np.argsort(-sizes[order], kind="stable")]
        filled = np.zeros(len(PARTS), int)
        for group in [*known, *(g for g in order if ids[g] not in part_of)]:
            if ids[group] not in part_of:
                lack = (wanted[parts] - filled[parts]) / wanted[parts]
                part_of[ids[group]] = parts[lack.argmax()]
            filled[part_of[ids[group]]] += sizes[group]
        if (filled[parts] == 0).any() and not known:
            shown = ", ".join(f"{PARTS[p]} {filled[p]}" for p in parts)
            raise InputError(
                f"--split group: the groups are too uneven to fill {len(parts)} parts ({shown}); "
                "name the tiles in a file with --split FILE"
            )
        part[chosen] = np.array([part_of[i] for i in ids])[group_of]
    return part


def _groups(tiles: Tiles) -> np.ndarray:
    """A label of each tile's group: its block on the ground, or how its name begins."""
    if not np.isfinite(tiles.place).all():
        return np.array([name_prefix(name) for name in tiles.names])
    side = BLOCK_TILES * np.median(tiles.place[:, 2])
    corner = (tiles.place[:, :2] - tiles.place[:, 2:] / 2).min(axis=0)

    def blocks(side):
        return np.floor((tiles.place[:, :2] - corner) / side)

    while len(np.unique(blocks(2 * side), axis=0)) >= BLOCKS:
        side *= 2
    return np.array([f"{x:.0f},{y:.0f}" for x, y in blocks(side)])


def overlapping(place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of tiles that touch or overlap on the ground, and those of them that overlap.

    `place` is (N, 3): x and y of the centre and the side of each tile, in one CRS; a tile without
    a place (NaN) is in no pair. Both results are (P, 2), indices into `place`.

    >>> touch, overlap = overlapping(np.array([[0, 0, 2], [2, 0, 2], [3, 0, 2], [9, 9, 2]]))
    >>> touch.tolist(), overlap.tolist()
    ([[0, 1], [1, 2]], [[1, 2]])
    """
    known = np.flatnonzero(np.isfinite(place).all(axis=1))
    x, y, side = place[known].T
    reach = APART * side / 2
    boxes = shapely.box(x - reach, y - reach, x + reach, y + reach)
    a, b = shapely.STRtree(boxes).query(boxes)
    a, b = a[a < b], b[a < b]  # each pair once
    distance = np.maximum(abs(x[a] - x[b]), abs(y[a] - y[b])) / ((side[a] + side[b]) / 2)
    pairs = known[np.stack([a, b], axis=1)]
    return pairs, pairs[distance < 2 - APART]


def _gap(part: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Which tiles are left out: training beside validation or test, validation beside test."""
    left_out = np.zeros(len(part), bool)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    for keeps in (2, 1):  # the test part keeps all of its tiles
        a, b = both[~left_out[both].any(axis=1)].T
        left_out[b[(part[a] == keeps) & (part[b] < keeps)]] = True
    return left_out


def name_prefix(name: str) -> str:
    """What a tile's name says of its origin: the letters before its first number.

    >>> name_prefix("df003"), name_prefix("A_0128_0512"), name_prefix("2018_07_a")
    ('df', 'A', '2018')
    """
    letters = re.match(r"\D*", name).group().strip("_-. ")
    return letters or re.split(r"[_\-. ]", name)[0]


def read_split(path, tiles: Tiles) -> Split:
    """The split in a JSON file, checked against the tiles: names, no name twice, and file hashes.

    The test part may be empty. Tiles that the file does not name are left out.

    Raises:
        InputError: the file is missing or damaged, or does not fit the tiles.

    >>> from landslide_tf.data.arrays import load_tiles
    >>> tiles = load_tiles("tiles", tile_px=32)
    >>> len(read_split("runs/first/split.json", tiles)["train"])
    8
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"--split {path}: no such file; give 'random', 'group' or a JSON file")
    content = read_json(path, "make it again with 'landslide data split', or save it as UTF-8")
    split = {}
    for part in PARTS:
        names = content.get(part)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError(f'{path}: needs a list of tile names under "{part}"')
        split[part] = names
    named = [name for part in PARTS for name in split[part]]
    unknown = sorted(set(named) - set(tiles.names))
    if unknown:
        raise InputError(
            f"{path}: names {len(unknown)} tiles that the data do not hold, such as "
            f"{unknown[0]!r}; give the split of this data set"
        )
    if len(set(named)) < len(named):
        twice = next(name for name in named if named.count(name) > 1)
        raise InputError(f"{path}: names {twice!r} twice; a tile belongs to one part")
    for part in ("train", "validation"):
        if not split[part]:
            raise InputError(f'{path}: the part "{part}" is empty; it needs at least one tile')
    files = content.get("files") or {}
    if not isinstance(files, dict):
        raise InputError(f'{path}: "files" must map tile names to hashes')
    for name, hashes in files.items():
        if name in tiles.files and hashes != tiles.files[name]:
            raise InputError(
                f"{path}: the files of tile {name!r} have changed since the split was made; "
                'restore them, or take "files" out of the split file'
            )
    return split


def split_content(split: Split, tiles: Tiles) -> dict:
    """What `split.json` holds: the parts and the SHA-256 of every file of the tiles named.

    Tiles that are in no part are listed under "left_out", where there are any.

    >>> from landslide_tf.data.arrays import load_tiles
    >>> tiles = load_tiles("tiles", tile_px=32)
    >>> content = split_content(make_split(tiles), tiles)
    >>> list(content)
    ['train', 'validation', 'test', 'data_sha256', 'files']
    >>> list(content["files"]["a000"])
    ['image', 'dem', 'mask']
    """
    named = sorted(name for part in PARTS for name in split[part])
    left_out = sorted(set(tiles.names) - set(named))
    return {
        **{part: list(split[part]) for part in PARTS},
        **({"left_out": left_out} if left_out else {}),
        "data_sha256": tiles.sha256,
        "files": {name: tiles.files[name] for name in named},
    }
