"""Landslides as polygons with what a GIS user asks of each, written to a GeoPackage."""

from __future__ import annotations

import contextlib

import numpy as np
import shapely

from landslide_tf.data.ground import Ground
from landslide_tf.files import atomic_path
from landslide_tf.geo.components import Component, Components
from landslide_tf.geo.outputs import write_error
from landslide_tf.geo.reader import Reader
from landslide_tf.inputs.terrain import slope

SIMPLIFY_PX = 0.5
CHUNK = 5000  # polygons in memory
LAYER = "landslides"


class PolygonWriter:
    """Collects the landslides of a map, strip by strip, and writes them to a GeoPackage.

    `landslides` counts those written, `area_m2` is their area. Each has `id`, `area_m2` (of its
    pixels), `probability_mean` and `probability_max`, and, with a DEM, `slope_mean_deg`,
    `elevation_min_m`, `elevation_max_m`, `elevation_range_m`; `longest_axis_m` is the longer
    side of the smallest rectangle around it.

    >>> from landslide_tf.inputs import InputSpec
    >>> from landslide_tf.geo.source import open_scene
    >>> reader = Reader(open_scene("scene.tif", "dem.tif", InputSpec(tile_px=32)))
    >>> ground = Ground(reader.grid.crs, reader.grid.transform, (64, 96))
    >>> writer = PolygonWriter("map.gpkg", ground, reader, min_area_m2=36)
    >>> landslide = np.zeros((64, 96), bool)
    >>> landslide[10:18, 20:28] = True  # 8 x 8 pixels of 2 m
    >>> len(writer.add(0, np.where(landslide, 0.9, 0.1), landslide, {})), writer.end()
    (1, [])
    >>> writer.landslides, writer.area_m2
    (1, 256.0)
    """

    def __init__(self, path, ground: Ground, reader: Reader, min_area_m2: float):
        self.path, self.landslides, self.area_m2, self.specks = path, 0, 0.0, 0
        self._ground, self._reader, self._min = ground, reader, min_area_m2
        self._components, self._rows, self._started = Components(outlines=True), [], False

    def add(self, top: int, probability, landslide, extra: dict) -> list[tuple[float, Component]]:
        """Take a strip: probability (h, w), landslide (h, w) bool, further layers to sum up.

        Returns (area in m2, component) of the landslides that ended.
        """
        layers = {"probability": probability, **self._terrain(top, landslide), **extra}
        return self._take(self._components.add(top, landslide, layers))

    def end(self) -> list[tuple[float, Component]]:
        """The landslides at the lower edge; then the file is whole."""
        last = self._take(self._components.end())
        if self._rows or not self._started:
            self._flush()
        return last

    def _terrain(self, top, landslide) -> dict:
        """Elevation and slope of a strip, 0 with `dem` = 0 where they are not known."""
        if self._reader.scene.dem is None:
            return {}
        shape = landslide.shape
        elevation, steep, known = (np.zeros(shape, "float32") for _ in range(3))
        if landslide.any():
            # slope needs a pixel around the strip
            before, after = min(top, 1), min(self._reader.scene.size[0] - top - shape[0], 1)
            dem = self._reader.dem((top - before, 0, top + shape[0] + after, shape[1]))
            pixel = dem.resolution_m()
            columns = np.flatnonzero(landslide.any(axis=0))
            for left in range(columns[0], columns[-1] + 1, 4096):  # its arrays are large
                right = min(left + 4096, shape[1])
                cut = np.s_[:, max(0, left - 1) : right + 1]
                z, valid = dem.values[..., 0][cut], dem.valid[cut]
                inner = np.s_[
                    before : before + shape[0], min(left, 1) : min(left, 1) + right - left
                ]
                degrees = np.asarray(slope(z[None, ..., None], valid[None, ..., None], pixel))
                degrees = degrees[0, ..., 0] * 90
                elevation[:, left:right] = np.where(valid, z, 0)[inner]
                steep[:, left:right] = np.where(valid, degrees, 0)[inner]
                known[:, left:right] = valid[inner]
        # an extreme of elevation must not be that of a pixel that is not known
        return {
            "slope": steep,
            "dem": known,
            "low": np.where(known > 0, elevation, np.inf),
            "high": np.where(known > 0, elevation, -np.inf),
        }

    def _take(self, components) -> list[tuple[float, Component]]:
        kept = []
        for component in components:
            shape = _whole(component)
            area = self._ground.area_m2(shape)
            if area < self._min:
                self.specks += 1
                continue
            self.landslides, self.area_m2 = self.landslides + 1, self.area_m2 + area
            self._rows.append(self._row(component, shape, area))
            kept.append((area, component))
            if len(self._rows) >= CHUNK:
                self._flush()
        return kept

    def _row(self, c: Component, shape, area) -> dict:
        row = {
            "id": self.landslides,
            "area_m2": area,
            "probability_mean": c.sums["probability"] / c.px,
            "probability_max": c.highs["probability"],
        }
        if "dem" in c.sums:
            known = c.sums["dem"]
            low, high = c.lows["low"], c.highs["high"]
            row |= {
                "slope_mean_deg": c.sums["slope"] / known if known else np.nan,
                "elevation_min_m": low if known else np.nan,
                "elevation_max_m": high if known else np.nan,
                "elevation_range_m": high - low if known else np.nan,
            }
        row["longest_axis_m"] = self._ground.longest_axis_m(shape)
        outline = shapely.simplify(shape, SIMPLIFY_PX, preserve_topology=True)
        row["geometry"] = self._ground.shape_in_crs(_valid(outline))
        return row

    def _flush(self) -> None:
        import geopandas
        import pyogrio

        columns = ["id", "area_m2", "probability_mean", "probability_max"]
        if self._reader.scene.dem is not None:
            columns += ["slope_mean_deg", "elevation_min_m", "elevation_max_m", "elevation_range_m"]
        columns += ["longest_axis_m", "geometry"]
        frame = geopandas.GeoDataFrame(self._rows, columns=columns, crs=self._ground.crs)
        if not self._rows:  # columns of nothing have no type
            frame = frame.astype(
                {"id": "int64"} | {n: "float64" for n in columns if n not in ("id", "geometry")}
            )
        with _told(self.path):
            pyogrio.write_dataframe(
                frame,
                self.path,
                driver="GPKG",
                layer=LAYER,
                append=self._started,
                geometry_type="MultiPolygon",
                promote_to_multi=True,
            )
        self._rows, self._started = [], True


