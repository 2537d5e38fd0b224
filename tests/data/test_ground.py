import math

import numpy as np
import pytest
import shapely
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin

from landslide_tf.checks import InputError
from landslide_tf.data.ground import Ground
from landslide_tf.geo.pictures import nice_length

A, F = 6378137.0, 1 / 298.257223563  # WGS 84
E2 = F * (2 - F)


def cell_area(south, north, degrees):
    """Area of an ellipsoidal cell between parallels: the closed form of Snyder (1987), eq. 3-12."""
    e = math.sqrt(E2)

    def q(latitude):
        s = math.sin(math.radians(latitude))
        return (1 - E2) * (s / (1 - E2 * s * s) - math.log((1 - e * s) / (1 + e * s)) / (2 * e))

    return A**2 * math.radians(degrees) * (q(north) - q(south)) / 2


@pytest.mark.parametrize("top", [0.01, 42.7, -33.0, 70.0])
def test_area_on_the_ellipsoid(top):
    ground = Ground(CRS.from_epsg(4326), from_origin(141, top, 1e-4, 1e-4), (100, 100))
    expected = cell_area(top - 0.005, top, 0.003)  # 30 x 50 pixels
    # sides along parallels are geodesics there, a little north of them
    assert ground.area_m2(shapely.box(10, 0, 40, 50)) == pytest.approx(expected, rel=1e-4)


def test_area_in_the_plane_and_in_feet():
    shape = shapely.box(0, 0, 3, 2)
    utm = Ground(CRS.from_epsg(32647), from_origin(470000, 3445000, 0.5, 0.5), (10, 10))
    assert utm.area_m2(shape) == 6 * 0.25
    feet = Ground(CRS.from_epsg(2263), from_origin(980000, 200000, 10, 10), (10, 10))  # New York
    assert feet.area_m2(shape) == pytest.approx(6 * 100 * (1200 / 3937) ** 2)


def test_web_mercator_is_corrected():
    # at 60 degrees north its lengths are twice those on the ground
    y = 8399737.89
    ground = Ground(CRS.from_epsg(3857), from_origin(0, y + 50, 10, 10), (10, 10))
    assert ground.area_m2(shapely.box(0, 0, 10, 10)) == pytest.approx(10000 / 4, rel=0.01)


def test_pixel_of_web_mercator():
    # y = a ln tan(45 degrees + phi / 2): a metre of the map is cos(phi) times M / a along the
    # meridian and N / a along the parallel, with the ellipsoid's radii of curvature M and N
    phi = math.radians(35)
    y = A * math.log(math.tan(math.pi / 4 + phi / 2))
    ground = Ground(CRS.from_epsg(3857), from_origin(0, y + 50, 10, 10), (10, 10))
    w = 1 - E2 * math.sin(phi) ** 2
    along_y = 10 * math.cos(phi) * (1 - E2) / w**1.5
    assert ground.pixel_size_m() == pytest.approx((along_y, 10 * math.cos(phi) / w**0.5), rel=1e-6)


def test_pixel_in_the_plane():
    utm = Ground(CRS.from_epsg(32647), from_origin(470000, 3445000, 0.5, 2), (10, 10))
    assert utm.pixel_size_m() == (2, 0.5)  # along y, along x: not corrected by 0.9996
    # beyond the projection's domain nothing is known but the plane
    far = Ground(CRS.from_epsg(32647), from_origin(1e9, 1e9, 0.5, 2), (10, 10))
    assert far.pixel_size_m() == (2, 0.5)


def test_a_latitude_that_cannot_be():
    for place in (from_origin(28.9, 102, 1e-4, 1e-4), from_origin(300000, 3200000, 10, 10)):
        with pytest.raises(InputError, match="none of the CRS 'WGS 84'.*-a_srs"):
            Ground(CRS.from_epsg(4326), place, (10, 10)).pixel_size_m()


LOCAL = 'LOCAL_CS["Local Coordinates (m)",UNIT["{}",{}],AXIS["X",EAST],AXIS["Y",NORTH]]'


