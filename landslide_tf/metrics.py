"""Scores of a binary segmentation: counted first, divided once.

Names say what is averaged: `iou` is the landslide's intersection over union pooled over all
pixels, `miou` the mean of landslide and background IoU (the paper's mIoU), `iou_per_image` the
mean over tiles. A ratio of nothing (0/0) is NaN; so is `miou` when one of its two IoU is.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from landslide_tf.checks import InputError

# Bins of the streaming ROC curve. Logits are squeezed by z / (8 + |z|) to (-1, 1): a bin is
# 0.0002 wide at 0 and saturated scores stay apart, where equal steps of probability merge both.
AUC_BINS = 65536
_SQUEEZE = 8.0


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

    A pixel is predicted landslide where `sigmoid(logit) >= threshold`. Labels are 0 or 1;
    `sample_weight` weights pixels (0: no data) and broadcasts to the labels' shape. Counters are
    float64 (whole numbers stay exact to 2^53; float32 stops at 2^24), on JAX, which has no
    64-bit types by default, int32 (whole weights only, up to 2^31 pixels).
    `auc` is the area under the ROC curve from a histogram of 65536 bins of squeezed logits: right
    to about 1e-4, also for saturated scores, and to a few 1e-3 where all logits lie within 0.01 of
    each other. Reports use the exact one.

    >>> metric = SegmentationMetrics()
    >>> metric.update_state(np.array([[1.0, 1.0, 0.0, 0.0]]), np.array([[2.0, -1.0, -3.0, 1.0]]))
    >>> {k: round(float(v), 3) for k, v in metric.result().items() if k in ("iou", "auc")}
    {'iou': 0.333, 'auc': 0.75}
    """

    def __init__(self, threshold=0.5, name="segmentation", **kwargs):
        super().__init__(name=name, **kwargs)
        if not 0.0 < threshold < 1.0:
            raise InputError(f"`threshold` must lie between 0 and 1. Received: {threshold!r}")
        self.threshold = threshold
        self._count_dtype = "int32" if keras.backend.backend() == "jax" else "float64"
        self.confusion = self._counter((2, 2), "confusion")  # rows: label, columns: prediction
        self.histogram = self._counter((2, AUC_BINS), "histogram")  # rows: label

    def _counter(self, shape, name):
        return self.add_variable(shape, initializer="zeros", dtype=self._count_dtype, name=name)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count a batch: masks and logits (B, H, W, 1); `sample_weight` 0 leaves a pixel out."""
        y_true, logits = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        logits = ops.cast(logits, "float32")
        if sample_weight is None:
            weight = ops.ones_like(logits)
        else:
            weight = ops.cast(sample_weight, "float32") * ops.ones_like(logits)
        if self._count_dtype == "int32":
            weight = ops.round(weight)
        weight = ops.reshape(ops.cast(weight, self._count_dtype), (-1,))
        label = ops.reshape(ops.cast(ops.cast(y_true, "float32") > 0.5, "int32"), (-1,))
        logits = ops.reshape(logits, (-1,))
        predicted = ops.cast(ops.sigmoid(logits) >= self.threshold, "int32")
        squeezed = logits / (_SQUEEZE + ops.abs(logits))
        bin_index = ops.cast(ops.floor((squeezed + 1.0) * (AUC_BINS / 2)), "int32")
        bin_index = ops.clip(bin_index, 0, AUC_BINS - 1)
        self.confusion.assign_add(
            ops.reshape(ops.segment_sum(weight, 2 * label + predicted, num_segments=4), (2, 2))
        )
        self.histogram.assign_add(
            ops.reshape(
                ops.segment_sum(weight, label * AUC_BINS + bin_index, num_segments=2 * AUC_BINS),
                (2, AUC_BINS),
            )
        )

    def result(self):
        """The scores by name, from the counts so far."""
        dtype = "float32" if self._count_dtype == "int32" else self._count_dtype
        counts = ops.cast(self.confusion, dtype)
        tn, fp, fn, tp = counts[0, 0], counts[0, 1], counts[1, 0], counts[1, 1]
        # Trapezoids: a landslide pixel wins over the background pixels in lower bins and half of
        # those in its own.
        histogram = ops.cast(self.histogram, dtype)
        negative, positive = histogram[0], histogram[1]
        below = ops.cumsum(negative) - negative
        total_negative, total_positive = ops.sum(negative), ops.sum(positive)
        share = positive / total_positive * (below + negative / 2) / total_negative
        scores = {**_ratios(tp, fp, fn, tn), "auc": ops.sum(share)}
        return {name: ops.cast(score, "float32") for name, score in scores.items()}

    def reset_state(self):
        """Begin anew; Keras calls it before each epoch."""
        for variable in (self.confusion, self.histogram):
            variable.assign(ops.zeros(variable.shape, variable.dtype))

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), "threshold": self.threshold}


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

    A landslide is an 8-connected component of the mask (H, W) on valid pixels; it is found when
    at least `share` of its pixels are predicted.

    >>> landslides_found(np.array([[1, 0, 1], [1, 0, 0]]), np.array([[1, 0, 0], [0, 0, 0]]))
    (1, 2)
    """
    import cv2

    mask = (
        np.asarray(mask, bool)
        if valid is None
        else np.asarray(mask, bool) & np.asarray(valid, bool)
    )
    count, label = cv2.connectedComponents(mask.astype("uint8"), connectivity=8)
    size = np.bincount(label.ravel(), minlength=count)[1:]
    hit = np.bincount(label.ravel(), weights=np.asarray(predicted, bool).ravel(), minlength=count)[
        1:
    ]
    return int(np.sum(hit >= share * size)), count - 1
