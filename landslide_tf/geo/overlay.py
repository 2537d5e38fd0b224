"""What lies over a scene, brought onto its pixels: landslide polygons, a mask, a DEM."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.features import rasterize
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from rasterio.windows import Window
from rasterio.windows import transform as window_transform

from landslide_tf.checks import InputError
from landslide_tf.data.raster import SUFFIXES, Raster, open_raster, read_window
from landslide_tf.data.tile import check_dem, check_mask

TOLERANCE_PX = 0.01  # of the places that GDAL computes; its default is 0.125


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
        import shapely

        x, y, width, height = (window or Window(0, 0, self.width, self.height)).flatten()
        t = self.transform
        return shapely.Polygon(
            (t.a * px + t.b * py + t.c, t.d * px + t.e * py + t.f)
            for px, py in ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
        )

    def warped(self, file, resampling, **options) -> WarpedVRT:
        """An open raster of any grid, seen on this one; no data where it does not reach."""
        check_georeference(file)
        if options.get("src_nodata", file.nodata) is None:
            options["add_alpha"] = True
        return WarpedVRT(
            file, crs=self.crs, transform=self.transform, width=self.width, height=self.height,
            resampling=resampling, tolerance=TOLERANCE_PX, **options,
        )  # fmt: skip


def check_georeference(file) -> None:
    """Raise `InputError` unless the open raster has a CRS and a transform.

    >>> with open_raster("scene.tif") as scene:
    ...     check_georeference(scene)
    """
    if file.crs is None or file.transform.is_identity:
        raise InputError(
            f"{file.name}: has no georeference; assign one (gdal_edit -a_srs, -a_ullr)"
        )


def same_grid(grid: Grid, file) -> bool:
    """Whether an open raster lies pixel on pixel on the grid.

    >>> with open_raster("scene.tif") as scene, open_raster("dem.tif") as dem:
    ...     same_grid(Grid(scene), dem)
    True
    """
    if (file.height, file.width, file.crs) != (grid.height, grid.width, grid.crs):
        return False
    to_pixel = np.linalg.inv(np.reshape(grid.transform, (3, 3)))
    corners = np.array([[0, 0, 1], [file.width, file.height, 1]]).T
    apart = to_pixel @ np.reshape(file.transform, (3, 3)) @ corners - corners
    return bool(np.abs(apart).max() < TOLERANCE_PX)


def bounds_apart(file, grid: Grid) -> tuple[str, str] | None:
    """Bounds of an open raster and of the scene, in the scene's CRS, where they do not overlap.

    None where they do, or where a rotated raster's bounds do not tell.

    Raises:
        InputError: the raster's CRS cannot be brought to the scene's.

    >>> with open_raster("scene.tif") as scene, open_raster("dem.tif") as dem:
    ...     bounds_apart(dem, Grid(scene)) is None
    True
    """
    try:
        bounds = transform_bounds(file.crs, grid.crs, *file.bounds, densify_pts=21)
    except (RasterioError, ValueError) as error:
        raise InputError(
            f"{file.name}: its CRS cannot be brought to the image's ({error}); reproject it"
        ) from None
    if not file.transform.is_rectilinear:
        return None
    left, bottom, right, top = grid.outline().bounds
    west, east = sorted((bounds[0], bounds[2]))
    south, north = sorted((bounds[1], bounds[3]))  # of a raster with south up, too
    apart = west >= right or east <= left or south >= top or north <= bottom
    if not apart and np.isfinite(bounds).all():
        return None
    return _box(bounds), _box((left, bottom, right, top))


def open_dem(path, grid: Grid, nodata: float | None = None):
    """A function from windows of the scene to the DEM there: as it is where the grids agree,
    else bilinear, float64.

    >>> with open_raster("scene.tif") as scene:
    ...     heights = open_dem("dem.tif", Grid(scene))
    >>> heights(Window(0, 0, 3, 2)).values[..., 0].tolist()  # column, row, width, height
    [[1000.0, 1001.0, 1002.0], [1001.0, 1002.0, 1003.0]]
    """
    file = open_raster(path)
    if same_grid(grid, file):
        return functools.partial(_read_dem, file, path, nodata)
    mark = nodata if file.nodata is None else file.nodata
    options = {} if mark is None else {"src_nodata": mark, "nodata": mark}
    dem = grid.warped(file, Resampling.bilinear, dtype="float64", **options)
    return functools.partial(_read_dem, dem, path, nodata)


def _read_dem(file, path, nodata, window) -> Raster:
    raster = read_window(file, window, nodata=nodata)
    check_dem(raster, path)
    return raster


def open_labels(path, grid: Grid, all_touched: bool = False):
    """A function from windows of the scene to landslide (1) and background (0) there.

    `path` is a vector file, whose polygons may have any CRS and are taken to be all landslides
    of the scene, or a mask raster on any grid, beyond which nothing is known (not valid).

    Raises:
        InputError: no polygons, no CRS, nothing within the scene.

    >>> with open_raster("scene.tif") as scene:
    ...     labels = open_labels("landslides.geojson", Grid(scene))
    >>> int(labels(Window(0, 0, 96, 64)).values.sum())  # two of 8 x 8 pixels
    128
    """
    if Path(path).suffix.lower() in SUFFIXES:
        file = open_raster(path)
        if file.nodata == 0:
            raise InputError(
                f"{path}: says that 0 is no data, where a mask has background; "
                "take that off (gdal_edit -unsetnodata)"
            )
        mask = grid.warped(file, Resampling.nearest)
        apart = bounds_apart(file, grid)
        if apart:
            raise InputError(
                f"{path}: does not reach into the scene {grid.path}; it covers {apart[0]}, the "
                f"scene {apart[1]}"
            )
        return lambda window: check_mask(read_window(mask, window, palette=False), path)
    shapes = read_polygons(path, grid)

    def burn(window) -> Raster:
        values = np.zeros((window.height, window.width), "uint8")
        inside = shapes.iloc[shapes.sindex.query(grid.outline(window), predicate="intersects")]
        if len(inside):
            transform = window_transform(window, grid.transform)
            rasterize(inside, out=values, transform=transform, all_touched=all_touched)
        return Raster(values[..., None], np.ones(values.shape, bool))

    return burn


def read_polygons(path, grid: Grid):
    """The polygons of a vector file that reach into the scene, in its CRS, as a GeoSeries.

    >>> with open_raster("scene.tif") as scene:
    ...     polygons = read_polygons("landslides.geojson", Grid(scene))
    >>> len(polygons), polygons.area.round().tolist()
    (2, [256.0, 256.0])
    """
    import geopandas
    import pyogrio

    if not Path(path).exists():
        raise InputError(f"{path}: no such file")
    outline = grid.outline()
    # a straight side of the scene may be a curve in the polygons' CRS
    around = geopandas.GeoSeries([outline.segmentize(outline.length / 80)], crs=grid.crs)
    try:
        layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
        if len(layers) > 1:
            raise InputError(
                f"{path}: holds several layers ({', '.join(layers)}); export one (ogr2ogr)"
            )
        info = pyogrio.read_info(path, force_total_bounds=True)
        if not layers or not np.isfinite(info["total_bounds"] or np.nan).all():
            raise InputError(f"{path}: holds no polygons")
        if info["crs"] is None:
            raise InputError(f"{path}: has no CRS; assign one (ogr2ogr -a_srs)")
        # of a world-wide inventory only what is here: elsewhere the scene's CRS may not reach
        shapes = geopandas.read_file(path, layer=layers[0], bbox=around).geometry
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: holds no polygons that can be read ({reason})") from None
    shapes = shapes[~(shapes.isna() | shapes.is_empty)]
    other = set(shapes.geom_type) - {"Polygon", "MultiPolygon"}
    if other:
        raise InputError(f"{path}: holds {', '.join(sorted(other))}; landslides must be polygons")
    # a polygon that crosses itself would be burnt in part
    shapes = shapes.make_valid().explode()
    shapes = shapes[shapes.geom_type.isin(["Polygon", "MultiPolygon"])].to_crs(grid.crs)
    shapes = shapes[shapes.intersects(outline)]
    if not len(shapes):
        bounds = around.to_crs(info["crs"]).total_bounds
        raise InputError(
            f"{path}: no polygon lies in the scene {grid.path}; they cover "
            f"{_box(info['total_bounds'])}, the scene {_box(bounds)}"
        )
    return shapes.reset_index(drop=True)


def _box(bounds) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in bounds) + ")"
