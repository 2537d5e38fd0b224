"""Raster files opened by GDAL, and what it raises turned into one line."""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from pathlib import Path

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from landslide_tf.checks import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".jp2", ".j2k", ".webp", ".gif",
            ".img", ".asc", ".hgt", ".dem", ".bil", ".flt", ".dt0", ".dt1", ".dt2", ".vrt", ".grd",
            ".sdat", ".kea")  # fmt: skip
MOST_BANDS = 2000
# What rasterio raises when a file is damaged; not all of it is a RasterioError.
READ_ERRORS = (RasterioError, CPLE_BaseError, OSError, ValueError, SystemError)
STRICT = {
    # A truncated JPEG is a warning to libjpeg, and GDAL's fast way to read a whole PNG returns
    # noise for a truncated one without a word: both are lost data to us.
    "GDAL_ERROR_ON_LIBJPEG_WARNING": True,
    "GDAL_PNG_WHOLE_IMAGE_OPTIM": False,
    # Otherwise GDAL lists the folder for each file it opens: minutes in a folder of 100,000 files.
    "GDAL_DISABLE_READDIR_ON_OPEN": True,
}
_thread = threading.local()
_lock, _ignoring, _readers = threading.Lock(), contextlib.ExitStack(), 0


def open_raster(path):
    """An open rasterio dataset, a context manager; `InputError` where it cannot be opened.

    >>> with open_raster("scene.tif") as file:
    ...     file.count, file.height, file.width
    (3, 64, 96)
    """
    with reading(path), strictly():
        # `rasterio.open` would set up GDAL anew for each file, for as long as to open a PNG
        file = DatasetReader(os.fspath(path))
        if file.count == 0:
            raise InputError(f"{path}: has no band; give a file of one image (gdalinfo lists them)")
        if file.count > MOST_BANDS:  # as damaged headers say, and reading takes hours
            raise InputError(
                f"{path}: has {file.count} bands, more than {MOST_BANDS}; restore the file, or "
                "write the bands that are meant to another (gdal_translate -b)"
            )
        _check_pages(path, file)
        return file


def _check_pages(path, file) -> None:
    """Refuse a TIFF of several images of one size, of which GDAL shows the first alone."""
    pages = file.subdatasets if file.driver == "GTiff" else []
    for name in pages[1:]:
        with DatasetReader(name) as page:
            if page.shape == file.shape:  # a preview is smaller
                raise InputError(
                    f"{path}: holds {len(pages)} images (pages); write the one that is meant to a "
                    f"file of its own (gdal_translate GTIFF_DIR:1:{Path(path).name})"
                )


@contextlib.contextmanager
def strictly():
    """A context in which lost data is an error and a missing georeference gives no warning.

    PNG and JPEG never have a georeference. A context within this context costs nothing.

    >>> with strictly(), strictly():
    ...     rasterio.open("scene.tif").close()
    """
    if getattr(_thread, "strict", False):
        yield
        return
    with _without_warning(), rasterio.Env(**STRICT):
        _thread.strict = True
        try:
            yield
        finally:
            _thread.strict = False


@contextlib.contextmanager
def _without_warning():
    """`warnings.catch_warnings` for several threads: the first sets it, the last ends it."""
    global _readers
    with _lock:
        _readers += 1
        if _readers == 1:
            _ignoring.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if _readers == 0:
                _ignoring.close()


@contextlib.contextmanager
def reading(path):
    """Whatever GDAL raises becomes an `InputError` that names the file and the repair.

    >>> with reading("a.tif"):
    ...     raise RasterioError("not a TIFF")
    Traceback (most recent call last):
        ...
    landslide_tf.checks.InputError: a.tif: cannot be read (no such file); restore the file
    """
    try:
        yield
    except InputError:
        raise
    except UnicodeEncodeError:  # GDAL knows names in UTF-8 alone
        name = os.fsencode(path).decode("utf-8", "replace")
        raise InputError(f"{name}: the name is not in UTF-8; rename the file or folder") from None
    except MemoryError as error:
        raise InputError(
            f"{path}: is too large for the memory ({_first_line(error)}); cut it (gdal_translate "
            "-srcwin)"
        ) from None
    except READ_ERRORS as error:
        reason, repair = not_a_file(path) or (_first_line(error), "restore the file")
        if "not recognized" in reason:
            reason, repair = "no format of images that is known", "give a GeoTIFF, or restore it"
        elif "codec" in reason:
            repair = "write it with another compression (gdal_translate -co COMPRESS=DEFLATE)"
        raise InputError(f"{path}: cannot be read ({reason}); {repair}") from None


def is_local(path) -> bool:
    """Whether a path names a file of this machine, not one on a server or in an archive."""
    return "://" not in str(path) and not str(path).startswith("/vsi")


def not_a_file(path) -> tuple[str, str] | None:
    """Why a path is no raster file, and the repair; None where it is a file."""
    local = Path(path)
    if not is_local(path):
        return "not a file of this machine", "download or unpack it, and give the file"
    if local.is_dir():
        return "a folder", "give a file"
    if not local.exists():
        return "no such file", "restore the file"
    if local.suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".rar", ".7z"):
        return "an archive", "unpack it, and give the file in it"
    return None


def _first_line(error) -> str:
    lines = str(error.__cause__ or error).strip().splitlines()
    return lines[0] if lines else "damaged"
