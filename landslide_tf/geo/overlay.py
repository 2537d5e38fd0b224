"""What lies over a scene, brought onto its pixels: landslide polygons, a mask, a DEM."""

from __future__ import annotations

import functools
import math

import numpy as np
import shapely
import shapely.affinity
from rasterio.enums import Resampling
from rasterio.features import rasterize
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from rasterio.windows import Window
from rasterio.windows import transform as window_transform

from landslide_tf.checks import InputError, naming
from landslide_tf.data.crs import (
    SHIFT_PX,
    box_text,
    crs_name,
    flat_crs,
    horizontal,
    same_ground,
    unit_m,
)
from landslide_tf.data.labels import label_numbers, read_numbers
from landslide_tf.data.opening import READ_ERRORS, open_raster, reading
from landslide_tf.data.raster import Raster, nodata_values, read_window
from landslide_tf.data.tile_rules import check_dem, check_mask
from landslide_tf.geo.vector import is_vector, read_polygons
from landslide_tf.geo.virtual import views

FARTHEST_NORTH, FARTHEST_EAST = 90.0, 180.0
FINEST_M = 1e-3  # a smaller pixel is in degrees, although its CRS says metres
SMALL_PX = 4.0  # a polygon of at least this area, in pixels, is taken to hold a pixel's centre
TOLERANCE_PX = 0.01  # largest error of coordinates that GDAL approximates; its default is 0.125


class Grid:
    """The pixels of an open scene.

    Raises:
        InputError: the scene has no georeference.

    >>> with open_raster("scene.tif") as scene:
    ...     grid = Grid(scene)
    >>> grid.height, grid.width, grid.outline().area  # pixels of 2 m
    (64, 96, 24576.0)
    """

    def __init__(self, scene):
        check_georeference(scene)
        self.path, self.crs, self.transform = scene.name, scene.crs, scene.transform
        self.height, self.width = scene.height, scene.width

    def outline(self, window=None):
        """The ground that a window, or the scene, covers, as a shapely polygon."""
        x, y, width, height = (window or Window(0, 0, self.width, self.height)).flatten()
        corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
        return shapely.Polygon(self.transform @ corner for corner in corners)

    def warped(self, view, file, resampling, **options) -> WarpedVRT:
        """A `WarpedVRT` that shows an open raster on this grid; beyond the raster there is no data.

        `view` is the raster `file`, or one of its `virtual.views`.
        """
        crs = flat_crs(self.crs)
        src_crs = crs if self.same_crs(file) else flat_crs(view.crs)
        return WarpedVRT(
            view, src_crs=src_crs, crs=crs, transform=self.transform, width=self.width,
            height=self.height, resampling=resampling, tolerance=TOLERANCE_PX,
            add_alpha=view.nodata is None, **options,
        )  # fmt: skip

    def same_crs(self, file) -> bool:
        """Whether the CRS of an open raster means the same places, to within a tenth of a pixel."""
        t = self.transform
        pixel = min(np.hypot(t.a, t.d), np.hypot(t.b, t.e))
        corners = list(self.outline().exterior.coords)
        with naming(file.name):
            return same_ground(self.crs, file.crs, corners, SHIFT_PX * pixel)


