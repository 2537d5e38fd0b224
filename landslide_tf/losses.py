"""The paper's four losses (Eq. 1-4), on logits.

Each loss is a function and a thin registered Keras class. Notation as in the paper: v is the
predicted probability, y the label (0 or 1), w the weight of a pixel (0 where there is no data).
All take `y_true` and `logits` of one shape, usually (B, H, W, 1), and an optional
`sample_weight` of that shape or one that broadcasts to it; they return a float32 scalar. They
compute in float32 whatever the input type, and are finite with finite gradients for logits up
to 1e4 in magnitude. A batch without a weighted pixel has loss 0 (Dice: see there).
"""

from __future__ import annotations

import keras
from keras import ops

from landslide_tf.checks import InputError


def bce_loss(y_true, logits, sample_weight=None):
    """Binary cross-entropy, Eq. 1: `-sum(w [y log v + (1 - y) log(1 - v)]) / sum(w)`.

    >>> import numpy as np
    >>> round(float(bce_loss(np.ones((1, 1, 1, 1)), np.zeros((1, 1, 1, 1)))), 4)
    0.6931
    """
    y, z, w = _prepare(y_true, logits, sample_weight)
    return _weighted_mean(_cross_entropy(y, z), w)


def focal_loss(
    y_true, logits, sample_weight=None, balance=0.25, focusing=2.0, class_balanced=False
):
    """Focal loss, Eq. 2: `-a (1 - v_t)^b log v_t` with `v_t = y v + (1 - y)(1 - v)`.

    `balance` is a, `focusing` is b. Eq. 2 has one a for both classes; `class_balanced` uses
    a for landslide and 1 - a for background, as Lin et al. (2017) do.

    >>> import numpy as np
    >>> value = focal_loss(np.ones((1, 1, 1, 1)), np.zeros((1, 1, 1, 1)))
    >>> round(float(value), 4)  # 0.25 * 0.5^2 * 0.6931
    0.0433
    """
    y, z, w = _prepare(y_true, logits, sample_weight)
    # Labels are 0 or 1, so v_t = sigmoid(z_t). (1 - v_t)^b as exp(-b softplus(z_t)) keeps the
    # gradient finite for every b, where a power has none at 0.
    z_t = (2.0 * y - 1.0) * z
    a = y * balance + (1.0 - y) * (1.0 - balance) if class_balanced else balance
    return _weighted_mean(a * ops.exp(-focusing * ops.softplus(z_t)) * ops.softplus(-z_t), w)


def dice_loss(y_true, logits, sample_weight=None, smooth=1.0):
    """Dice loss, Eq. 3, over all pixels of the batch, with a smoothing term s.

    `1 - (2 sum(w y v) + s) / (sum(w y) + sum(w v) + s)`. For an empty mask it is
    `1 - s / (sum(w v) + s)`: 0 when nothing is predicted. With s = 0 and nothing labelled or
    predicted it is 0/0, taken as 1 - 0 = 1.

    >>> import numpy as np
    >>> y, z = np.array([[[[1.0], [0.0]]]]), np.zeros((1, 1, 2, 1))
    >>> round(float(dice_loss(y, z)), 4)  # 1 - (2 * 0.5 + 1) / (1 + 1 + 1)
    0.3333
    """
    y, z, w = _prepare(y_true, logits, sample_weight)
    v = ops.sigmoid(z)
    overlap = 2.0 * ops.sum(w * y * v) + smooth
    total = ops.sum(w * y) + ops.sum(w * v) + smooth
    return 1.0 - _divide(overlap, total)


def wce_loss(y_true, logits, sample_weight=None, weights=(1.0, 1.0)):
    """Weighted cross-entropy over two classes, Eq. 4 with C = 2 and v = (1 - p, p).

    `-sum(w [w1 y log p + w0 (1 - y) log(1 - p)]) / sum(w)`, `weights` = (w0, w1) of background
    and landslide. With weights (1, 1) it equals `bce_loss`.

    >>> import numpy as np
    >>> y, z = np.ones((1, 1, 1, 1)), np.zeros((1, 1, 1, 1))
    >>> round(float(wce_loss(y, z, weights=(0.5, 1.5))), 4)  # 1.5 * 0.6931
    1.0397
    """
    y, z, w = _prepare(y_true, logits, sample_weight)
    w0, w1 = weights
    return _weighted_mean((w0 * (1.0 - y) + w1 * y) * _cross_entropy(y, z), w)


