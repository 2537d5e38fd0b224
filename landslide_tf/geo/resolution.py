"""The ground resolution at which a model runs on a scene."""

from __future__ import annotations

import math
from pathlib import Path

from landslide_tf.checks import naming
from landslide_tf.data.ground import Ground
from landslide_tf.data.raster import open_raster
from landslide_tf.geo.overlay import Grid
from landslide_tf.geo.source import MAX_WINDOW_PX, SMALLEST_WINDOW_PX

SAME = 1.05  # ratio of resolutions, within which the image is taken as it is
FACTOR = 2.0  # between the resolutions of scene and training, beyond which we warn


def model_resolution(run, image) -> float | None:
    """The resolution (metres per pixel) to run a model at, or None for the image's own.

    It is the one the run was trained at. None if the run does not know it, if the image's is within
    5 % of it, if the image is more than twice as coarse (smaller pixels would cost time and show
    nothing more), or if no window fits.

    >>> from types import SimpleNamespace
    >>> from landslide_tf.inputs import InputSpec
    >>> run = SimpleNamespace(spec=InputSpec(tile_px=32), metrics={"resolution_m": 4.0})
    >>> model_resolution(run, "scene.tif")  # pixels of 2 m
    4.0
    """
    trained = run.metrics.get("resolution_m")
    if not trained or not Path(image).is_file():
        return None
    with open_raster(image) as file:
        grid = Grid(file)
        with naming(image):
            pixel = Ground(grid.crs, grid.transform, file.shape).pixel_size_m()
    ratio = trained / math.sqrt(math.prod(pixel))
    windows = [round(run.spec.tile_px * trained / side) for side in pixel]
    if 1 / SAME <= ratio <= SAME or ratio < 1 / FACTOR:
        return None
    if min(windows) < SMALLEST_WINDOW_PX or max(windows) > MAX_WINDOW_PX:
        return None
    return float(trained)


def resolution_notes(asked: float | None, used: float | None, trained, own: float) -> list[str]:
    """What the user should know of the resolution that the model runs at, as warnings.

    Args:
        asked: by the user.
        used: that the model runs at; None for the image's own.
        trained: that the model was trained at, where it is known.
        own: of the image.

    >>> resolution_notes(None, 15.0, 15.0, own=10.0)
    []
    >>> resolution_notes(None, None, 0.5, own=10.0)
    ['the model was trained at 0.5 m a pixel and is run at 10 m; take an image of that kind']
    >>> resolution_notes(0.5, 0.5, 0.5, own=10.0)
    ['the model was trained at 0.5 m a pixel, the image has 10 m: ...']
    """
    if not trained:
        return []
    here = used or own
    if not 1 / FACTOR <= here / trained <= FACTOR:
        repair = f"give --resolution-m {trained:.3g}" if asked else "take an image of that kind"
        return [f"the model was trained at {trained:.3g} m a pixel and is run at {here:.3g} m; "
                f"{repair}"]  # fmt: skip
    if own > FACTOR * trained:
        return [f"the model was trained at {trained:.3g} m a pixel, the image has {own:.3g} m: "
                "what it knows cannot be seen in it"]  # fmt: skip
    return []
