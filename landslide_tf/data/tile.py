"""One tile: its rasters read, checked against each other, and resized to the model's size."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from landslide_tf.checks import InputError
from landslide_tf.data import landslide4sense
from landslide_tf.data.crs import SHIFT_PX, crs_name, horizontal, same_ground
from landslide_tf.data.index import Sample
from landslide_tf.data.labels import read_mask
from landslide_tf.data.plausible import tile_warnings
from landslide_tf.data.raster import Raster, read_raster
from landslide_tf.inputs.spec import InputSpec

if TYPE_CHECKING:
    from landslide_tf.inputs.preprocess import Sized


@dataclass(frozen=True)
class Tile:
    """A tile at the model's size: nothing normalised yet but the RGB.

    >>> from landslide_tf.data.index import find_samples
    >>> tile, _ = read_tile(find_samples("tiles").samples[0], InputSpec(tile_px=16))
    >>> tile.rgb.shape, tile.dem.shape, tile.mask.dtype
    ((16, 16, 3), (16, 16), dtype('uint8'))
    """

    rgb: np.ndarray  # (H, W, 3) float32, 0 to 1
    dem: np.ndarray | None  # (H, W) float32, metres
    terrain: np.ndarray | None  # (H, W, T) float32
    mask: np.ndarray | None  # (H, W) uint8, 0 or 1
    image_valid: np.ndarray  # (H, W) bool: the image has data
    input_valid: np.ndarray  # (H, W) bool: image and DEM have data
    valid: np.ndarray  # (H, W) bool: all files have data
    warnings: tuple[str, ...] = ()  # what is odd about its files


def read_tile(sample: Sample, spec: InputSpec) -> tuple[Tile, tuple[float, float, float] | None]:
    """Read, check and resize one sample.

    Returns the tile and its place: x and y of its centre and its larger side, in units of its
    CRS (None without georeference).

    Raises:
        InputError: a file cannot be read, the files do not fit each other, the mask has values
            other than {0, 1} or {0, 255}, nothing is valid.

    >>> from landslide_tf.data.index import find_samples
    >>> tile, place = read_tile(find_samples("tiles").samples[0], InputSpec(tile_px=16))
    >>> tile.rgb.shape, place  # PNG files lie nowhere
    ((16, 16, 3), None)
    """
    image = read_file(sample, "image", spec)
    check_image(image, sample.image)
    dem = mask = None
    if sample.dem is not None:
        dem = read_file(sample, "dem", spec)
        check_dem(dem, sample.dem)
        check_fit(image, dem, sample.image, sample.dem)
    if sample.mask is not None:
        mask = check_mask(read_file(sample, "mask", spec), sample.mask)
        check_fit(image, mask, sample.image, sample.mask)
    try:
        tile = make_tile(image, dem, mask, spec)
    except InputError as error:
        raise InputError(f"{sample.image}: {error}") from None
    if not tile.valid.any():
        raise InputError(
            f"{sample.image}: the tile is no data throughout; remove it or give --skip-bad"
        )
    scaled = dataclasses.replace(image, scale=spec.rgb_scale or image.scale)
    tile = dataclasses.replace(tile, warnings=tuple(tile_warnings(scaled, dem, mask)))
    if image.bounds is None:
        return tile, None
    left, bottom, right, top = image.bounds
    return tile, ((left + right) / 2, (bottom + top) / 2, max(right - left, top - bottom))


def read_file(sample: Sample, kind: str, spec: InputSpec) -> Raster:
    """The raster of one `kind` ('image', 'dem', 'mask') of a sample, of whatever format.

    `spec.nodata` concerns image and DEM, `spec.bands` chooses those of the image.

    Raises:
        InputError: the file cannot be read, or lacks a band that is asked for.

    >>> from landslide_tf.data.index import find_samples
    >>> read_file(find_samples("tiles").samples[0], "dem", InputSpec()).values.shape
    (32, 32, 1)
    """
    path = getattr(sample, kind)
    if path.suffix.lower() == landslide4sense.SUFFIX:
        return landslide4sense.read_hdf5(path, kind, bands=spec.bands, nodata=spec.nodata)
    if kind == "mask":
        return read_mask(path)
    bands = spec.bands if kind == "image" else None
    return read_raster(path, nodata=spec.nodata, bands=bands, kind=kind)


def make_tile(image: Raster, dem: Raster | None, mask: Raster | None, spec: InputSpec) -> Tile:
    """Resize the rasters of one tile to `spec.tile_px` and join their valid masks.

    Image and DEM go through `Preprocessor.resize`, the mask is resized by nearest neighbour. A
    tile without a mask is all background.

    >>> image = Raster(np.zeros((40, 40, 3), "uint8"), np.ones((40, 40), bool))
    >>> dem = Raster(np.zeros((20, 20, 1)), np.ones((20, 20), bool))
    >>> tile = make_tile(image, dem, None, InputSpec(tile_px=16))
    >>> tile.rgb.shape, tile.dem.shape, bool(tile.valid.all())
    ((16, 16, 3), (16, 16), True)
    """
    from landslide_tf.inputs.resize import resize_nearest

    sized = size_rasters([(image, dem)], spec)
    size, valid = (spec.tile_px, spec.tile_px), _one(sized.input_valid)[..., 0]
    labels = np.zeros(size, "uint8")
    if mask is not None:
        labels = _one(resize_nearest(mask.values[None, ..., :1], size))[..., 0]
        valid = valid & _one(resize_nearest(mask.valid[None, ..., None], size))[..., 0]
    return Tile(
        rgb=_one(sized.rgb),
        dem=None if dem is None else _one(sized.dem)[..., 0],
        terrain=None if sized.terrain is None else _one(sized.terrain),
        mask=labels,
        image_valid=_one(sized.image_valid)[..., 0],
        input_valid=_one(sized.input_valid)[..., 0],
        valid=valid,
    )


def stack_tiles(tiles: list[Tile], spec: InputSpec) -> np.ndarray:
    """The model's input (B, H, W, C) of tiles: `Preprocessor.stack`.

    >>> image = Raster(np.zeros((40, 40, 3), "uint8"), np.ones((40, 40), bool))
    >>> spec = InputSpec(tile_px=16, fusion="rgb")
    >>> stack_tiles([make_tile(image, None, None, spec)], spec).shape
    (1, 16, 16, 3)
    """
    from landslide_tf.inputs.preprocess import Preprocessor, Sized

    def batch(name):
        arrays = [getattr(tile, name) for tile in tiles]
        if arrays[0] is None:
            return None
        stacked = np.stack(arrays)
        return stacked if stacked.ndim == 4 else stacked[..., None]

    x, _ = Preprocessor(spec).stack(Sized(*(batch(f.name) for f in dataclasses.fields(Sized))))
    return np.asarray(x)


def size_rasters(pairs: list[tuple[Raster, Raster | None]], spec: InputSpec) -> Sized:
    """`Preprocessor.resize` of tiles (image, DEM or None) as read from files.

    Raises:
        InputError: a float image beyond [0, 1] without `rgb_scale`, or terrain channels without
            the pixel's size.
    """
    import keras

    from landslide_tf.inputs.preprocess import Sized

    for image, _ in pairs:
        check_brightness(image, spec)
    alike = {
        (image.size, image.values.dtype, image.scale, None if dem is None else dem.size)
        for image, dem in pairs
    }
    if len(alike) == 1 and not spec.terrain:
        return _size_alike(pairs, spec)
    each = [_size_alike([pair], spec) for pair in pairs]
    joined = [[getattr(sized, f.name) for sized in each] for f in dataclasses.fields(Sized)]
    return Sized(*(None if a[0] is None else keras.ops.concatenate(a) for a in joined))


def _size_alike(pairs, spec: InputSpec) -> Sized:
    """`size_rasters` of tiles of one size and type; of one tile where there is terrain."""
    from landslide_tf.inputs.preprocess import Preprocessor

    images, dems = zip(*pairs, strict=True)
    if spec.rgb_scale is None and images[0].scale is not None:
        spec = dataclasses.replace(spec, rgb_scale=images[0].scale)
    heights = {}
    if dems[0] is not None:
        heights["dem"] = np.stack([dem.values[..., :1] for dem in dems])
        heights["dem_valid"] = np.stack([dem.valid for dem in dems])
        if spec.terrain:
            heights["resolution_m"] = _dem_resolution_m(images[0], dems[0], spec)
    return Preprocessor(spec).resize(
        np.stack([image.values for image in images]),
        image_valid=np.stack([image.valid for image in images]),
        **heights,
    )


def check_brightness(image: Raster, spec: InputSpec) -> None:
    """Raise `InputError` for a float image beyond [0, 1] where nothing says what becomes 1.

    >>> float_image = Raster(np.full((4, 4, 3), 3000.0), np.ones((4, 4), bool))
    >>> check_brightness(float_image, InputSpec())
    Traceback (most recent call last):
    landslide_tf.checks.InputError: float image has values from 3000 to 3000, expected 0 to 1; ...
    """
    known = spec.rgb_scale is not None or image.scale is not None
    if known or not np.issubdtype(image.values.dtype, np.floating):
        return
    values = image.values[image.valid]
    values = values[np.isfinite(values)]
    if values.size and (values.min() < -0.01 or values.max() > 1.01):
        raise InputError(
            f"float image has values from {values.min():g} to {values.max():g}, expected "
            "0 to 1; give --rgb-scale, the value that becomes 1"
        )


def _one(tensor) -> np.ndarray:
    """The only item of a batch, as NumPy."""
    return np.asarray(tensor)[0]


def _dem_resolution_m(image: Raster, dem: Raster, spec: InputSpec) -> tuple[float, float]:
    known = dem.resolution_m() or image.resolution_m()
    if spec.resolution_m is not None:
        pixel = (spec.resolution_m, spec.resolution_m)
    elif known is None:
        raise InputError("--terrain needs a georeferenced tile, or --resolution-m")
    elif dem.resolution_m() is not None:
        return known
    else:
        pixel = known
    # `pixel` is the image's; the DEM covers the same ground with its own number of pixels
    return tuple(p * i / d for p, i, d in zip(pixel, image.size, dem.size, strict=True))


def check_image(image: Raster, path) -> None:
    """Raise `InputError` unless the image has three bands (an alpha band apart).

    >>> check_image(Raster(np.zeros((4, 4, 2)), np.ones((4, 4), bool)), "a.tif")
    Traceback (most recent call last):
        ...
    landslide_tf.checks.InputError: a.tif: ...
    """
    bands = image.values.shape[-1]
    if bands != 3:
        raise InputError(
            f"{path}: has {bands} bands, expected 3 (red, green, blue); name them with --bands"
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

    What the nodata tag or alpha band declares to be no data is not looked at.

    >>> mask = Raster(np.array([[[0], [255]]], "uint8"), np.ones((1, 2), bool))
    >>> check_mask(mask, "mask.png").values[..., 0].tolist()
    [[0, 1]]
    """
    values = mask.values
    if not _bands_agree(mask):
        raise InputError(
            f"{path}: a mask has one band; its {values.shape[-1]} bands differ; write one "
            "of 0 and 255 (gdal_translate -b 1)"
        )
    found = np.unique(values[mask.valid])
    if not (np.isin(found, (0, 1)).all() or np.isin(found, (0, 255)).all()):
        shown = ", ".join(f"{value:g}" for value in found[:5]) + (" …" if len(found) > 5 else "")
        repair = "write the mask again without compression or resampling"
        if len(found) <= 5 and (found == np.round(found)).all() and not {0, 255} <= set(found):
            repair = f'write one class as 1, all else as 0 (gdal_calc --calc="A=={found[-1]:g}")'
        raise InputError(
            f"{path}: mask values must be 0 and 1, or 0 and 255; found {shown}; {repair}"
        )
    labels = ((values[..., :1] != 0) & mask.valid[..., None]).astype("uint8")
    return Raster(labels, mask.valid, mask.crs, mask.transform)


