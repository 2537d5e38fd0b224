"""What a user should know of a split before training on it."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from landslide_tf.data.arrays import Tiles
from landslide_tf.data.split import PARTS, overlapping

SHOWN = 5  # examples in a note


def split_notes(content: dict, tiles: Tiles) -> list[str]:
    """What the user should know of a split, a line each.

    Tiles that are left out; tiles of validation or test that share ground with tiles of the parts
    before them; and tiles of different parts whose image files are the same, byte for byte.
    `content` is what `split_content` returns.

    >>> from landslide_tf.data.arrays import load_tiles
    >>> from landslide_tf.data.split import split_content
    >>> tiles = load_tiles("tiles", tile_px=32)
    >>> split = {"train": ["a000"], "validation": ["a002"], "test": ["b001"]}
    >>> split_notes(split_content(split, tiles), tiles)
    ['9 tiles are in no part: they touch tiles of another part, or the split file does not name ...
    """
    notes = []
    if content.get("left_out"):
        notes.append(
            f"{len(content['left_out'])} tiles are in no part: they touch tiles of another part, "
            "or the split file does not name them (left_out in split.json)"
        )
    return [*notes, *_sharing_ground(content, tiles), *_copies(content)]


def _sharing_ground(content: dict, tiles: Tiles) -> list[str]:
    part_of = {name: number for number, part in enumerate(PARTS) for name in content[part]}
    part = np.array([part_of.get(name, -1) for name in tiles.names])
    pairs = overlapping(tiles.place)[1]
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    first, second = pairs[(part[pairs] >= 0).all(axis=1)].T
    shared = np.unique(second[part[first] < part[second]])
    if not len(shared):
        return []
    counts = " and ".join(
        f"{(part[shared] == number).sum()} of {len(content[name])} {name} tiles"
        for number, name in enumerate(PARTS)
        if (part[shared] == number).any()
    )
    return [
        f"warning: {counts} share ground with tiles of the parts before them; scores are too good "
        "by that: give --split group, or cut tiles without --overlap"
    ]


def _copies(content: dict) -> list[str]:
    places = defaultdict(list)
    for part in PARTS:
        for name in content[part]:
            digest = content["files"].get(name, {}).get("image")
            if digest is not None:
                places[digest].append((name, part))
    copies = [same for same in places.values() if len({part for _, part in same}) > 1]
    if not copies:
        return []
    shown = "; ".join(
        " = ".join(f"{name!r} ({part})" for name, part in same[:SHOWN]) for same in copies[:SHOWN]
    )
    more = f" and {len(copies) - SHOWN} more" if len(copies) > SHOWN else ""
    count = "1 image is" if len(copies) == 1 else f"{len(copies)} images are"
    return [
        f"warning: {count} in more than one part: {shown}{more}; scores are too good by that: "
        "delete the copies, or name the tiles in a file with --split FILE"
    ]
