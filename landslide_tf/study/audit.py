"""Do the scores of a row of the paper's Table 3 fit together?

Precision, recall and accuracy determine the confusion matrix up to its size, and with it F1 and the
two-class mean IoU. A row fits when some values within the printed rounding give all that it prints.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from landslide_tf.study.matrices import SIX
from landslide_tf.study.records import Results
from landslide_tf.study.tables import METRICS, paper_values

HALF_UNIT = 0.005  # of the last printed digit
STEPS = 2001  # values of F1 that are tried
EPSILON = 1e-9  # of floating point
PRINTED = [metric for metric in METRICS if metric != "auc"]


def f1_of(precision, recall):
    """F1 = 2 P R / (P + R)."""
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


def audit_row(row: dict[str, float]) -> dict:
    """Check whether the printed scores of one row can come from one confusion matrix.

    `row` has `precision, recall, accuracy, f1, miou`, each rounded to two digits, above 0 and below
    1. The result has F1, mIoU and the share of landslide pixels computed from precision, recall and
    accuracy, then `fits`, and `excess`: how far F1 or mIoU is outside its rounding at least.

    >>> row = {"precision": 0.5, "recall": 0.5, "accuracy": 0.8, "f1": 0.5, "miou": 0.56}
    >>> audit_row(row)["fits"], audit_row({**row, "miou": 0.57})["fits"]
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
    return {
        "f1_recomputed": f1_of(p, r),
        "miou_recomputed": miou_of(f1_of(p, r), a),
        "positive_share": positive_share(p, r, a),
        "fits": bool(excess <= EPSILON),
        "excess": float(excess),
    }


def audit_table(results: Results) -> pd.DataFrame:
    """Each row of the paper's Table 3, then ours to two digits, recomputed from its own numbers."""
    paper, rows = paper_values(), []
    for whose in ("paper", "ours"):
        for experiment in SIX:
            result, row = results[experiment.name], f"{experiment.model}-{experiment.attention}"
            if whose == "paper":
                printed = {m: paper["3", row, m] for m in PRINTED}
            elif result:  # one seed: means of ratios need not fit together
                printed = {m: round(float(result.values(m)[0]), 2) for m in PRINTED}
            else:
                continue
            if all(0 < value < 1 for value in printed.values()):  # else nothing was predicted
                rows.append(
                    {"whose": whose, "model": experiment.title, **printed, **audit_row(printed)}
                )
    return pd.DataFrame(rows)
