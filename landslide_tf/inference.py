"""A finished run applied to data: scored again (`evaluate`), or written to files (`predict`)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from landslide_tf import evaluation, runs
from landslide_tf.checks import InputError, check_choice
from landslide_tf.data.demo import demo_folder
from landslide_tf.data.index import Sample, find_samples
from landslide_tf.data.pipeline import Part
from landslide_tf.data.raster import Raster, write_geotiff
from landslide_tf.data.split import PARTS
from landslide_tf.data.tile import check_dem, check_fit, check_has_dem, check_image, read_file
from landslide_tf.data.tiles import Tiles, load_tiles
from landslide_tf.files import write_json
from landslide_tf.runs import Run, load_run


def evaluate_run(
    run_dir,
    *,
    data=None,
    part: str | None = None,
    recall: float | None = None,
    negatives: bool = False,
    dem: str = "own",
    skip_bad: bool = False,
    out=None,
    overwrite: bool = False,
) -> dict:
    """Score a complete run on a part of its own data, or on other data; prints and returns them.

    Args:
        run_dir: the run's folder.
        data: folder or pack of tiles; default the run's own.
        part: 'train', 'validation', 'test' (default for the run's own data) or 'all'
            (default, and the only choice, for other data).
        recall: also score at the highest threshold that reaches this recall on validation.
        negatives: add the tiles of non-landslide/, which the run may never have seen.
        dem: 'own', or, to see what the model makes of the DEM, 'zero' or that of 'others'.
        skip_bad: leave out tiles that cannot be used.
        out: JSON file to write the scores to; must not exist unless `overwrite`.

    Returns:
        Scores as `evaluation.score` gives them, by threshold: 'default' (0.5), 'chosen' and,
        with `recall`, 'recall'.

    Raises:
        InputError: no such run, data that do not fit, a part that is empty.

    >>> scores = evaluate_run("runs/first", data="tiles", part="test")
                                miou       iou precision    recall        f1  accuracy       auc
    test ...
    >>> sorted(scores)
    ['chosen', 'default']
    """
    if part is not None:
        check_choice("part", part, (*PARTS, "all"))
    if out is not None and Path(out).exists() and not overwrite:
        raise InputError(f"{out}: exists; give --overwrite to replace it, or another name")
    run = load_run(run_dir)
    tiles = _load(run, data, negatives or run.config.negatives, skip_bad)
    own = _is_own(run, tiles)
    part = part or ("test" if own else "all")
    if part != "all" and not own:
        raise InputError(
            f"{data}: is not the data that {run_dir} was split on; give --part all to score "
            "every tile of it"
        )
    names = tiles.names if part == "all" else list(run.split[part])
    if part != "all" and negatives and not run.config.negatives:
        names += [name for name, is_it in zip(tiles.names, tiles.negative, strict=True) if is_it]
    if not names:
        raise InputError(f"{run_dir}: its {part} part is empty; give --part validation")
    predictions = evaluation.predict_part(run.model, _part(run, tiles, names, dem))
    thresholds = {"default": 0.5, "chosen": run.threshold}
    if recall is not None:
        own_tiles = tiles if own else _load(run, None, run.config.negatives, skip_bad)
        if not _is_own(run, own_tiles):
            raise InputError(
                f"{run.config.data}: no longer holds the run's validation tiles, which --recall "
                "needs; give --data with the run's own data"
            )
        validation = _part(run, own_tiles, run.split["validation"])
        thresholds["recall"] = evaluation.threshold_for_recall(
            evaluation.predict_part(run.model, validation), recall
        )
    scores = {name: evaluation.score(predictions, value) for name, value in thresholds.items()}
    runs.say(
        evaluation.format_scores({_label(part, n, v): scores[n] for n, v in thresholds.items()})
    )
    for name, row in scores.items():
        runs.say(f"{_label(part, name, thresholds[name])}: {_in_words(row)}")
    if out is not None:
        write_json(
            out,
            {"run": str(run_dir), "data": data, "part": part, "dem": dem, "scores": scores},
        )
    return scores


def _label(part, name, value) -> str:
    return {"default": part, "chosen": f"{part}, chosen {value:.2f}"}.get(
        name, f"{part}, recall {value:.3f}"
    )


def _in_words(row: dict) -> str:
    text = (
        f"{row['tiles']} tiles, {row['landslides_found']} of {row['landslides']} landslides found"
    )
    if "negative_tiles" in row:
        text += (
            f"; of {row['negative_tiles']} tiles without landslide {row['false_alarm_tiles']:.1%} "
            f"raise a false alarm, over {row['false_alarm_area']:.2%} of their area"
        )
    return text


def _load(run: Run, data, negatives: bool, skip_bad: bool) -> Tiles:
    data = data or run.config.data or demo_folder()
    config = dataclasses.replace(
        run.config, negatives=negatives, skip_bad=skip_bad or run.config.skip_bad
    )
    return load_tiles(data, config)


def _is_own(run: Run, tiles: Tiles) -> bool:
    """Whether the tiles hold all files of the run's split, unchanged, wherever they lie now."""
    return all(tiles.files.get(name) == files for name, files in run.split["files"].items())


def _part(run: Run, tiles: Tiles, names, dem: str = "own") -> Part:
    return Part(tiles, tiles.indices(names), run.config, run.dem_statistics, dem)


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
            (unless `overwrite`), a threshold out of range.

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
    good = []
    for sample in samples:
        try:
            _read(sample, run)
        except InputError as error:
            if not skip_bad:
                raise InputError(f"{error} (or leave such tiles out with --skip-bad)") from None
            runs.say(f"left out: {error}")
            continue
        good.append((sample, *_outputs(out, sample)))
    exists = [path for _, *paths in good for path in paths if path.exists()]
    if exists and not overwrite:
        raise InputError(f"{exists[0]}: exists; give --overwrite to replace it, or another --out")
    out.mkdir(parents=True, exist_ok=True)
    from tqdm import tqdm

    written = []
    progress = tqdm(total=len(good), desc="predicting", unit="tile", disable=None)
    for start in range(0, len(good), runs.PREDICT_BATCH):
        batch = good[start : start + runs.PREDICT_BATCH]
        rasters = [_read(sample, run) for sample, *_ in batch]
        for (image, _), (_, *paths), probability in zip(
            rasters, batch, run.predict_rasters(rasters), strict=True
        ):
            mask = np.where(np.isnan(probability), 255, probability >= threshold).astype("uint8")
            write_geotiff(paths[0], probability, image, nodata=float("nan"))
            write_geotiff(paths[1], mask, image, nodata=255)
            written += paths
            progress.update()
    progress.close()
    runs.say(f"{len(good)} tiles predicted in {out}, threshold {threshold:.2f}")
    return written


def _outputs(out: Path, sample: Sample) -> tuple[Path, Path]:
    name = sample.name.replace("/", "_")
    return out / f"{name}_probability.tif", out / f"{name}_mask.tif"


def _read(sample: Sample, run: Run) -> tuple[Raster, Raster | None]:
    image = read_file(sample, "image", run.config)
    check_image(image, sample.image)
    if run.config.fusion == "rgb":
        return image, None
    check_has_dem(sample, run.config)
    dem = read_file(sample, "dem", run.config)
    check_dem(dem, sample.dem)
    check_fit(image, dem, sample.image, sample.dem)
    return image, dem
