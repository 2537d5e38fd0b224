"""Images of cameras are stored as the sensor lay; their EXIF tag says how they are shown."""

from __future__ import annotations

import contextlib
import struct

ORIENTATION = 274  # of the tags of TIFF, which EXIF took over


def upright(array, file):
    """(H, W, ...) turned as the open file's EXIF orientation says; as it is in a file with a place.

    JPEG, PNG and TIFF are looked into. A GIS places images by their transform and ignores the tag.

    >>> import numpy as np
    >>> from landslide_tf.data.raster import open_raster
    >>> with open_raster("scene.tif") as file:
    ...     upright(np.zeros((64, 96)), file).shape
    (64, 96)
    """
    number = _orientation(file) if file.transform.is_identity else 1
    if number >= 5:  # rows and columns change places
        array = array.swapaxes(0, 1)
    if number in (3, 4, 7, 8):
        array = array[::-1]
    if number in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def _orientation(file) -> int:
    """1 to 8; 1 where nothing, or nonsense, is said."""
    number = 1
    with contextlib.suppress(ValueError, OSError, struct.error):
        if file.driver == "JPEG":
            number = int(file.tags().get("EXIF_Orientation", "1").strip())
        elif file.driver in ("GTiff", "PNG"):
            with open(file.name, "rb") as stream:
                number = _of_png(stream) if file.driver == "PNG" else _of_tiff(stream)
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
