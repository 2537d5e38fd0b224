"""Lengths, areas and north on the ground, for any CRS and transform."""

from __future__ import annotations

import math

import numpy as np
import pyproj
import shapely
from pyproj.exceptions import ProjError

from landslide_tf.checks import InputError
from landslide_tf.data.crs import horizontal, unit_m

DISTORTION = 0.01  # a scale further from 1 than this is corrected


class Ground:
    """Lengths (m) and areas (m2) on the ground of shapes given in pixels (x, y) of a scene.

    In local coordinates (an engineering CRS) everything is measured in the plane, and the CRS's
    unit is converted to metres.

    Raises:
        InputError: the CRS has no unit of length, or cannot be understood.

    >>> from rasterio.crs import CRS
    >>> from rasterio.transform import from_origin
    >>> pixels = from_origin(470000, 3445000, 2, 2)  # of 2 m
    >>> ground = Ground(CRS.from_epsg(32647), pixels, size=(64, 96))  # height, width
    >>> ground.area_m2(shapely.box(0, 0, 8, 8))
    256.0
    >>> round(ground.distance_m((0, 0), (10, 0)), 1)
    20.0
    >>> ground.pixel_size_m()
    (2.0, 2.0)
    """

    def __init__(self, crs, transform, size):
        self.crs, self.transform, self.size = crs, transform, size
        own = horizontal(crs)
        self._geodetic = self._geod = None
        try:
            if own.geodetic_crs is not None and own.get_geod() is not None:
                lonlat = own.geodetic_crs
                self._geodetic = pyproj.Transformer.from_crs(own, lonlat, always_xy=True)
                self._geod = own.get_geod()
            self._planar = not own.is_geographic and not self._distorted(own)
        except ProjError as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"PROJ cannot compute with the CRS {own.name!r} ({reason}); reproject to another "
                "(gdalwarp -t_srs)"
            ) from None
        self._factor = 1.0 if own.is_geographic else unit_m(crs)
        if self._factor is None:
            raise InputError(
                f"the CRS {own.name!r} has no unit of length; assign one that has (gdal_edit "
                "-a_srs), or reproject (gdalwarp -t_srs)"
            )

    def _distorted(self, own) -> bool:
        """Whether the projection changes lengths or areas, as Web Mercator does."""
        if self._geod is None:
            return False
        lon, lat = self.lonlat(*self.centre)
        if not np.isfinite((lon, lat)).all():  # coordinates where the projection says nothing
            return False
        here = pyproj.Proj(own).get_factors(float(lon), float(lat))
        scales = (here.areal_scale, here.meridional_scale, here.parallel_scale)
        return not all(abs(scale - 1) < DISTORTION for scale in scales)

    @property
    def centre(self) -> tuple[float, float]:
        """The middle of the scene, pixels (x, y)."""
        return self.size[1] / 2, self.size[0] / 2

    def to_crs(self, x, y):
        """Pixels to coordinates of the CRS."""
        return self.transform @ (np.asarray(x, float), np.asarray(y, float))

    def lonlat(self, x, y):
        """Pixels to longitude and latitude, degrees."""
        return self._geodetic.transform(*self.to_crs(x, y))

    def shape_in_crs(self, shape):
        """A shapely geometry in pixels, in the scene's CRS."""
        return shapely.transform(shape, lambda xy: np.stack(self.to_crs(*xy.T), axis=-1))

    def area_m2(self, shape) -> float:
        """Area (m2) of a polygon given in pixels.

        It is measured in the plane, or on the ellipsoid where the CRS is geographic or its
        projection changes lengths or areas by 1 % or more.
        """
        if self._planar:
            return self.shape_in_crs(shape).area * self._factor**2
        return self.geodesic(shape)[0]

    def pixel_m2(self, x: float, y: float) -> float:
        """Area of a pixel around (x, y), measured as by `geodesic`."""
        return self.geodesic(shapely.box(x - 0.5, y - 0.5, x + 0.5, y + 0.5))[0]

    def pixel_m(self, x: float, y: float) -> tuple[float, float]:
        """Lengths along y and along x of a pixel around (x, y), measured as by `distance_m`."""
        along_y = self.distance_m((x, y - 0.5), (x, y + 0.5))
        return along_y, self.distance_m((x - 0.5, y), (x + 0.5, y))

    def pixel_size_m(self) -> tuple[float, float]:
        """Size (m) along y and along x of the pixel in the middle of the scene.

        It is measured in the plane or on the ellipsoid, whichever `area_m2` uses.

        Raises:
            InputError: the CRS does not have such coordinates, as degrees of latitude beyond 90.
        """
        t = self.transform
        if self._planar:
            return math.hypot(t.b, t.e) * self._factor, math.hypot(t.a, t.d) * self._factor
        size = self.pixel_m(*self.centre)
        if not all(0 < metres < math.inf for metres in size):
            raise InputError(
                f"its coordinates are none of the CRS {horizontal(self.crs).name!r}; assign the "
                "right one (gdal_edit -a_srs)"
            )
        return size

    def distance_m(self, a, b) -> float:
        """Distance of two points in pixels (x, y)."""
        if self._geod is None:
            (xa, ya), (xb, yb) = self.to_crs(*a), self.to_crs(*b)
            return float(np.hypot(xb - xa, yb - ya)) * self._factor
        return float(self._geod.inv(*self.lonlat(*a), *self.lonlat(*b))[2])

    def geodesic(self, shape) -> tuple[float, float]:
        """Area (m2) and perimeter (m, rings of holes included) of a polygon in pixels, on the
        ellipsoid; in the plane where the CRS has none.

        Areas in the plane of UTM are off by up to 0.2 %; a GIS measures on the ellipsoid.
        """
        if self._geod is None:
            shape = self.shape_in_crs(shape)
            return shape.area * self._factor**2, shape.length * self._factor
        shape = shapely.transform(shape, lambda xy: np.stack(self.lonlat(*xy.T), axis=-1))
        # the sign depends on the direction of the ring: outer ones anticlockwise
        area, length = self._geod.geometry_area_perimeter(shapely.orient_polygons(shape))
        return abs(area), length

    def plane(self, shape):
        """A shape given in pixels, moved to its middle and scaled to metres.

        x runs along the rows, y down the columns. Returns the shape, and the size in metres of a
        pixel at its middle: (along x, along y).
        """
        x, y = shapely.get_coordinates(shapely.envelope(shape)).mean(axis=0)
        down, across = self.pixel_m(x, y)
        return shapely.transform(shape, lambda xy: (xy - (x, y)) * (across, down)), (across, down)

    def longest_axis_m(self, shape) -> float:
        """Longer side of the smallest rectangle, of any direction, around a shape in pixels."""
        box = shapely.minimum_rotated_rectangle(self.plane(shapely.convex_hull(shape))[0])
        corners = shapely.get_coordinates(box)
        return float(np.hypot(*(corners[1:] - corners[:-1]).T).max()) if len(corners) > 1 else 0.0

    def north(self, at=None) -> tuple[float, float]:
        """Direction of north as a unit vector (x, y) in pixels, y downwards.

        `at` is a pixel (x, y), by default the middle of the scene. In local coordinates, north is
        the direction of the CRS's y axis.
        """
        x, y = self.centre if at is None else at
        here = np.array(self.to_crs(x, y))
        if self._geod is None:
            there = here + (0, 1)
        else:
            lon, lat = self.lonlat(x, y)
            step = 1e-4 if lat < 89 else -1e-4
            there = np.array(self._geodetic.transform(lon, lat + step, direction="INVERSE"))
            there = here + np.sign(step) * (there - here)
        t = self.transform
        dx, dy = np.linalg.solve([[t.a, t.b], [t.d, t.e]], there - here)
        length = np.hypot(dx, dy)
        return float(dx / length), float(dy / length)
