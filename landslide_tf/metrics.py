"""Scores of a binary segmentation, computed from pixel counts that are summed up first.

`iou` is the intersection over union of the landslide class, pooled over all pixels. `miou` is the
mean of the IoU of landslide and of background (the paper's mIoU). `iou_per_image` is the mean over
tiles. A score is NaN where its denominator is 0; `miou` is NaN where one of its two IoU is NaN.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from landslide_tf.checks import InputError

# Bins of the streaming ROC curve. z / (8 + |z|) maps a logit z to (-1, 1). The bin at z = 0 is
# 0.0002 logits wide. Saturated scores stay apart; bins of equal width in probability would merge
# them.
AUC_BINS = 65536
_SQUEEZE = 8.0
DEFAULT_NAME = "segmentation"


def scores_from_counts(tp, fp, fn, tn) -> dict[str, float]:
    """Scores of the landslide class and the two-class mean IoU from confusion counts (pixels).

    Works on numbers and arrays; 0/0 is NaN.

    >>> scores = scores_from_counts(tp=6, fp=2, fn=4, tn=88)
    >>> [round(float(scores[k]), 3) for k in ("iou", "miou", "f1", "accuracy")]
    [0.5, 0.718, 0.667, 0.94]
    """
    tp, fp, fn, tn = (np.asarray(count, "float64") for count in (tp, fp, fn, tn))
    with np.errstate(divide="ignore", invalid="ignore"):
        return _ratios(tp, fp, fn, tn)


def _ratios(tp, fp, fn, tn):
    iou = tp / (tp + fp + fn)
    return {
        "miou": (iou + tn / (tn + fp + fn)) / 2,
        "iou": iou,
        "precision": tp / (tp + fp),
        "recall": tp / (tp + fn),
        "f1": 2 * tp / (2 * tp + fp + fn),
        "accuracy": (tp + tn) / (tp + fp + fn + tn),
    }


@keras.saving.register_keras_serializable(package="landslide_tf")
class SegmentationMetrics(keras.metrics.Metric):
    """`miou, iou, precision, recall, f1, accuracy, auc` of logits: one metric, a dict as result.

    `iou`, `precision`, `recall` and `f1` are of the landslide class over all pixels since the last
    reset; `miou` is the mean of the IoU of landslide and background, `auc` the area under the ROC
    curve. A ratio of nothing (0/0) is NaN.

    Give it to `compile` among the `weighted_metrics`: under `metrics` Keras leaves the weights out,
    and pixels without data count too.

    The metric takes logits, as the models return them: a pixel is predicted landslide where
    `sigmoid(logit) >= threshold`. If it gets probabilities by mistake, their sigmoid is at least
    0.5: at threshold 0.5 every pixel is predicted landslide, `recall` is 1, and `precision` is the
    share of landslide pixels.

    Logits are (B, H, W, 1), masks (B, H, W, 1) or (B, H, W). A label above 0.5 is landslide, so
    masks of 0 and 255 will do. `sample_weight` is (B,), (B, H, W) or (B, H, W, 1); 0 leaves a pixel
    out (no data).

    Under another `name` than the default the keys begin with it, so two thresholds fit into one
    `compile`: `SegmentationMetrics(0.3, name="low")` gives `low_miou` and so on.

    Counters are float64, which holds whole numbers exactly up to 2^53 (float32: 2^24). JAX has no
    64-bit types by default: there the counters are int32, weights are rounded to whole numbers, and
    at most 2^31 pixels are counted. `auc` comes from a histogram of the logits with 65536 bins. Its
    error is about 1e-4, also for saturated scores, and a few 1e-3 where all logits lie within 0.01
    of each other. Reports use the exact AUC. The AUC takes far longer than the counts: `auc=False`
    leaves it out, and `AUCInValidation` leaves it out of the training steps only.

    Raises:
        InputError: `threshold` is not between 0 and 1, or shapes do not fit.

    >>> metric = SegmentationMetrics()
    >>> metric.update_state(np.array([[1.0, 1.0, 0.0, 0.0]]), np.array([[2.0, -1.0, -3.0, 1.0]]))
    >>> {k: round(float(v), 3) for k, v in metric.result().items() if k in ("iou", "auc")}
    {'iou': 0.333, 'auc': 0.75}
    """

    def __init__(
        self, threshold: float = 0.5, *, auc: bool = True, name: str = DEFAULT_NAME, dtype=None
    ):
        super().__init__(name=name, dtype=dtype)
        if not 0.0 < threshold < 1.0:
            raise InputError(f"`threshold` must lie between 0 and 1. Received: {threshold!r}")
        self.threshold, self.auc = threshold, bool(auc)
        self.auc_now = self.auc  # whether steps that are traced now compute it
        self._count_dtype = "int32" if keras.backend.backend() == "jax" else "float64"
        self.confusion = self._counter((2, 2), "confusion")  # rows: label, columns: prediction
        if self.auc:
            self.histogram = self._counter((2, AUC_BINS), "histogram")  # rows: label

    def _counter(self, shape, name):
        return self.add_variable(shape, initializer="zeros", dtype=self._count_dtype, name=name)

    def update_state(self, y_true, y_pred, sample_weight=None) -> None:
        """Count a batch: masks, logits and weights in the shapes that the class names."""
        logits = ops.cast(ops.convert_to_tensor(y_pred), "float32")
        label = ops.cast(ops.convert_to_tensor(y_true), "float32") > 0.5
        weight = _pixel_weights(sample_weight, logits)
        if len(label.shape) not in (len(logits.shape), len(logits.shape) - 1):
            raise InputError(
                "masks must have the shape of the logits, with or without the last axis. "
                f"Received {tuple(label.shape)} and {tuple(logits.shape)}"
            )
        if self._count_dtype == "int32":
            weight = ops.round(weight)
        weight = ops.reshape(ops.cast(weight, self._count_dtype), (-1,))
        label = ops.reshape(ops.cast(label, "int32"), (-1,))
        logits = ops.reshape(logits, (-1,))
        predicted = ops.cast(ops.sigmoid(logits) >= self.threshold, "int32")
        self.confusion.assign_add(_count(weight, 2 * label + predicted, (2, 2)))
        if self.auc_now:
            squeezed = logits / (_SQUEEZE + ops.abs(logits))
            bin_index = ops.cast(ops.floor((squeezed + 1.0) * (AUC_BINS / 2)), "int32")
            bin_index = ops.clip(bin_index, 0, AUC_BINS - 1)
            self.histogram.assign_add(_count(weight, label * AUC_BINS + bin_index, (2, AUC_BINS)))

    def result(self) -> dict:
        """The scores by name, from the counts so far."""
        dtype = "float32" if self._count_dtype == "int32" else self._count_dtype
        counts = ops.cast(self.confusion, dtype)
        tn, fp, fn, tp = counts[0, 0], counts[0, 1], counts[1, 0], counts[1, 1]
        scores = _ratios(tp, fp, fn, tn)
        if self.auc_now:
            # Trapezoids: a landslide pixel wins over the background pixels in lower bins and half
            # of those in its own.
            histogram = ops.cast(self.histogram, dtype)
            negative, positive = histogram[0], histogram[1]
            below = ops.cumsum(negative) - negative
            total_negative, total_positive = ops.sum(negative), ops.sum(positive)
            scores["auc"] = ops.sum(
                positive / total_positive * (below + negative / 2) / total_negative
            )
        prefix = "" if self.name == DEFAULT_NAME else f"{self.name}_"
        return {prefix + name: ops.cast(score, "float32") for name, score in scores.items()}

    def get_config(self) -> dict:
        """What `from_config` needs."""
        return {**super().get_config(), "threshold": self.threshold, "auc": self.auc}


class AUCInValidation(keras.callbacks.Callback):
    """Leaves the AUC of a `SegmentationMetrics` out of the training steps, for speed.

    The training logs then have the other scores, the validation logs `val_auc` too.

    >>> metric = SegmentationMetrics()
    >>> model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(1, 1)])
    >>> model.compile("sgd", loss="mse", weighted_metrics=[metric])
    >>> data = np.zeros((2, 4, 4, 1)), np.zeros((2, 4, 4, 1))
    >>> options = dict(validation_data=data, callbacks=[AUCInValidation(metric)], verbose=0)
    >>> sorted(name for name in model.fit(*data, **options).history if "auc" in name)
    ['val_auc']
    """

    def __init__(self, metric: SegmentationMetrics):
        super().__init__()
        self.metric = metric
        self._training = False

    # Keras compiles the training step and the validation step separately, each when it first runs.
    def on_train_begin(self, logs=None):
        """Keras calls it; the steps that follow leave the AUC out."""
        self._training, self.metric.auc_now = True, False

    def on_test_begin(self, logs=None):
        """Keras calls it; the steps that follow compute the AUC."""
        self.metric.auc_now = self.metric.auc

    def on_test_end(self, logs=None):
        """Keras calls it; training goes on without the AUC."""
        self.metric.auc_now = self.metric.auc and not self._training

    def on_train_end(self, logs=None):
        """Keras calls it; the metric is as it was."""
        self._training, self.metric.auc_now = False, self.metric.auc


def _pixel_weights(sample_weight, logits):
    """`sample_weight` (one number a tile or a pixel, or None) in the shape of the logits."""
    ones = ops.ones_like(logits)
    if sample_weight is None:
        return ones
    weight = ops.cast(ops.convert_to_tensor(sample_weight), "float32")
    if len(weight.shape) not in (1, len(logits.shape) - 1, len(logits.shape)):
        raise InputError(
            "`sample_weight` must be one number a tile, (B,), or a pixel, (B, H, W) or "
            f"(B, H, W, 1). Received {tuple(weight.shape)} for logits of {tuple(logits.shape)}"
        )
    while len(weight.shape) < len(logits.shape):
        weight = ops.expand_dims(weight, -1)
    return weight * ones


def _count(weight, index, shape):
    """The sum of the weights by index, in `shape`."""
    count = shape[0] * shape[1]
    return ops.reshape(ops.segment_sum(weight, index, num_segments=count), shape)


def confusion_counts(mask, predicted, valid=None) -> dict[str, int]:
    """Exact counts `tp, fp, fn, tn` of boolean-like arrays of one shape, over valid pixels.

    >>> confusion_counts(np.array([1, 1, 0, 0]), np.array([1, 0, 0, 1]))
    {'tp': 1, 'fp': 1, 'fn': 1, 'tn': 1}
    """
    mask, predicted = np.asarray(mask, bool), np.asarray(predicted, bool)
    valid = np.ones_like(mask) if valid is None else np.asarray(valid, bool)
    return {
        "tp": int(np.sum(mask & predicted & valid)),
        "fp": int(np.sum(~mask & predicted & valid)),
        "fn": int(np.sum(mask & ~predicted & valid)),
        "tn": int(np.sum(~mask & ~predicted & valid)),
    }


def exact_auc(labels, scores) -> float:
    """scikit-learn's area under the ROC curve of labels (0/1) and scores; NaN for one class.

    >>> exact_auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])  # 3 of 4 pairs are in order
    0.75
    """
    from sklearn.metrics import roc_auc_score  # takes a second to import

    labels = np.asarray(labels, bool).ravel()
    if labels.all() or not labels.any():
        return float("nan")
    return float(roc_auc_score(labels, np.asarray(scores).ravel()))


def histogram_auc(negative, positive):
    """Area under the ROC curve from counts (…, bins) of background and landslide by score.

    Trapezoids: within a bin a pair counts one half. NaN where a class is missing.

    >>> float(histogram_auc(np.array([2, 1, 0]), np.array([0, 1, 2])))  # (1 x 2.5 + 2 x 3) / 9
    0.9444444444444444
    """
    negative, positive = np.asarray(negative, "float64"), np.asarray(positive, "float64")
    below = np.cumsum(negative, axis=-1) - negative
    pairs = negative.sum(axis=-1) * positive.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sum(positive * (below + negative / 2), axis=-1) / pairs


def landslides_found(mask, predicted, valid=None, share: float = 0.5) -> tuple[int, int]:
    """Landslides found and landslides present in one tile.

    A landslide (see `landslide_pixels`) is found when at least `share` of its pixels are predicted.

    >>> landslides_found(np.array([[1, 0, 1], [1, 0, 0]]), np.array([[1, 0, 0], [0, 0, 0]]))
    (1, 2)
    """
    pixels, hit = landslide_pixels(mask, predicted, valid)
    return int(np.sum(hit >= share * pixels)), len(pixels)


def landslide_pixels(mask, predicted, valid=None) -> tuple[np.ndarray, np.ndarray]:
    """Pixels, and predicted pixels, of each landslide of one tile (H, W).

    A landslide is an 8-connected component of the mask on valid pixels.
    """
    import cv2

    mask, predicted = np.asarray(mask, bool), np.asarray(predicted, bool)
    if valid is not None:
        mask = mask & np.asarray(valid, bool)
    count, label = cv2.connectedComponents(mask.astype("uint8"), connectivity=8)
    pixels = np.bincount(label.ravel(), minlength=count)
    hit = np.bincount(label.ravel(), weights=predicted.ravel(), minlength=count)
    return pixels[1:], hit[1:]  # without the background
