"""A finished map as a web page of its own: Leaflet through folium, all of it in one text.

Nothing is loaded from anywhere, so that it works without a network and in a closed frame.
"""

from __future__ import annotations

import json
import tempfile
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyproj
import rasterio
import shapely
from rasterio.enums import Resampling
from rasterio.transform import Affine, array_bounds
from rasterio.warp import calculate_default_transform, reproject

from landslide_tf.data.crs import horizontal
from landslide_tf.geo.outputs import thin_mean
from landslide_tf.geo.pictures import colours
from landslide_tf.geo.reader import stretched, thumbnail
from landslide_tf.geo.redo import open_map
from landslide_tf.geo.styles import CLASS_COLOURS, PROBABILITY_STOPS

EARTH_M = 6378137.0  # of the sphere that web maps are drawn on
MOST_PX = 1600  # of a picture on the map
MOST_POLYGONS = 20_000  # that a browser moves without a stop; the largest are shown
FARTHEST_NORTH = 84.0
SLIDERS = (("image", "Image"), ("probability", "Probability"), ("polygons", "Landslides"))
OPACITY = {"image": 100, "probability": 0, "polygons": 100}


class Place:
    """The place of a scene on a web map: (latitude, longitude), or pixels of the scene.

    Web maps break at 180 degrees, so the projection is Mercator around the scene's own meridian.
    They also end short of the poles: scenes near the poles, and scenes in local coordinates, are
    drawn in pixels.
    """

    def __init__(self, crs, transform, size):
        self.crs, self.transform, self.size = crs, transform, size
        self._meridian = self._middle(horizontal(crs))

    def _middle(self, own) -> float | None:
        """The scene's meridian, None where it is drawn in pixels."""
        if own.geodetic_crs is None:
            return None
        height, width = self.size
        to_lonlat = pyproj.Transformer.from_crs(own, "EPSG:4326", always_xy=True)
        points = ((width / 2, height / 2), (0, 0), (width, 0), (0, height), (width, height))
        x, y = zip(*(self.transform @ point for point in points), strict=True)
        longitude, latitude = to_lonlat.transform(x, y)
        if not np.isfinite(latitude).all() or np.abs(latitude).max() > FARTHEST_NORTH:
            return None
        return float(longitude[0])

    @property
    def in_pixels(self) -> bool:
        """Whether the map shows pixels of the scene, not places on the Earth."""
        return self._meridian is None

    @property
    def mercator(self) -> str:
        """The projection of the web map, around the scene's meridian."""
        sphere = f"+proj=merc +a={EARTH_M} +b={EARTH_M} +lon_0={self._meridian} +units=m"
        return f"{sphere} +nadgrids=@null +wktext +no_defs"  # degrees of WGS 84 on a sphere

    def _degrees(self, x, y):
        longitude = self._meridian + np.degrees(np.asarray(x) / EARTH_M)
        return longitude, np.degrees(2 * np.arctan(np.exp(np.asarray(y) / EARTH_M)) - np.pi / 2)

    def picture(self, rgba, resampling=Resampling.bilinear):
        """A picture (h, w, 4) of the whole scene as it lies on the map, and its bounds there."""
        height, width = rgba.shape[:2]
        if self.in_pixels:
            return rgba, [[-self.size[0], 0], [0, self.size[1]]]
        source = self.transform @ Affine.scale(self.size[1] / width, self.size[0] / height)
        place, columns, rows = calculate_default_transform(
            self.crs, self.mercator, width, height, *array_bounds(height, width, source)
        )
        shrink = max(1.0, max(columns, rows) / MOST_PX)
        columns, rows = (max(1, round(n / shrink)) for n in (columns, rows))
        place = place @ Affine.scale(shrink)
        result = np.zeros((4, rows, columns), "uint8")
        reproject(
            np.ascontiguousarray(np.moveaxis(rgba, -1, 0)), result, src_transform=source,
            src_crs=self.crs, dst_transform=place, dst_crs=self.mercator, resampling=resampling,
        )  # fmt: skip
        west, south, east, north = array_bounds(rows, columns, place)
        (left, right), (bottom, top) = self._degrees((west, east), (south, north))
        return np.moveaxis(result, 0, -1), [[bottom, left], [top, right]]

    def shapes(self, geometry):
        """Polygons of the scene's CRS (a GeoSeries) on the map, as an array of shapely."""
        if self.in_pixels:
            inverse = ~self.transform

            def move(x, y):
                column, row = inverse @ (x, y)
                return column, -row

            return shapely.transform(geometry.values, move, interleaved=False)
        flat = geometry.set_crs(horizontal(self.crs), allow_override=True).to_crs(self.mercator)
        return shapely.transform(flat.values, self._degrees, interleaved=False)


