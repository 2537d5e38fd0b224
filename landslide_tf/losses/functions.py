"""The losses as functions. Shapes and `reduction`: see `landslide_tf.losses`."""

from __future__ import annotations

import math

from keras import ops

from landslide_tf.checks import InputError, check_choice

MEAN_REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")
REDUCTIONS = (*MEAN_REDUCTIONS, "sum", "none", None)


def bce_loss(y_true, logits, sample_weight=None, *, reduction: str | None = "mean"):
    """Binary cross-entropy, Eq. 1: `-sum(w [y log v + (1 - y) log(1 - v)]) / sum(w)`.

    >>> import numpy as np
    >>> round(float(bce_loss(np.ones((1, 1, 1, 1)), np.zeros((1, 1, 1, 1)))), 4)
    0.6931
    """

    def formula(y, z, w, axes):
        return _weighted_mean(_cross_entropy(y, z), w, axes)

    return _reduce(formula, y_true, logits, sample_weight, reduction)


def focal_loss(
    y_true,
    logits,
    sample_weight=None,
    balance: float = 0.25,
    focusing: float = 2.0,
    class_balanced: bool = False,
    *,
    reduction: str | None = "mean",
):
    """Focal loss, Eq. 2: `-a (1 - v_t)^b log v_t` with `v_t = y v + (1 - y)(1 - v)`.

    `balance` is a, `focusing` is b. Eq. 2 has one a for both classes; `class_balanced` uses
    a for landslide and 1 - a for background, as Lin et al. (2017) do. For labels between 0 and 1,
    of which Eq. 2 does not speak, v_t is sigmoid((2 y - 1) z), z the logit.

    >>> import numpy as np
    >>> value = focal_loss(np.ones((1, 1, 1, 1)), np.zeros((1, 1, 1, 1)))
    >>> round(float(value), 4)  # 0.25 * 0.5^2 * 0.6931
    0.0433
    """

    def formula(y, z, w, axes):
        # Labels are 0 or 1, so v_t = sigmoid(z_t). (1 - v_t)^b as exp(-b softplus(z_t)) keeps the
        # gradient finite for every b, where a power has none at 0.
        z_t = (2.0 * y - 1.0) * z
        a = y * balance + (1.0 - y) * (1.0 - balance) if class_balanced else balance
        values = a * ops.exp(-focusing * ops.softplus(z_t)) * ops.softplus(-z_t)
        return _weighted_mean(values, w, axes)

    return _reduce(formula, y_true, logits, sample_weight, reduction)


def dice_loss(
    y_true, logits, sample_weight=None, smooth: float = 1.0, *, reduction: str | None = "mean"
):
    """Dice loss, Eq. 3, over all pixels of the batch, with a smoothing term s.

    The loss is `1 - (2 sum(w y v) + s) / (sum(w y) + sum(w v) + s)`. For an empty mask it is
    `1 - s / (sum(w v) + s)`, which is 0 if nothing is predicted. If s = 0 and both mask and
    prediction are empty, the fraction 0/0 counts as 0, so that the loss is 1. With `reduction`
    "none" the sums are those of each tile.

    >>> import numpy as np
    >>> y, z = np.array([[[[1.0], [0.0]]]]), np.zeros((1, 1, 2, 1))
    >>> round(float(dice_loss(y, z)), 4)  # 1 - (2 * 0.5 + 1) / (1 + 1 + 1)
    0.3333
    """

    def formula(y, z, w, axes):
        v = ops.sigmoid(z)
        overlap = 2.0 * ops.sum(w * y * v, axes) + smooth
        total = ops.sum(w * y, axes) + ops.sum(w * v, axes) + smooth
        return 1.0 - _divide(overlap, total)

    return _reduce(formula, y_true, logits, sample_weight, reduction)


def wce_loss(
    y_true,
    logits,
    sample_weight=None,
    weights: tuple[float, float] = (1.0, 1.0),
    *,
    reduction: str | None = "mean",
):
    """Weighted cross-entropy over two classes, Eq. 4 with C = 2 and v = (1 - p, p).

    `-sum(w [w1 y log p + w0 (1 - y) log(1 - p)]) / sum(w)`, `weights` = (w0, w1) of background
    and landslide. With weights (1, 1) it equals `bce_loss`.

    >>> import numpy as np
    >>> y, z = np.ones((1, 1, 1, 1)), np.zeros((1, 1, 1, 1))
    >>> round(float(wce_loss(y, z, weights=(0.5, 1.5))), 4)  # 1.5 * 0.6931
    1.0397
    """
    w0, w1 = weights

    def formula(y, z, w, axes):
        return _weighted_mean((w0 * (1.0 - y) + w1 * y) * _cross_entropy(y, z), w, axes)

    return _reduce(formula, y_true, logits, sample_weight, reduction)


