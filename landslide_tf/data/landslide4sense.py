"""The HDF5 files of the Landslide4Sense data set: `img/image_N.h5`, `mask/mask_N.h5`.

Ghorbanzadeh et al. (2022), https://doi.org/10.5281/zenodo.10463239: tiles of 128 x 128 pixels of
about 10 m, in 14 bands: Sentinel-2 B1 to B12, slope, DEM. No place is given.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from landslide_tf.checks import InputError
from landslide_tf.data.raster import Raster, mark_invalid

SUFFIX = ".h5"
RGB_BANDS = (4, 3, 2)  # Sentinel-2's red, green and blue, counted from 1
DEM_BAND = 14
# The published values were divided by these means, as an author of the data set says in
# https://github.com/iarai/Landslide4Sense-2022/issues/4. Multiplied by them again, bands 1 to 12
# are reflectance x 10000, slope is in degrees and the DEM in metres.
BAND_MEANS = (1111.81236406, 824.63171476, 663.41636217, 445.17289745, 645.8582926, 1547.73508126,
              1960.44401001, 1941.32229668, 674.07572865, 9.04787384, 1113.98338755, 519.90397929,
              20.29228266, 772.83144788)  # fmt: skip
RGB_SCALE = 3000.0  # reflectance 0.3 becomes 1: land is darker, clouds and snow are brighter


def read_hdf5(path, kind: str, *, bands=None, nodata=None) -> Raster:
    """The image (chosen bands), the DEM (metres) or the mask of a tile; `kind` names which.

    Image and DEM are float32, the image as reflectance x 10000. `bands` are three numbers
    from 1 to 14, by default red, green and blue. `nodata` is a number or several, as they are
    stored.

    Raises:
        InputError: the file cannot be read or does not hold what Landslide4Sense's hold.

    >>> import h5py
    >>> with h5py.File("image_1.h5", "w") as file:
    ...     file["img"] = np.full((128, 128, 14), 0.1)
    >>> image = read_hdf5("image_1.h5", "image")
    >>> image.values.shape, image.values.dtype
    ((128, 128, 3), dtype('float32'))
    """
    if kind == "mask":
        values = _read(path, "mask", 2)[..., None]
        return Raster(values, np.isfinite(values).all(axis=-1))
    stack = _read(path, "img", 3)
    if stack.shape[-1] != len(BAND_MEANS):
        raise InputError(
            f"{path}: has {stack.shape[-1]} bands, Landslide4Sense has {len(BAND_MEANS)}; "
            "write other images as GeoTIFF"
        )
    chosen = (bands or RGB_BANDS) if kind == "image" else (DEM_BAND,)
    if max(chosen) > len(BAND_MEANS):
        raise InputError(
            f"{path}: has {len(BAND_MEANS)} bands, --bands asks for {max(chosen)}; "
            "count them from 1"
        )
    index = [band - 1 for band in chosen]
    stored = stack[..., index]
    valid = mark_invalid(stored, np.ones(stored.shape[:2], bool), nodata)
    values = (stored * np.array(BAND_MEANS)[index]).astype("float32")
    return Raster(values, valid, scale=RGB_SCALE if kind == "image" else None)


def _read(path, name: str, dimensions: int):
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if name not in file:
                raise InputError(
                    f'{path}: holds {sorted(file)}, expected a data set "{name}"; give a file of '
                    "Landslide4Sense, or write GeoTIFF"
                )
            values = np.asarray(file[name])
    except InputError:
        raise
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, MemoryError) as error:
        lines = str(error).splitlines() or ["damaged"]
        reason = "no such file" if not Path(path).exists() else lines[0]
        raise InputError(f"{path}: cannot be read ({reason}); restore the file") from None
    if values.ndim != dimensions or 0 in values.shape or values.dtype.kind not in "fiub":
        raise InputError(
            f'{path}: "{name}" is {values.dtype} of shape {values.shape}, expected numbers of '
            f"{dimensions} dimensions; write it as Landslide4Sense does, or as GeoTIFF"
        )
    return values
