"""Figures 5 (predictions) and 6 (Grad-CAM): test tiles x models. They need the runs' weights."""

from __future__ import annotations

import numpy as np

from landslide_tf.data.arrays import Tiles
from landslide_tf.data.dataset import Part
from landslide_tf.runs.gradcam import default_layers, grad_cam
from landslide_tf.runs.run import load_run
from landslide_tf.study.matrices import SIX
from landslide_tf.study.plots.common import save
from landslide_tf.study.records import Record
from landslide_tf.study.tables import Results
from landslide_tf.training import evaluation
from landslide_tf.training.figures import (
    colour_bar,
    drawing,
    heat_overlay,
    mark_zero,
    outcome_legend,
    outcome_overlay,
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


def outcomes_and_cams(tiles: Tiles, results: Results, shown: dict[str, str], folder) -> list:
    """Figure 5 and one Figure 6 for the last encoder level and one for the last decoder block.

    `shown` are names of tiles by what they show. Each model is shown at its own threshold, chosen
    on validation, in both figures.

    >>> from landslide_tf.data.arrays import load_tiles
    >>> from landslide_tf.study.records import Result, read_record
    >>> record = read_record("runs/first")
    >>> results = {e.name: Result(e, ()) for e in SIX[1:]}  # not run
    >>> results["unet-none-bce"] = Result(SIX[0], (record,))
    >>> tiles, shown = load_tiles("tiles", record.config.input), {"one": record.split["test"][0]}
    >>> [path.name for path in outcomes_and_cams(tiles, results, shown, "figures")]
    ['figure5-predictions.png', 'figure6-gradcam-encoder.png', 'figure6-gradcam-decoder.png']
    """
    records, indices = shown_records(results), tiles.indices(list(shown.values()))
    columns, cams = [], {"encoder": [], "decoder": []}
    for record in records:
        run = load_run(record.folder)
        part = Part(tiles, indices, run.spec)
        predictions = evaluation.predict_part(run.predictor, part)
        x, _, _ = part.arrays(range(len(part)))
        valid = tiles.input_valid[indices]
        for kind, layer in zip(cams, default_layers(run.model), strict=True):
            options = {"threshold": run.threshold, "valid": valid}
            cams[kind].append(grad_cam(run.model, x, layer=layer, **options))
        title = f"{_title(record, results)}\nthreshold {run.threshold:.2f}"
        columns.append((title, predictions, run.threshold))
    inputs = [("image", [np.clip(tiles.rgb[i], 0, 1) for i in indices], {})]
    if records[0].config.input.uses_dem:
        dems = [np.where(tiles.input_valid[i], tiles.dem[i], np.nan) for i in indices]
        inputs.append(("DEM (dark: low)", dems, {"cmap": "gray"}))
    masks = [(tiles.mask[i] > 0) & tiles.valid[i] for i in indices]
    inputs.append(("truth", masks, {"cmap": "gray", "vmin": 0, "vmax": 1}))
    rows = [f"{label}\n{name}" for label, name in shown.items()]
    paths = [_figure5(inputs, rows, columns, folder)]
    paths += [_figure6(kind, inputs, rows, columns, cams[kind], folder) for kind in cams]
    return paths


def _title(record: Record, results: Results) -> str:
    experiment = next(r.experiment for r in results.values() if record in r.records)
    return experiment.title.replace(" (", "\n(").replace("U-Net++ ", "U-Net++\n")


def _grid(rows: int, columns: int, bottom: float = 0.5):
    return drawing().subplots(
        rows,
        columns,
        figsize=(1.45 * columns, 1.45 * rows + bottom + 0.5),
        layout="constrained",
        squeeze=False,
    )


def _show(axis, picture, **options):
    axis.imshow(picture, interpolation="nearest", **options)
    axis.set(xticks=[], yticks=[])


def _with_inputs(inputs, rows, titles):
    """A grid whose first columns are drawn; returns the figure, its axes and those of the rest."""
    figure, axes = _grid(len(rows), len(inputs) + len(titles))
    for column, (_, pictures, options) in zip(axes.T, inputs, strict=False):
        for axis, picture in zip(column, pictures, strict=True):
            _show(axis, picture, **options)
    for axis, label in zip(axes[:, 0], rows, strict=True):
        axis.set_ylabel(label, fontsize=7)
    for axis, title in zip(axes[0], [title for title, *_ in inputs] + titles, strict=True):
        axis.set_title(title, fontsize=7.5)
    return figure, axes, axes[:, len(inputs) :]


def _figure5(inputs, rows, columns, folder):
    figure, _, rest = _with_inputs(inputs, rows, [title for title, *_ in columns])
    for axes, (_, predictions, threshold) in zip(rest.T, columns, strict=True):
        for position, axis in enumerate(axes):
            rgb = inputs[0][1][position]
            _show(axis, outcome_overlay(rgb, predictions, position, threshold))
    outcome_legend(figure)
    return save(figure, folder, "figure5-predictions", pdf=False)


def _figure6(kind, inputs, rows, columns, cams, folder):
    figure, all_axes, rest = _with_inputs(inputs, rows, [title for title, *_ in columns])
    for axes, (_, p, threshold), cam in zip(rest.T, columns, cams, strict=True):
        for position, axis in enumerate(axes):
            _show(axis, heat_overlay(inputs[0][1][position], cam[position]))
            called = (p.probability[position] >= threshold) & p.valid[position]
            if called.any() and not called.all():
                axis.contour(called, levels=[0.5], colors="white", linewidths=0.6)
            mark_zero(axis, cam[position], bool(called.any()))
    place = "level" if kind == "encoder" else "block"
    label = (
        f"Grad-CAM at the last {kind} {place}, share of each map's highest value; "
        "white line: called landslide"
    )
    colour_bar(figure, all_axes, label)
    return save(figure, folder, f"figure6-gradcam-{kind}", pdf=False)
