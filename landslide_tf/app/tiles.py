"""One tile tried out: probability, outline, what the model looked at, and what it needs."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from landslide_tf.checks import InputError
from landslide_tf.data.index import Sample
from landslide_tf.data.opening import open_raster
from landslide_tf.data.plausible import tile_warnings
from landslide_tf.data.tile import make_tile, read_input, stack_tiles
from landslide_tf.geo.pictures import colours
from landslide_tf.geo.reader import stretched
from landslide_tf.inputs.resize import resize_map
from landslide_tf.runs.gradcam import band_groups, default_layers, grad_cam, occlusion
from landslide_tf.runs.run import Run

LARGEST_PX = 2048  # of a side: what is larger is a scene
SHOWN_PX = 480  # of the longer side, at least
OUTLINE = (230, 0, 126)
TITLES = {"rgb": "colours (RGB)", "dem": "elevation (DEM)"}


@dataclass(frozen=True)
class Trial:
    """What a model makes of a tile."""

    picture: np.ndarray  # (h, w, 3) uint8, the tile as the eye sees it
    probability: np.ndarray  # (h, w) float32, NaN without data
    cam: np.ndarray | None  # (h, w) float32, 0 to 1; None for a model of foreign blocks
    hidden: dict  # by group of bands: mean change of probability, share of pixels that flip
    threshold: float  # the model's own
    warnings: list[str]


def try_tile(run: Run, image, dem=None) -> Trial:
    """Predict a picture of any size and format, and explain the prediction.

    Raises:
        InputError: a file that cannot be read or does not fit, or that is a whole scene.

    >>> from landslide_tf.runs.run import load_run
    >>> from pathlib import Path
    >>> folder = Path("tiles/landslide")
    >>> trial = try_tile(load_run("runs/first"), folder / "image/a000.png", folder / "dem/a000.png")
    >>> trial.probability.shape, list(trial.hidden)
    ((32, 32), ['rgb', 'dem'])
    """
    if run.spec.uses_dem and dem is None:
        raise InputError("this model reads elevation; give the DEM of the tile")
    dem = dem if run.spec.uses_dem else None
    for path in filter(None, (image, dem)):
        with open_raster(path) as file:
            if max(file.shape) > LARGEST_PX:
                raise InputError(
                    f"{path}: has {file.width} x {file.height} pixels; a picture of more than "
                    f"{LARGEST_PX} is a scene: use 'Map a scene'"
                )
    sample = Sample("tile", Path(image), None if dem is None else Path(dem), None)
    raster, height = read_input(sample, run.spec)
    tile = make_tile(raster, height, None, run.spec)
    if not tile.valid.any():
        raise InputError(f"{image}: the tile is no data throughout")
    (probability,) = run.predict_rasters([(raster, height)])
    x, valid = stack_tiles([tile], run.spec), tile.valid[None]
    cam = None
    with contextlib.suppress(InputError):
        layer = default_layers(run.model)[0]
        (cam,) = grad_cam(run.model, x, layer, threshold=run.threshold, valid=valid)
        cam = np.clip(resize_map(cam, raster.size), 0, 1)
    hidden = occlusion(run.model, x, band_groups(run.spec), valid, run.threshold)
    return Trial(
        _picture(raster),
        probability,
        cam,
        {name: {key: float(v[0]) for key, v in found.items()} for name, found in hidden.items()},
        run.threshold,
        tile_warnings(raster, height, None),
    )


def outlined(trial: Trial, threshold: float):
    """The tile with the outline of what lies above a threshold: uint8 (h, w, 3)."""
    mask = np.nan_to_num(trial.probability, nan=-1) >= np.float32(threshold)
    picture, mask = (_enlarge(a) for a in (trial.picture, mask.astype("uint8")))
    lines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(picture.copy(), lines, -1, OUTLINE, 2)


def over_grey(trial: Trial, share):
    """Shares (h, w) from 0 to 1, in the colours of probability, over the tile in grey.

    The picture is uint8 (h, w, 3), larger than the tile. None of None.
    """
    if share is None:
        return None
    rgba = colours(share)
    alpha = rgba[..., 3:] / 255
    grey = trial.picture.mean(axis=-1, keepdims=True) * 0.8 + 30
    return _enlarge(np.round((1 - alpha) * grey + alpha * rgba[..., :3]).astype("uint8"))


def share_above(trial: Trial, threshold: float) -> float:
    """The share of the tile's pixels with data that lie above a threshold."""
    known = trial.probability[np.isfinite(trial.probability)]
    return float((known >= np.float32(threshold)).mean()) if known.size else 0.0


def occlusion_rows(trial: Trial) -> list[list[str]]:
    """Rows of the occlusion table: bands, mean change of probability, share of changed pixels."""
    return [
        [TITLES[name], f"{found['change']:.3f}", f"{found['flipped']:.1%}"]
        for name, found in trial.hidden.items()
    ]


def _picture(raster):
    if raster.values.dtype == np.uint8:
        return np.where(raster.valid[..., None], raster.values, np.uint8(0))
    return stretched(raster.values, raster.valid)


def _enlarge(picture):
    """The picture with each pixel repeated until it is as large as the page needs."""
    times = max(1, -(-SHOWN_PX // max(picture.shape[:2])))
    return np.ascontiguousarray(picture.repeat(times, axis=0).repeat(times, axis=1))
