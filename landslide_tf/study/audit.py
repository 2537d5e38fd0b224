"""Do the scores of a row of the paper's Table 3 fit together?

Precision, recall and accuracy determine the confusion matrix up to its size, and with it F1 and the
two-class mean IoU. A row fits when some values within the printed rounding give all that it prints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from landslide_tf.study.matrices import SIX
from landslide_tf.study.tables import METRICS, Results, paper_values

HALF_UNIT = 0.005  # of the last printed digit
STEPS = 2001  # values of F1 that are tried
EPSILON = 1e-9  # of floating point


@dataclass(frozen=True)
class Audit:
    """A row recomputed from its printed precision, recall and accuracy, and whether it fits.

    >>> row = {"precision": 0.5, "recall": 0.5, "accuracy": 0.8, "f1": 0.5, "miou": 0.56}
    >>> audit = audit_row(row)
    >>> round(audit.f1, 3), round(audit.miou, 3), round(audit.positive_share, 3), audit.fits
    (0.5, 0.556, 0.2, True)
    """

    f1: float
    miou: float
    positive_share: float  # of the pixels, as implied
    excess: float  # by how much F1 or mIoU misses its rounding at best

    @property
    def fits(self) -> bool:
        """Whether rounding explains all of the row."""
        return self.excess <= EPSILON


def f1_of(precision, recall):
    """F1 = 2 P R / (P + R).

    >>> f1_of(0.5, 1.0)  # 2 x 0.5 / 1.5
    0.6666666666666666
    """
    return 2 * precision * recall / (precision + recall)


def miou_of(f1, accuracy):
    """Two-class mean IoU: F1 and accuracy A are enough.

    With 1 for all pixels: FP + FN = 1 - A and F1 = 2 TP / (2 TP + FP + FN) give TP; then
    landslide IoU = F1 / (2 - F1), background IoU = (A - TP) / (1 - TP).

    >>> round(miou_of(0.5, 0.8), 4)  # TP = 0.2 / 2 = 0.1; (1/3 + 0.7/0.9) / 2
    0.5556
    """
    tp = (1 - accuracy) / (2 / f1 - 2)
    return (f1 / (2 - f1) + (accuracy - tp) / (1 - tp)) / 2


def positive_share(precision, recall, accuracy) -> float:
    """Landslide pixels q among all: 1 - A = FP + FN = q (R/P - R) + q (1 - R).

    >>> round(positive_share(0.5, 0.5, 0.8), 3)  # 1 - A = 0.2 = q (1 - 0.5) + q (1 - 0.5)
    0.2
    """
    return (1 - accuracy) / (recall / precision - 2 * recall + 1)


def audit_row(row: dict[str, float]) -> Audit:
    """Check one row: `precision, recall, accuracy, f1, miou`, each rounded to two digits
    and above 0 and below 1.

    >>> row = {"precision": 0.5, "recall": 0.5, "accuracy": 0.8, "f1": 0.5, "miou": 0.56}
    >>> audit_row(row).fits, audit_row({**row, "miou": 0.57}).fits
    (True, False)
    """
    p, r, a = row["precision"], row["recall"], row["accuracy"]
    # F1 rises with both of its parts: the corners of the rounding bound it.
    low = max(f1_of(p - HALF_UNIT, r - HALF_UNIT), row["f1"] - HALF_UNIT)
    high = min(f1_of(p + HALF_UNIT, r + HALF_UNIT), row["f1"] + HALF_UNIT, 1 - EPSILON)
    if low > high:
        excess = low - high
    else:
        accuracies = np.linspace(a - HALF_UNIT, min(a + HALF_UNIT, 1 - EPSILON), 11)[:, None]
        f1 = np.linspace(low, high, STEPS)
        possible = (1 - accuracies) / (2 / f1 - 2) <= accuracies  # TP is a part of A
        miou = miou_of(f1, accuracies)[possible]
        excess = 1.0  # no confusion matrix at all has such scores
        if miou.size:
            below, above = row["miou"] - HALF_UNIT, row["miou"] + HALF_UNIT
            excess = max(0.0, miou.min() - above, below - miou.max())
    return Audit(
        float(f1_of(p, r)),
        float(miou_of(f1_of(p, r), a)),
        float(positive_share(p, r, a)),
        float(excess),
    )


def audit_table(results: Results) -> pd.DataFrame:
    """Each row of the paper's Table 3, then ours to two digits, recomputed from its own numbers.

    >>> from landslide_tf.study.experiments import read_study
    >>> from landslide_tf.study.records import read_results
    >>> results = read_results(read_study("study"), "study")
    >>> frame = audit_table(results)
    >>> frame[["whose", "precision", "recall", "f1", "f1_recomputed", "fits"]].head(2)
       whose  precision  recall    f1  f1_recomputed  fits
    0  paper       0.94    0.12  0.21       0.212830  True
    1  paper       0.85    0.53  0.65       0.652899  True
    """
    paper, rows = paper_values(), []
    for whose in ("paper", "ours"):
        for experiment in SIX:
            result, row = results[experiment.name], f"{experiment.model}-{experiment.attention}"
            if whose == "paper":
                printed = {metric: paper["3", row, metric] for metric in METRICS}
            elif result:  # one seed: means of ratios need not fit together
                printed = {m: round(float(result.values(m)[0]), 2) for m in METRICS}
            else:
                continue
            if not all(0 < printed[m] < 1 for m in METRICS):
                continue  # a model that predicts nothing has no precision
            audit = audit_row(printed)
            rows.append(
                {
                    "whose": whose,
                    "model": experiment.title,
                    **{metric: printed[metric] for metric in METRICS if metric != "auc"},
                    "f1_recomputed": audit.f1,
                    "miou_recomputed": audit.miou,
                    "positive_share": audit.positive_share,
                    "fits": audit.fits,
                    "excess": audit.excess,
                }
            )
    return pd.DataFrame(rows)
