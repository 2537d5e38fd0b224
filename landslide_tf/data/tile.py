"""One tile: its rasters read, checked against each other, and resized to the model's size."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from landslide_tf.checks import InputError, naming
from landslide_tf.data import landslide4sense
from landslide_tf.data.index import Sample
from landslide_tf.data.labels import read_mask
from landslide_tf.data.plausible import tile_warnings
from landslide_tf.data.raster import Raster, read_raster
from landslide_tf.data.tile_rules import (
    check_brightness,
    check_dem,
    check_fit,
    check_image,
    check_mask,
)
from landslide_tf.inputs.spec import InputSpec

if TYPE_CHECKING:
    from landslide_tf.inputs.preprocess import Sized


@dataclass(frozen=True)
class Tile:
    """A tile at the model's size: the RGB is scaled to [0, 1], the DEM is not normalised yet."""

    rgb: np.ndarray  # (H, W, 3) float32, 0 to 1
    dem: np.ndarray | None  # (H, W) float32, metres
    terrain: np.ndarray | None  # (H, W, T) float32
    mask: np.ndarray  # (H, W) uint8, 0 or 1
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
    image, dem, mask = read_rasters(sample, spec)
    with naming(sample.image):
        tile = make_tile(image, dem, mask, spec)
    if not tile.valid.any():
        raise _nothing_known(sample)
    tile = dataclasses.replace(tile, warnings=tuple(tile_warnings(image, dem, mask)))
    return tile, place_of(image)


def read_input(sample: Sample, spec: InputSpec) -> tuple[Raster, Raster | None]:
    """Image and DEM of a sample at their own size, checked.

    The image's `scale` is `spec.rgb_scale`, if that is given.

    Raises:
        InputError: as in `read_tile`.

    >>> from landslide_tf.data.index import find_samples
    >>> image, dem = read_input(find_samples("tiles").samples[0], InputSpec(rgb_scale=255.0))
    >>> image.size, image.scale, dem.size
    ((32, 32), 255.0, (32, 32))
    """
    image = read_file(sample, "image", spec)
    image = dataclasses.replace(image, scale=spec.rgb_scale or image.scale)
    check_image(image, sample.image)
    with naming(sample.image):
        check_brightness(image, spec)
    if sample.dem is None:
        return image, None
    dem = read_file(sample, "dem", spec)
    check_dem(dem, sample.dem)
    check_fit(image, dem, sample.image, sample.dem)
    return image, dem


def read_rasters(sample: Sample, spec: InputSpec) -> tuple[Raster, Raster | None, Raster | None]:
    """What `read_input` gives, and the mask at its own size with labels 0 and 1.

    Raises:
        InputError: as in `read_tile`.

    >>> from landslide_tf.data.index import find_samples
    >>> image, dem, mask = read_rasters(find_samples("tiles").samples[0], InputSpec())
    >>> image.size, np.unique(mask.values).tolist()
    ((32, 32), [0, 1])
    """
    image, dem = read_input(sample, spec)
    mask = None
    if sample.mask is not None:
        mask = check_mask(read_file(sample, "mask", spec), sample.mask)
        check_fit(image, mask, sample.image, sample.mask)
    if not known_in_all(image, dem, mask).any():
        raise _nothing_known(sample)
    return image, dem, mask


def known_in_all(image: Raster, dem: Raster | None, mask: Raster | None) -> np.ndarray:
    """Which pixels of the image have data in all rasters of the tile: (H, W) bool."""
    rasters = [raster for raster in (image, dem, mask) if raster is not None]
    return np.logical_and.reduce([_at_size(raster.valid, image.size) for raster in rasters])


