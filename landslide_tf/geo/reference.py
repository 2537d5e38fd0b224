"""A map scored against mapped landslides, strip by strip: pixels, landslides, false alarms."""

from __future__ import annotations

import numpy as np

from landslide_tf.geo.components import Component, Components
from landslide_tf.metrics import confusion_counts, histogram_auc, scores_from_counts

SIZES_M2 = (100, 1_000, 10_000)  # limits of the size classes
FOUND_SHARE = 0.5  # of a landslide's pixels, as in training
# Float32 from 0 to 1, told apart by sign, exponent and 15 bits: one of 16,000 steps near 1.
_SHIFT = 8
_BINS = (np.float32(1).view("int32") >> _SHIFT) + 1


class Scorer:
    """Scores of a map against a reference mask.

    Pixels count where both map and reference are known. A landslide of the reference
    (8-connected) is found when half of its pixels are predicted; a predicted one is a false alarm
    when none of its pixels is landslide in the reference. Sizes are in m2.

    >>> scorer = Scorer({"map": 0.5}, pixel_area_m2=4.0)
    >>> p, mask = np.array([[0.9, 0.2, 0.6]], "float32"), np.array([[True, True, False]])
    >>> scorer.add(0, p, mask, known=mask >= 0, landslide=p >= 0.5)
    >>> result = scorer.result()
    >>> round(result["pixels"]["map"]["iou"], 3), result["landslides"]["found"]
    (0.333, 1)
    """

    def __init__(self, thresholds: dict[str, float], pixel_area_m2: float):
        self._thresholds, self._pixel = thresholds, pixel_area_m2
        self._counts = {name: dict.fromkeys(("tp", "fp", "fn", "tn"), 0) for name in thresholds}
        self._histogram = np.zeros((2, _BINS), "int64")  # of probability, by label
        self._references = Components()
        self._reference, self._predicted = [], []  # (area in m2, found or false?)

    def add(self, top: int, probability, mask, known, landslide) -> None:
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
        hit = (landslide & valid).astype("float32")
        self._take_references(self._references.add(top, mask & valid, {"hit": hit}))

    def take_predicted(self, landslides: list[tuple[float, Component]]) -> None:
        """Predicted landslides, (area in m2, component with sums 'known' and 'mask')."""
        self._predicted += [
            (area, c.sums["mask"] == 0) for area, c in landslides if c.sums["known"] > 0
        ]

    def _take_references(self, components) -> None:
        self._reference += [
            (c.px * self._pixel, c.sums["hit"] >= FOUND_SHARE * c.px) for c in components
        ]

    def result(self) -> dict:
        """Pixel scores by threshold, and landslides found and false alarms by size."""
        self._take_references(self._references.end())
        auc = float(histogram_auc(*self._histogram))
        pixels = {
            name: {
                "threshold": threshold,
                **{k: float(v) for k, v in scores_from_counts(**self._counts[name]).items()},
                "auc": auc,
                **self._counts[name],
            }
            for name, threshold in self._thresholds.items()
        }
        reference, predicted = self._reference, self._predicted
        return {
            "pixels": pixels,
            "landslides": {
                "reference": len(reference),
                "found": sum(found for _, found in reference),
                "predicted": len(predicted),
                "false_alarms": sum(false for _, false in predicted),
                "by_size_m2": {
                    name: {
                        "reference": len(true := [f for a, f in reference if low <= a < high]),
                        "found": sum(true),
                        "predicted": len(made := [f for a, f in predicted if low <= a < high]),
                        "false_alarms": sum(made),
                    }
                    for name, low, high in _size_classes()
                },
            },
        }


def _size_classes():
    edges = (0, *SIZES_M2, float("inf"))
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        yield (f"{low} to {high}" if high < edges[-1] else f"{low} and more"), low, high
