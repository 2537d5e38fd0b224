"""Blocks of a scene through the model: reading goes on in a thread while the model computes."""

from __future__ import annotations

import dataclasses
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from rasterio.transform import Affine

from landslide_tf.checks import JobError
from landslide_tf.data.raster import Raster
from landslide_tf.geo.reader import Reader, Scene
from landslide_tf.models.probability import PREDICT_BATCH, over_flips
from landslide_tf.runs.run import Run

AHEAD = 4  # batches read ahead of the model


@dataclass
class BlockResult:
    """What one block adds to the map."""

    block: tuple[int, int]
    total: np.ndarray  # (h, w) float32 within the scene: weighted probability, NaN is no data
    windows: int  # that the model computed
    bad: list[tuple]  # 'image' or 'dem', top, left, bottom, right of what is damaged


def scene_run(run: Run, scene: Scene) -> Run:
    """The run at the scene's window size; the georeference takes the place of `resolution_m`."""
    run = run.at_window(scene.window_px)
    return dataclasses.replace(run, spec=dataclasses.replace(run.spec, resolution_m=None))


def compute_blocks(
    scene: Scene, run: Run, blocks, *, tta: bool = False, batch: int = PREDICT_BATCH, between=None
):
    """Compute blocks of a scene with a model; yields the `BlockResult` of each, in order.

    The results depend on the arguments alone. `tta` averages over the eight flips and quarter
    turns. A window without data is not computed. `between(n)` is called after each batch, when n
    windows of the block are done; an exception that it raises ends the work.

    >>> from landslide_tf.runs.run import load_run
    >>> from landslide_tf.geo.source import open_scene
    >>> run = load_run("runs/first")
    >>> scene = open_scene("scene.tif", "dem.tif", run.spec)
    >>> for result in compute_blocks(scene, run, scene.layout.blocks):
    ...     result.block, result.total.shape, result.windows
    ((0, 0), (64, 96), 15)
    """
    # larger windows are fewer at once: memory stays about what it is
    batch = max(1, batch * run.spec.tile_px**2 // scene.window_px**2)
    run = scene_run(run, scene)
    predict = over_flips(run.predictor) if tta else run.predictor
    result = None
    for item in _ahead(_read_blocks(scene, run, blocks, batch), AHEAD):
        if isinstance(item, BlockResult):
            if result is not None:
                yield result
            result, done = item, 0
            continue
        places, rasters, x = item
        probability = predict(x)
        if not np.isfinite(probability).all():
            raise JobError("the model gives NaN; look at its loss curve and train it again")
        for (where, weight), (image, dem), p in zip(places, rasters, probability, strict=True):
            p = run.restore(p, image, dem)
            part = result.total[where]
            # windows reach beyond a scene that is smaller than one
            part += (weight * p)[: part.shape[0], : part.shape[1]]
        done += len(places)
        if between:
            between(done)
    if result is not None:
        yield result


def _read_blocks(scene: Scene, run: Run, blocks, batch):
    """For each block its `BlockResult` with zeros, then its batches of windows."""
    reader = Reader(scene)
    height, width = scene.size
    for block in blocks:
        top, left, bottom, right = box = scene.layout.box(block)
        reader.bad = []
        image = reader.image(box)
        dem = reader.dem(box) if scene.dem_in_model else None
        valid = image.valid if dem is None else image.valid & dem.valid
        windows = []
        for y, x, weight in scene.layout.windows(block):
            h, w = weight.shape
            where = np.s_[y - top : y - top + h, x - left : x - left + w]
            if valid[where].any():
                windows.append((where, weight.astype("float32")))
        inside = valid[: height - top, : width - left]
        empty = np.where(inside, np.float32(0), np.float32(np.nan))
        yield BlockResult(block, empty, len(windows), reader.bad)
        for first in range(0, len(windows), batch):
            places = windows[first : first + batch]
            rasters = [(part_of(image, where), part_of(dem, where)) for where, _ in places]
            yield places, rasters, run.inputs(rasters)


def part_of(raster: Raster | None, where) -> Raster | None:
    """The part of a raster at two slices of its rows and columns; None of None."""
    if raster is None:
        return None
    rows, columns = where
    corner = raster.transform @ Affine.translation(columns.start, rows.start)
    return Raster(raster.values[where], raster.valid[where], raster.crs, corner)


def _ahead(items, count: int):
    """The items of a generator, which runs in a thread up to `count` items ahead."""
    pool, end = ThreadPoolExecutor(1), object()
    try:
        waiting = deque(pool.submit(next, items, end) for _ in range(count))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, items, end))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
