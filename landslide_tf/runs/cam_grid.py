"""The picture of `explain`: tiles, what is predicted, and Grad-CAM maps beside it."""

from __future__ import annotations

import re

import numpy as np

from landslide_tf.training.figures import (
    GREY,
    VIRIDIS,
    colour_bar,
    heat_overlay,
    input_pictures,
    mark_zero,
    outline,
    picture_grid,
    save,
)

PLACE = re.compile(r"(?P<what>encoder|fusion|decoder|node)(?:_(?P<input>rgb|dem))?(?P<level>\d)_?")


def cam_grid(labels, tiles, probability, cams, *, threshold: float, path, truth=True) -> None:
    """Draw image, elevation, truth, probability and one Grad-CAM map per layer, a row per tile.

    A white line surrounds the pixels that are called landslide, in the probability and in the maps,
    so that each map can be compared with the prediction that it explains.

    Args:
        labels: a text for each of the N rows.
        tiles: N tiles with `rgb`, `dem` (None without DEM), `mask` and `input_valid`.
        probability: (N, H, W).
        cams: (N, H, W) in [0, 1] by the name of the layer.
        threshold: from which probability on a pixel is called landslide.
        path: the picture's file.
        truth: whether the masks are known.
    """
    rows = []
    for i, tile in enumerate(tiles):
        row = input_pictures(tile.rgb, tile.dem, tile.input_valid)
        if truth:
            row["truth"] = np.where(tile.valid, tile.mask, np.nan), GREY
        shown = np.where(tile.input_valid, probability[i], np.nan)
        row[f"probability,\noutline: from\n{threshold:.2f} on"] = shown, VIRIDIS
        for layer, cam in cams.items():
            row[f"Grad-CAM, {layer_in_words(layer)}"] = heat_overlay(row["image"][0], cam[i]), {}
        rows.append(row)
    figure, axes = picture_grid(rows, 0.7, 9)
    first = len(rows[0]) - len(cams)  # column of the first map
    for i, (line, label) in enumerate(zip(axes, labels, strict=True)):
        line[0].set_ylabel(label, fontsize=8)
        called = (probability[i] >= threshold) & tiles[i].input_valid
        for axis in line[first - 1 :]:
            outline(axis, called)
        for axis, cam in zip(line[first:], cams.values(), strict=True):
            mark_zero(axis, cam[i], bool(called.any()))
    colour_bar(figure, axes, "Grad-CAM, share of each map's highest value")
    save(figure, path)


def layer_in_words(name: str) -> str:
    """Where a layer of our models lies, and its name on a line of its own.

    >>> layer_in_words("encoder4_relu2").splitlines()
    ['encoder at', '1/16 of the size', 'encoder4_relu2']
    >>> layer_in_words("node0_4_relu2").splitlines()
    ['decoder at', 'full size', 'node0_4_relu2']
    >>> layer_in_words("mine")
    'mine'
    """
    place = PLACE.match(name)
    if not place:
        return name
    words = {"node": "decoder", "fusion": "both encoders"}.get(place["what"], place["what"])
    words += {"rgb": " of the image", "dem": " of the DEM", None: ""}[place["input"]]
    level = int(place["level"])
    size = f"1/{2**level} of the size" if level else "full size"
    return f"{words} at\n{size}\n{name}"
