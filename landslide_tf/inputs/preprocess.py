"""`Preprocessor`: from raw rasters to a model's input, written in `keras.ops`.

The same code runs on NumPy arrays, in a tf.data pipeline, inside an exported graph, and on every
backend of Keras.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from landslide_tf.checks import InputError
from landslide_tf.inputs.resize import resize_bilinear, resize_nearest
from landslide_tf.inputs.spec import InputSpec, check_image_type
from landslide_tf.inputs.terrain import terrain_channels

LEVEL = 1e-6  # a relief below this share of the elevation is a rounding error: level ground


@dataclass(frozen=True)
class Sized:
    """Tiles at the model's size, not normalised yet. Valid masks are bool (B, H, W, 1)."""

    rgb: object  # (B, H, W, 3) float32, 0 to 1
    dem: object  # (B, H, W, 1) float32 metres, or None
    terrain: object  # (B, H, W, T) float32, or None
    image_valid: object  # the image has data
    input_valid: object  # all that the model reads has data


@dataclass(frozen=True)
class Preprocessor:
    """Carries out an `InputSpec`.

    A call with raw tiles returns the model's input x (B, H, W, C), float32, and its valid mask
    (B, H, W, 1), bool. All channels of x are 0 where the mask is False.

    Args of a call:
        image: (B, h, w, 3), unscaled as in the files: uint8, uint16, or float; NaN is no data.
        dem: (B, h', w') or (B, h', w', 1) in metres over the same ground; NaN is no data. None
            where the model does not read it.
        image_valid, dem_valid: (B, h, w) or (B, h, w, 1) bool: further no data.
        resolution_m: size of a DEM pixel along y and x in metres, for terrain channels.

    Raises:
        InputError: no batch of images with three bands, no DEM where the model reads one, integers
            of more than 16 bits without `rgb_scale`.

    >>> preprocess = Preprocessor(InputSpec(tile_px=16))
    >>> x, valid = preprocess(np.zeros((2, 40, 30, 3), "uint8"), np.zeros((2, 20, 15)))
    >>> tuple(x.shape), tuple(valid.shape)
    ((2, 16, 16, 4), (2, 16, 16, 1))
    """

    spec: InputSpec

    def __call__(self, image, dem=None, *, image_valid=None, dem_valid=None, resolution_m=None):
        """See the class."""
        return self.stack(
            self.resize(
                image, dem, image_valid=image_valid, dem_valid=dem_valid, resolution_m=resolution_m
            )
        )

    def resize(
        self, image, dem=None, *, image_valid=None, dem_valid=None, resolution_m=None
    ) -> Sized:
        """Raw tiles scaled and resized to `tile_px`; terrain is computed at the DEM's own size."""
        spec, size = self.spec, (self.spec.tile_px, self.spec.tile_px)
        if len(image.shape) != 4 or image.shape[-1] not in (3, None):
            raise InputError(f"`image` must be (B, h, w, 3). Received {tuple(image.shape)}")
        image_valid = _and_finite(_with_channel(image_valid), image)
        image = ops.where(image_valid, image, ops.zeros_like(image))
        rgb, image_valid = resize_bilinear(self.scale(image), size, image_valid)
        if dem is None:
            return Sized(rgb, None, None, image_valid, image_valid)
        dem = _with_channel(dem)
        dem_valid = _and_finite(_with_channel(dem_valid), dem)
        dem = ops.where(dem_valid, ops.cast(dem, "float32"), 0.0)
        height, height_valid = resize_bilinear(dem, size, dem_valid)
        terrain = None
        if spec.terrain:
            if resolution_m is None:
                raise InputError("--terrain needs a georeferenced tile, or --resolution-m")
            terrain = terrain_channels(dem, dem_valid, spec.terrain, resolution_m)
            terrain, _ = resize_bilinear(terrain, size, dem_valid)
        return Sized(rgb, height, terrain, image_valid, ops.logical_and(image_valid, height_valid))

    def scale(self, image):
        """The image as float32 in [0, 1]: divided by `brightest` and clipped."""
        return ops.clip(ops.cast(image, "float32") / brightest(self.spec, image.dtype), 0.0, 1.0)

    def stack(self, sized: Sized):
        """The early fusion: tiles at the model's size to its input x, and where x is valid."""
        if not self.spec.uses_dem:
            return ops.where(sized.image_valid, sized.rgb, 0.0), sized.image_valid
        if sized.dem is None:
            raise InputError(f"this model (fusion {self.spec.fusion!r}) needs `dem`")
        valid = sized.input_valid
        channels = [ops.cast(sized.rgb, "float32"), self.normalise_dem(sized.dem, valid)]
        if self.spec.terrain:
            channels.append(sized.terrain)
        return ops.where(valid, ops.concatenate(channels, axis=-1), 0.0), valid

    def normalise_dem(self, dem, valid):
        """Elevation (B, H, W, 1) in metres to a channel, 0 where not valid.

        'relief': (z - min) / (max - min) of the tile; 'zscore': (z - mean) / deviation of the
        tile; 'dataset': the same with the training part's statistics. Level ground (0/0) is 0.
        """
        spec, z = self.spec, ops.cast(dem, "float32")
        if spec.dem_normalisation == "dataset":
            if spec.dem_statistics is None:
                raise InputError(
                    "`dem_normalisation` 'dataset' needs the training part's statistics"
                )
            mean, deviation = spec.dem_statistics
            if deviation <= LEVEL * max(1.0, abs(mean)):
                return ops.zeros_like(z)
            return ops.where(valid, (z - mean) / deviation, 0.0)
        axes, far = (1, 2, 3), 1e30
        lowest = ops.min(ops.where(valid, z, far), axes, keepdims=True)
        # Heights above the lowest pixel: float32 holds them better than heights above the sea.
        above = ops.where(valid, z - lowest, 0.0)
        if spec.dem_normalisation == "relief":
            offset, scale = ops.zeros_like(lowest), ops.max(above, axes, keepdims=True)
        else:
            count = ops.maximum(ops.sum(ops.cast(valid, "float32"), axes, keepdims=True), 1.0)
            offset = ops.sum(above, axes, keepdims=True) / count
            squares = ops.where(valid, ops.square(above - offset), 0.0)
            scale = ops.sqrt(ops.sum(squares, axes, keepdims=True) / count)
        level = scale <= LEVEL * ops.maximum(1.0, ops.abs(lowest + offset))
        z = (above - offset) / ops.where(level, 1.0, scale)
        return ops.where(ops.logical_and(valid, ops.logical_not(level)), z, 0.0)

    def restore(self, probability, size, image_valid, dem_valid=None):
        """A model's probability (B, H, W, 1) at the image's size (h, w); NaN where no data is.

        `image_valid` (B, h, w, 1) and `dem_valid` (B, h', w', 1) are those of the raw tiles.
        """
        full, _ = resize_bilinear(probability, size)
        valid = image_valid
        if dem_valid is not None:
            valid = ops.logical_and(valid, resize_nearest(dem_valid, size))
        return ops.where(valid, full, float("nan"))


def brightest(spec: InputSpec, dtype) -> float:
    """The image value that becomes 1: `rgb_scale`, else the highest of an integer type, 1 of float.

    >>> brightest(InputSpec(), "uint16"), brightest(InputSpec(rgb_scale=3000.0), "uint16")
    (65535.0, 3000.0)
    """
    if spec.rgb_scale is not None:
        return float(spec.rgb_scale)
    dtype = keras.backend.standardize_dtype(dtype)
    check_image_type(dtype)
    return float(np.iinfo(dtype).max) if "int" in dtype else 1.0


def _with_channel(array):
    return array if array is None or len(array.shape) == 4 else array[..., None]


def _and_finite(valid, values):
    """Where all bands of `values` are finite, and `valid` if it is given: (B, h, w, 1) bool."""
    if "float" not in keras.backend.standardize_dtype(values.dtype):
        return ops.ones_like(values[..., :1], dtype="bool") if valid is None else valid
    finite = ops.all(ops.isfinite(values), axis=-1, keepdims=True)
    return finite if valid is None else ops.logical_and(valid, finite)
