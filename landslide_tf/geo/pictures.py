"""The map over its image, and its errors, as pictures."""

from __future__ import annotations

import numpy as np

from landslide_tf.data.ground import Ground
from landslide_tf.training.figures import OUTCOME_COLOURS, VERMILION, pyplot, save

NICE = (1, 2, 5)


def overview(path, image, valid, share, ground: Ground, step: int, title: str) -> None:
    """`overview.png`: the image with the map over it, a scale bar and a north arrow.

    Args:
        image: thinned-out image (h, w, 3), any scale; stretched here for the eye.
        valid: (h, w) bool.
        share: (h, w) share of landslide pixels in each pixel of the picture.
        step: scene pixels in one of the picture's.

    Example:
        >>> from pathlib import Path
        >>> from rasterio.crs import CRS
        >>> from rasterio.transform import from_origin
        >>> ground = Ground(CRS.from_epsg(32647), from_origin(470000, 3445000, 2, 2), (64, 96))
        >>> share = np.zeros((64, 96))
        >>> share[10:18, 10:18] = 1
        >>> overview("overview.png", np.ones((64, 96, 3)), share >= 0, share, ground, 1, "scene")
        >>> Path("overview.png").is_file()
        True
    """
    from matplotlib.colors import to_rgb

    picture = np.full(image.shape, 0.92)
    if valid.any():
        values = image.astype("float64")
        low, high = np.percentile(values[valid], (2, 98), axis=0)
        stretched = np.clip((values - low) / np.maximum(high - low, 1e-9), 0, 1)
        picture[valid] = stretched[valid]
    # a landslide smaller than a pixel of the picture stays visible
    tint = np.where(share > 0, 0.3 + 0.3 * share, 0)[..., None]
    picture = (1 - tint) * picture + tint * np.array(to_rgb(VERMILION))
    _draw(path, picture, ground, step, title, {"mapped as landslide": VERMILION})


def error_map(path, outcome, ground: Ground, step: int, title: str) -> None:
    """`errors.png`: found, false alarm and missed, without imagery.

    `outcome` (h, w) uint8: 0 background, 1 found, 2 false alarm, 3 missed, 255 not known.

    >>> from pathlib import Path
    >>> from rasterio.crs import CRS
    >>> from rasterio.transform import from_origin
    >>> ground = Ground(CRS.from_epsg(32647), from_origin(470000, 3445000, 2, 2), (64, 96))
    >>> error_map("errors.png", np.ones((64, 96), "uint8"), ground, 1, "all found")
    >>> Path("errors.png").is_file()
    True
    """
    from matplotlib.colors import to_rgb

    picture = np.full((*outcome.shape, 3), 0.82)
    picture[outcome == 0] = 0.97
    for value, colour in enumerate(OUTCOME_COLOURS.values(), 1):
        picture[outcome == value] = to_rgb(colour)
    legend = {**OUTCOME_COLOURS, "not known": "0.82"}
    _draw(path, picture, ground, step, title, legend)


def _draw(path, picture, ground, step, title, legend) -> None:
    height, width = picture.shape[:2]
    x, y = ground.centre
    # metres of a pixel of the picture; those of a geographic CRS are not square on the ground
    across = ground.distance_m((x - 0.5, y), (x + 0.5, y)) * step
    down = ground.distance_m((x, y - 0.5), (x, y + 0.5)) * step
    aspect = down / across
    long = 8.0
    size = (long, long * height * aspect / width)
    if size[1] > long:
        size = (long * size[0] / size[1], long)
    size = tuple(max(2.5, side) for side in size)
    figure, axes = pyplot().subplots(figsize=(size[0], size[1] + 0.9), layout="constrained")
    axes.imshow(picture, interpolation="nearest", aspect=aspect)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=10)
    _scale_bar(axes, width, height, across)
    _north_arrow(axes, ground.north(), aspect)
    handles = [pyplot().Rectangle((0, 0), 1, 1, color=colour) for colour in legend.values()]
    figure.legend(
        handles, legend, loc="outside lower center", ncols=len(legend), frameon=False, fontsize=9
    )
    save(figure, path)


def nice_length(metres: float) -> float:
    """The largest of 1, 2, 5, 10, 20, 50 … that is not above `metres`.

    >>> nice_length(740), nice_length(0.3)
    (500.0, 0.2)
    """
    power = 10.0 ** np.floor(np.log10(metres))
    return float(max(n * power for n in NICE if n * power <= metres * (1 + 1e-9)))


def _outlined():
    from matplotlib import patheffects

    return [patheffects.withStroke(linewidth=3, foreground="white")]


def _scale_bar(axes, width, height, metres_px) -> None:
    metres = nice_length(width * metres_px / 4)
    text = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
    x, y = 0.04 * width, 0.96 * height
    axes.plot(
        [x, x + metres / metres_px], [y, y], color="black", lw=3, path_effects=_outlined(),
        solid_capstyle="butt",
    )  # fmt: skip
    axes.annotate(
        text, (x, y), xytext=(0, 5), textcoords="offset points", fontsize=9,
        path_effects=_outlined(),
    )  # fmt: skip


def _north_arrow(axes, north, aspect) -> None:
    # y is downwards in `north`, upwards on the page
    direction = np.array([north[0], -north[1] * aspect])
    direction *= 26 / np.hypot(*direction)  # points
    axes.annotate(
        "N", (0.94, 0.88), xycoords="axes fraction", xytext=tuple(direction),
        textcoords="offset points", ha="center", va="center", fontsize=11, fontweight="bold",
        path_effects=_outlined(),
        arrowprops={"arrowstyle": "<|-", "lw": 2, "color": "black", "shrinkA": 4, "shrinkB": 0,
                    "path_effects": _outlined()},
    )  # fmt: skip
