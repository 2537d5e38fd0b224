"""Connected components of a raster that comes strip by strip, with sums over each."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from rasterio.features import shapes
from rasterio.transform import Affine
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from shapely.geometry import shape


@dataclass
class Component:
    """Pixels that touch each other at their sides.

    >>> found = Components()
    >>> found.add(0, np.array([[1, 1, 0]], bool), {"height": np.array([[5.0, 7.0, 9.0]])})
    []
    >>> found.end()
    [Component(px=2, sums={'height': 12.0}, lows={'height': 5.0}, highs={'height': 7.0}, ...)]
    """

    px: int
    sums: dict[str, float]  # of each layer, over the pixels
    lows: dict[str, float]
    highs: dict[str, float]
    pieces: list = field(default_factory=list)  # outline: shapely polygons in pixels, (x, y)

    @classmethod
    def join(cls, parts: list[Component]) -> Component:
        """Make one component of those that turn out to touch."""
        if len(parts) == 1:
            return parts[0]
        names = parts[0].sums
        return cls(
            sum(p.px for p in parts),
            {name: sum(p.sums[name] for p in parts) for name in names},
            {name: min(p.lows[name] for p in parts) for name in names},
            {name: max(p.highs[name] for p in parts) for name in names},
            [piece for p in parts for piece in p.pieces],
        )


class Components:
    """4-connected components across strips of full width, given from top to bottom.

    Pixels that touch at a corner alone are of two components. Memory holds one strip and what
    still touches its lower edge.

    >>> found = Components()
    >>> [c.px for c in found.add(0, np.array([[1, 0, 0], [0, 1, 1]], bool), {})]
    [1]
    >>> [c.px for c in found.add(2, np.array([[1, 0, 1], [0, 0, 0]], bool), {})]
    [3, 1]
    """

    def __init__(self):
        self._open: list[Component] = []  # those that reach the lower edge of the last strip
        self._edge = None  # (width,) int: 1 + index into `_open`, 0 elsewhere

    def add(self, top: int, mask, layers: dict) -> list[Component]:
        """Take the strip whose first row is `top`; returns the components that ended.

        `layers` are arrays (h, w), finite on the mask, summed up over each component.
        """
        labels, count = ndimage.label(mask)
        fresh = self._describe(top, labels, count, layers)
        group = self._groups(labels[0], count)
        members: dict[int, list[Component]] = {}
        for number, component in zip(group, self._open + fresh, strict=True):
            members.setdefault(number, []).append(component)
        joined = {number: Component.join(parts) for number, parts in members.items()}
        # groups of the labels in the last row stay open
        edge = labels[-1]
        number_of = np.concatenate([[-1], group[len(self._open) :]])[edge]
        still = np.unique(number_of[edge > 0])
        self._open = [joined.pop(number) for number in still]
        self._edge = np.where(edge > 0, np.searchsorted(still, number_of) + 1, 0)
        return list(joined.values())

    def end(self) -> list[Component]:
        """The components that reach the last row."""
        rest, self._open, self._edge = self._open, [], None
        return rest

    def _describe(self, top, labels, count, layers) -> list[Component]:
        if count == 0:
            return []
        where = labels > 0
        index, found = np.arange(1, count + 1), labels[where]
        px = np.bincount(found, minlength=count + 1)[1:]
        table = {}
        for name, layer in layers.items():
            values = layer[where].astype("float64")
            table[name] = (
                np.bincount(found, values, minlength=count + 1)[1:],
                ndimage.minimum(values, found, index),
                ndimage.maximum(values, found, index),
            )
        result = [
            Component(
                int(px[i]), *({n: float(t[k][i]) for n, t in table.items()} for k in range(3))
            )
            for i in range(count)
        ]
        place = Affine.translation(0, top)
        traced = shapes(labels.astype("int32"), where, connectivity=4, transform=place)
        for outline, label in traced:
            result[int(label) - 1].pieces.append(shape(outline))
        return result

    def _groups(self, first_row, count):
        """Which of the open and the new components belong together: a number for each."""
        opened = len(self._open)
        a = b = np.zeros(0, int)
        if opened:
            both = (self._edge > 0) & (first_row > 0)
            a, b = self._edge[both] - 1, opened + first_row[both] - 1
        size = opened + count
        graph = coo_array((np.ones(len(a)), (a, b)), shape=(size, size))
        return connected_components(graph, directed=False)[1] if size else np.zeros(0, int)