@pytest.mark.parametrize("unit, metres", [("metre", 1), ("foot", 0.3048), ("kilometre", 1000)])
def test_local_coordinates_are_measured_in_their_unit(unit, metres):
    place = from_origin(0, 100, 2, 5)
    ground = Ground(CRS.from_wkt(LOCAL.format(unit, metres)), place, (10, 10))
    assert ground.pixel_size_m() == pytest.approx((5 * metres, 2 * metres))
    assert ground.area_m2(shapely.box(0, 0, 3, 2)) == pytest.approx(6 * 10 * metres**2)
    assert ground.distance_m((0, 0), (3, 4)) == pytest.approx(math.hypot(6, 20) * metres)
    assert ground.longest_axis_m(shapely.box(0, 0, 10, 1)) == pytest.approx(20 * metres)
    assert ground.north() == (0, -1)


def test_a_crs_without_a_unit_of_length():
    degrees = CRS.from_wkt(LOCAL.format("degree", 0.0174532925199433))
    with pytest.raises(InputError, match="no unit of length.*gdalwarp"):
        Ground(degrees, from_origin(0, 0, 1, 1), (4, 4))


def test_a_projection_that_proj_does_not_know():
    wkt = CRS.from_epsg(32647).to_wkt().replace("Transverse_Mercator", "Somebody_s_Own")
    with pytest.raises(InputError, match="PROJ cannot compute.*gdalwarp"):
        Ground(CRS.from_wkt(wkt), from_origin(0, 0, 1, 1), (4, 4))


def test_heights_in_the_crs_change_no_length():
    t = from_origin(470000, 3445000, 2, 2)
    for text in ("EPSG:32647+5773", "EPSG:26911+6360"):
        assert Ground(CRS.from_string(text), t, (10, 10)).pixel_size_m() == (2, 2)
    three, two = (
        Ground(CRS.from_epsg(code), from_origin(10, 45, 1e-4, 1e-4), (100, 100))
        for code in (4979, 4326)
    )
    assert three.pixel_size_m() == pytest.approx(two.pixel_size_m())


def test_holes_count_in_any_ring_direction():
    ground = Ground(CRS.from_epsg(4326), from_origin(10, 45, 1e-4, 1e-4), (100, 100))
    outer, inner = shapely.box(0, 0, 30, 30), shapely.box(10, 10, 20, 20)
    ring = outer - inner
    expected = ground.area_m2(outer) - ground.area_m2(inner)
    assert ground.area_m2(ring) == pytest.approx(expected, rel=1e-9)
    assert ground.area_m2(shapely.reverse(ring)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("angle", [0, 30, 90, 200])
def test_rotated_transform(angle):
    t = Affine.translation(470000, 3445000) @ Affine.rotation(angle) @ Affine.scale(2, -2)
    ground = Ground(CRS.from_epsg(32647), t, (50, 50))
    assert ground.area_m2(shapely.box(0, 0, 3, 2)) == pytest.approx(24)
    assert ground.longest_axis_m(shapely.box(0, 0, 30, 20)) == pytest.approx(60, rel=1e-3)
    # x east and y down in the file turn with the angle; so does north, the other way
    north = np.array(ground.north())
    expected = (math.sin(math.radians(angle)), -math.cos(math.radians(angle)))
    np.testing.assert_allclose(north, expected, atol=0.01)  # grid north is not quite true north


def test_longest_axis_of_pixels_that_are_not_square():
    # at 60 degrees north a degree of longitude is half as long as one of latitude
    ground = Ground(CRS.from_epsg(4326), from_origin(10, 60, 1e-4, 1e-4), (100, 100))
    # 10 wide, 8 high in pixels: taller than wide on the ground; 8e-4 degrees of 111.4 km
    assert ground.longest_axis_m(shapely.box(0, 0, 10, 8)) == pytest.approx(89.1, abs=0.2)
    diagonal = shapely.LineString([(0, 0), (10, 8)]).buffer(0.01)
    assert ground.longest_axis_m(diagonal) == pytest.approx(math.hypot(55.8, 89.1), abs=0.5)


@pytest.mark.parametrize(
    ("metres", "nice"), [(1, 1), (1.99, 1), (740, 500), (0.3, 0.2), (5000, 5000)]
)
def test_scale_bar_length(metres, nice):
    assert nice_length(metres) == pytest.approx(nice)