def inverse_frequency_weights(background_px: int, landslide_px: int) -> tuple[float, float]:
    """WCE weights (w0, w1): inverse class frequency, normalised to mean 1 over the two classes.

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


class _MeanOverReplicas(keras.losses.Loss):
    """A value divided by the number of replicas, whose gradients Keras adds up; else unchanged."""

    def call(self, y_true, y_pred):
        return y_pred


class _PixelLoss(keras.losses.Loss):
    """Hands `sample_weight` to the function, which divides by its sum once (Keras would not)."""

    def __call__(self, y_true, y_pred, sample_weight=None):
        value = ops.reshape(self.call(y_true, y_pred, sample_weight), (1,))
        return _MeanOverReplicas()(value, value)


@keras.saving.register_keras_serializable(package="landslide_tf")
class BCELoss(_PixelLoss):
    """`bce_loss` as a Keras loss.

    >>> float(BCELoss()([[[[1]]]], [[[[0.0]]]]))  # probability 0.5: -log(0.5) = 0.6931
    0.6931...
    """

    def __init__(self, name="bce_loss", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred, sample_weight=None):
        """Mean over pixels, weighted by `sample_weight`; masks and logits (B, H, W, 1)."""
        return bce_loss(y_true, y_pred, sample_weight)


@keras.saving.register_keras_serializable(package="landslide_tf")
class FocalLoss(_PixelLoss):
    """`focal_loss` as a Keras loss.

    >>> loss = FocalLoss(balance=0.5, focusing=2.0)
    >>> float(loss([[[[1]]]], [[[[0.0]]]]))  # 0.5 x (1 - 0.5)^2 x 0.6931
    0.0866...
    """

    def __init__(
        self, balance=0.25, focusing=2.0, class_balanced=False, name="focal_loss", **kwargs
    ):
        super().__init__(name=name, **kwargs)
        self.balance, self.focusing, self.class_balanced = balance, focusing, class_balanced

    def call(self, y_true, y_pred, sample_weight=None):
        """Mean over pixels, weighted by `sample_weight`; masks and logits (B, H, W, 1)."""
        return focal_loss(
            y_true, y_pred, sample_weight, self.balance, self.focusing, self.class_balanced
        )

    def get_config(self):
        """What `from_config` needs."""
        return {
            **super().get_config(),
            "balance": self.balance,
            "focusing": self.focusing,
            "class_balanced": self.class_balanced,
        }


@keras.saving.register_keras_serializable(package="landslide_tf")
class DiceLoss(_PixelLoss):
    """`dice_loss` as a Keras loss.

    >>> mask, logits = [[[[1], [0]]]], [[[[0.0], [0.0]]]]  # probability 0.5 twice
    >>> float(DiceLoss(smooth=1.0)(mask, logits))  # 1 - (2 x 0.5 + 1) / (1 + 1 + 1)
    0.3333...
    """

    def __init__(self, smooth=1.0, name="dice_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.smooth = smooth

    def call(self, y_true, y_pred, sample_weight=None):
        """Of the pooled batch (B, H, W, 1); a `sample_weight` of 0 leaves a pixel out."""
        return dice_loss(y_true, y_pred, sample_weight, self.smooth)

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), "smooth": self.smooth}


@keras.saving.register_keras_serializable(package="landslide_tf")
class WCELoss(_PixelLoss):
    """`wce_loss` as a Keras loss.

    `weights="auto"` stands for the inverse class frequency of the training masks and must be
    resolved (`inverse_frequency_weights`) before use: calling it unresolved is a ValueError.

    >>> loss = WCELoss(weights=(1.0, 3.0))  # of background and landslide
    >>> float(loss([[[[1]]]], [[[[0.0]]]]))  # 3 x 0.6931
    2.0794...
    """

    def __init__(self, weights="auto", name="wce_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        if not isinstance(weights, str):
            weights = tuple(float(weight) for weight in weights)
        if weights != "auto" and (
            isinstance(weights, str) or len(weights) != 2 or min(weights) <= 0
        ):
            raise InputError(
                f"`weights` must be 'auto' or two positive numbers. Received: {weights!r}"
            )
        self.weights = weights

    def call(self, y_true, y_pred, sample_weight=None):
        """Mean over pixels, weighted by `sample_weight`; masks and logits (B, H, W, 1)."""
        if self.weights == "auto":
            raise InputError(
                "WCELoss(weights='auto') is used before its weights are known; "
                "give WCELoss(weights=inverse_frequency_weights(background_px, landslide_px))"
            )
        return wce_loss(y_true, y_pred, sample_weight, self.weights)

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), "weights": self.weights}


LOSS_CLASSES = {"bce": BCELoss, "focal": FocalLoss, "dice": DiceLoss, "wce": WCELoss}


def _prepare(y_true, logits, sample_weight):
    """float32 tensors y, z, w of one shape."""
    y = ops.cast(ops.convert_to_tensor(y_true), "float32")
    z = ops.cast(ops.convert_to_tensor(logits), "float32")
    same = len(y.shape) == len(z.shape) and all(
        a is None or b is None or a == b for a, b in zip(y.shape, z.shape, strict=True)
    )
    if not same:  # broadcasting (B, H, W) against (B, H, W, 1) would give a wrong number in silence
        raise InputError(
            f"labels and logits must have one shape. Received {tuple(y.shape)} and {tuple(z.shape)}"
        )
    if sample_weight is None:
        return y, z, ops.ones_like(z)
    w = ops.cast(ops.convert_to_tensor(sample_weight), "float32")
    if len(w.shape) != len(z.shape):
        raise InputError(
            "`sample_weight` must have as many axes as the logits. "
            f"Received {tuple(w.shape)} for {tuple(z.shape)}"
        )
    return y, z, w * ops.ones_like(z)


def _cross_entropy(y, z):
    """-[y log v + (1 - y) log(1 - v)], as -log sigmoid(z) = softplus(-z): nothing overflows."""
    return y * ops.softplus(-z) + (1.0 - y) * ops.softplus(z)


def _weighted_mean(values, w):
    return _divide(ops.sum(values * w), ops.sum(w))


def _divide(a, b):
    """a / b, and 0 where b is 0, with a finite gradient there too."""
    return ops.where(b > 0, a, 0.0) / ops.where(b > 0, b, 1.0)
