"""A finished run's predictions for a folder of tiles, written to files (`predict`)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from landslide_tf.checks import InputError
from landslide_tf.console import progress_bar, say, warn, whole_streams
from landslide_tf.data.index import Sample, find_samples
from landslide_tf.data.plausible import group_warnings, tile_warnings
from landslide_tf.data.raster import Raster, write_geotiff
from landslide_tf.data.tile import known_in_all, read_input
from landslide_tf.data.tile_rules import check_has_dem
from landslide_tf.files import check_outputs
from landslide_tf.models.probability import PREDICT_BATCH
from landslide_tf.runs.run import Run, for_a_run, load_run
from landslide_tf.training.run_folder import run_files


@whole_streams()
def predict_folder(
    run_dir,
    data,
    out,
    *,
    threshold: float | None = None,
    negatives: bool = False,
    skip_bad: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Write `NAME_probability.tif` and `NAME_mask.tif` for each tile; returns the paths.

    Probabilities are float32 (no data: NaN), masks uint8 0 / 1 (no data: 255), of the image's
    size and with its georeference, if it has one. Tiles need no mask. All tiles are read and
    checked before the first file is written.

    Raises:
        InputError: no such run or folder, a bad tile (unless `skip_bad`), a file that exists
            (unless `overwrite`) or that is read, a threshold out of range.

    >>> [path.name for path in predict_folder("runs/first", "tiles", "predicted")[:2]]
    12 tiles predicted in predicted, threshold ...
    ['a000_probability.tif', 'a000_mask.tif']
    """
    run = load_run(run_dir)
    threshold = run.threshold if threshold is None else threshold
    if not 0 < threshold < 1:
        raise InputError(f"--threshold must lie between 0 and 1. Received: {threshold}")
    samples = find_samples(data, negatives=negatives, need_mask=False).samples
    out = Path(out)
    good, odd = [], {}
    for sample in samples:
        try:
            image, dem = _read(sample, run)
            odd[sample.name] = tile_warnings(image, dem, None)
            if not known_in_all(image, dem, None).any():
                odd[sample.name].append("image or DEM is no data everywhere: nothing is predicted")
        except InputError as error:
            line = for_a_run(str(error))
            if not skip_bad:
                raise InputError(f"{line} (or leave such tiles out with --skip-bad)") from None
            say(f"left out: {line}")
            continue
        name = sample.name.replace("/", "_")
        good.append((sample, out / f"{name}_probability.tif", out / f"{name}_mask.tif"))
    warn(map(for_a_run, group_warnings(odd)))
    targets = [path for _, *paths in good for path in paths]
    read = (path for sample in samples for path in sample.files.values())
    check_outputs(targets, [*read, *run_files(run_dir)])
    exists = [path for path in targets if path.exists()]
    if exists and not overwrite:
        raise InputError(f"{exists[0]}: exists; give --overwrite to replace it, or another --out")
    out.mkdir(parents=True, exist_ok=True)
    written = []
    bar = progress_bar(total=len(good), desc="predicting", unit="tile")
    for start in range(0, len(good), PREDICT_BATCH):
        batch = good[start : start + PREDICT_BATCH]
        rasters = [_read(sample, run) for sample, *_ in batch]
        for (image, _), (_, *paths), probability in zip(
            rasters, batch, run.predict_rasters(rasters), strict=True
        ):
            mask = np.where(np.isnan(probability), 255, probability >= threshold).astype("uint8")
            write_geotiff(paths[0], probability, image, nodata=float("nan"))
            write_geotiff(paths[1], mask, image, nodata=255)
            written += paths
            bar.update()
    bar.close()
    say(f"{len(good)} tiles predicted in {out}, threshold {threshold:.2f}")
    return written


def _read(sample: Sample, run: Run) -> tuple[Raster, Raster | None]:
    if run.spec.uses_dem:
        check_has_dem(sample, run.spec)
    else:
        sample = dataclasses.replace(sample, dem=None)
    return read_input(sample, run.spec)
