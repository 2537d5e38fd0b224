"""The polygons of a map in other formats than GeoPackage."""

from __future__ import annotations

from pathlib import Path

from landslide_tf.checks import InputError

# name of the option: GDAL driver, its options, files beside one another
FORMATS = {
    "geojson": ("GeoJSON", {"layer_options": {"RFC7946": "YES"}}, (".geojson",)),
    "shp": (
        "ESRI Shapefile",
        {"layer_options": {"ENCODING": "UTF-8"}},
        (".shp", ".shx", ".dbf", ".prj", ".cpg"),
    ),
    "kml": (
        "KML",
        {"dataset_options": {"NameField": "id", "DescriptionField": "conf_text"}},
        (".kml",),
    ),
    "flatgeobuf": ("FlatGeobuf", {}, (".fgb",)),
}
FILES = tuple("landslides" + end for _, _, ends in FORMATS.values() for end in ends)


def parse_formats(text: str) -> tuple[str, ...]:
    """Names of `FORMATS` in a list with commas; 'gpkg', which is always written, may stand in it.

    >>> parse_formats("gpkg, shp,kml")
    ('shp', 'kml')
    >>> parse_formats("dxf")
    Traceback (most recent call last):
    landslide_tf.checks.InputError: --format 'dxf' is none of gpkg, geojson, shp, kml, flatgeobuf
    """
    names = [name.strip().lower() for name in text.split(",")]
    for name in names:
        if name not in ("gpkg", *FORMATS):
            raise InputError(f"--format {name!r} is none of {', '.join(('gpkg', *FORMATS))}")
    return tuple(dict.fromkeys(name for name in names if name != "gpkg"))


def convert_polygons(gpkg, folder, name: str) -> list[str]:
    """Write the polygons of a GeoPackage to `folder` in another format.

    GeoJSON and KML are in WGS 84, the others in the scene's CRS. Features are read and written in
    batches, so that memory never holds them all. Files of these names are replaced. If the process
    is killed they are incomplete, so `folder` must be one for unfinished work. Returns the file
    names; the first is the one to open.

    Raises:
        JobError: it cannot be written.

    Example:
        >>> import geopandas
        >>> geopandas.read_file("landslides.geojson").to_file("map.gpkg", layer="landslides")
        >>> convert_polygons("map.gpkg", ".", "geojson")
        ['landslides.geojson']
        >>> polygons = geopandas.read_file("landslides.geojson")
        >>> len(polygons), polygons.crs.to_epsg()
        (2, 4326)
    """
    import pyogrio

    from landslide_tf.geo.geopackage import LAYER, told

    driver, options, ends = FORMATS[name]
    files = [Path(folder) / f"{LAYER}{end}" for end in ends]
    for path in files:
        path.unlink(missing_ok=True)  # of an attempt that was cut off
    with told(files[0]), pyogrio.open_arrow(gpkg, layer=LAYER) as (layer, batches):
        pyogrio.write_arrow(
            batches,
            files[0],
            driver=driver,
            layer=LAYER,
            crs=layer["crs"],
            geometry_type="Polygon" if name == "shp" else "MultiPolygon",
            geometry_name=layer["geometry_name"],
            **options,
        )
    return [path.name for path in files]
