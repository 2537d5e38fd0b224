"""Figures 5 (predictions) and 6 (Grad-CAM): test tiles x models. They need the runs' weights."""

from __future__ import annotations

import numpy as np

from landslide_tf.data.arrays import Tiles
from landslide_tf.data.dataset import Part
from landslide_tf.runs.gradcam import default_layers, grad_cam
from landslide_tf.runs.run import load_run
from landslide_tf.study.experiments import SIX
from landslide_tf.study.plots.common import save
from landslide_tf.study.records import Record
from landslide_tf.study.tables import Results
from landslide_tf.training import evaluation
from landslide_tf.training.figures import (
    OUTCOME_COLOURS,
    colour_bar,
    heat_overlay,
    mark_zero,
    outcome_overlay,
    pyplot,
)


def shown_records(results: Results) -> list[Record]:
    """The first seeds of the six models whose weights are there.

    >>> from landslide_tf.study.records import Result, read_record
    >>> results = {e.name: Result(e, ()) for e in SIX}  # nothing was run ...
    >>> results["unet-none-bce"] = Result(SIX[0], (read_record("runs/first"),))  # ... but this
    >>> [record.folder.name for record in shown_records(results)]
    ['first']
    """
    made = [results[e.name].records[0] for e in SIX if results[e.name]]
    return [record for record in made if record.has_weights]


def outcomes_and_cams(tiles: Tiles, results: Results, names: list[str], folder) -> list:
    """Figure 5 and one Figure 6 for the last encoder level and one for the last decoder block.

    >>> from landslide_tf.data.arrays import load_tiles
    >>> from landslide_tf.study.records import Result, read_record
    >>> record = read_record("runs/first")
    >>> results = {e.name: Result(e, ()) for e in SIX[1:]}  # not run
    >>> results["unet-none-bce"] = Result(SIX[0], (record,))
    >>> tiles, names = load_tiles("tiles", record.config.input), record.split["test"][:1]
    >>> [path.name for path in outcomes_and_cams(tiles, results, names, "figures")]
    ['figure5-predictions.png', 'figure6-gradcam-encoder.png', 'figure6-gradcam-decoder.png']
    """
    records = shown_records(results)
    outcomes, cams, titles = [], {"encoder": [], "decoder": []}, []
    for record in records:
        run = load_run(record.folder)
        part = Part(tiles, tiles.indices(names), run.spec)
        predictions = evaluation.predict_part(run.predictor, part)
        x, _, _ = part.arrays(range(len(part)))
        outcomes.append(predictions)
        for kind, layer in zip(cams, default_layers(run.model), strict=True):
            cams[kind].append(grad_cam(run.model, x, layer=layer))
        titles.append(_title(record, results))
    rgb = [np.clip(tiles.rgb[i], 0, 1) for i in tiles.indices(names)]
    dems = None
    if records[0].config.input.uses_dem:
        dems = [np.where(tiles.input_valid[i], tiles.dem[i], np.nan) for i in tiles.indices(names)]
    paths = [_figure5(rgb, dems, names, outcomes, titles, folder)]
    paths += [_figure6(kind, rgb, names, cams[kind], titles, folder) for kind in cams]
    return paths


def _title(record: Record, results: Results) -> str:
    experiment = next(r.experiment for r in results.values() if record in r.records)
    return experiment.title.replace(" (", "\n(").replace("U-Net++ ", "U-Net++\n")


def _grid(rows: int, columns: int, bottom: float = 0.5):
    return pyplot().subplots(
        rows,
        columns,
        figsize=(1.45 * columns, 1.45 * rows + bottom + 0.5),
        layout="constrained",
        squeeze=False,
    )


def _show(axis, picture, **options):
    axis.imshow(picture, interpolation="nearest", **options)
    axis.set(xticks=[], yticks=[])


def _figure5(rgb, dems, names, outcomes, titles, folder):
    inputs = 1 if dems is None else 2
    figure, axes = _grid(len(names), inputs + len(outcomes))
    for position, row in enumerate(axes):
        _show(row[0], rgb[position])
        if dems is not None:
            _show(row[1], dems[position], cmap="gray")
        for axis, predictions in zip(row[inputs:], outcomes, strict=True):
            _show(axis, outcome_overlay(rgb[position], predictions, position, 0.5))
        row[0].set_ylabel(names[position], fontsize=7)
    _titles(axes, ["image", "DEM"][:inputs] + titles)
    handles = [pyplot().Rectangle((0, 0), 1, 1, color=c) for c in OUTCOME_COLOURS.values()]
    figure.legend(
        handles, OUTCOME_COLOURS, loc="outside lower center", ncols=3, frameon=False, fontsize=8
    )
    return save(figure, folder, "figure5-predictions")


def _figure6(kind, rgb, names, cams, titles, folder):
    figure, axes = _grid(len(names), 1 + len(cams))
    for position, row in enumerate(axes):
        _show(row[0], rgb[position])
        for axis, cam in zip(row[1:], cams, strict=True):
            _show(axis, heat_overlay(rgb[position], cam[position]))
            mark_zero(axis, cam[position])
        row[0].set_ylabel(names[position], fontsize=7)
    _titles(axes, ["image", *titles])
    place = "level" if kind == "encoder" else "block"
    label = f"Grad-CAM at the last {kind} {place}, share of each map's highest value"
    colour_bar(figure, axes, label)
    return save(figure, folder, f"figure6-gradcam-{kind}")


def _titles(axes, titles):
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=7.5)
