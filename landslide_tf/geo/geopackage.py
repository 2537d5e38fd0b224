"""The GeoPackage of a map: features in parts, then titles, column descriptions and a style."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pyogrio

from landslide_tf.geo.attributes import fields
from landslide_tf.geo.outputs import write_error
from landslide_tf.geo.styles import polygon_parts, qml

VERSION = "1.2"  # GDAL 3.6 warns of 1.4, which today's GDAL writes by default
LAYER = "landslides"
CHUNK = 5000  # features in memory
COLUMNS = """CREATE TABLE gpkg_data_columns (
 table_name TEXT NOT NULL, column_name TEXT NOT NULL, name TEXT, title TEXT, description TEXT,
 mime_type TEXT, constraint_name TEXT,
 CONSTRAINT pk_gdc PRIMARY KEY (table_name, column_name),
 CONSTRAINT gdc_tn UNIQUE (table_name, name))"""
EXTENSIONS = """CREATE TABLE IF NOT EXISTS gpkg_extensions (
 table_name TEXT, column_name TEXT, extension_name TEXT NOT NULL, definition TEXT NOT NULL,
 scope TEXT NOT NULL, CONSTRAINT ge_tce UNIQUE (table_name, column_name, extension_name))"""
# as QGIS makes it when a style is saved in the file
STYLES = """CREATE TABLE layer_styles (
 id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256),
 f_table_schema TEXT(256), f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30),
 styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN, description TEXT, owner TEXT(30),
 ui TEXT(30), update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')))"""


class FeatureFile:
    """The layer `landslides` of a new GeoPackage, written in parts; `kinds` are its columns' types.

    Raises:
        JobError: it cannot be written.

    >>> import shapely
    >>> file = FeatureFile("map.gpkg", "EPSG:32647", {"id": "int32"})
    >>> file.add(id=1, geometry=shapely.box(0, 0, 2, 2))
    >>> file.end()
    >>> len(file.read())
    1
    """

    def __init__(self, path, crs, kinds: dict[str, str]):
        self._path, self._crs, self._kinds = Path(path), crs, kinds
        self._rows, self._started = [], False
        self._path.unlink(missing_ok=True)

    def add(self, **row) -> None:
        """Take a feature: its columns, and its `geometry`."""
        self._rows.append(row)
        if len(self._rows) >= CHUNK:
            self._flush()

    def end(self) -> None:
        """Write what is left; then the file is whole."""
        if self._rows or not self._started:
            self._flush()

    def read(self, **which):
        """Features as a GeoDataFrame; `which` as of `pyogrio.read_dataframe`."""
        return pyogrio.read_dataframe(self._path, layer=LAYER, **which)

    def _flush(self) -> None:
        import geopandas

        columns = [*self._kinds, "geometry"]
        frame = geopandas.GeoDataFrame(self._rows, columns=columns, crs=self._crs)
        # columns of nothing have no type
        frame = frame.astype({n: k if k != "str" else "object" for n, k in self._kinds.items()})
        with told(self._path):
            pyogrio.write_dataframe(
                frame,
                self._path,
                driver="GPKG",
                layer=LAYER,
                append=self._started,
                geometry_type="MultiPolygon",
                promote_to_multi=True,
                dataset_options=None if self._started else {"VERSION": VERSION},
            )
        self._rows, self._started = [], True


def describe_layer(path, title: str, abstract: str, with_dem: bool) -> None:
    """Give the layer its title, abstract, column descriptions and QGIS style.

    Raises:
        JobError: it cannot be written.
    """
    try:
        with contextlib.closing(sqlite3.connect(path)) as file, file:
            file.execute(
                "UPDATE gpkg_contents SET identifier = ?, description = ? WHERE table_name = ?",
                (title, abstract, LAYER),
            )
            file.execute(COLUMNS)
            file.execute(EXTENSIONS)
            file.execute(
                "INSERT INTO gpkg_extensions VALUES ('gpkg_data_columns', NULL, 'gpkg_schema', "
                "'http://www.geopackage.org/spec121/#extension_schema', 'read-write')"
            )
            file.executemany(
                "INSERT INTO gpkg_data_columns VALUES (?, ?, ?, ?, ?, NULL, NULL)",
                [(LAYER, f.name, f.title, f.title, f.source) for f in fields(with_dem)],
            )
            file.execute(STYLES)
            file.execute(
                "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, "
                "f_geometry_column, styleName, styleQML, styleSLD, useAsDefault, description) "
                "VALUES ('', '', ?, 'geom', 'landslides', ?, '', 1, 'By confidence class')",
                (LAYER, qml(polygon_parts(with_dem))),
            )
            file.execute(
                "INSERT INTO gpkg_contents (table_name, data_type, identifier, description) "
                "VALUES ('layer_styles', 'attributes', 'layer_styles', 'Styles for QGIS')"
            )
    except sqlite3.Error as error:
        raise write_error(path, error) from None


@contextlib.contextmanager
def told(path):
    """Turn what pyogrio raises in the block into what `write_error` makes of it."""
    try:
        yield
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise write_error(path, error) from None
