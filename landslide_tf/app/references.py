"""Which vector files of mapped landslides the page opens, and which it refuses to."""

from __future__ import annotations

import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pyogrio

from landslide_tf.checks import InputError
from landslide_tf.geo.vector import ERRORS

# The GDAL drivers allowed for each suffix. GDAL chooses the driver by content, and some formats
# refer to other files and addresses; so the content is checked before GDAL opens the file.
DRIVERS = {
    ".gpkg": ("GPKG",),
    ".geojson": ("GeoJSON", "GeoJSONSeq"),
    ".json": ("GeoJSON", "GeoJSONSeq"),
    ".kml": ("KML", "LIBKML"),
    ".shp": ("ESRI Shapefile",),
    ".zip": ("ESRI Shapefile",),
}
NAMES = "GeoPackage, GeoJSON, KML, shapefile or zipped shapefile"
BESIDE = (".shx", ".dbf", ".prj", ".cpg")  # files of a shapefile that are read
IN_ZIP = (".shp", *BESIDE, ".qix", ".sbn", ".sbx", ".qpj", ".qmd")
SQLITE, SHAPEFILE = b"SQLite format 3\0", b"\0\0\x27\x0a"
LARGEST = 2**31  # bytes of a zip's files when they are unpacked


def check_vector(path: Path) -> None:
    """Raise `InputError` unless a file is of one of the kinds of `DRIVERS`, by name and content.

    >>> check_vector(Path("landslides.geojson"))
    >>> _ = Path("landslides.kml").write_text("<OGRVRTDataSource/>")
    >>> check_vector(Path("landslides.kml"))
    Traceback (most recent call last):
        ...
    landslide_tf.checks.InputError: landslides.kml: is no GeoPackage, GeoJSON, KML, ...
    """
    suffix = path.suffix.lower()
    try:
        known = suffix in DRIVERS and _CONTENT[suffix](path)
        known = known and pyogrio.read_info(path, layer=0)["driver"] in DRIVERS[suffix]
    except (*ERRORS, ElementTree.ParseError, zipfile.BadZipFile):
        known = False
    if not known:
        raise InputError(f"{path.name}: is no {NAMES}; give one, or restore the file")


def _begins(path: Path, mark: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(len(mark)) == mark


def _is_json(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(1024).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")


def _is_kml(path: Path) -> bool:
    root = ElementTree.parse(path).getroot()  # fails unless there is one, and it ends
    return root.tag.rpartition("}")[2] == "kml"


def _is_zipped_shapefile(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        files = [info for info in archive.infolist() if not info.is_dir()]
        shapes = [info for info in files if info.filename.lower().endswith(".shp")]
        fits = all(info.filename.lower().endswith(IN_ZIP) for info in files)
        fits = fits and sum(info.file_size for info in files) <= LARGEST and len(shapes) == 1
        return fits and archive.open(shapes[0]).read(4) == SHAPEFILE


_CONTENT = {
    ".gpkg": lambda path: _begins(path, SQLITE),
    ".geojson": _is_json,
    ".json": _is_json,
    ".kml": _is_kml,
    ".shp": lambda path: _begins(path, SHAPEFILE),
    ".zip": _is_zipped_shapefile,
}
