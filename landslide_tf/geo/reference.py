"""The pixels of a map scored against a reference, strip by strip."""

from __future__ import annotations

import numpy as np

from landslide_tf.metrics import confusion_counts, histogram_auc, scores_from_counts

# Bins of float32 from 0 to 1 by sign, exponent and 15 bits of the fraction: 2**-16 wide below 1.
_SHIFT = 8
_BINS = (np.float32(1).view("int32") >> _SHIFT) + 1


class Scorer:
    """Scores of a map against a reference mask.

    Pixels count where both map and reference are known.

    >>> scorer = Scorer({"map": 0.5})
    >>> p, mask = np.array([[0.9, 0.2, 0.6]], "float32"), np.array([[True, True, False]])
    >>> scorer.add(p, mask, known=mask >= 0)
    >>> round(scorer.result()["map"]["iou"], 3)
    0.333
    """

    def __init__(self, thresholds: dict[str, float]):
        self._thresholds = thresholds
        self._counts = {name: dict.fromkeys(("tp", "fp", "fn", "tn"), 0) for name in thresholds}
        self._histogram = np.zeros((2, _BINS), "int64")  # of probability, by label

    def add(self, probability, mask, known) -> None:
        """Take a strip (h, w): probability (NaN: no data), reference mask, where it is known."""
        valid = known & np.isfinite(probability)
        for name, threshold in self._thresholds.items():
            predicted = probability >= np.float32(threshold)
            for key, count in confusion_counts(mask, predicted, valid).items():
                self._counts[name][key] += count
        for label in (0, 1):
            p = probability[valid & (mask == bool(label))]
            bins = np.ascontiguousarray(p).view("int32") >> _SHIFT
            self._histogram[label] += np.bincount(bins, minlength=_BINS)

    def result(self) -> dict:
        """Scores by the name of the threshold."""
        auc = float(histogram_auc(*self._histogram))
        return {
            name: {
                "threshold": threshold,
                **{k: float(v) for k, v in scores_from_counts(**self._counts[name]).items()},
                "auc": auc,
                **self._counts[name],
            }
            for name, threshold in self._thresholds.items()
        }
