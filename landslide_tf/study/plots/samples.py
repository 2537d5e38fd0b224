"""Figure 1 (samples) and Figure 3 (workflow)."""

from __future__ import annotations

import numpy as np

from landslide_tf.data.arrays import Tiles
from landslide_tf.study.experiments import Study
from landslide_tf.study.plots.common import save
from landslide_tf.study.records import Record
from landslide_tf.training.figures import BLUE, GREEN, ORANGE, VERMILION, drawing


def samples(tiles: Tiles, record: Record, shown: dict[str, str], folder):
    """Figure 1: image, DEM and mask of the tiles that are `shown` (names by what they show).

    Raises:
        KeyError: a name is none of the tiles'.

    >>> from landslide_tf.data.arrays import load_tiles
    >>> from landslide_tf.study.records import read_record
    >>> record = read_record("runs/first")
    >>> tiles = load_tiles("tiles", record.config.input)
    >>> samples(tiles, record, {"one": record.split["test"][0]}, "figures").name
    'figure1-samples.png'
    """
    chosen = tiles.indices(list(shown.values()))
    with_dem = record.config.input.uses_dem
    titles = ["image", *(["DEM (dark: low)"] if with_dem else []), "truth"]
    figure, axes = drawing().subplots(
        len(titles),
        len(chosen),
        figsize=(1.9 * len(chosen), 1.95 * len(titles)),
        layout="constrained",
        squeeze=False,
    )
    for column, i, label in zip(axes.T, chosen, shown, strict=True):
        pictures = [(np.clip(tiles.rgb[i], 0, 1), {})]
        if with_dem:
            dem = np.where(tiles.input_valid[i], tiles.dem[i], np.nan)
            pictures.append((dem, {"cmap": "gray"}))
        pictures.append((tiles.mask[i] > 0, {"cmap": "gray", "vmin": 0, "vmax": 1}))
        for axis, (picture, options) in zip(column, pictures, strict=True):
            axis.imshow(picture, interpolation="nearest", **options)
            axis.set(xticks=[], yticks=[])
        column[0].set_title(f"{label}\n{tiles.names[i]}", fontsize=8)
    for axis, title in zip(axes[:, 0], titles, strict=True):
        axis.set_ylabel(title)
    return save(figure, folder, "figure1-samples", pdf=False)


def workflow(study: Study, record: Record, folder):
    """Figure 3: what the study does, with this study's numbers in it.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_record
    >>> workflow(read_study("study"), read_record("study/unet-none-bce-seed0"), "figures").name
    'figure3-workflow.png'
    """
    config, count = study.base, record.metrics["tiles"]
    spec = config.input
    dem = "RGB only" if spec.fusion == "rgb" else f"RGB + DEM ({spec.fusion} fusion)"
    steps = [
        (
            "tiles",
            f"image{', DEM' if spec.uses_dem else ''}, mask\npaired by name, checked",
            BLUE,
        ),
        (
            "input",
            f"{spec.tile_px} x {spec.tile_px} pixels\n{dem}\nnormalised and stacked",
            BLUE,
        ),
        (
            "split",
            f"{count['train']} training\n{count['validation']} validation\n{count['test']} test",
            ORANGE,
        ),
        (
            "training",
            f"3 models x 4 losses,\n3 attentions in U-Net++\nAdam {config.learning_rate:g}, "
            f"batch {config.batch_size}, {config.epochs} epochs",
            GREEN,
        ),
        ("choice", "epoch, loss and threshold\non validation mIoU", ORANGE),
        ("report", "test tiles: tables, intervals,\nfigures, Grad-CAM", VERMILION),
    ]
    from matplotlib.patches import FancyBboxPatch

    figure, axis = drawing().subplots(figsize=(9, 3.6), layout="constrained")
    axis.set(xlim=(0, 3), ylim=(0, 2))
    axis.axis("off")
    for number, (title, text, colour) in enumerate(steps):
        row, column = divmod(number, 3)
        left, bottom = column + 0.1, 1.15 - row
        axis.add_patch(
            FancyBboxPatch(
                (left, bottom), 0.8, 0.7, boxstyle="round,pad=0,rounding_size=0.05",
                fc="white", ec=colour, lw=1.8, mutation_aspect=1.5,
            )
        )  # fmt: skip
        middle = {"ha": "center", "va": "center"}
        axis.text(left + 0.4, bottom + 0.58, title, fontsize=12, weight="bold", **middle)
        axis.text(left + 0.4, bottom + 0.29, text, fontsize=9, linespacing=1.4, **middle)
    arrow = {"arrowstyle": "-|>", "color": "0.35", "lw": 1.4, "shrinkA": 0, "shrinkB": 0}
    for y in (1.5, 0.5):
        for x in (0.92, 1.92):
            axis.annotate("", (x + 0.16, y), (x, y), arrowprops=arrow)
    axis.plot([2.5, 2.5, 0.5], [1.12, 1.0, 1.0], color="0.35", lw=1.4)
    axis.annotate("", (0.5, 0.88), (0.5, 1.0), arrowprops=arrow)
    return save(figure, folder, "figure3-workflow")
