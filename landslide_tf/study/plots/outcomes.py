"""Figures 1 (samples), 5 (predictions) and 6 (Grad-CAM): pictures of test tiles.

Figures 5 and 6 need the weights of the runs.
"""

from __future__ import annotations

import numpy as np

from landslide_tf.data.arrays import Tiles
from landslide_tf.data.dataset import Part
from landslide_tf.runs.gradcam import default_layers, grad_cam
from landslide_tf.runs.run import load_run
from landslide_tf.study.plots.common import save
from landslide_tf.study.records import Record, Result
from landslide_tf.training import evaluation
from landslide_tf.training.figures import (
    GREY,
    colour_bar,
    heat_overlay,
    input_pictures,
    mark_zero,
    outcome_legend,
    outcome_overlay,
    outline,
    picture_grid,
    sample_rows,
)

WIDTH = 1.5  # of a tile in inches


def shown_tiles(records: list[Record]) -> dict[str, str]:
    """Names of the test tiles of Figures 1, 5 and 6, by what they show (`figures.sample_rows`).

    IoU is the mean over the records that have the test tiles of the first one, so that no model's
    best tiles are picked. Where no run kept the counts of its tiles: four tiles evenly spaced by
    name.
    """
    tiles = [record.tiles for record in records if record.tiles is not None]
    tiles = [one for one in tiles if np.array_equal(one.names, tiles[0].names)]
    if not tiles:
        names = records[0].split["test"] or records[0].split["validation"]
        spaced = np.unique(np.linspace(0, len(names) - 1, 4).astype(int))
        return {f"tile {n}": names[i] for n, i in enumerate(spaced, 1)}
    tp, fp, fn, _ = np.array([one.counts(0.5).T for one in tiles]).transpose(1, 0, 2)
    iou = (tp / np.maximum(tp + fp + fn, 1)).mean(axis=0)
    chosen = sample_rows(iou, (tp + fn)[0])
    return {label: str(tiles[0].names[i]) for label, i in chosen.items()}


def samples(tiles: Tiles, shown: dict[str, str], folder):
    """Figure 1: image, elevation and truth of the tiles that are `shown` (names by what they show).

    Raises:
        KeyError: a name is none of the tiles'.
    """
    figure, _ = _grid(_inputs(tiles, tiles.indices(list(shown.values()))), shown, room=0.4)
    return save(figure, folder, "figure1-samples", pdf=False)


def outcomes_and_cams(tiles: Tiles, results: list[Result], shown: dict[str, str], folder) -> list:
    """Figure 5 and one Figure 6 for the last encoder level and one for the last decoder block.

    `results` have weights, `shown` are names of tiles by what they show. Each model's first seed is
    shown at its own threshold, chosen on validation, in both figures.

    >>> from landslide_tf.data.arrays import load_tiles
    >>> from landslide_tf.study.matrices import SIX
    >>> from landslide_tf.study.records import read_record
    >>> record = read_record("runs/first")
    >>> tiles, shown = load_tiles("tiles", record.config.input), {"one": record.split["test"][0]}
    >>> paths = outcomes_and_cams(tiles, [Result(SIX[0], (record,))], shown, "figures")
    >>> [path.name for path in paths]
    ['figure5-predictions.png', 'figure6-gradcam-encoder.png', 'figure6-gradcam-decoder.png']
    """
    indices = tiles.indices(list(shown.values()))
    inputs, valid = _inputs(tiles, indices), tiles.input_valid[indices]
    images = [picture for picture, _ in inputs["image"]]
    columns, called = {"5": {}, "encoder": {}, "decoder": {}}, {}
    for result in results:
        run = load_run(result.records[0].folder)
        part = Part(tiles, indices, run.spec)
        predictions = evaluation.predict_part(run.predictor, part)
        title = result.experiment.title.replace(" (", "\n(").replace("U-Net++ ", "U-Net++\n")
        title += f"\nthreshold {run.threshold:.2f}"
        called[title] = (predictions.probability >= run.threshold) & predictions.valid
        columns["5"][title] = [
            (outcome_overlay(image, predictions, position, run.threshold), {})
            for position, image in enumerate(images)
        ]
        x, _, _ = part.arrays(range(len(part)))
        for kind, layer in zip(("encoder", "decoder"), default_layers(run.model), strict=True):
            cams = grad_cam(run.model, x, layer=layer, threshold=run.threshold, valid=valid)
            columns[kind][title] = list(cams)
    figure, _ = _grid(inputs | columns.pop("5"), shown)
    outcome_legend(figure)
    paths = [save(figure, folder, "figure5-predictions", pdf=False)]
    for kind, cams in columns.items():
        overlays = {
            title: [(heat_overlay(i, cam), {}) for i, cam in zip(images, maps, strict=True)]
            for title, maps in cams.items()
        }
        figure, axes = _grid(inputs | overlays, shown)
        for column, (title, maps) in zip(axes.T[len(inputs) :], cams.items(), strict=True):
            for axis, cam, where in zip(column, maps, called[title], strict=True):
                outline(axis, where)
                mark_zero(axis, cam, bool(where.any()))
        place = "level" if kind == "encoder" else "block"
        label = (
            f"Grad-CAM at the last {kind} {place}, share of each map's highest value; "
            "white line: called landslide"
        )
        colour_bar(figure, axes, label)
        paths.append(save(figure, folder, f"figure6-gradcam-{kind}", pdf=False))
    return paths


def _inputs(tiles: Tiles, indices) -> dict[str, list]:
    """Columns of pictures with their options of imshow, by title: what a model is given."""
    rows = []
    for i in indices:
        dem = tiles.dem[i] if tiles.spec.uses_dem else None
        row = input_pictures(tiles.rgb[i], dem, tiles.input_valid[i])
        rows.append(row | {"truth": ((tiles.mask[i] > 0) & tiles.valid[i], GREY)})
    return {title: [row[title] for row in rows] for title in rows[0]}


def _grid(columns: dict[str, list], shown: dict[str, str], room: float = 0.9):
    """A row each tile, with what it shows and its name; returns the figure and its axes."""
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    figure, axes = picture_grid(rows, room, fontsize=7.5, width=WIDTH)
    for axis, (label, name) in zip(axes[:, 0], shown.items(), strict=True):
        axis.set_ylabel(f"{label}\n{name}", fontsize=7)
    return figure, axes
