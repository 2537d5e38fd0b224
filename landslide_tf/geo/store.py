"""Finished blocks on disk, so that an interrupted map goes on; and their sum, strip by strip."""

from __future__ import annotations

import contextlib
import zipfile
from pathlib import Path

import numpy as np

from landslide_tf.checks import JobError
from landslide_tf.files import atomic_path
from landslide_tf.geo.infer import BlockResult
from landslide_tf.geo.windows import Layout

STRIP_PX = 2**21  # pixels of a strip, about


def _path(folder, block) -> Path:
    return Path(folder) / f"block_{block[0]:04d}_{block[1]:04d}.npz"


def is_stored(folder, block) -> bool:
    """Whether the block is finished.

    >>> total = np.full((2, 3), 0.5, "float32")
    >>> save_block(".", BlockResult((0, 0), total, windows=1, bad=np.zeros((0, 5), int)))
    >>> is_stored(".", (0, 0)), is_stored(".", (0, 1))
    (True, False)
    """
    return _path(folder, block).is_file()


def save_block(folder, result: BlockResult) -> None:
    """Write a finished block, whole or not at all.

    >>> total = np.full((2, 3), 0.5, "float32")
    >>> save_block(".", BlockResult((0, 0), total, windows=1, bad=np.zeros((0, 5), int)))
    >>> [path.name for path in Path().iterdir()]
    ['block_0000_0000.npz']
    """
    # most of a scene's rim is no data: nothing is kept of it
    total = result.total if result.windows else np.zeros((0, 0), "float32")
    with atomic_path(_path(folder, result.block)) as scratch:
        np.savez(scratch, total=total, windows=result.windows, bad=result.bad)


def load_block(folder, block) -> BlockResult:
    """Read a finished block; `total` is (0, 0) where it has no data at all.

    Raises:
        JobError: the file is damaged.

    Example:
        >>> total = np.full((2, 3), 0.5, "float32")
        >>> save_block(".", BlockResult((0, 0), total, windows=1, bad=np.zeros((0, 5), int)))
        >>> load_block(".", (0, 0)).total
        array([[0.5, 0.5, 0.5],
               [0.5, 0.5, 0.5]], dtype=float32)
    """
    with _reading(folder, block) as file:
        return BlockResult(block, file["total"], int(file["windows"]), file["bad"])


def load_facts(folder, block) -> tuple[int, np.ndarray]:
    """`windows` and `bad` of a finished block, without its pixels.

    >>> total = np.full((2, 3), 0.5, "float32")
    >>> save_block(".", BlockResult((0, 0), total, windows=1, bad=np.zeros((0, 5), int)))
    >>> windows, bad = load_facts(".", (0, 0))
    >>> windows, bad.shape
    (1, (0, 5))
    """
    with _reading(folder, block) as file:
        return int(file["windows"]), file["bad"]


@contextlib.contextmanager
def _reading(folder, block):
    path = _path(folder, block)
    try:
        with np.load(path) as file:
            yield file
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise JobError(
            f"{path}: is damaged ({error}); delete it and continue with --resume"
        ) from None


def strips(folder, layout: Layout):
    """(top, probability) of the whole map from its finished blocks, from top to bottom.

    Probability is float32 (h, width), NaN without data; strips have about 2 million pixels.

    >>> total = np.full((2, 3), 0.5, "float32")
    >>> save_block(".", BlockResult((0, 0), total, windows=1, bad=np.zeros((0, 5), int)))
    >>> for top, probability in strips(".", Layout(size=(2, 3), window=(2, 3), overlap=(1, 1))):
    ...     top, probability.tolist()
    (0, [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]])
    """
    height, width = layout.size
    rows, columns = (len(spans) for _, _, spans in layout.axes)
    thickness = max(1, STRIP_PX // width)
    carry = np.zeros((0, width), "float32")
    for row in range(rows):
        top, bottom = layout.span(0, row)
        total = np.zeros((min(bottom, height) - top, width), "float32")
        total[: len(carry)] = carry
        for column in range(columns):
            left, right = layout.span(1, column)
            part = load_block(folder, (row, column)).total
            total[:, left:right] += part if part.size else np.float32(np.nan)
        # what the next row of blocks adds to is not final
        end = layout.span(0, row + 1)[0] if row + 1 < rows else height
        for start in range(top, end, thickness):
            # sums of weights may be 1 + 1e-7
            yield start, np.clip(total[start - top : min(start + thickness, end) - top], 0, 1)
        carry = total[end - top :]
