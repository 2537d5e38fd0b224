"""Finished blocks on disk, so that an interrupted map goes on; and their sum, strip by strip."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np

from landslide_tf.checks import JobError
from landslide_tf.files import atomic_path, write_json
from landslide_tf.geo.infer import BlockResult
from landslide_tf.geo.outputs import STRIP_PX
from landslide_tf.geo.windows import Layout


def _path(folder, block, suffix=".json") -> Path:
    return Path(folder) / f"block_{block[0]:04d}_{block[1]:04d}{suffix}"


def is_stored(folder, block) -> bool:
    """Whether the block is finished."""
    return _path(folder, block).is_file() and _path(folder, block, ".npy").is_file()


def save_block(folder, result: BlockResult) -> None:
    """Write a finished block, whole or not at all: its pixels, then its facts."""
    # most of a scene's rim is no data: nothing is kept of it
    total = result.total if result.windows else np.zeros((0, 0), "float32")
    with atomic_path(_path(folder, result.block, ".npy")) as scratch:
        np.save(scratch, total)
    facts = {"windows": int(result.windows), "bad": result.bad}
    write_json(_path(folder, result.block), facts)


def load_facts(folder, block) -> tuple[int, list[tuple]]:
    """`windows` and `bad` of a finished block.

    Raises:
        JobError: the file is damaged.
    """
    with _reading(_path(folder, block)) as path:
        facts = json.loads(path.read_text())
        return facts["windows"], [tuple(place) for place in facts["bad"]]


@contextlib.contextmanager
def _reading(path):
    try:
        yield path
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise JobError(
            f"{path}: is damaged ({error}); delete it and continue with --resume"
        ) from None


def strips(folder, layout: Layout):
    """(top, probability) of the whole map from its finished blocks, from top to bottom.

    Probability is float32 (h, width), NaN without data; strips have about 2 million pixels. Of a
    block only the rows of the strip are read, so memory does not grow with the width of the map.

    Raises:
        JobError: a block is damaged.

    Example:
        >>> total = np.full((2, 3), 0.5, "float32")
        >>> save_block(".", BlockResult((0, 0), total, windows=1, bad=[]))
        >>> layout = Layout(size=(2, 3), window=(2, 3), overlap=(1, 1))
        >>> for top, probability in strips(".", layout):
        ...     top, probability.tolist()
        (0, [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]])
    """
    height, width = layout.size
    rows, columns = ([layout.span(a, i) for i in range(len(layout.axes[a][2]))] for a in (0, 1))
    thickness = max(1, STRIP_PX // width)
    for start in range(0, height, thickness):
        end = min(start + thickness, height)
        total = np.zeros((end - start, width), "float32")
        for row, (top, bottom) in enumerate(rows):
            if bottom <= start or top >= end:
                continue
            inner = slice(max(top, start) - start, min(bottom, end) - start)
            for column, (left, right) in enumerate(columns):
                part = _rows(folder, (row, column), max(start - top, 0), end - top)
                total[inner, left:right] += np.float32(np.nan) if part is None else part
        yield start, np.clip(total, 0, 1)  # sums of weights may be 1 + 1e-7


def _rows(folder, block, first: int, last: int):
    """Some rows of a block, or None where it has no data at all."""
    with _reading(_path(folder, block, ".npy")) as path:
        values = np.load(path, mmap_mode="r")
        return np.array(values[first:last]) if values.size else None
