"""Pictures of a run. Matplotlib is imported when the first one is drawn."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np

from landslide_tf.files import atomic_path

# Okabe and Ito's palette: told apart with any colour vision.
BLUE, ORANGE, GREEN, SKY, VERMILION = "#0072B2", "#E69F00", "#009E73", "#56B4E9", "#D55E00"
OUTCOME_COLOURS = {"found": GREEN, "false alarm": SKY, "missed": VERMILION}
RELIEF_SLOPE = 0.5  # rise over run; the root mean square slope of every picture is scaled to this
GREY = {"cmap": "gray", "vmin": 0, "vmax": 1}  # options of imshow for maps from 0 to 1
VIRIDIS = {"cmap": "viridis", "vmin": 0, "vmax": 1}
HEAT_MAP = "magma"  # even in lightness: read the same with any colour vision, and in grey


def drawing() -> SimpleNamespace:
    """What pyplot offers, as far as we use it, without touching the user's own plots.

    Figures made here belong to no window and no notebook; `save` writes them.

    >>> figure, axes = drawing().subplots(1, 2, figsize=(4, 2), sharey=True)
    >>> len(axes), figure.get_size_inches().tolist()
    (2, [4.0, 2.0])
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Rectangle

    def subplots(rows=1, columns=1, *, sharex=False, sharey=False, squeeze=True, **options):
        figure = Figure(**options)
        return figure, figure.subplots(rows, columns, sharex=sharex, sharey=sharey, squeeze=squeeze)

    return SimpleNamespace(subplots=subplots, figure=Figure, Line2D=Line2D, Rectangle=Rectangle)


def save(figure, path) -> None:
    """Write a figure to `path`, whole or not at all. Equal figures give equal files.

    >>> from pathlib import Path
    >>> figure, axes = drawing().subplots(figsize=(2, 1))
    >>> save(figure, "picture.png")
    >>> Path("picture.png").is_file()
    True
    """
    metadata = {"CreationDate": None} if str(path).endswith(".pdf") else None
    with atomic_path(path) as scratch:
        figure.savefig(scratch, dpi=150, bbox_inches="tight", metadata=metadata)


