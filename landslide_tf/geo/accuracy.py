"""Landslides of a map against those of a reference, after the same cleaning of both."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import shapely

from landslide_tf.data.ground import Ground
from landslide_tf.geo.geopackage import FeatureFile
from landslide_tf.geo.polygons import Outlines

SIZES_M2 = (100, 1_000, 10_000, 100_000)  # limits of the size classes
CHUNK = 2000  # outlines in memory
CRITERIA = ("any_overlap", "iou_over_0.5")


class ObjectScorer:
    """Counts landslides found and false alarms.

    Only pixels that are known in both map and reference count. In both, pixels that touch at their
    sides are one landslide; holes below the minimum area are filled, and landslides below it are
    left out. With 'any overlap', a landslide of the reference is found where any mapped one
    overlaps it, and a mapped one is a false alarm where it overlaps none. With 'IoU over 0.5', each
    has at most one partner, with which it shares more than half of their union.

    >>> from rasterio.crs import CRS
    >>> from rasterio.transform import from_origin
    >>> ground = Ground(CRS.from_epsg(32647), from_origin(470000, 3445000, 2, 2), (64, 96))
    >>> scorer, truth, mapped = ObjectScorer(".", ground, 36), *np.zeros((2, 64, 96), bool)
    >>> truth[10:20, 10:20] = mapped[10:20, 16:40] = True
    >>> scorer.add(0, truth, mapped)
    >>> result = scorer.result()
    >>> result["any_overlap"], result["iou_over_0.5"]
    ({'found': 1, 'false_alarms': 0}, {'found': 0, 'false_alarms': 1})
    """

    def __init__(self, folder, ground: Ground, min_area_m2: float):
        self._sides = [
            _Side(Path(folder) / f"objects_{name}.gpkg", ground, min_area_m2)
            for name in ("reference", "mapped")
        ]
        t = ground.transform
        self._tolerance = 1e-3 * abs(t.a * t.e - t.b * t.d)  # of a pixel's area, in the CRS

    def add(self, top: int, truth, mapped) -> None:
        """Take a strip (h, w) of reference and map, bool, False where either is not known."""
        for side, mask in zip(self._sides, (truth, mapped), strict=True):
            side.take(side.outlines.add(top, mask, {}))

    def areas(self) -> tuple[np.ndarray, np.ndarray]:
        """Areas (m2) of the landslides of the reference and of the map."""
        return tuple(np.array(side.areas) for side in self._sides)

    def result(self) -> dict:
        """Counts over all landslides and by area class; each landslide counts by its own area."""
        for side in self._sides:
            side.take(side.outlines.end())
            side.file.end()
        found, right = self._match()
        reference, mapped = self.areas()
        whole = _counts(reference, mapped, found, right)
        classes = {}
        for low, high in itertools.pairwise((0, *SIZES_M2, math.inf)):
            name = f"{low} to {high}" if high < math.inf else f"{low} and more"
            here = [(low <= areas) & (areas < high) for areas in (reference, mapped)]
            classes[name] = _counts(
                reference[here[0]], mapped[here[1]], found[:, here[0]], right[:, here[1]]
            )
        return {**whole, "by_size_m2": classes}

    def _match(self):
        """Which landslides of the reference are found, which mapped ones right: (2, N) bool each.

        The first axis is the criterion.
        """
        truth, mapped = self._sides
        found = np.zeros((2, len(truth.areas)), bool)
        right = np.zeros((2, len(mapped.areas)), bool)
        for first in range(0, len(mapped.areas) if len(truth.areas) else 0, CHUNK):
            ours = mapped.file.read(skip_features=first, max_features=CHUNK)
            theirs = truth.file.read(bbox=tuple(ours.total_bounds))
            a, b = theirs.sindex.query(ours.geometry, predicate="intersects")
            shapes_a, shapes_b = ours.geometry.values[a], theirs.geometry.values[b]
            shared = shapely.area(shapely.intersection(shapes_a, shapes_b))
            union = shapely.area(shapes_a) + shapely.area(shapes_b) - shared
            pairs = (shared > self._tolerance, shared / union > 0.5)
            for row, yes in enumerate(pairs):
                found[row, theirs.number.to_numpy()[b[yes]]] = True
                right[row, ours.number.to_numpy()[a[yes]]] = True
        return found, right


class _Side:
    """The outlines of one side, in a file that can be read by place."""

    def __init__(self, path, ground: Ground, min_area_m2: float):
        self.outlines, self.areas, self._ground = Outlines(ground, min_area_m2), [], ground
        self.file = FeatureFile(path, ground.crs, {"number": "int32"})

    def take(self, parts) -> None:
        for _, shape in parts:
            self.file.add(number=len(self.areas), geometry=self._ground.shape_in_crs(shape))
            self.areas.append(shape.area * self.outlines.pixel_m2(*shape.bounds[:2]))


def _counts(reference, mapped, found, right) -> dict:
    return {
        "reference": len(reference),
        "mapped": len(mapped),
        **{
            name: {"found": int(f.sum()), "false_alarms": int((~r).sum())}
            for name, f, r in zip(CRITERIA, found, right, strict=True)
        },
    }
