"""Cells and tables of the Markdown reports. What was not run is a dash."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

DASH = "–"


def number(value, digits: int = 3, sign: bool = False) -> str:
    """A number with so many digits; a dash where there is none.

    >>> number(0.12345), number(0.1, 1, sign=True), number(float("nan")), number(None)
    ('0.123', '+0.1', '–', '–')
    """
    if value is None or not np.isfinite(value):
        return DASH
    return f"{value:{'+' if sign else ''}.{digits}f}"


def spread(row, metric: str) -> str:
    """A mean over seeds: ± standard deviation from three seeds on, with two their range.

    >>> row = {"miou": 0.7, "miou_sd": 0.01, "miou_min": 0.69, "miou_max": 0.71}
    >>> spread(row, "miou"), spread(row | {"miou_sd": float("nan")}, "miou")
    ('0.700 ± 0.010', '0.700 (0.690 to 0.710)')
    >>> spread(row | {"miou_sd": 1e-4}, "miou")
    '0.700 ± <0.001'
    """
    text, deviation = number(row[metric]), row.get(f"{metric}_sd", np.nan)
    low, high = (row.get(f"{metric}_{end}", np.nan) for end in ("min", "max"))
    if np.isfinite(deviation):
        return f"{text} ± {deviation:.3f}" if deviation >= 0.0005 else f"{text} ± <0.001"
    if np.isfinite(low) and low != high:
        return f"{text} ({low:.3f} to {high:.3f})"
    return text


def between(row, name: str, sign: bool = False) -> str:
    """The interval from `NAME_low` to `NAME_high`; a dash where there is none.

    >>> between({"miou_low": 0.1, "miou_high": 0.25}, "miou"), between({}, "miou")
    ('[0.100, 0.250]', '–')
    """
    low, high = (row.get(f"{name}_{end}", np.nan) for end in ("low", "high"))
    return f"[{number(low, sign=sign)}, {number(high, sign=sign)}]" if np.isfinite(low) else DASH


def table(frame: pd.DataFrame, columns: dict[str, str | Callable]) -> str:
    """A data frame as a table in Markdown.

    A column is a name in the row (numbers are shown with three digits), or a function of the row.

    >>> frame = pd.DataFrame([{"a": 1, "b": 0.5}])
    >>> print(table(frame, {"A": "a", "twice B": lambda row: number(2 * row["b"])}))
    | A | twice B |
    | --- | --- |
    | 1 | 1.000 |
    """
    lines = [list(columns), ["---"] * len(columns)]
    for row in frame.to_dict("records"):
        lines.append([_cell(row, column) for column in columns.values()])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(row, column) -> str:
    value = column(row) if callable(column) else row.get(column)
    return number(value) if value is None or isinstance(value, float) else str(value)


def bullets(lines: list[str]) -> str:
    """Lines as a list."""
    return "\n".join(f"- {line}" for line in lines)


def listed(words: list[str]) -> str:
    """Words as in a sentence.

    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