def _whole(component: Component):
    """The outline of a component from its pieces, a valid polygon or, where corners touch, more."""
    pieces = [_valid(piece) for piece in component.pieces]
    # pixel corners: the pieces meet exactly
    return pieces[0] if len(pieces) == 1 else shapely.union_all(pieces)


def _valid(shape):
    if shape.is_valid:
        return shape
    return shapely.make_valid(shape, method="structure", keep_collapsed=False)


def write_geojson(gpkg, path) -> None:
    """The polygons of a GeoPackage as GeoJSON in WGS 84 (RFC 7946).

    >>> import geopandas
    >>> geopandas.read_file("landslides.geojson").to_file("map.gpkg", layer="landslides")
    >>> write_geojson("map.gpkg", "map.geojson")
    >>> polygons = geopandas.read_file("map.geojson")
    >>> len(polygons), polygons.crs.to_epsg()
    (2, 4326)
    """
    import pyogrio

    with (
        atomic_path(path) as scratch,
        _told(scratch),
        pyogrio.open_arrow(gpkg, layer=LAYER) as (
            layer,
            batches,  # of features: the whole never is in memory
        ),
    ):
        pyogrio.write_arrow(
            batches,
            scratch,
            driver="GeoJSON",
            layer=LAYER,
            crs=layer["crs"],
            geometry_type="MultiPolygon",
            geometry_name=layer["geometry_name"],
            layer_options={"RFC7946": "YES"},
        )


@contextlib.contextmanager
def _told(path):
    """A full disk and the like are told as for the rasters."""
    import pyogrio

    try:
        yield
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise write_error(path, error) from None
