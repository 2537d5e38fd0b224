"""How much of a map is made by its windows: what repeats with them and moves when they move."""

from __future__ import annotations

import numpy as np


def seam_shares(first, second, step_px: int, shift_px: int) -> tuple[float, float]:
    """Share of a map's variance that repeats at the window step, and the control.

    Two maps of the same ground are folded: the mean is taken over all pixels that lie alike within
    a period of `step_px` along both axes. That keeps what repeats at the step, its multiples
    included, and averages out all else. What windows make lies `shift_px` further on in the second
    map, what the ground makes lies where it was.

    Args:
        first, second: (H, W), NaN without data; the windows of the second lie `shift_px` further
            down and to the right.
        step_px: distance between neighbouring windows.
        shift_px: a third of it is the best, as the pattern then meets itself least.

    Returns:
        (windows, ground): covariance of both folds over the variance of the maps, with the second
        fold moved back by `shift_px`, and as it lies. Near 0 where there are no seams; noise makes
        either about 1 / number of periods at most.

    >>> x = np.arange(240) + np.zeros((240, 1))
    >>> seams, ground = np.cos(2 * np.pi * x / 24), np.sin(2 * np.pi * x / 40)
    >>> moved = np.cos(2 * np.pi * (x - 8) / 24)
    >>> windows, control = seam_shares(seams + ground, moved + ground, 24, 8)
    >>> round(windows, 3), round(control, 3)  # half of the variance; cos 120 degrees of it
    (0.5, -0.25)
    """
    known = np.isfinite(first) & np.isfinite(second)
    a, b = (np.where(known, m, np.nan).astype("float64") for m in (first, second))
    spread = np.sqrt(np.nanvar(a) * np.nanvar(b))
    if not spread > 0:
        return 0.0, 0.0
    a, b = (_fold(m - np.nanmean(m), step_px) for m in (a, b))
    back = np.roll(b, (-shift_px, -shift_px), (0, 1))
    return tuple(float(np.nanmean(a * other) / spread) for other in (back, b))


def _fold(values, step: int):
    """Mean (step, step) over all periods, NaN where nothing is known."""
    height, width = (n // step * step for n in values.shape)
    cells = values[:height, :width].reshape(height // step, step, width // step, step)
    known = np.isfinite(cells)
    count = known.sum(axis=(0, 2))
    total = np.where(known, cells, 0).sum(axis=(0, 2))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