def check_georeference(file) -> None:
    """Raise `InputError` unless the open raster has a CRS, and a transform that suits it."""
    if file.crs is None or file.transform.is_identity:
        if file.gcps[0] or file.rpcs is not None:
            by = "ground control points" if file.gcps[0] else "RPC coefficients"
            raise InputError(
                f"{file.name}: its place is given by {by} only; bring it onto a grid "
                f"(gdalwarp{'' if file.gcps[0] else ' -rpc'} -t_srs EPSG:...)"
            )
        lacking = "CRS" if file.crs is None else "place (transform)"
        how = "-a_srs" if file.crs is None else "-a_ullr"
        if file.crs is None and file.transform.is_identity:
            lacking, how = "CRS and no place", "-a_srs, -a_ullr"
        tool = "gdal_edit" if file.driver == "GTiff" else "gdal_translate -of GTiff"
        raise InputError(
            f"{file.name}: has no georeference (no {lacking}); assign one ({tool} {how})"
        )
    t = file.transform
    if not np.isfinite(tuple(t)).all() or t.determinant == 0:
        raise InputError(
            f"{file.name}: its georeference gives pixels no size; assign another (gdal_edit "
            "-a_ullr)"
        )
    with naming(file.name):
        crs = horizontal(file.crs)
    x, y = file.xy(file.height // 2, file.width // 2)
    if crs.is_geographic and abs(y) > FARTHEST_NORTH:
        raise InputError(
            f"{file.name}: its middle lies at {x:.6g}, {y:.6g}, and its CRS ({crs.name}) has no "
            "such latitude; assign the right one (gdal_edit -a_srs), or exchange x and y (-a_ullr)"
        )
    unit, side = unit_m(file.crs), math.sqrt(abs(t.determinant))
    in_degrees = abs(x) <= FARTHEST_EAST and abs(y) <= FARTHEST_NORTH
    if crs.is_projected and in_degrees and unit and unit * side < FINEST_M:
        raise InputError(
            f"{file.name}: its coordinates ({x:.6g}, {y:.6g}) and pixels of {side:.3g} look like "
            f"degrees, and its CRS ({crs.name}) has none; assign the right one (gdal_edit -a_srs "
            "EPSG:4326)"
        )


def same_grid(grid: Grid, file) -> bool:
    """Whether an open raster lies pixel on pixel on the grid."""
    if file.crs is None or (file.height, file.width) != (grid.height, grid.width):
        return False
    to_pixel = np.linalg.inv(np.reshape(grid.transform, (3, 3)))
    corners = np.array([[0, 0, 1], [file.width, file.height, 1]]).T
    apart = to_pixel @ np.reshape(file.transform, (3, 3)) @ corners - corners
    return bool(np.abs(apart).max() < TOLERANCE_PX) and grid.same_crs(file)


def bounds_apart(file, grid: Grid) -> tuple[str, str] | None:
    """Bounds of an open raster and of the scene, in the scene's CRS, where they do not overlap.

    None where they overlap, and for a rotated raster, whose bounds do not tell.

    Raises:
        InputError: the raster's CRS cannot be brought to the scene's.
    """
    if not file.transform.is_rectilinear:
        return None
    here, there = grid.outline().bounds, sorted_bounds(file.bounds)
    if grid.same_crs(file):
        if _overlap(here, there, horizontal(grid.crs).is_geographic):
            return None
        return box_text(file.bounds), box_text(here)
    # Either way will do: a raster of the whole Earth cannot be brought to every CRS.
    seen = moved_bounds(here, grid.crs, file.crs)
    if seen is not None and _overlap(seen, there, horizontal(file.crs).is_geographic):
        return None
    moved = moved_bounds(there, file.crs, grid.crs)
    if moved is not None and _overlap(here, moved, horizontal(grid.crs).is_geographic):
        return None
    if seen is None and moved is None:
        raise InputError(
            f"{file.name}: its CRS {crs_name(file.crs)} cannot be brought to the image's; "
            "reproject it (gdalwarp -t_srs)"
        )
    return box_text(there if moved is None else moved), box_text(here)


def sorted_bounds(bounds):
    """Left, bottom, right and top, also of a raster whose first row is the southernmost."""
    (west, east), (south, north) = sorted(bounds[0::2]), sorted(bounds[1::2])
    return west, south, east, north


def moved_bounds(bounds, from_crs, to_crs):
    """Bounds in another CRS, or None where that does not reach them.

    Bounds that cross 180 degrees get a right side beyond 180.
    """
    try:
        left, bottom, right, top = transform_bounds(
            flat_crs(from_crs), flat_crs(to_crs), *bounds, densify_pts=21
        )
    except READ_ERRORS:
        return None
    if not np.isfinite((left, bottom, right, top)).all():
        return None
    if left > right and horizontal(to_crs).is_geographic:
        right += 360
    return sorted_bounds((left, bottom, right, top))


def _overlap(a, b, turns: bool) -> bool:
    """Whether two boxes overlap; with `turns`, also when one is moved by 360 degrees."""
    return a[1] < b[3] and b[1] < a[3] and any(
        a[0] + turn < b[2] and b[0] < a[2] + turn for turn in ((-360, 0, 360) if turns else (0,))
    )  # fmt: skip


def open_dem(path, grid: Grid, nodata=None):
    """A function from windows of the scene to the DEM there, in metres.

    Where the grids agree, the DEM is read as it is; otherwise it is interpolated bilinearly in
    float64. Pixels that are no data, by tag or by `nodata` (a number or several), are left out of
    the interpolation. A DEM in degrees is also tried with its longitudes shifted by 360 degrees.

    Raises:
        InputError: no georeference, or of another place than the scene.

    >>> with open_raster("scene.tif") as scene:
    ...     heights = open_dem("dem.tif", Grid(scene))
    >>> heights(Window(0, 0, 3, 2)).values[..., 0].tolist()  # column, row, width, height
    [[1000.0, 1001.0, 1002.0], [1001.0, 1002.0, 1003.0]]
    """
    file = open_raster(path)
    with reading(path):
        check_georeference(file)
        apart = bounds_apart(file, grid)
        if apart:
            raise InputError(
                f"{path}: covers {apart[0]} in the image's CRS, the image {apart[1]}: they do not "
                "overlap; give the DEM of this place"
            )
        if same_grid(grid, file):
            warped = [(file, nodata)]
        else:
            warped = [
                (grid.warped(view, file, Resampling.bilinear, dtype="float64"), None)
                for view in views(file, grid, nodata_values(nodata))
            ]

    def read(window) -> Raster:
        parts = [
            read_window(view, window, nodata=mark, kind="dem", tagged=file) for view, mark in warped
        ]
        raster = functools.reduce(_joined, parts)
        check_dem(raster, path)
        return raster

    return read


def _joined(raster: Raster, other: Raster) -> Raster:
    """The raster, with the other's values where it has none."""
    fill = other.valid & ~raster.valid
    values = np.where(fill[..., None], other.values, raster.values)
    return Raster(values, raster.valid | fill, raster.crs, raster.transform)


def open_labels(path, grid: Grid, all_touched: bool = False):
    """A function from windows of the scene to landslide (1) and background (0) there.

    `path` is a vector file or a mask raster. Polygons may have any CRS and are taken to be all
    landslides of the scene. A mask may be on any grid; pixels beyond it are not valid. What its
    numbers mean is told in `landslide_tf.data.labels`. For polygons, the function has the attribute
    `unseen`: the number of polygons that hold no pixel's centre and so leave no landslide.

    Raises:
        InputError: no polygons, no CRS, nothing within the scene, an ambiguous mask.

    >>> with open_raster("scene.tif") as scene:
    ...     labels = open_labels("landslides.geojson", Grid(scene))
    >>> int(labels(Window(0, 0, 96, 64)).values.sum())  # two of 8 x 8 pixels
    128
    """
    if not is_vector(path):
        return _open_mask(path, grid)
    shapes = read_polygons(path, grid)

    def burn(window) -> Raster:
        values = np.zeros((window.height, window.width), "uint8")
        inside = shapes.iloc[shapes.sindex.query(grid.outline(window), predicate="intersects")]
        if len(inside):
            transform = window_transform(window, grid.transform)
            rasterize(inside, out=values, transform=transform, all_touched=all_touched)
        return Raster(values[..., None], np.ones(values.shape, bool))

    burn.unseen = 0 if all_touched else sum(not _has_centre(shape, grid) for shape in shapes)
    return burn


def _has_centre(shape, grid: Grid) -> bool:
    """Whether a polygon holds the centre of a pixel, which makes that pixel landslide."""
    shape = shapely.affinity.affine_transform(shape, (~grid.transform).to_shapely())
    if shape.area >= SMALL_PX:
        return True
    left, top, right, bottom = np.array(shape.bounds) - 0.5
    if (right - left) * (bottom - top) > 1e6:  # a line across the scene: not worth the search
        return True
    x, y = np.meshgrid(
        np.arange(math.ceil(left), math.floor(right) + 1) + 0.5,
        np.arange(math.ceil(top), math.floor(bottom) + 1) + 0.5,
    )
    return bool(shapely.contains_xy(shape, x, y).any())


def _open_mask(path, grid: Grid):
    file = open_raster(path)
    with reading(path):
        check_georeference(file)
        numbers = label_numbers(file)
        apart = bounds_apart(file, grid)
        if apart:
            raise InputError(
                f"{path}: does not reach into the scene {grid.path}; it covers {apart[0]}, the "
                f"scene {apart[1]}; give the mask of this place"
            )
        warped = [grid.warped(view, file, Resampling.nearest) for view in views(file, grid)]

    def read(window) -> Raster:
        parts = [read_numbers(view, window, numbers) for view in warped]
        return check_mask(functools.reduce(_joined, parts), path)

    return read
