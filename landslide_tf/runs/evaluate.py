"""A finished run scored again, on its own data or on other data (`evaluate`)."""

from __future__ import annotations

from landslide_tf.checks import InputError, check_choice
from landslide_tf.console import say, warn
from landslide_tf.data.arrays import Tiles, load_tiles
from landslide_tf.data.dataset import Part
from landslide_tf.data.demo import demo_folder
from landslide_tf.data.split import PARTS
from landslide_tf.files import reading
from landslide_tf.runs.run import Run, for_a_run, load_run
from landslide_tf.training import evaluation
from landslide_tf.training.run_folder import NEW_RUN


def evaluate_run(
    run_dir,
    *,
    data=None,
    part: str | None = None,
    recall: float | None = None,
    negatives: bool = False,
    dem: str = "own",
    skip_bad: bool = False,
) -> dict:
    """Score a complete run on a part of its own or on other data; print and return the scores.

    Args:
        run_dir: the run's folder.
        data: folder or pack of tiles; default the run's own.
        part: 'train', 'validation', 'test' (default for the run's own data) or 'all'
            (default, and the only choice, for other data).
        recall: also score at the highest threshold that reaches this recall on validation.
        negatives: add the tiles of non-landslide/, which the run may never have seen.
        dem: 'own', or, to see what the model makes of the DEM, 'zero' or that of 'others'.
        skip_bad: leave out tiles that cannot be used.

    Returns:
        'run', 'data', 'part' and 'dem' as they were used, and 'scores' as `evaluation.score` gives
        them, by threshold: 'default' (0.5), 'chosen' and, with `recall`, 'recall'.

    Raises:
        InputError: no such run, data that do not fit, a part that is empty.

    >>> result = evaluate_run("runs/first", data="tiles", part="test")
                                miou       iou precision    recall        f1  accuracy       auc
    test ...
    >>> sorted(result["scores"])
    ['chosen', 'default']
    """
    if part is not None:
        check_choice("part", part, (*PARTS, "all"))
    run = load_run(run_dir)
    tiles = _load(run, data, negatives or run.config.negatives, skip_bad)
    warn(map(for_a_run, tiles.warnings))
    own = _is_own(run, tiles)
    part = part or ("test" if own else "all")
    if part != "all" and not own:
        raise InputError(
            f"{data}: is not the data that {run_dir} was split on; give --part all to score "
            "every tile of it"
        )
    with reading(run.folder / "split.json", NEW_RUN):
        names = tiles.names if part == "all" else list(run.split[part])
        tiles.indices(names)
    if part != "all" and negatives and not run.config.negatives:
        names += [name for name, is_it in zip(tiles.names, tiles.negative, strict=True) if is_it]
    if not names:
        raise InputError(f"{run_dir}: its {part} part is empty; give --part validation")
    predictions = evaluation.predict_part(run.predictor, _part(run, tiles, names, dem))
    thresholds = {"default": 0.5, "chosen": run.threshold}
    if recall is not None:
        own_tiles = tiles if own else _load(run, None, run.config.negatives, skip_bad)
        if not _is_own(run, own_tiles):
            raise InputError(
                f"{run.config.data}: no longer holds the run's validation tiles, which --recall "
                "needs; give --data with the run's own data"
            )
        with reading(run.folder / "split.json", NEW_RUN):
            validation = _part(run, own_tiles, run.split["validation"])
        thresholds["recall"] = evaluation.threshold_for_recall(
            evaluation.predict_part(run.predictor, validation), recall
        )
    scores = {name: evaluation.score(predictions, value) for name, value in thresholds.items()}
    say(evaluation.format_scores({_label(part, n, v): scores[n] for n, v in thresholds.items()}))
    for name, row in scores.items():
        say(f"{_label(part, name, thresholds[name])}: {_in_words(row)}")
    return {"run": str(run_dir), "data": data, "part": part, "dem": dem, "scores": scores}


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
    skip_bad = skip_bad or run.config.skip_bad
    try:
        return load_tiles(data, run.spec, negatives=negatives, skip_bad=skip_bad)
    except InputError as error:
        raise InputError(for_a_run(str(error))) from None


def _is_own(run: Run, tiles: Tiles) -> bool:
    """Whether the tiles hold all files of the run's split, unchanged, wherever they lie now."""
    with reading(run.folder / "split.json", NEW_RUN):
        return all(tiles.files.get(name) == files for name, files in run.split["files"].items())


def _part(run: Run, tiles: Tiles, names, dem: str = "own") -> Part:
    return Part(tiles, tiles.indices(names), run.spec, dem)
