"""A QGIS project that opens a whole map: polygons over landslides over probability over image."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from xml.etree.ElementTree import Element, tostring
from xml.sax.saxutils import escape

from landslide_tf.files import atomic_path
from landslide_tf.geo.geopackage import LAYER
from landslide_tf.geo.styles import QGIS_VERSION, element, image_parts, polygon_parts, raster_parts

PROJECT = "map.qgz"
TITLES = {
    "errors.tif": "Errors against the reference",
    "landslides.tif": "Landslides (pixels)",
    "probability.tif": "Probability of landslide",
}


def write_project(folder, title: str, grid, image: tuple, *, percent: bool, with_dem: bool) -> None:
    """Write `map.qgz` for the files of a map that lie in `folder`.

    Paths in it are relative, so that the folder can be moved together with the image.

    Args:
        folder: with `landslides.gpkg`, `landslides.tif`, `probability.tif`, perhaps `errors.tif`.
        title: of the project.
        grid: `overlay.Grid` of the scene.
        image: its path, three band numbers, and the (low, high) values of each to stretch between.
        percent: whether probability runs from 0 to 100.
        with_dem: whether the polygons have columns of the terrain.
    """
    folder = Path(folder)
    path, bands, limits = image
    srs = element(
        "spatialrefsys",
        element("wkt", grid.crs.to_wkt()),
        element("authid", ":".join(grid.crs.to_authority() or ())),
    )
    polygons = f"./landslides.gpkg|layername={LAYER}"
    layers = [_layer("polygons", "Landslides", polygons, srs, polygon_parts(with_dem))]
    for name, shown in TITLES.items():
        if name != "errors.tif" or (folder / name).exists():
            parts = raster_parts(name, percent)
            # one click away: they hide the image
            layers.append(_layer(name[:-4], shown, f"./{name}", srs, parts, checked=False))
    parts = image_parts(bands, limits)
    layers.append(_layer("image", Path(path).name, _relative(path, folder), srs, parts))
    root = _project(title, srs, grid.outline().bounds, layers)
    text = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
    text += tostring(root, encoding="unicode")
    with atomic_path(folder / PROJECT) as scratch:
        scratch.write_bytes(_packed(text))


def project_beside(image, folder, name: str) -> bytes:
    """The bytes of `map.qgz` for a copy of the map in `folder` that has `image` there as `name`."""
    with zipfile.ZipFile(Path(folder) / PROJECT) as file:
        text = file.read("map.qgs").decode()
    for more in ({}, {'"': "&quot;"}):  # between tags, and as an attribute
        there, here = _relative(image, folder), f"./{name}"
        text = text.replace(escape(there, more), escape(here, more))
    return _packed(text)


def _packed(text: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("map.qgs", text)
    return content.getvalue()


def _project(title, srs, extent, layers) -> Element:
    """The document, of layers from top to bottom; see `_layer`."""
    entries, layers = zip(*layers, strict=True)
    tree = element("layer-tree-group", *entries, expanded=1, checked="Qt::Checked")
    sides = (
        element(side, f"{value:.10g}")
        for side, value in zip(("xmin", "ymin", "xmax", "ymax"), extent, strict=True)
    )
    canvas = element(
        "mapcanvas", element("extent", *sides), element("destinationsrs", srs), name="theMapCanvas"
    )
    paths = element("Paths", element("Absolute", "false", type="bool"))
    enabled = element("ProjectionsEnabled", "1", type="int")  # else QGIS takes no CRS
    return element(
        "qgis",
        element("title", title),
        element("projectCrs", srs),
        tree,
        canvas,
        element("projectlayers", *layers),
        element("properties", paths, element("SpatialRefSys", enabled)),
        projectname=title,
        version=QGIS_VERSION,
    )


def _layer(identifier, name, source, srs, parts, checked=True) -> tuple[Element, Element]:
    """A layer's entry in the list of layers, which says whether it is shown; and the layer."""
    vector = "|layername=" in source
    kind = {"type": "vector", "geometry": "Polygon"} if vector else {"type": "raster"}
    identifier, provider = f"{identifier}_of_the_map", "ogr" if vector else "gdal"
    entry = element(
        "layer-tree-layer", id=identifier, name=name,
        checked="Qt::Checked" if checked else "Qt::Unchecked", expanded=1, source=source,
        providerKey=provider,
    )  # fmt: skip
    layer = element(
        "maplayer",
        element("id", identifier),
        element("datasource", source),
        element("layername", name),
        element("srs", srs),
        element("provider", provider, encoding="UTF-8"),
        *parts,
        **kind,
    )
    return entry, layer


def _relative(path, folder) -> str:
    """`path` relative to `folder`; as it is where Windows has them on two drives."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return str(path)
