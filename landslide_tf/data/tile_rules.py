"""What the files of a tile must be, and how they must fit each other; all else is refused."""

from __future__ import annotations

import numpy as np

from landslide_tf.checks import InputError, naming
from landslide_tf.data.crs import SHIFT_PX, box_text, crs_name, horizontal, same_ground
from landslide_tf.data.index import Sample
from landslide_tf.data.raster import Raster
from landslide_tf.inputs.spec import InputSpec, check_image_type


def check_brightness(image: Raster, spec: InputSpec) -> None:
    """Raise `InputError` if nothing says which value of the image becomes 1.

    That is a float image with values outside [0, 1], or integers of more than 16 bits, where
    neither `spec.rgb_scale` nor `image.scale` is given.

    >>> float_image = Raster(np.full((4, 4, 3), 3000.0), np.ones((4, 4), bool))
    >>> check_brightness(float_image, InputSpec())
    Traceback (most recent call last):
    landslide_tf.checks.InputError: float image has values from 3000 to 3000, expected 0 to 1; ...
    """
    if spec.rgb_scale is not None or image.scale is not None:
        return
    check_image_type(image.values.dtype)
    if not np.issubdtype(image.values.dtype, np.floating):
        return
    values = image.known()
    values = values[np.isfinite(values)]
    if values.size and (values.min() < -0.01 or values.max() > 1.01):
        raise InputError(
            f"float image has values from {values.min():g} to {values.max():g}, expected "
            "0 to 1; give --rgb-scale, the value that becomes 1"
        )


def check_image(image: Raster, path) -> None:
    """Raise `InputError` unless the image has three bands (an alpha band apart).

    >>> check_image(Raster(np.zeros((4, 4, 2)), np.ones((4, 4), bool)), "a.tif")
    Traceback (most recent call last):
        ...
    landslide_tf.checks.InputError: a.tif: ...
    """
    bands = image.values.shape[-1]
    if bands != 3:
        raise other_bands(path, bands)


def other_bands(path, count: int) -> InputError:
    """The error about an image of more or fewer than three bands.

    >>> str(other_bands("a.tif", 4))
    'a.tif: has 4 bands, expected 3 (red, green, blue); name them with --bands (if band 4 is ...'
    """
    # else what it hides, often a white border, would count as image
    alpha = " (if band 4 is alpha, say so: gdal_edit -colorinterp_4 alpha)" if count == 4 else ""
    return InputError(
        f"{path}: has {count} bands, expected 3 (red, green, blue); name them with --bands{alpha}"
    )


def check_has_dem(sample: Sample, spec: InputSpec) -> None:
    """Raise `InputError` where the model reads a DEM and the sample has none.

    >>> sample = Sample("a", "a.png", dem=None, mask=None)
    >>> check_has_dem(sample, InputSpec(fusion="rgb"))
    >>> check_has_dem(sample, InputSpec(fusion="early"))
    Traceback (most recent call last):
        ...
    landslide_tf.checks.InputError: ...
    """
    if spec.fusion != "rgb" and sample.dem is None:
        raise InputError(f"{sample.image}: has no DEM, which this model needs; add dem/NAME.*")


def check_dem(dem: Raster, path) -> None:
    """Raise `InputError` unless the DEM has one band, or several that are equal (grey as RGB).

    >>> check_dem(Raster(np.full((4, 4, 3), 120), np.ones((4, 4), bool)), "dem.png")  # grey as RGB
    """
    if not _bands_agree(dem):
        raise InputError(
            f"{path}: has {dem.values.shape[-1]} different bands, expected one band of elevation; "
            "write it to a file of its own (gdal_translate -b 1)"
        )