def inverse_frequency_weights(background_px: int, landslide_px: int) -> tuple[float, float]:
    """WCE weights (w0, w1): inverse class frequency, normalised to mean 1 over the two classes.

    Raises:
        InputError: one of the classes has no pixel.

    >>> inverse_frequency_weights(90, 10)
    (0.2, 1.8)
    """
    if background_px <= 0 or landslide_px <= 0:
        raise InputError(
            "class weights need pixels of both classes in the training part. "
            f"Received {background_px} background and {landslide_px} landslide pixels"
        )
    # (1/n0, 1/n1) * 2 / (1/n0 + 1/n1), written without the reciprocals
    total = background_px + landslide_px
    return 2 * landslide_px / total, 2 * background_px / total


def _reduce(formula, y_true, logits, sample_weight, reduction):
    """`formula(y, z, w, axes)` of the batch, of each tile, or their sum.

    NaN for illegal masks or weights.
    """
    check_choice("reduction", reduction, REDUCTIONS)
    y, z, w = _prepare(y_true, logits, sample_weight)
    legal = _legal(y, w)
    if reduction in MEAN_REDUCTIONS:
        return ops.where(legal, formula(y, z, w, None), math.nan)
    axes = tuple(range(1, len(z.shape)))
    weighted = ops.cast(w > 0, "float32")
    mean_weight = _divide(ops.sum(w, axes, keepdims=True), ops.sum(weighted, axes, keepdims=True))
    per_tile = ops.reshape(mean_weight, (-1,)) * formula(y, z, _divide(w, mean_weight), axes)
    value = ops.sum(per_tile) if reduction == "sum" else per_tile
    return ops.where(legal, value, math.nan)


def _prepare(y_true, logits, sample_weight):
    """float32 tensors y, z, w of the logits' shape."""
    y = ops.cast(ops.convert_to_tensor(y_true), "float32")
    z = ops.cast(ops.convert_to_tensor(logits), "float32")
    if len(y.shape) == len(z.shape) - 1 and z.shape[-1] == 1:
        y = ops.expand_dims(y, -1)
    if not _fits(y.shape, z.shape):
        raise InputError(
            "masks must have the shape of the logits, with or without the last axis. "
            f"Received {tuple(y.shape)} and {tuple(z.shape)}"
        )
    if sample_weight is None:
        return y, z, ops.ones_like(z)
    w = ops.cast(ops.convert_to_tensor(sample_weight), "float32")
    received = tuple(w.shape)
    if len(w.shape) in (1, len(z.shape) - 1):
        while len(w.shape) < len(z.shape):
            w = ops.expand_dims(w, -1)
    if not _fits(w.shape, z.shape, 1):
        raise InputError(
            "`sample_weight` must be one number a tile, (B,), or a pixel, (B, H, W) or "
            f"(B, H, W, 1). Received {received} for logits of {tuple(z.shape)}"
        )
    return y, z, w * ops.ones_like(z)


def _fits(shape, target, *broadcast) -> bool:
    """Whether there are as many axes, each of the same size, unknown, or one of `broadcast`."""
    return len(shape) == len(target) and all(
        a is None or b is None or a in (b, *broadcast) for a, b in zip(shape, target, strict=True)
    )


def _legal(y, w):
    """Whether no weight is negative or NaN and all labels of weighted pixels lie in [0, 1].

    Raises `InputError` where it can be known now.
    """
    weights = ops.all(w >= 0)
    labels = ops.all(ops.logical_or(ops.logical_and(y >= 0, y <= 1), w <= 0))
    legal = ops.logical_and(weights, labels)
    try:
        known = bool(legal)
    except TypeError:  # a compiled function is being traced: there is no value yet
        return legal
    if not known and not bool(weights):
        raise InputError(
            "`sample_weight` must hold numbers from 0 on. Received values from "
            f"{float(ops.min(w)):g} to {float(ops.max(w)):g}"
        )
    if not known:
        raise InputError(
            "masks must hold 0 (background) and 1 (landslide). Received values from "
            f"{float(ops.min(y)):g} to {float(ops.max(y)):g}; give `mask > 0` for 0 and 255"
        )
    return legal


def _cross_entropy(y, z):
    """-[y log v + (1 - y) log(1 - v)], as -log sigmoid(z) = softplus(-z): nothing overflows."""
    return y * ops.softplus(-z) + (1.0 - y) * ops.softplus(z)


def _weighted_mean(values, w, axes):
    return _divide(ops.sum(values * w, axes), ops.sum(w, axes))


def _divide(a, b):
    """a / b, and 0 where b is 0, with a finite gradient there too."""
    return ops.where(b > 0, a, 0.0) / ops.where(b > 0, b, 1.0)
