"""Whether larger windows give the same map of a scene: a sample of it, computed in both."""

from __future__ import annotations

import dataclasses

import numpy as np

from landslide_tf.geo.infer import part_of, scene_run
from landslide_tf.geo.reader import Reader, Scene
from landslide_tf.runs.run import Run

# Least share of equal pixels: about as many stay equal when windows of the training size are moved.
ALIKE = 0.99
SAMPLES = 4  # large windows that are computed
TRIED = 24  # large windows that are read, at most, to find `SAMPLES` of them with data


def window_agreement(run: Run, wide: Scene, narrow: Scene, threshold: float) -> float:
    """Share of pixels, 0 to 1, with the same class (landslide or not) in large and small windows.

    `wide` and `narrow` are the same scene in large and in small windows. Some of the large windows
    are computed as a whole and once more in small windows. Their rims, where a window has little
    weight, do not count. The share is 0 if no window has data.

    Even a model whose layers see only nearby pixels may know where in a tile a pixel lies, because
    it sees the zero padding beyond the border. If it was trained on tiles with a landslide in their
    middle, it finds more landslides in larger windows.
    """
    reader, (height, width) = Reader(wide), wide.layout.window
    runs = scene_run(run, wide), scene_run(run, narrow)
    (tops, _, _), (lefts, _, _) = wide.layout.axes
    places = np.array([(top, left) for top in tops for left in lefts])
    same = known = done = 0
    for top, left in np.random.default_rng(0).permutation(places)[:TRIED].tolist():
        box = (top, left, top + height, left + width)
        image, dem = reader.image(box), reader.dem(box) if wide.dem_in_model else None
        if image.valid.mean() < 0.5:
            continue
        (whole,) = runs[0].predict_rasters([(image, dem)])
        windows = list(dataclasses.replace(narrow.layout, size=(height, width)).all_windows())
        pairs = [(part_of(image, where), part_of(dem, where)) for where, _ in windows]
        blended = np.zeros(whole.shape, "float32")
        for (where, weight), p in zip(windows, runs[1].predict_rasters(pairs), strict=True):
            blended[where] += weight * p
        inner = tuple(slice(n // 2, -(n // 2) or None) for n in wide.layout.overlap)
        a, b = whole[inner], blended[inner]
        valid = np.isfinite(a) & np.isfinite(b)
        same += int(((a >= threshold) == (b >= threshold))[valid].sum())
        known += int(valid.sum())
        done += 1
        if done == SAMPLES:
            break
    return same / known if known else 0.0
