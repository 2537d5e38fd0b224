"""Polygons of landslides from any vector file."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

import numpy as np
import pyogrio
import pyproj
import shapely
from shapely.errors import ShapelyError

from landslide_tf.checks import InputError
from landslide_tf.data.crs import box_text, horizontal, unit_m
from landslide_tf.data.opening import SUFFIXES, is_local, not_a_file, open_raster

TURN = 360.0
# What GDAL, GEOS and PROJ raise for damaged files. Where the CRS is damaged, pyogrio itself fails
# with an UnboundLocalError.
ERRORS = (RuntimeError, ValueError, OSError, LookupError, ShapelyError, UnboundLocalError)
# Field names and values may have any encoding; this one takes all bytes.
ANY_BYTES = {"encoding": "ISO-8859-1"}
# What an attribute calls ground without a landslide.
NO_LANDSLIDE = re.compile(r"((no|non|not|without)[\W_]*(a[\W_]+)?(land)?slides?|background)", re.I)
LOOKED_AT = 10_000  # polygons whose attributes are read


def is_vector(path) -> bool:
    """Whether a file holds layers of features; False where it opens as a raster.

    Raises:
        InputError: the file does not exist, or is neither.

    >>> is_vector("landslides.geojson"), is_vector("dem.tif")
    (True, False)
    """
    if is_local(path) and not Path(path).exists():
        raise InputError(f"{path}: no such file")
    try:
        pyogrio.list_layers(_for_pyogrio(path))
        return True
    except ERRORS as error:
        no_vector, repair = _reason(error, path)
    try:
        open_raster(path).close()
        return False
    except InputError:
        if Path(path).suffix.lower() in SUFFIXES:
            raise
        raise InputError(
            f"{path}: holds no polygons that can be read ({no_vector}); {repair}"
        ) from None


def read_polygons(path, grid):
    """The polygons of a vector file that reach into the scene, in its CRS, as a GeoSeries.

    Attributes are not read. In degrees, polygons beyond 180 degrees move to the scene's side.

    Raises:
        InputError: the file cannot be read, holds other than polygons, has no CRS, or several
            layers, or nothing in the scene.

    >>> from landslide_tf.geo.overlay import Grid
    >>> with open_raster("scene.tif") as scene:
    ...     polygons = read_polygons("landslides.geojson", Grid(scene))
    >>> len(polygons), polygons.area.round().tolist()
    (2, [256.0, 256.0])
    """
    import geopandas

    outline = grid.outline()
    # a straight side of the scene may be a curve in the polygons' CRS
    around = outline.segmentize(outline.length / 80)
    with _reading(path):
        shapes, info, boxes = _read_around(path, grid, around)
        shapes = shapes[~(shapes.isna() | shapes.is_empty)]
        while (shapes.geom_type == "GeometryCollection").any():  # collections may hold others
            shapes = shapes.explode()
        other = set(shapes.geom_type) - {"Polygon", "MultiPolygon"}
        if other:
            raise InputError(
                f"{path}: holds {', '.join(sorted(other))}; landslides must be polygons"
            )
        # A polygon that crosses itself would be rasterised only in part, so it is made valid: each
        # part by itself and with 'structure', because otherwise ground that two rings or parts both
        # cover would become a hole.
        parts = shapes.explode().values
        parts = shapely.make_valid(parts, method="structure", keep_collapsed=False)
        shapes = geopandas.GeoSeries(parts[~shapely.is_empty(parts)], crs=shapes.crs)
        shapes = _in_crs(shapes, grid, outline)
        shapes = shapes[shapes.intersects(outline)]
    if not len(shapes):
        raise InputError(
            f"{path}: no polygon lies in the scene {grid.path}; they cover "
            f"{box_text(info['total_bounds'])}, the scene {box_text(boxes[0])}"
        )
    return shapes.reset_index(drop=True)


def attribute_warnings(path) -> list[str]:
    """Warnings of polygons that an attribute calls ground without a landslide.

    >>> attribute_warnings("landslides.geojson")
    []
    """
    try:
        table = pyogrio.read_dataframe(
            _for_pyogrio(path), read_geometry=False, max_features=LOOKED_AT, **ANY_BYTES
        )
    except ERRORS:  # attributes that cannot be read say nothing
        return []
    lines = []
    for name in table.select_dtypes(exclude=("number", "bool", "datetime")).columns:
        values = table[name].dropna().astype(str)
        called = values[values.str.strip().str.fullmatch(NO_LANDSLIDE)]
        if len(called):
            lines.append(
                f"{name} is {called.iloc[0]!r} in {len(called)} of {len(table)} polygons, which "
                "count as landslides all the same; leave them out first (ogr2ogr -where)"
            )
    return lines


def _read_around(path, grid, around):
    """Shapes near the scene in their own CRS, facts of the layer, and the boxes looked into."""
    import geopandas

    source = _for_pyogrio(path)
    layers = [str(name) for name, kind in pyogrio.list_layers(source) if kind is not None]
    if len(layers) > 1:
        raise InputError(
            f"{path}: holds several layers ({', '.join(layers)}); export one (ogr2ogr)"
        )
    options = {"layer": layers[0] if layers else None, **ANY_BYTES}
    info = pyogrio.read_info(source, force_total_bounds=True, **options)
    bounds = info["total_bounds"]
    if not layers or info["features"] == 0 or not np.isfinite(bounds or np.nan).all():
        raise InputError(f"{path}: holds no polygons; give a file of landslide polygons")
    if info["crs"] is None:
        raise InputError(f"{path}: has no CRS; assign one (ogr2ogr -a_srs)")
    own, here = pyproj.CRS.from_user_input(info["crs"]), horizontal(grid.crs)
    if own.is_geographic and np.abs(bounds).max() > TURN:
        raise InputError(
            f"{path}: its coordinates {box_text(bounds)} are no degrees, which its CRS "
            f"({own.name}) has; GeoJSON without a CRS counts as longitude and latitude; assign the "
            "right one (ogr2ogr -a_srs)"
        )
    local = own.is_engineering
    if local != here.is_engineering or (local and unit_m(own) != unit_m(grid.crs)):
        raise InputError(
            f"{path}: its CRS ({own.name}) cannot be brought to the image's ({here.name}): one is "
            "local; assign that of the image if the coordinates are its (ogr2ogr -a_srs)"
        )
    boxes = []
    for turn in (0.0, TURN, -TURN) if here.is_geographic else (0.0,):
        placed = geopandas.GeoSeries([around], crs=grid.crs).translate(turn)
        placed = placed if local else placed.to_crs(own)
        if np.isfinite(placed.total_bounds).all():
            boxes.append(tuple(placed.total_bounds))
    # of a world-wide inventory only what is here: elsewhere the scene's CRS may not reach
    if info["driver"] != "OGR_VRT":  # which makes geometry of columns
        options["columns"] = []
    found = [_within(source, box, options) for box in dict.fromkeys(boxes)]
    shapes = geopandas.GeoSeries(
        np.concatenate([part.to_numpy() for part in found]), crs=info["crs"]
    )
    return shapes, info, boxes


def _within(source, box, options):
    """The shapes of a layer that reach into a box, as a GeoSeries.

    TensorFlow brings its own SQLite, which GDAL calls once both are loaded, and which lacks the
    module for the index of a GeoPackage: then all is read.
    """
    try:
        return pyogrio.read_dataframe(source, bbox=box, **options).geometry
    except RuntimeError:  # of pyogrio
        shapes = pyogrio.read_dataframe(source, **options).geometry
        return shapes[shapely.intersects(shapes.values, shapely.box(*box))]


def _in_crs(shapes, grid, outline):
    """Shapes in the scene's CRS; in degrees, brought within half a turn of the scene."""
    import geopandas

    if shapes.crs.is_engineering:
        return geopandas.GeoSeries(shapes.to_numpy(), crs=grid.crs)
    in_degrees, shapes = shapes.crs.is_geographic, shapes.to_crs(grid.crs)
    if not horizontal(grid.crs).is_geographic:
        return shapes
    middle = outline.centroid.x

    def unwrap(xy):
        x = xy[:, 0] - TURN * np.round((xy[:, 0] - middle) / TURN)
        return np.stack([x, xy[:, 1]], axis=-1)

    # A polygon in degrees that spans half the globe is really that wide. One that was transformed
    # from metres is not: it crosses 180 degrees.
    wide = in_degrees & (shapes.bounds.maxx - shapes.bounds.minx >= TURN / 2).to_numpy()
    moved = [
        shape if spans else shapely.transform(shape, unwrap)
        for shape, spans in zip(shapes, wide, strict=True)
    ]
    return geopandas.GeoSeries(moved, crs=grid.crs)


