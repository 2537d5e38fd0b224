"""Landslides as polygons: from the strips of a map, cleaned, with what is known of each."""

from __future__ import annotations

from collections import Counter

import numpy as np
import shapely
from scipy import ndimage

from landslide_tf.data.ground import Ground
from landslide_tf.geo.attributes import describe_landslide, fields
from landslide_tf.geo.cleaning import fill_holes, smooth
from landslide_tf.geo.components import Component, Components
from landslide_tf.geo.elevation import terrain_layers
from landslide_tf.geo.geopackage import FeatureFile
from landslide_tf.geo.reader import Reader

NEAR = 256  # pixels within which all pixels are taken to have one area


class Outlines:
    """Cleaned outlines of the 4-connected parts of a mask that comes strip by strip.

    Holes smaller than the minimum area are filled, and smaller parts are dropped. `dropped` is the
    number of dropped parts, `dropped_m2` their area, and `holes_filled` the number of filled holes.
    Memory holds one strip, and the parts that reach its lower edge.

    >>> from rasterio.crs import CRS
    >>> from rasterio.transform import from_origin
    >>> ground = Ground(CRS.from_epsg(32647), from_origin(470000, 3445000, 2, 2), (64, 96))
    >>> found, mask = Outlines(ground, min_area_m2=36), np.zeros((64, 96), bool)
    >>> mask[10:18, 20:28] = mask[40, 40] = True
    >>> mask[12, 22] = False  # a hole
    >>> [(component.px, shape.area) for component, shape in found.add(0, mask, {})]
    [(63, 64.0)]
    >>> found.dropped, round(found.dropped_m2), found.holes_filled
    (1, 4, 1)
    """

    def __init__(self, ground: Ground, min_area_m2: float):
        self.dropped, self.dropped_m2, self.holes_filled = 0, 0.0, 0
        self._ground, self._min, self._pixels = ground, min_area_m2, {}
        self._components = Components()

    def add(self, top: int, mask, layers: dict) -> list[tuple[Component, shapely.Polygon]]:
        """Take a strip; returns (component, outline in pixels) of the parts that ended."""
        return self._clean(self._components.add(top, mask, layers))

    def end(self) -> list[tuple[Component, shapely.Polygon]]:
        """The parts at the lower edge."""
        return self._clean(self._components.end())

    def pixel_m2(self, x: float, y: float) -> float:
        """Area of a pixel near (x, y)."""
        place = (x // NEAR, y // NEAR)
        if place not in self._pixels:
            self._pixels[place] = self._ground.pixel_m2(*((n + 0.5) * NEAR for n in place))
        return self._pixels[place]

    def _clean(self, components) -> list[tuple[Component, shapely.Polygon]]:
        kept = []
        for component in components:
            x, y, right, bottom = shapely.total_bounds(component.pieces)
            pixel = self.pixel_m2(x, y)
            # half a pixel for the rounding of areas on the ellipsoid
            limit = self._min / pixel - 0.5
            small = (right - x) * (bottom - y) < limit  # its holes included
            if not small:
                shape, filled = fill_holes(whole(component), limit)
            if small or shape.area < limit:
                self.dropped += 1
                self.dropped_m2 += component.px * pixel
                continue
            self.holes_filled += filled
            kept.append((component, shape))
        return kept


def whole(component: Component) -> shapely.Polygon:
    """The outline of a component from its pieces, in pixels, valid.

    >>> pieces = [shapely.box(0, 0, 2, 1), shapely.box(1, 1, 2, 2)]
    >>> whole(Component(3, {}, {}, {}, pieces)).area
    3.0
    """
    pieces = [
        piece
        if piece.is_valid
        else shapely.make_valid(piece, method="structure", keep_collapsed=False)
        for piece in component.pieces
    ]
    # pixel corners: the pieces meet exactly
    return pieces[0] if len(pieces) == 1 else shapely.union_all(pieces)


class PolygonWriter:
    """Collects the landslides of a map, strip by strip, and writes them to a GeoPackage.

    The columns are those of `attributes.FIELDS`. `areas_m2` are the areas of what is written,
    `edges` counts them by `attributes.EDGE`, `cleaned` is for the report.
    """

    def __init__(self, path, ground: Ground, reader: Reader, threshold: float, min_area_m2: float):
        self.areas_m2, self.edges = [], Counter()
        self._ground, self._reader, self._threshold = ground, reader, threshold
        self._outlines = Outlines(ground, min_area_m2)
        kinds = {f.name: f.kind for f in fields(reader.scene.dem is not None)}
        self._file = FeatureFile(path, ground.crs, kinds)

    def add(self, top: int, probability, landslide, edge) -> None:
        """Take a strip (h, w): probability, landslide (bool), pixels that touch no data (bool)."""
        layers = {"probability": probability, "edge": edge}
        layers |= terrain_layers(self._reader, top, landslide)
        self._take(self._outlines.add(top, landslide, layers))

    def end(self) -> None:
        """Take the landslides at the lower edge; then the file is whole."""
        self._take(self._outlines.end())
        self._file.end()

    @property
    def cleaned(self) -> dict:
        """What the cleaning did."""
        return {
            "dropped": self._outlines.dropped,
            "dropped_m2": round(self._outlines.dropped_m2, 1),
            "holes_filled": self._outlines.holes_filled,
            "cut_by_the_edge": self.edges["cut"],
            "slivers_at_the_edge": self.edges["sliver"],
        }

    def _take(self, parts) -> None:
        for component, shape in parts:
            outline = smooth(shape)
            row = describe_landslide(component, outline, self._ground, self._threshold)
            self.areas_m2.append(row["area_m2"])
            self.edges[row["edge"]] += 1
            geometry = self._ground.shape_in_crs(outline)
            self._file.add(id=len(self.areas_m2), **row, geometry=geometry)


def touching(valid, above, below):
    """Valid pixels (h, w), bool, that touch no data, also at a corner, or the scene's border.

    `above` and `below` are the rows (w) of `valid` around the strip, None at the border.

    >>> touching(np.ones((2, 4), bool), np.ones(4, bool), None).astype(int).tolist()
    [[1, 0, 0, 1], [1, 1, 1, 1]]
    """
    nothing = np.zeros(valid.shape[1], bool)
    above, below = (nothing if row is None else row for row in (above, below))
    around = np.pad(np.stack([above, *valid, below]), ((0, 0), (1, 1)))
    inside = ndimage.minimum_filter(around, size=3, mode="constant", cval=0)[1:-1, 1:-1]
    return valid & ~inside
