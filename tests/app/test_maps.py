"""Where a map lies on the web page, and what is in the page."""

import json
import re

import numpy as np
import pytest
import shapely
from rasterio import Affine
from rasterio.crs import CRS

from landslide_tf.app.maps import Place, features, map_page
from landslide_tf.geo.job import MapOptions
from landslide_tf.geo.mapping import map_scenes
from landslide_tf.geo.redo import redo_polygons

LOCAL = 'LOCAL_CS["site",UNIT["metre",1]]'


def place(crs, transform, size=(100, 200)):
    return Place(CRS.from_user_input(crs), transform, size)


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32648", Affine(10, 0, 300_000, 0, -10, 3_200_000)),
        ("EPSG:4326", Affine(1e-4, 0, 103.2, 0, -1e-4, 28.9)),
        ("EPSG:4326", Affine(1e-2, 0, 179.5, 0, -1e-2, -17)),  # across 180 degrees
        ("EPSG:32648", Affine(8, 6, 300_000, 6, -8, 3_200_000)),  # turned
        ("EPSG:2056", Affine(2, 0, 2_600_000, 0, -2, 1_200_000)),  # Swiss, oblique
    ],
)
def test_picture_and_polygons_lie_on_each_other(crs, transform):
    """A square painted into the picture is where its outline is drawn."""
    import geopandas
    import pyproj

    here = place(crs, transform)
    rgba = np.zeros((100, 200, 4), "uint8")
    rgba[40:60, 80:120] = 255
    picture, bounds = here.picture(rgba)
    (south, west), (north, east) = bounds
    corners = [transform @ at for at in ((80, 40), (120, 40), (120, 60), (80, 60))]
    series = geopandas.GeoSeries([shapely.Polygon(corners)], crs=crs)
    (outline,) = here.shapes(series)
    rows, columns = np.nonzero(picture[..., 3] > 127)
    height, width = picture.shape[:2]
    # Leaflet draws a picture evenly in Mercator: rows are even in its y, columns in longitude
    y = [np.log(np.tan(np.pi / 4 + np.radians(v) / 2)) for v in (south, north)]
    lat = [
        np.degrees(2 * np.arctan(np.exp(y[1] + (y[0] - y[1]) * r / height)) - np.pi / 2)
        for r in (rows.min(), rows.max() + 1)
    ]
    lon = [west + (east - west) * c / width for c in (columns.min(), columns.max() + 1)]
    pixel = 1.5 * max((east - west) / width, (north - south) / height)
    assert outline.bounds == pytest.approx((lon[0], lat[1], lon[1], lat[0]), abs=pixel)
    # and it is the place on the Earth that PROJ says
    to_lonlat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    expected = [to_lonlat.transform(*at) for at in corners]
    for (x, y), (longitude, latitude) in zip(outline.exterior.coords, expected, strict=False):
        assert (x - longitude + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)
        assert y == pytest.approx(latitude, abs=1e-6)


@pytest.mark.parametrize("crs", [LOCAL, "EPSG:3413"])
def test_local_and_polar_scenes_are_drawn_in_pixels(crs):
    import geopandas

    transform = Affine(2, 0, 1000, 0, -2, 500)
    here = place(crs, transform)
    assert here.in_pixels
    rgba = np.zeros((50, 100, 4), "uint8")  # thinned out
    picture, bounds = here.picture(rgba)
    assert picture is rgba and bounds == [[-100, 0], [0, 200]]
    series = geopandas.GeoSeries([shapely.box(1020, 460, 1040, 480)])  # columns 10-20, rows 10-20
    assert here.shapes(series)[0].bounds == (10, -20, 20, -10)


def test_the_page_needs_no_network_and_holds_no_markup_of_users(red_run, make_scene, tmp_path):
    pytest.importorskip("folium")
    image = np.full((60, 80, 3), 10, "uint8")
    image[20:40, 10:40] = 250
    scene, dem = make_scene((60, 80), image=image, name="<script>alert(1)<")
    map_scenes(red_run, [(scene, dem, tmp_path / "map")], MapOptions())
    _, polygons = redo_polygons(tmp_path / "map")
    page = map_page(tmp_path / "map", polygons)
    assert "alert(1)" not in page and str(tmp_path) not in page
    loaded = re.findall(r"""(?:<script[^>]*src|<link[^>]*href)=["']?([^"'\s>]+)""", page)
    assert loaded == []
    assert "Leaflet 1.9.4" in page and "L.imageOverlay" in page
    assert page.count("data:image/webp;base64,") == 2
    (one,) = json.loads(features(polygons, place("EPSG:32647", Affine(2, 0, 470000, 0, -2, 3445000),
                                                 (60, 80))))["features"]  # fmt: skip
    assert one["properties"]["id"] == 1
    # 20 x 30 pixels of 2 m are 2400 m2 on the plane of UTM, a little less on the ground
    assert re.fullmatch(r"Landslide 1: 2,(39|40)\d m²", one["properties"]["text"][0])


def test_a_map_without_landslides_has_a_page(constant_run, make_scene, tmp_path):
    pytest.importorskip("folium")
    scene, dem = make_scene((40, 40))
    map_scenes(constant_run, [(scene, dem, tmp_path / "map")], MapOptions(threshold=0.9))
    _, polygons = redo_polygons(tmp_path / "map")
    assert len(polygons) == 0
    assert '"features": []' in map_page(tmp_path / "map", polygons)