def _at_size(valid, size) -> np.ndarray:
    """`valid` (h, w) resized to `size` (H, W) by nearest neighbour."""
    rows, columns = (
        (np.arange(n) * own + own // 2) // n for n, own in zip(size, valid.shape, strict=True)
    )
    return valid if valid.shape == size else valid[np.ix_(rows, columns)]


def _nothing_known(sample: Sample) -> InputError:
    return InputError(
        f"{sample.image}: the tile is no data throughout; remove it or give --skip-bad"
    )


def place_of(image: Raster) -> tuple[float, float, float] | None:
    """x and y of the centre and the larger side, in units of the CRS; None without georeference."""
    if image.bounds is None:
        return None
    left, bottom, right, top = image.bounds
    return (left + right) / 2, (bottom + top) / 2, max(right - left, top - bottom)


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
        labels = resize_nearest(mask.values[None], size)[0, ..., 0]
        valid = valid & resize_nearest(mask.valid[None, ..., None], size)[0, ..., 0]
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
    """The model's input (B, H, W, C) of tiles: `Preprocessor.stack`."""
    from landslide_tf.inputs.preprocess import Sized
    from landslide_tf.inputs.traced import TracedPreprocessor

    def batch(name):
        arrays = [getattr(tile, name) for tile in tiles]
        if arrays[0] is None:
            return None
        stacked = np.stack(arrays)
        return stacked if stacked.ndim == 4 else stacked[..., None]

    sized = Sized(*(batch(field.name) for field in dataclasses.fields(Sized)))
    x, _ = TracedPreprocessor(spec).stack(sized)
    return np.asarray(x)


def size_rasters(pairs: list[tuple[Raster, Raster | None]], spec: InputSpec) -> Sized:
    """`Preprocessor.resize` of a batch of tiles as read from files: pairs of image, DEM or None.

    Raises:
        InputError: a float image beyond [0, 1] without `rgb_scale`, or terrain channels without
            the pixel's size.
    """
    import keras

    from landslide_tf.inputs.preprocess import Sized

    for image, _ in pairs:
        check_brightness(image, spec)
    metres = [_dem_resolution_m(image, dem, spec) for image, dem in pairs]
    alike = {
        (image.size, image.values.dtype, image.scale, None if dem is None else dem.size, pixel)
        for (image, dem), pixel in zip(pairs, metres, strict=True)
    }
    if len(alike) == 1:
        return _size_alike(pairs, spec, metres[0])
    each = [_size_alike([pair], spec, pixel) for pair, pixel in zip(pairs, metres, strict=True)]
    joined = [[getattr(sized, f.name) for sized in each] for f in dataclasses.fields(Sized)]
    return Sized(*(None if a[0] is None else keras.ops.concatenate(a) for a in joined))


def _size_alike(pairs, spec: InputSpec, resolution_m) -> Sized:
    """`size_rasters` of tiles of one size, type and resolution."""
    from landslide_tf.inputs.traced import TracedPreprocessor

    images, dems = zip(*pairs, strict=True)
    if spec.rgb_scale is None and images[0].scale is not None:
        spec = dataclasses.replace(spec, rgb_scale=images[0].scale)
    heights = {}
    if dems[0] is not None:
        heights["dem"] = np.stack([dem.values[..., :1] for dem in dems])
        heights["dem_valid"] = np.stack([dem.valid for dem in dems])
    return TracedPreprocessor(spec).resize(
        np.stack([image.values for image in images]),
        image_valid=np.stack([image.valid for image in images]),
        resolution_m=resolution_m,
        **heights,
    )


def _one(tensor) -> np.ndarray:
    """The only item of a batch, as NumPy."""
    return np.asarray(tensor)[0]


def _dem_resolution_m(
    image: Raster, dem: Raster | None, spec: InputSpec
) -> tuple[float, float] | None:
    """Size of a DEM pixel along y and x in metres, where terrain channels need it."""
    if dem is None or not spec.terrain:
        return None
    if spec.resolution_m is not None:
        pixel = (spec.resolution_m, spec.resolution_m)
    elif (own := dem.resolution_m()) is not None:
        return own
    elif (pixel := image.resolution_m()) is None:
        raise InputError("--terrain needs a georeferenced tile, or --resolution-m")
    # `pixel` is the image's; the DEM covers the same ground with its own number of pixels
    return tuple(p * i / d for p, i, d in zip(pixel, image.size, dem.size, strict=True))
