"""Where the windows of a scene lie, how they are blended, and the blocks they are worked in."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

BLOCK_PX = 1024  # about the side of a block
MAX_WINDOWS = 16  # in a block, along an axis


def window_starts(size: int, window: int, overlap: int) -> list[int]:
    """First pixels of the windows along an axis; neighbours share `overlap` pixels.

    The first window begins at 0. The last one ends at `size`, so it may share more. An axis shorter
    than a window has one window, which reaches beyond it. A step that is a multiple of 16 keeps the
    pooling of all windows on one grid; neighbours then differ less than if the windows were spread
    evenly.

    >>> window_starts(110, window=64, overlap=32)
    [0, 32, 46]
    >>> window_starts(40, window=64, overlap=32)
    [0]
    """
    return [*range(0, size - window, window - overlap), max(size - window, 0)]


def window_weights(size: int, window: int, overlap: int) -> np.ndarray:
    """Blending weights (windows, window) of the `window_starts`; at each pixel they sum to 1.

    The weights of a window are a box as long as one step, convolved with as many boxes as steps fit
    into the overlap, and divided by the sum over all windows. In general they are a trapezoid; with
    an overlap of half a window they are a triangle, with two thirds a quadratic spline. So a weight
    is nearly 0 at the rim of a window, where a model sees least. As elevation is normalised in each
    window by itself, an even slope becomes a sawtooth from window to window; blended with these
    weights it becomes a constant. In two dimensions a weight is the product of the weights of both
    axes, and these products sum to 1 too.

    >>> window_weights(6, window=4, overlap=2).round(2).tolist()
    [[1.0, 1.0, 0.67, 0.33], [0.33, 0.67, 1.0, 1.0]]
    """
    starts = window_starts(size, window, overlap)
    step = max(np.diff(starts), default=window)  # which may be less than was asked for
    shared = window - step
    taper, count = np.ones(step), max(1, round(shared / step))
    for i in range(count):
        longer = shared * (i + 1) // count - shared * i // count
        taper = np.convolve(taper, np.ones(longer + 1))
    taper /= taper.max()
    total = np.zeros(starts[-1] + window)
    for start in starts:
        total[start : start + window] += taper
    return np.stack([taper / total[start : start + window] for start in starts])


@dataclass(frozen=True)
class Layout:
    """The windows of a scene on their grid, and their blocks. All sizes (y, x) in image pixels.

    >>> layout = Layout(size=(64, 96), window=(32, 32), overlap=(16, 16))
    >>> layout.count()  # 3 along y, 5 along x
    15
    >>> [layout.box(block) for block in layout.blocks]
    [(0, 0, 64, 96)]
    """

    size: tuple[int, int]  # of the scene
    window: tuple[int, int]
    overlap: tuple[int, int]  # of neighbours; the last window of an axis may share more

    @functools.cached_property
    def axes(self):
        """For y and x: starts, weights, and the (first, last + 1) window of each block."""
        result = []
        for size, window, overlap in zip(self.size, self.window, self.overlap, strict=True):
            starts = window_starts(size, window, overlap)
            count = min(MAX_WINDOWS, max(1, BLOCK_PX // (window - overlap)))
            spans = [(i, min(i + count, len(starts))) for i in range(0, len(starts), count)]
            result.append((starts, window_weights(size, window, overlap), spans))
        return result

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """Row and column of all blocks, row by row."""
        rows, columns = (len(spans) for _, _, spans in self.axes)
        return [(row, column) for row in range(rows) for column in range(columns)]

    def span(self, axis: int, index: int) -> tuple[int, int]:
        """First and last + 1 pixel of the block `index` along an axis, with all its windows."""
        starts, _, spans = self.axes[axis]
        first, end = spans[index]
        return starts[first], starts[end - 1] + self.window[axis]

    def box(self, block: tuple[int, int]) -> tuple[int, int, int, int]:
        """Top, left, bottom, right of a block, which may reach beyond a small scene."""
        (top, bottom), (left, right) = self.span(0, block[0]), self.span(1, block[1])
        return top, left, bottom, right

    def windows(self, block: tuple[int, int]):
        """Top, left and weight (y, x) of each window of a block."""
        (tops, weights_y, rows), (lefts, weights_x, columns) = self.axes
        for y in range(*rows[block[0]]):
            for x in range(*columns[block[1]]):
                yield tops[y], lefts[x], np.outer(weights_y[y], weights_x[x])

    def all_windows(self):
        """Place (slices of rows and columns) and weight (y, x) of every window."""
        for block in self.blocks:
            for top, left, weight in self.windows(block):
                yield np.s_[top : top + weight.shape[0], left : left + weight.shape[1]], weight

    def count(self, block: tuple[int, int] | None = None) -> int:
        """Windows of a block, or of the scene."""
        result = 1
        for axis, (starts, _, spans) in enumerate(self.axes):
            first, end = (0, len(starts)) if block is None else spans[block[axis]]
            result *= end - first
        return result