def check_mask(mask: Raster, path) -> Raster:
    """The mask as one band of 0 and 1 (uint8); `InputError` where it has other values.

    Only valid pixels are checked; the others become 0 and stay not valid.

    >>> mask = Raster(np.array([[[0], [255]]], "uint8"), np.ones((1, 2), bool))
    >>> check_mask(mask, "mask.png").values[..., 0].tolist()
    [[0, 1]]
    """
    values = mask.values
    if not _bands_agree(mask):
        raise InputError(
            f"{path}: a mask has one band; its {values.shape[-1]} bands differ; write one "
            f"of 0 and 255 (gdal_translate -b {np.ptp(mask.known(), axis=0).argmax() + 1})"
        )
    found = mask.known()[:, 0]
    found = np.flatnonzero(np.bincount(found)) if values.dtype == "uint8" else np.unique(found)
    if not (set(found[:3]) <= {0, 1} or set(found[:3]) <= {0, 255}):
        shown = ", ".join(f"{value:g}" for value in found[:5]) + (" …" if len(found) > 5 else "")
        raise InputError(
            f"{path}: mask values must be 0 and 1, or 0 and 255; found {shown}; {_repair(found)}"
        )
    labels = ((values[..., :1] != 0) & mask.valid[..., None]).astype("uint8")
    return Raster(labels, mask.valid, mask.crs, mask.transform)


def _repair(found) -> str:
    """What to do about a mask with these numbers, sorted."""
    classes = found[found != 0]
    others = [value for value in (set(found) - {0, 1}, set(found) - {0, 255}) if len(value) == 1]
    if len(found) == 3 and others:  # {0, 1, 255}, {0, 128, 255}, {-9999, 0, 1}
        (odd,) = others[0]
        return f"if {odd:g} means not known, mark it so (gdal_edit -a_nodata {odd:g})"
    if (found != np.round(found)).any() or {0, 255} <= set(found):
        return "write the mask again without compression or resampling"
    if len(found) <= 5:
        return f'write one class as 1, all else as 0 (gdal_calc --calc="A=={classes[-1]:g}")'
    return 'if all but 0 are landslides, write them as 1 (gdal_calc --calc="A!=0")'


def _bands_agree(raster: Raster) -> bool:
    values = raster.known()
    return values.shape[-1] == 1 or bool((values == values[:, :1]).all())


def check_fit(image: Raster, other: Raster, image_path, other_path) -> None:
    """Raise `InputError` unless `other` covers the same ground as `image`.

    The numbers of pixels may differ, the aspect ratios only by the rounding of one pixel. Where
    both have a georeference, the CRS must agree, and the corners to half a pixel of the coarser
    raster.

    >>> image = Raster(np.zeros((100, 50, 3)), np.ones((100, 50), bool))
    >>> dem = Raster(np.zeros((10, 5, 1)), np.ones((10, 5), bool))
    >>> check_fit(image, dem, "a.png", "dem.png")  # another size, the same shape
    """
    if (image.size, image.transform, image.crs) == (other.size, other.transform, other.crs):
        return
    (h, w), (other_h, other_w) = image.size, other.size
    # one pixel of the coarser raster, measured in its own pixels
    if abs(w * other_h - other_w * h) > max(w, h, other_w, other_h):
        raise InputError(
            f"{other_path}: is {other_h} x {other_w} pixels (height x width), another shape than "
            f"its image with {h} x {w} ({image_path}); crop both to the same ground"
        )
    if image.transform is None or other.transform is None:
        return
    a, b = np.array(image.bounds), np.array(other.bounds)
    pixels = [*(a[2:] - a[:2]) / (w, h), *(b[2:] - b[:2]) / (other_w, other_h)]
    geographic = False
    if image.crs is not None and other.crs is not None:
        with naming(other_path):
            geographic = horizontal(image.crs).is_geographic
            same = same_ground(image.crs, other.crs, image.corners, SHIFT_PX * min(pixels))
        if not same:
            raise InputError(
                f"{other_path}: its CRS {crs_name(other.crs)} is not its image's "
                f"{crs_name(image.crs)} ({image_path}); reproject it (gdalwarp -t_srs)"
            )
    # Corner by corner: a raster stored upside down has the same bounds.
    apart = np.array(image.corners) - np.array(other.corners)
    if geographic:  # 181 degrees east is 179 degrees west
        apart[:, 0] -= 360 * np.round(apart[:, 0] / 360)
    if not np.abs(apart).max() <= max(pixels) / 2:
        raise InputError(
            f"{other_path}: covers {box_text(b)}, its image {box_text(a)} ({image_path}); "
            "resample it onto the image's grid (gdalwarp -te)"
        )
