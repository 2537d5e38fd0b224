"""Images of cameras are stored as the sensor lay; their EXIF tag says how they are shown."""

from __future__ import annotations

import contextlib
import dataclasses
import struct

ORIENTATION = 274  # of the tags of TIFF, which EXIF took over


def upright(raster, file):
    """A `Raster` turned as the EXIF orientation of its open file (JPEG, PNG, TIFF, WebP) says.

    One with a georeference stays as it is, because a GIS ignores the tag.
    """
    number = _orientation(file) if raster.transform is None else 1
    if number == 1:
        return raster
    steps = (number >= 5, number in (3, 4, 7, 8), number in (2, 3, 6, 7))
    values, valid = (turned(array, *steps) for array in (raster.values, raster.valid))
    return dataclasses.replace(raster, values=values, valid=valid)


def turned(array, exchange, reverse_rows, reverse_columns):
    """An array (H, W, ...) transposed, then with its rows and then its columns reversed, as asked.

    >>> import numpy as np
    >>> turned(np.array([[1, 2], [3, 4]]), True, True, False).tolist()  # a quarter to the left
    [[2, 4], [1, 3]]
    """
    array = array.swapaxes(0, 1) if exchange else array
    array = array[::-1] if reverse_rows else array
    return array[:, ::-1] if reverse_columns else array


def is_nowhere(transform) -> bool:
    """Whether a transform is the identity, which stands for a file without georeference."""
    t = transform  # unpacking one takes ten times as long
    return (t.a, t.b, t.c, t.d, t.e, t.f) == (1, 0, 0, 0, 1, 0)


def _orientation(file) -> int:
    """1 to 8; 1 where nothing, or nonsense, is said."""
    number = 1
    with contextlib.suppress(ValueError, OSError, struct.error):
        if file.driver == "JPEG":
            number = int(file.tags().get("EXIF_Orientation", "1").strip())
        elif file.driver in READERS:
            with open(file.name, "rb") as stream:
                number = READERS[file.driver](stream)
    return number if 1 <= number <= 8 else 1


def _of_png(stream) -> int:
    stream.seek(8)
    while True:
        length, name = struct.unpack(">I4s", stream.read(8))
        if name == b"eXIf":
            return _of_tiff(stream)
        if name == b"IEND":
            return 1
        stream.seek(length + 4, 1)


def _of_tiff(stream) -> int:
    """The tag in the first directory of a TIFF that begins where the stream stands."""
    start = stream.tell()
    head = stream.read(8)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or struct.unpack(order + "H", head[2:4])[0] != 42:
        return 1
    stream.seek(start + struct.unpack(order + "I", head[4:])[0])
    for _ in range(struct.unpack(order + "H", stream.read(2))[0]):
        tag, _, _, value = struct.unpack(order + "HHIHxx", stream.read(12))
        if tag == ORIENTATION:
            return value
    return 1


def _of_webp(stream) -> int:
    stream.seek(12)
    while True:
        name, length = struct.unpack("<4sI", stream.read(8))
        if name == b"EXIF":
            mark = stream.read(6)  # that some programs write before it
            stream.seek(0 if mark == b"Exif\0\0" else -6, 1)
            return _of_tiff(stream)
        stream.seek(length + length % 2, 1)


READERS = {"GTiff": _of_tiff, "PNG": _of_png, "WEBP": _of_webp}