def loss_curve(rows: list[dict], best_epoch: int, path) -> None:
    """Training and validation loss, and validation mIoU, by epoch (as the paper's Figure 4).

    Rows are those of `history.csv`; `best_epoch` is marked.

    >>> from pathlib import Path
    >>> from landslide_tf.training.recorder import read_history
    >>> loss_curve(read_history("runs/first/history.csv"), best_epoch=2, path="loss.png")
    >>> Path("loss.png").is_file()
    True
    """
    figure, (left, right) = drawing().subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    epochs = [row["epoch"] for row in rows]
    style = {"marker": "o" if len(rows) < 20 else None, "ms": 3}
    for axes, name, title in ((left, "loss", "loss"), (right, "miou", "mIoU (threshold 0.5)")):
        axes.plot(epochs, [row[name] for row in rows], color=BLUE, **style)
        axes.plot(epochs, [row[f"val_{name}"] for row in rows], color=ORANGE, **style)
        axes.set(xlabel="epoch", ylabel=title)
        axes.axvline(best_epoch, color="0.6", lw=1, ls="--", zorder=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    best = left.plot([], [], color="0.6", lw=1, ls="--")
    labels = ("training", "validation", f"best epoch ({best_epoch})")
    figure.legend(
        [*left.lines[:2], *best], labels, loc="outside lower center", ncols=3, frameon=False
    )
    save(figure, path)


def prediction_figure(part, predictions, threshold: float):
    """Four tiles (`sample_rows`): image, elevation, truth, probability, and the prediction.

    The prediction is the image in grey, tinted where it is found, missed or a false alarm, with
    the outline of the truth in white. `part` (N tiles) and `predictions` are in the same order.
    """
    mask = (predictions.mask > 0) & predictions.valid
    predicted = (predictions.probability >= threshold) & predictions.valid
    union = (mask | predicted).sum(axis=(1, 2))
    iou = (mask & predicted).sum(axis=(1, 2)) / np.maximum(union, 1)
    chosen = sample_rows(iou, mask.sum(axis=(1, 2)))
    rows = []
    for position in chosen.values():
        i = part.indices[position]
        dem = part.tiles.dem[i] if part.spec.uses_dem else None
        row = input_pictures(part.tiles.rgb[i], dem, part.tiles.input_valid[i])
        row["truth"] = mask[position], GREY
        known = predictions.valid[position]
        row["probability"] = np.where(known, predictions.probability[position], np.nan), VIRIDIS
        outcome = outcome_overlay(row["image"][0], predictions, position, threshold)
        row[f"prediction (from {threshold:.2f}),\nwhite line: truth"] = outcome, {}
        rows.append(row)
    figure, axes = picture_grid(rows, 0.5, 10)
    for row, (label, position) in zip(axes, chosen.items(), strict=True):
        row[0].set_ylabel(f"{label.removesuffix(' IoU')}\nIoU {iou[position]:.2f}", fontsize=9)
        outline(row[-1], mask[position])
    outcome_legend(figure)
    return figure


def input_pictures(rgb, dem, valid) -> dict[str, tuple]:
    """Pictures of what a model is given, each with options of imshow, by their titles.

    `rgb` is (H, W, 3); `dem` (H, W) is None for a model without elevation; `valid` is its mask.
    """
    pictures = {"image": (np.clip(rgb, 0, 1), {})}
    if dem is not None:
        pictures["elevation,\nshaded relief"] = shaded_relief(dem, valid), GREY
    return pictures


def outline(axis, where) -> None:
    """Draw a white line around the pixels `where` (H, W), unless these are all pixels or none.

    >>> figure, axis = drawing().subplots()
    >>> outline(axis, np.eye(4, dtype=bool))
    >>> len(axis.collections)
    1
    """
    if where.any() and not where.all():
        axis.contour(where, levels=[0.5], colors="white", linewidths=0.8)


def shaded_relief(dem, valid):
    """Elevation (H, W) as light and shade in [0, 1], under a sun in the north-west.

    Heights are stretched until the root mean square slope is `RELIEF_SLOPE`, so that flat and steep
    tiles of any pixel size show their forms. NaN where not `valid`; level ground is 0.71.

    >>> y, x = np.mgrid[:8, :8]
    >>> west = shaded_relief(x * 30.0, np.ones((8, 8), bool))  # rises eastwards: faces the sun
    >>> bool((west > 0.71).all()), bool(np.allclose(west, shaded_relief(x * 0.1, x >= 0)))
    (True, True)
    """
    from landslide_tf.inputs import terrain

    z, known = (np.asarray(array)[None, ..., None] for array in (dem, valid))
    z = np.where(known, z, 0).astype("float32")
    slopes = [np.asarray(rise)[known] for rise in terrain.gradient(z, known, (1.0, 1.0))]
    steepness = float(np.sqrt(np.mean(slopes[0] ** 2 + slopes[1] ** 2))) if known.any() else 0.0
    step = steepness / RELIEF_SLOPE or 1.0
    light = np.asarray(terrain.hillshade(z, known, (step, step)))[0, ..., 0]
    return np.where(valid, light, np.nan)


def sample_rows(iou, pixels) -> dict[str, int]:
    """Positions of up to four tiles that represent the results of a model fairly, by their label.

    `iou` (N,) and landslide `pixels` (N,) are those of the tiles. Of the tiles with a landslide, it
    takes the tile with the median IoU of each of these groups: all of them, the quarter with the
    fewest landslide pixels, the quarter with the most, and the tenth with the lowest IoU (a
    failure). No tile is taken twice. If no tile has a landslide, all tiles count.

    >>> sample_rows(np.array([0.0, 0.2, 0.4, 0.6, 0.8]), np.array([9, 1, 8, 2, 9]))
    {'median IoU': 2, 'a small one': 1, 'a large one': 4, 'a failure': 0}
    """
    iou, pixels = np.asarray(iou, float), np.asarray(pixels)
    holding = np.flatnonzero(pixels > 0) if (pixels > 0).any() else np.arange(len(pixels))
    holding = holding[np.argsort(iou[holding], kind="stable")]
    small, large = np.quantile(pixels[holding], [0.25, 0.75])
    groups = {
        "a failure": holding[: max(1, len(holding) // 10)],
        "median IoU": holding,
        "a small one": holding[pixels[holding] <= small],
        "a large one": holding[pixels[holding] >= large],
    }
    taken = {}
    for label, group in groups.items():
        middle = (len(group) - 1) // 2
        nearest = sorted(range(len(group)), key=lambda rank, m=middle: abs(rank - m))
        free = [int(group[rank]) for rank in nearest if group[rank] not in taken.values()]
        taken |= {label: free[0]} if free else {}
    order = ("median IoU", "a small one", "a large one", "a failure")
    return {label: taken[label] for label in order if label in taken}


def outcome_legend(figure) -> None:
    """The colours of `outcome_overlay`, below the axes.

    >>> figure, _ = drawing().subplots(layout="constrained")
    >>> outcome_legend(figure)
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['found', 'false alarm', 'missed']
    """
    colours = OUTCOME_COLOURS.values()
    handles = [drawing().Rectangle((0, 0), 1, 1, color=colour) for colour in colours]
    figure.legend(
        handles, OUTCOME_COLOURS, loc="outside lower center", ncols=3, frameon=False, fontsize=9
    )


def picture_grid(rows: list[dict], room: float, fontsize: float, width: float = 2.1):
    """Figure and axes of pictures without ticks, titles above the first row.

    Each row holds (array, options of imshow) by title. In inches: `room` for what stands below, and
    the `width` of a picture.

    >>> _, axes = picture_grid([{"unit": (np.eye(2), {})}], room=0.5, fontsize=9)
    >>> axes[0, 0].get_title()
    'unit'
    """
    figure, axes = drawing().subplots(
        len(rows),
        len(rows[0]),
        figsize=(width * len(rows[0]), width * len(rows) + room),
        layout="constrained",
        squeeze=False,
    )
    pictures = itertools.chain.from_iterable(row.values() for row in rows)
    for axis, (picture, options) in zip(axes.flat, pictures, strict=True):
        axis.imshow(picture, interpolation="nearest", **options)
        axis.set(xticks=[], yticks=[])
    for axis, title in zip(axes[0], rows[0], strict=True):
        axis.set_title(title, fontsize=fontsize)
    return figure, axes


def outcome_overlay(rgb, predictions, position: int, threshold: float):
    """RGB (H, W, 3) with found, falsely called and missed pixels tinted.

    `rgb` is in [0, 1]; pixels without data and true negatives stay grey. `position` is that of the
    tile in `predictions`.

    >>> from landslide_tf.training.evaluation import Predictions
    >>> probability = np.array([[[0.9, 0.6, 0.2, 0.1]]])
    >>> mask = np.array([[[1, 0, 1, 0]]])  # found, false alarm, missed, background
    >>> p = Predictions(probability, mask, mask >= 0, np.array([False]))
    >>> outcome_overlay(np.zeros((1, 4, 3)), p, 0, 0.5).round(2)[0].tolist()
    [[0.0, 0.4, 0.29], [0.22, 0.46, 0.59], [0.54, 0.24, 0.0], [0.0, 0.0, 0.0]]
    """
    from matplotlib.colors import to_rgb

    mask = predictions.mask[position] > 0
    predicted = predictions.probability[position] >= threshold
    masks = {
        "found": mask & predicted,
        "false alarm": ~mask & predicted,
        "missed": mask & ~predicted,
    }
    # Grey below, so that the tints are the only colours.
    result = np.repeat(rgb.mean(axis=-1, keepdims=True), 3, axis=-1)
    for name, where in masks.items():
        where = where & predictions.valid[position]
        result[where] = 0.35 * result[where] + 0.65 * np.array(to_rgb(OUTCOME_COLOURS[name]))
    return result


def heat_overlay(rgb, cam):
    """RGB (H, W, 3) in grey under a heat map: `cam` (H, W) in [0, 1], stronger where higher.

    >>> rgb, cam = np.zeros((1, 2, 3)), np.array([[0.0, 1.0]])
    >>> heat_overlay(rgb, cam).round(2).tolist()  # magma: from black to a light yellow
    [[[0.0, 0.0, 0.01], [0.59, 0.59, 0.45]]]
    """
    import matplotlib

    grey = np.repeat(rgb.mean(axis=-1, keepdims=True), 3, axis=-1)
    heat = matplotlib.colormaps[HEAT_MAP](cam)[..., :3]
    return 0.4 * grey + 0.6 * heat


def mark_zero(axis, cam, called: bool) -> None:
    """If a Grad-CAM map (H, W) is 0 everywhere, write on it why; it would look like a fault.

    `called`: whether the model calls any pixel of the tile landslide.

    >>> figure, axis = drawing().subplots()
    >>> mark_zero(axis, np.zeros((8, 8)), called=False)
    >>> axis.texts[0].get_text().splitlines()
    ['0 everywhere:', 'no landslide called']
    """
    if cam.any():
        return
    reason = "landslide called, but\nno channel speaks for it" if called else "no landslide called"
    axis.text(
        0.5, 0.5, f"0 everywhere:\n{reason}", fontsize=7,
        color="white", ha="center", va="center", transform=axis.transAxes,
    )  # fmt: skip


def colour_bar(figure, axes, label: str) -> None:
    """The scale of heat maps from 0 to 1, below the axes.

    >>> figure, axes = drawing().subplots()
    >>> colour_bar(figure, axes, "share of the highest value")
    >>> figure.axes[-1].get_xlabel()
    'share of the highest value'
    """
    from matplotlib.cm import ScalarMappable

    bar = figure.colorbar(
        ScalarMappable(cmap=HEAT_MAP), ax=axes, orientation="horizontal", fraction=0.03, aspect=50
    )
    bar.set_label(label, fontsize=8)