def _bands_agree(raster: Raster) -> bool:
    values = raster.values[raster.valid]  # (pixels, bands)
    return bool((values == values[:, :1]).all())


def check_fit(image: Raster, other: Raster, image_path, other_path) -> None:
    """Raise `InputError` unless `other` covers the same ground as `image`.

    Sizes may differ, shapes (aspects) not by more than the rounding of one pixel; where both
    carry a georeference, CRS and bounds must agree (to half a pixel of the coarser one).

    >>> image = Raster(np.zeros((100, 50, 3)), np.ones((100, 50), bool))
    >>> dem = Raster(np.zeros((10, 5, 1)), np.ones((10, 5), bool))
    >>> check_fit(image, dem, "a.png", "dem.png")  # another size, the same shape
    """
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
    pixels = [
        (a[2] - a[0]) / w,
        (a[3] - a[1]) / h,
        (b[2] - b[0]) / other_w,
        (b[3] - b[1]) / other_h,
    ]
    geographic = False
    if image.crs is not None and other.crs is not None:
        try:
            geographic = horizontal(image.crs).is_geographic
            same = same_ground(image.crs, other.crs, image.corners, SHIFT_PX * min(pixels))
        except InputError as error:
            raise InputError(f"{other_path}: {error}") from None
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
            f"{other_path}: covers {_box(b)}, its image {_box(a)} ({image_path}); "
            "resample it onto the image's grid (gdalwarp -te)"
        )


def _box(bounds) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in bounds) + ")"