def place_of(folder) -> Place:
    """The `Place` of the scene of the map in a folder."""
    with rasterio.open(Path(folder) / "probability.tif") as file:
        return Place(file.crs, file.transform, file.shape)


def features(polygons, place: Place) -> str:
    """Polygons as GeoJSON: number, class and words of each, the largest first."""
    shown = polygons.nlargest(MOST_POLYGONS, "area_m2")
    places = shapely.set_precision(place.shapes(shown.geometry), 1e-7, mode="pointwise")
    content = []
    for shape, row in zip(places, shown.itertuples(), strict=True):
        text = [
            f"Landslide {row.id}: {row.area_m2:,.0f} m²",
            f"mean probability {row.prob_mean:.2f} ({row.conf_text})",
            *_terrain(row),
        ]
        if row.edge != "no":
            text.append(f"edge of the survey: {row.edge}")
        about = {"id": int(row.id), "confidence": int(row.confidence), "text": text}
        content.append({"type": "Feature", "properties": about,
                        "geometry": json.loads(shapely.to_geojson(shape))})  # fmt: skip
    return json.dumps({"type": "FeatureCollection", "features": content})


def _terrain(row) -> list[str]:
    """What the DEM tells of a landslide; nothing without one, or where it is not known."""
    if not np.isfinite(getattr(row, "height_m", np.nan)):
        return []
    lines = [f"{row.height_m:,.0f} m high, mean slope {row.slope_deg:.0f}°"]
    if np.isfinite(row.length_m):
        lines.append(f"{row.length_m:,.0f} m long downslope, {row.width_m:,.0f} m wide")
    return lines


def map_page(folder, polygons) -> str:
    """The web page of a finished map: image, probability, polygons, and a slider for each."""
    import folium
    from PIL import Image

    _, job, _ = open_map(Path(folder), Path(folder))
    place = place_of(folder)
    crs = "Simple" if place.in_pixels else "EPSG3857"
    figure = folium.Map(tiles=None, crs=crs, prefer_canvas=True, min_zoom=-8, zoom_snap=0.25,
                        attribution_control=False)  # fmt: skip
    figure.default_js = figure.default_css = ()
    head, static = figure.get_root().header, files("landslide_tf.app")
    for tag, name in (
        ("style", "leaflet/leaflet.css"),
        ("style", "leaflet.css"),
        ("script", "leaflet/leaflet.js"),
    ):
        text = static.joinpath(name).read_text(encoding="utf-8")
        head.add_child(folium.Element(f"{{% raw %}}<{tag}>{text}</{tag}>{{% endraw %}}"))
    layers = {}
    for name, picture, resampling in (
        ("image", _image(job), Resampling.bilinear),
        ("probability", _probability(folder, place.size), Resampling.nearest),
    ):
        rgba, bounds = place.picture(picture, resampling)
        with tempfile.TemporaryDirectory() as scratch:  # folium takes a file or an address
            path = Path(scratch) / f"{name}.webp"
            Image.fromarray(rgba).save(path, quality=85)
            layer = folium.raster_layers.ImageOverlay(
                str(path), bounds, pixelated=False, opacity=OPACITY[name] / 100
            ).add_to(figure)
        layers[name] = layer.get_name()
    controls = folium.MacroElement()
    controls._template = folium.template.Template(
        static.joinpath("leaflet.html").read_text(encoding="utf-8")
    )
    controls.__dict__ |= {
        **layers, "bounds": json.dumps(np.round(bounds, 9).tolist()), "sliders": SLIDERS,
        "opacity": OPACITY, "colours": {str(k): v for k, v in CLASS_COLOURS.items()},
        "ramp": ", ".join(f"{colour}{alpha:02x} {share:.0%}"
                          for share, colour, alpha in PROBABILITY_STOPS),
        "polygons": features(polygons, place),
    }  # fmt: skip
    figure.add_child(controls)
    return figure.get_root().render()


def _image(job):
    """The scene's image, stretched for the eye: uint8 (h, w, 4), clear without data."""
    values, valid, _ = thumbnail(job.scene)
    return np.concatenate([stretched(values, valid), np.uint8(255) * valid[..., None]], axis=-1)


def _probability(folder, size):
    """The map's probability in colours: uint8 (h, w, 4), clear where low and without data."""
    shrink = max(1.0, max(size) / MOST_PX)
    shape = tuple(max(1, round(n / shrink)) for n in size)
    return colours(thin_mean(Path(folder) / "probability.tif", shape))
