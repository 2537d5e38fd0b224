"""CRS are compared by where their coordinates lie on the ground."""

import numpy as np
import pytest
from rasterio.crs import CRS

from landslide_tf.checks import InputError
from landslide_tf.data.crs import flat_crs, height_unit, same_ground, unit_m

LOCAL = 'LOCAL_CS["{}",UNIT["{}",{}],AXIS["X",EAST],AXIS["Y",NORTH]]'
SITE = LOCAL.format("Local Coordinates (m)", "metre", 1)
ESRI_UTM = (
    'PROJCS["WGS_1984_UTM_Zone_47N",GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",'
    'SPHEROID["WGS_1984",6378137.0,298.257223563]],PRIMEM["Greenwich",0.0],'
    'UNIT["Degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],'
    'PARAMETER["False_Easting",500000.0],PARAMETER["False_Northing",0.0],'
    'PARAMETER["Central_Meridian",99.0],PARAMETER["Scale_Factor",0.9996],'
    'PARAMETER["Latitude_Of_Origin",0.0],UNIT["Meter",1.0]]'
)
GAUSS_KRUEGER = (
    "+proj=tmerc +lat_0=0 +lon_0=9 +k=1 +x_0=3500000 +y_0=0 +ellps=bessel +units=m +towgs84="
)
DHDN = GAUSS_KRUEGER + "598.1,73.7,418.2,0.202,0.045,-2.455,6.7"
UTM, DEGREES, GK = (470_000, 3_445_000), (98.7, 31.1), (3_500_000, 5_500_000)


def same(a, b, point, tolerance):
    """Either way round; both must say the same."""
    a, b = (CRS.from_string(text) for text in (a, b))
    found = {same_ground(a, b, [point], tolerance), same_ground(b, a, [point], tolerance)}
    assert len(found) == 1
    return found.pop()


@pytest.mark.parametrize(
    "a, b, point, tolerance",
    [
        ("EPSG:32647", ESRI_UTM, UTM, 0.05),
        ("EPSG:32647", "+proj=utm +zone=47 +datum=WGS84 +units=m +no_defs", UTM, 0.05),
        ("EPSG:32647", "+proj=utm +zone=47 +ellps=WGS84 +units=m +no_defs", UTM, 0.05),
        ("EPSG:32647", "EPSG:32647+5773", UTM, 0.05),  # with heights
        ("EPSG:4326", "EPSG:4979", DEGREES, 1e-6),  # three dimensions
        ("EPSG:4326", "OGC:CRS84", DEGREES, 1e-6),  # x and y the other way round in the norm
        ("EPSG:4326", "EPSG:9755", DEGREES, 1e-6),  # a realisation of WGS 84: centimetres
        ("EPSG:4326", "EPSG:4490", DEGREES, 1e-6),  # China's of the satellites' age
        ("EPSG:25832", "EPSG:32632", (500_000, 5_500_000), 0.05),  # ETRS 89
        ("EPSG:3857", "ESRI:102100", (10_987_000, 3_650_000), 0.05),
        ("EPSG:31467", DHDN, GK, 0.05),
        ("EPSG:26911+6360", "EPSG:26911+5703", (500_000, 3_800_000), 0.05),  # feet, metres up
        (SITE, SITE, (0, 0), 0.05),
        (SITE, LOCAL.format("another name", "metre", 1), (0, 0), 0.05),
    ],
)
def test_spellings_of_one_place(a, b, point, tolerance):
    assert same(a, b, point, tolerance)


@pytest.mark.parametrize(
    "a, b, point, tolerance",
    [
        ("EPSG:32647", "EPSG:32648", UTM, 5),
        ("EPSG:26711", "EPSG:26911", (500_000, 3_800_000), 5),  # NAD 27 is 200 m off
        ("EPSG:23032", "EPSG:25832", (500_000, 5_500_000), 5),  # ED 50
        ("EPSG:4214", "EPSG:4326", (100, 30), 1e-5),  # Beijing 1954: PROJ knows no way here
        (DHDN, GAUSS_KRUEGER + "700,73.7,418.2,0.202,0.045,-2.455,6.7", GK, 5),
        ("EPSG:4326", "+proj=longlat +R=3396190 +no_defs", DEGREES, 1e-5),  # Mars
        (SITE, LOCAL.format("Local Coordinates (m)", "foot", 0.3048), (0, 0), 0.05),
        (SITE, "EPSG:32647", (0, 0), 0.05),
        ("EPSG:2263", "EPSG:32118", (980_000, 200_000), 5),  # feet and metres of one projection
    ],
)
def test_other_places(a, b, point, tolerance):
    assert not same(a, b, point, tolerance)


def test_a_shift_counts_by_the_tolerance():
    # NAD 27 and NAD 83 are some 200 m apart there
    ends = {tolerance: same("EPSG:26711", "EPSG:26911", (500_000, 3_800_000), tolerance)
            for tolerance in (1, 1000)}  # fmt: skip
    assert ends == {1: False, 1000: True}


@pytest.mark.parametrize(
    "crs, metres",
    [
        ("EPSG:32647", 1),
        ("EPSG:2263", 1200 / 3937),
        ("EPSG:32647+5773", 1),
        ("EPSG:26911+6360", 1),  # feet upwards alone
        ("EPSG:4326", None),
        (SITE, 1),
        (LOCAL.format("a", "foot", 0.3048), 0.3048),
        (LOCAL.format("a", "degree", 0.0174532925199433), None),
        (DHDN, 1),
    ],
)
def test_units_of_coordinates(crs, metres):
    assert unit_m(CRS.from_string(crs)) == pytest.approx(metres)


@pytest.mark.parametrize(
    "crs, metres",
    [
        ("EPSG:26911+6360", 1200 / 3937),
        ("EPSG:32647+5773", 1),
        ("EPSG:4979", 1),
        ("EPSG:4326", None),
    ],
)
def test_units_of_heights(crs, metres):
    found = height_unit(CRS.from_string(crs))
    assert found is None if metres is None else found[1] == pytest.approx(metres)


def test_depths_are_refused():
    with pytest.raises(InputError, match="depths"):
        height_unit(CRS.from_string("EPSG:32647+5715"))  # mean sea level depth


def test_flat_crs_has_no_heights():
    assert flat_crs(CRS.from_string("EPSG:32647+5773")) == CRS.from_epsg(32647)
    assert flat_crs(CRS.from_epsg(4979)) == CRS.from_epsg(4326)
    plain = CRS.from_epsg(2056)
    assert flat_crs(plain) is plain


def test_points_in_degrees_may_be_a_turn_apart():
    a, b = CRS.from_epsg(4326), CRS.from_epsg(4979)
    assert same_ground(a, b, np.array([[180.5, 10], [-180.5, 10]]), 1e-6)