@contextlib.contextmanager
def _reading(path):
    """Whatever GDAL, GEOS or PROJ raise becomes one line with the file."""
    try:
        yield
    except InputError as error:
        raise error if str(path) in str(error) else InputError(f"{path}: {error}") from None
    except ERRORS as error:
        reason, repair = _reason(error, path)
        raise InputError(
            f"{path}: holds no polygons that can be read ({reason}); {repair}"
        ) from None


def _reason(error, path) -> tuple[str, str]:
    """What is wrong, in one line, and the repair."""
    archive = not_a_file(path)
    if archive is not None and is_local(path) and Path(path).is_file():
        return archive
    if isinstance(error, UnicodeEncodeError):
        return "its name is not in UTF-8", "rename the file or folder"
    reason = (str(error).strip().splitlines() or ["damaged"])[0]
    if "not recognized" in reason:
        reason = "it is of no format that is known"
    if ".shx" in reason:
        return reason.split(". Set")[0], "copy all files of the shapefile, or export it again"
    return reason, "give a vector file or a mask raster"


def _for_pyogrio(path) -> str:
    """A path as pyogrio takes it: in a plain one, '!' would divide an archive from its member."""
    path = str(path)
    if "!" not in path or not is_local(path):
        return path
    return f"/vsisubfile/0,{os.path.abspath(path)}"
