"""The scores that `metrics.json` holds."""

from __future__ import annotations

import keras

from landslide_tf.checks import InputError
from landslide_tf.console import say
from landslide_tf.data.dataset import calibration_batches
from landslide_tf.data.split import PARTS
from landslide_tf.models.probability import Predictor, over_flips
from landslide_tf.training import evaluation
from landslide_tf.training.batch_norm import reestimate_batch_norm
from landslide_tf.training.tile_scores import tile_scores

GAP_LIMIT = 0.02  # mIoU; an inference gap beyond it, up or down, is worth a line


def say_gap(train_miou, inference_gap, **_) -> None:
    """Print a line with the repair if the inference gap is large, in either direction."""
    if abs(inference_gap) <= GAP_LIMIT:
        return
    if inference_gap > 0:
        change, repair = "more", "give --reestimate-batch-norm, or fewer --dropout-levels"
    else:
        change = "less"
        repair = "the last batches happened to suit it: give --reestimate-batch-norm"
    say(
        f"inference gap {inference_gap:+.3f}: the model scores mIoU {train_miou:.3f} on its "
        f"training tiles, and {abs(inference_gap):.3f} {change} with batch-normalisation "
        f"statistics estimated anew; {repair}"
    )


def score_model(model, parts, config) -> tuple[dict, dict]:
    """The scores of a float32 model for `metrics.json`, and its predictions by part.

    Validation and test part are scored with the model as it is, with re-estimated statistics of
    batch normalisation and, if the model was trained with flips, with test-time augmentation: the
    mean over the eight flips and quarter turns of a tile.
    """
    predict = Predictor(model)
    predictions = _predictions(predict, parts)
    metrics = report(predictions)
    metrics["baseline"] = _baselines(parts, predictions) if len(parts["test"]) else None
    metrics["batch_norm"] = batch_norm_report(model, predict, parts, config.seed)
    if "flips" in config.augment:
        metrics["flips"] = report(_predictions(over_flips(predict), parts))
    return metrics, predictions


def _predictions(predict, parts) -> dict:
    return {name: evaluation.predict_part(predict, parts[name]) for name in PARTS[1:]}


def _baselines(parts, predictions) -> dict:
    return {
        "background": evaluation.background_baseline(predictions["test"]),
        "threshold": evaluation.threshold_baseline(parts["train"], parts["test"]),
    }


def save_counts(folder, parts, predictions) -> str:
    """Write the pixel counts of the tiles of a run; returns the part that is shown.

    That is the test part, or validation where there is no test part.
    """
    shown = "test" if len(parts["test"]) else "validation"
    for part, file in ((shown, "tile_scores.npz"), ("validation", "validation_scores.npz")):
        p = predictions[part]
        tile_scores(parts[part].names, p.probability, p.mask, p.valid).save(folder / file)
    return shown


def batch_norm_report(model, predict, parts, seed: int) -> dict | None:
    """How much mIoU the moving statistics of batch normalisation cost.

    The model, whose predictor is `predict`, is scored as it is, and with statistics estimated anew
    (`reestimate_batch_norm`); then it gets its own statistics back.

    `inference_gap` is the difference of the mIoU on the training part, re-estimated minus as it is.
    `reestimated` holds the scores of validation and test part as `report` gives them. None for a
    model of your own whose statistics cannot be estimated: a finished training is scored anyway.
    """
    before = [keras.ops.convert_to_numpy(v) for v in model.non_trainable_variables]
    as_it_is = evaluation.part_miou(predict, parts["train"])
    try:
        reestimate_batch_norm(model, calibration_batches(parts["train"], seed))
        reestimated = evaluation.part_miou(predict, parts["train"])
        scores = report(_predictions(predict, parts))
    except InputError as error:
        say(f"the inference gap is not known: {error}")
        return None
    finally:
        for variable, value in zip(model.non_trainable_variables, before, strict=True):
            variable.assign(value)
    return {
        "train_miou": as_it_is,
        "train_miou_reestimated": reestimated,
        "inference_gap": reestimated - as_it_is,
        "reestimated": scores,
    }


def report(predictions) -> dict:
    """Scores and thresholds for `metrics.json`, from predictions of validation and test part.

    A part without tiles is None.
    """
    validation, test = predictions["validation"], predictions["test"]
    chosen = evaluation.choose_threshold(validation)
    has_test = len(test.mask) > 0
    return {
        "validation": evaluation.score(validation, 0.5),
        "test": evaluation.score(test, 0.5) if has_test else None,
        "test_chosen": evaluation.score(test, chosen) if has_test else None,
        "thresholds": {"default": 0.5, "chosen": chosen},
    }


def table_rows(metrics: dict) -> dict[str, dict]:
    """Rows for `evaluation.format_scores` from the content of `metrics.json`."""
    chosen = metrics["thresholds"]["chosen"]
    rows = {
        "validation": metrics["validation"],
        "test": metrics["test"],
        f"test, threshold {chosen:.2f}": metrics["test_chosen"],
    }
    if "flips" in metrics:
        rows["test, mean of flips"] = metrics["flips"]["test"]
    for name, scores in (metrics["baseline"] or {}).items():
        rows[f"baseline {name}"] = scores
    return {label: scores for label, scores in rows.items() if scores}
