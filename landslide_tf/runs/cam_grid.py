"""The picture of `explain`: tiles, what is predicted, and Grad-CAM maps beside it."""

from __future__ import annotations

import re

import numpy as np

from landslide_tf.training.figures import (
    GREY,
    VIRIDIS,
    colour_bar,
    heat_overlay,
    mark_zero,
    outline,
    picture_grid,
    save,
    shaded_relief,
)

PLACE = re.compile(r"(?P<what>encoder|fusion|decoder|node)(?:_(?P<input>rgb|dem))?(?P<level>\d)_?")


def cam_grid(labels, tiles, probability, cams, *, threshold: float, path, truth=True) -> None:
    """Image, elevation, truth, probability and one Grad-CAM map a layer, a row for each tile.

    A white line surrounds what is called landslide, in all columns beside the probability, so that
    a map can be held against the prediction that it explains.

    Args:
        labels: a text for each of the N rows.
        tiles: N tiles with `rgb`, `dem` (None without DEM), `mask` and `input_valid`.
        probability: (N, H, W).
        cams: (N, H, W) in [0, 1] by the name of the layer.
        threshold: from which probability on a pixel is called landslide.
        path: the picture's file.
        truth: whether the masks are known.

    >>> from pathlib import Path
    >>> from landslide_tf.inputs import InputSpec
    >>> from landslide_tf.data.index import find_samples
    >>> from landslide_tf.data.tile import read_tile
    >>> tile, _ = read_tile(find_samples("tiles").samples[0], InputSpec(tile_px=32))
    >>> cams = {"encoder4_relu2": np.ones((1, 32, 32))}
    >>> cam_grid(["a000"], [tile], np.zeros((1, 32, 32)), cams, threshold=0.5, path="gradcam.png")
    >>> Path("gradcam.png").is_file()
    True
    """
    with_dem = tiles[0].dem is not None
    titles = ["image", *(["elevation,\nshaded relief"] if with_dem else [])]
    titles += ["truth"] * truth + [f"probability,\noutline: from\n{threshold:.2f} on"]
    titles += [f"Grad-CAM, {layer_in_words(layer)}" for layer in cams]
    rows = []
    for i, tile in enumerate(tiles):
        rgb = np.clip(tile.rgb, 0, 1)
        pictures = [(rgb, {})]
        if with_dem:
            relief = shaded_relief(tile.dem, tile.input_valid)
            pictures.append((relief, GREY))
        if truth:
            known = np.where(tile.valid, tile.mask, np.nan)
            pictures.append((known, GREY))
        shown = np.where(tile.input_valid, probability[i], np.nan)
        pictures.append((shown, VIRIDIS))
        pictures += [(heat_overlay(rgb, cam[i]), {}) for cam in cams.values()]
        rows.append(pictures)
    figure, axes = picture_grid(rows, titles, 0.7, 9)
    for i, (row, label) in enumerate(zip(axes, labels, strict=True)):
        row[0].set_ylabel(label, fontsize=8)
        called = (probability[i] >= threshold) & tiles[i].input_valid
        for axis in row[len(titles) - len(cams) - 1 :]:
            outline(axis, called)
        for axis, cam in zip(row[len(titles) - len(cams) :], cams.values(), strict=True):
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
