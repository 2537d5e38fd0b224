"""Scores of a trained model on a part of a data set, thresholds, and the baselines to beat."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from landslide_tf.checks import InputError
from landslide_tf.data.dataset import Part
from landslide_tf.metrics import confusion_counts, exact_auc, landslides_found, scores_from_counts
from landslide_tf.models.probability import PREDICT_BATCH

THRESHOLDS = np.round(np.arange(0.01, 1.0, 0.01), 2)
BASELINE_CUTS = 256


@dataclass(frozen=True)
class Predictions:
    """Probabilities of N tiles beside the truth: arrays (N, H, W), and `negative` (N,)."""

    probability: np.ndarray  # float32
    mask: np.ndarray  # uint8
    valid: np.ndarray  # bool
    negative: np.ndarray  # (N,) bool
    seconds_per_image: float | None = None


def predict_part(predict: Callable, part: Part) -> Predictions:
    """Probabilities of all tiles of a part at the model's size, batch by batch.

    `predict` is a `Predictor`, or another function from x (B, H, W, C) to (B, H, W).
    """
    shape = (len(part), part.spec.tile_px, part.spec.tile_px)
    probability = np.zeros(shape, "float32")
    mask, valid = np.zeros(shape, "uint8"), np.zeros(shape, bool)
    spent, timed = 0.0, 0
    for where, x, y, w in _batches(part):
        begin = time.perf_counter()
        probability[where] = predict(x)
        if where[0] > 0:  # the first batch compiles
            spent, timed = spent + time.perf_counter() - begin, timed + len(where)
        mask[where], valid[where] = y[..., 0], w[..., 0] > 0
    negative = part.tiles.negative[part.indices]
    return Predictions(probability, mask, valid, negative, spent / timed if timed else None)


def _batches(part: Part):
    """Positions in a part, and the arrays x, y, w of the tiles there."""
    for start in range(0, len(part), PREDICT_BATCH):
        where = np.arange(start, min(start + PREDICT_BATCH, len(part)))
        yield where, *part.arrays(where)


def part_miou(predict: Callable, part: Part) -> float:
    """mIoU of a `Predictor` on a part at threshold 0.5, in memory that does not grow with the part.

    >>> from landslide_tf.data.arrays import load_tiles
    >>> from landslide_tf.runs.run import load_run
    >>> run = load_run("runs/first")
    >>> part = Part(load_tiles("tiles", run.spec), np.arange(3), run.spec)
    >>> part_miou(run.predictor, part) == score(predict_part(run.predictor, part), 0.5)["miou"]
    True
    """
    total = dict.fromkeys(("tp", "fp", "fn", "tn"), 0)
    for _, x, y, w in _batches(part):
        found = predict(x) >= 0.5
        for name, count in confusion_counts(y[..., 0], found, w[..., 0]).items():
            total[name] += count
    return float(scores_from_counts(**total)["miou"])


def score(predictions: Predictions, threshold: float) -> dict:
    """All scores at a threshold, over valid pixels; a score is NaN where its denominator is 0.

    `miou, iou, precision, recall, f1, accuracy`, the exact `auc`, the counts `tp, fp, fn, tn` of
    pixels, `iou_per_image` (see that function), the number of `landslides` (8-connected) and of
    `landslides_found` (at least half of the pixels are predicted), `threshold` and `tiles`. If
    there are tiles without landslide, also their number `negative_tiles`, the share of them with a
    predicted pixel, `false_alarm_tiles`, and the share of their area that is predicted,
    `false_alarm_area`.

    >>> p = np.array([[[0.9, 0.7, 0.2, 0.1]]])
    >>> mask = np.array([[[1, 0, 1, 0]]])
    >>> found = score(Predictions(p, mask, mask >= 0, np.array([False])), 0.5)
    >>> found["tp"], found["fp"], found["fn"], found["tn"], found["auc"]
    (1, 1, 1, 1, 0.75)
    """
    p = predictions
    predicted = (p.probability >= threshold) & p.valid
    counts = confusion_counts(p.mask, predicted, p.valid)
    found = [landslides_found(*arrays) for arrays in zip(p.mask, predicted, p.valid, strict=True)]
    result = {
        **{name: float(value) for name, value in scores_from_counts(**counts).items()},
        "auc": exact_auc(p.mask[p.valid], p.probability[p.valid]),
        **counts,
        "iou_per_image": iou_per_image(p.mask, predicted, p.valid),
        "landslides": sum(present for _, present in found),
        "landslides_found": sum(hit for hit, _ in found),
        "threshold": float(threshold),
        "tiles": len(p.mask),
    }
    if p.negative.any():
        alarm, ground = predicted[p.negative], p.valid[p.negative]
        result["negative_tiles"] = int(p.negative.sum())
        result["false_alarm_tiles"] = float(alarm.any(axis=(1, 2)).mean())
        result["false_alarm_area"] = float(alarm.sum() / max(1, ground.sum()))
    return result


def iou_per_image(mask, predicted, valid) -> float:
    """Mean landslide IoU over tiles (N, H, W), without tiles that have no label and no prediction.

    >>> mask = np.array([[[1, 0]], [[1, 1]], [[0, 0]]])
    >>> predicted = np.array([[[1, 1]], [[1, 1]], [[0, 0]]])
    >>> iou_per_image(mask, predicted, mask >= 0)
    0.75
    """
    mask, predicted = np.asarray(mask, bool) & valid, np.asarray(predicted, bool) & valid
    union = (mask | predicted).sum(axis=(1, 2))
    overlap = (mask & predicted).sum(axis=(1, 2))
    return float(np.mean(overlap[union > 0] / union[union > 0])) if union.any() else float("nan")


def choose_threshold(predictions: Predictions) -> float:
    """The threshold of 0.01, 0.02 … 0.99 with the highest mIoU; among equals the nearest to 0.5.

    >>> p, mask = np.array([[[0.8, 0.3]]]), np.array([[[1, 0]]])  # 0.31 to 0.8 are all right
    >>> choose_threshold(Predictions(p, mask, mask >= 0, np.array([False])))
    0.5
    """
    p = predictions
    probability, mask = p.probability[p.valid], p.mask[p.valid].astype(bool)
    # Pixels at or above each threshold, counted once from sorted probabilities.
    positive, negative = np.sort(probability[mask]), np.sort(probability[~mask])
    cuts = THRESHOLDS.astype("float32")
    tp = len(positive) - np.searchsorted(positive, cuts, side="left")
    fp = len(negative) - np.searchsorted(negative, cuts, side="left")
    return best_threshold(tp, fp, len(positive) - tp, len(negative) - fp)


def best_threshold(tp, fp, fn, tn) -> float:
    """The rule of `choose_threshold`, from pixel counts at each of `THRESHOLDS`."""
    miou = scores_from_counts(tp, fp, fn, tn)["miou"]
    if np.isnan(miou).all():
        return 0.5
    best = THRESHOLDS[miou >= np.nanmax(miou) - 1e-12]
    return float(best[np.argmin(np.abs(best - 0.5))])


def threshold_for_recall(predictions: Predictions, recall: float) -> float:
    """The highest threshold at which `recall` (0 to 1) of the landslide pixels are predicted.

    Raises:
        InputError: `recall` out of range, or no landslide pixel.

    >>> p, mask = np.array([[[0.9, 0.6, 0.3, 0.8]]]), np.array([[[1, 1, 1, 0]]])
    >>> predictions = Predictions(p, mask, mask >= 0, np.array([False]))
    >>> threshold_for_recall(predictions, 2 / 3), threshold_for_recall(predictions, 1.0)
    (0.6, 0.3)
    """
    if not 0 < recall <= 1:
        raise InputError(f"--recall must be above 0 and at most 1. Received: {recall}")
    p = predictions
    positive = np.sort(p.probability[p.valid & (p.mask > 0)])[::-1]
    if not len(positive):
        raise InputError("the validation part has no landslide pixel to choose a threshold on")
    return float(positive[int(np.ceil(recall * len(positive) - 1e-9)) - 1])


def background_baseline(predictions: Predictions) -> dict:
    """Scores of calling everything background, on the same pixels.

    >>> p, mask = np.array([[[0.9, 0.6, 0.3, 0.8]]]), np.array([[[1, 0, 0, 0]]])
    >>> found = background_baseline(Predictions(p, mask, mask >= 0, np.array([False])))
    >>> found["accuracy"], found["miou"]  # IoU 3/4 of background, 0 of landslide
    (0.75, 0.375)
    """
    nothing = np.zeros_like(predictions.probability)
    return score(dataclasses.replace(predictions, probability=nothing), 0.5)


def threshold_baseline(train: Part, part: Part) -> dict:
    """Scores on `part` of the best threshold on a single input channel, chosen on `train`.

    All channels, both directions and 256 thresholds between a channel's extremes in `train` are
    tried; the one with the highest mIoU on `train` is taken. The result shows how much of the task
    one threshold already solves.

    >>> from landslide_tf.data.dataset import Part
    >>> from landslide_tf.data.arrays import load_tiles
    >>> tiles = load_tiles("tiles", tile_px=32, fusion="rgb")
    >>> part = Part(tiles, np.arange(12), tiles.spec)
    >>> threshold_baseline(part, part)["rule"]  # landslides of these tiles are brighter than 0.349
    'red >= 0.350'
    """
    channels = train.spec.channels
    low, high = np.full(channels, np.inf), np.full(channels, -np.inf)
    for x, _ in _pixels(train):
        low = np.minimum(low, x.min(axis=0, initial=np.inf))
        high = np.maximum(high, x.max(axis=0, initial=-np.inf))
    span = np.where(high > low, high - low, 1)
    # histogram[label, channel, bin]; a cut between bins splits the pixels in two
    histogram = np.zeros((2, channels, BASELINE_CUTS))
    for x, y in _pixels(train):
        bins = ((x - low) / span * (BASELINE_CUTS - 1)).round().astype(int)
        for label in (0, 1):
            for channel in range(channels):
                histogram[label, channel] += np.bincount(
                    bins[y == label, channel], minlength=BASELINE_CUTS
                )
    at_or_above = histogram[..., ::-1].cumsum(axis=-1)[..., ::-1]
    below = at_or_above[..., :1] - at_or_above
    best = None
    for direction, (fp, tp) in ((1, at_or_above), (-1, below)):
        fn, tn = histogram[1].sum(-1, keepdims=True) - tp, histogram[0].sum(-1, keepdims=True) - fp
        miou = np.nan_to_num(scores_from_counts(tp, fp, fn, tn)["miou"])
        channel, cut = np.unravel_index(miou.argmax(), miou.shape)
        if best is None or miou[channel, cut] > best[0]:
            best = (miou[channel, cut], direction, int(channel), int(cut))
    _, direction, channel, cut = best
    value = low[channel] + (cut - 0.5) / (BASELINE_CUTS - 1) * span[channel]

    def rising(x):
        """As a score: 0.5 at the cut, rising with the distance to it in the chosen direction."""
        z = direction * (x[..., channel] - value)
        return 0.5 + z / (2 * (1 + np.abs(z)))

    predictions = predict_part(rising, part)
    sign = ">=" if direction > 0 else "<"
    return {
        **score(predictions, 0.5),
        "rule": f"{part.spec.channel_names[channel]} {sign} {value:.3f}",
    }


def _pixels(part: Part):
    """Input values (N, C) and labels (N,) of the valid pixels of a part, batch by batch."""
    for _, x, y, w in _batches(part):
        keep = w[..., 0] > 0
        yield x[keep], y[..., 0][keep]


def format_scores(rows: dict[str, dict]) -> str:
    """Scores as a table for the terminal; what is undefined is a dash.

    >>> print(format_scores({"test": {"miou": 0.7, "iou": 0.5}}))
                                miou       iou precision    recall        f1  accuracy       auc
    test                       0.700     0.500         -         -         -         -         -
    """
    columns = ("miou", "iou", "precision", "recall", "f1", "accuracy", "auc")
    lines = [" " * 22 + "".join(f"{name:>10}" for name in columns)]
    for label, scores in rows.items():
        cells = [scores.get(name) for name in columns]
        text = (f"{c:10.3f}" if c is not None and np.isfinite(c) else f"{'-':>10}" for c in cells)
        lines.append(f"{label:<22}" + "".join(text))
    return "\n".join(lines)
