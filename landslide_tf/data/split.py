"""Training, validation and test part: which tile is where, written down and checked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from landslide_tf.checks import InputError
from landslide_tf.data.arrays import Tiles

PARTS = ("train", "validation", "test")
TEST_SHARE = 0.2  # of all tiles
VALIDATION_SHARE = 0.2  # of the rest
BLOCK_TILES = 4  # side of a block of the 'group' split, in tiles

Split = dict[str, list[str]]


def make_split(
    tiles: Tiles, how: str = "random", seed: int = 0, test_prefix: str | None = None
) -> Split:
    """Names of the tiles per part: 64 % train, 16 % validation, 20 % test, as in the paper.

    Args:
        tiles: the data set; landslide tiles and negatives are split on their own.
        how: 'random' (by seed), 'group' (blocks of 4 x 4 tiles on the ground, or, without
            georeference, tiles whose names begin alike, stay together), or the path of a JSON
            file in the format of `split.json`.
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
    split: Split = {part: [] for part in PARTS}
    part_of: dict[str, str] = {}  # negatives go where their group already is
    for negative in (False, True):
        chosen = [i for i in range(len(tiles)) if tiles.negative[i] == negative]
        if test_prefix is not None:
            held_out = [i for i in chosen if tiles.names[i].startswith(test_prefix)]
            split["test"] += [tiles.names[i] for i in held_out]
            chosen = sorted(set(chosen) - set(held_out))
        if not chosen:
            continue
        names = [tiles.names[i] for i in chosen]
        groups = _groups(names, tiles.place[chosen]) if how == "group" else names
        wanted = _part_sizes(len(names), with_test=test_prefix is None)
        for name, part in zip(names, _assign(groups, wanted, seed, part_of), strict=True):
            split[part].append(name)
    if not split["train"]:
        raise InputError(
            f"every tile's name begins with {test_prefix!r} (the test part); give a longer prefix"
        )
    if test_prefix is not None and not split["test"]:
        raise InputError(f"no tile's name begins with {test_prefix!r} (the test part)")
    return {part: sorted(names) for part, names in split.items()}


def _part_sizes(count: int, with_test: bool) -> dict[str, int]:
    if count < 3:
        raise InputError(f"a split needs at least 3 tiles of a kind. Received {count}")
    test = max(1, round(TEST_SHARE * count)) if with_test else 0
    validation = max(1, round(VALIDATION_SHARE * (count - test)))
    return {"train": count - test - validation, "validation": validation, "test": test}


def _assign(groups, wanted: dict[str, int], seed: int, part_of: dict[str, str]) -> list[str]:
    """The part of each tile: groups in random order, large ones first, to the emptiest part.

    Groups in `part_of` have their part already; it takes up the others.
    """
    ids, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    parts = [part for part in PARTS if wanted[part]]
    known = [g for g in range(len(ids)) if ids[g] in part_of]
    if len(ids) < len(parts) and not known:
        raise InputError(
            f"--split group finds {len(ids)} group(s) of tiles, {len(parts)} parts need at least "
            "as many; use --split random, or name the tiles in a file with --split FILE"
        )
    order = np.random.default_rng(seed).permutation(len(ids))
    order = order[np.argsort(-sizes[order], kind="stable")]
    filled = dict.fromkeys(parts, 0)
    for group in [*known, *(g for g in order if ids[g] not in part_of)]:
        part = part_of.get(ids[group]) or max(
            parts, key=lambda p: (wanted[p] - filled[p]) / wanted[p]
        )
        filled[part] += int(sizes[group])
        part_of[ids[group]] = part
    if 0 in filled.values() and not known:
        raise InputError(
            f"--split group: the groups are too uneven to fill {len(parts)} parts {filled}; "
            "name the tiles in a file with --split FILE"
        )
    return [part_of[ids[group]] for group in group_of]


def _groups(names: list[str], place: np.ndarray) -> list[str]:
    if np.isfinite(place).all():
        block = BLOCK_TILES * np.median(place[:, 2])
        return [f"{x // block:.0f},{y // block:.0f}" for x, y, _ in place]
    return [name_prefix(name) for name in names]


def name_prefix(name: str) -> str:
    """What a tile's name says of its origin: the letters before its first number.

    >>> name_prefix("df003"), name_prefix("A_0128_0512"), name_prefix("2018_07_a")
    ('df', 'A', '2018')
    """
    letters = re.match(r"\D*", name).group().strip("_-. ")
    return letters or re.split(r"[_\-. ]", name)[0]


def read_split(path, tiles: Tiles) -> Split:
    """The split in a JSON file, checked against the tiles: names, overlaps, and file hashes.

    The test part may be empty. Tiles that the file does not name are left out.

    >>> from landslide_tf.data.arrays import load_tiles
    >>> tiles = load_tiles("tiles", tile_px=32)
    >>> len(read_split("runs/first/split.json", tiles)["train"])
    8
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(
            f"--split {path}: no such file; give 'random', 'group' or a JSON file"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from None
    split = {}
    for part in PARTS:
        names = content.get(part) if isinstance(content, dict) else None
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

    >>> from landslide_tf.data.arrays import load_tiles
    >>> tiles = load_tiles("tiles", tile_px=32)
    >>> content = split_content(make_split(tiles), tiles)
    >>> list(content)
    ['train', 'validation', 'test', 'data_sha256', 'files']
    >>> list(content["files"]["a000"])
    ['image', 'dem', 'mask']
    """
    named = sorted(name for part in PARTS for name in split[part])
    return {
        **{part: list(split[part]) for part in PARTS},
        "data_sha256": tiles.sha256,
        "files": {name: tiles.files[name] for name in named},
    }
