"""The losses as Keras classes, for `compile` and for saved models."""

from __future__ import annotations

import math
from collections.abc import Iterable

import keras
from keras import ops

from landslide_tf.checks import InputError, check_choice
from landslide_tf.fields import check_number, plain
from landslide_tf.losses.functions import (
    MEAN_REDUCTIONS,
    REDUCTIONS,
    bce_loss,
    dice_loss,
    focal_loss,
    wce_loss,
)


class _MeanOverReplicas(keras.losses.Loss):
    """Return the given value, which Keras divides by the number of replicas (GPUs).

    Keras adds up the gradients of the replicas. On a single device the value stays as it is.
    """

    def call(self, y_true, y_pred):
        return y_pred


class _PixelLoss(keras.losses.Loss):
    """Hands `sample_weight` to the function, which divides by its sum once (Keras would not).

    `function` computes the loss. `options` names those of its arguments that are attributes.
    """

    options: tuple[str, ...] = ()

    def __init__(self, name=None, reduction="sum_over_batch_size", dtype=None):
        check_choice("reduction", reduction, REDUCTIONS)
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def __call__(self, y_true, y_pred, sample_weight=None):
        value = self.call(y_true, y_pred, sample_weight)
        if self.reduction not in MEAN_REDUCTIONS:
            return value
        value = ops.reshape(value, (1,))
        return _MeanOverReplicas(name="mean_over_replicas")(value, value)

    def call(self, y_true, y_pred, sample_weight=None):
        """The function's value under this object's options and `reduction`."""
        options = {name: getattr(self, name) for name in self.options}
        return self.function(y_true, y_pred, sample_weight, **options, reduction=self.reduction)

    def get_config(self) -> dict:
        """What `from_config` needs."""
        return {**super().get_config(), **{name: getattr(self, name) for name in self.options}}


@keras.saving.register_keras_serializable(package="landslide_tf")
class BCELoss(_PixelLoss):
    """Binary cross-entropy, Eq. 1 of the paper: `-mean(y log v + (1 - y) log(1 - v))`.

    y is the mask, 0 or 1, and v = sigmoid(logit) the probability: the model ends without a sigmoid.
    Masks are (B, H, W) or (B, H, W, 1) of any type, logits (B, H, W, 1); the loss is float32.
    `sample_weight` is one number a tile, (B,), or a pixel; 0 leaves a pixel out.

    Args:
        reduction: "sum_over_batch_size" is one number for the batch, "none" one a tile, "sum" their
            sum (see `landslide_tf.losses`).

    Raises:
        InputError: an unknown `reduction`; when called, shapes that do not fit, or masks that do
            not hold 0 and 1.

    >>> float(BCELoss()([[[[1]]]], [[[[0.0]]]]))  # probability 0.5: -log(0.5) = 0.6931
    0.6931...
    """

    function = staticmethod(bce_loss)

    def __init__(
        self,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "bce_loss",
        dtype=None,
    ):
        super().__init__(name, reduction, dtype)


@keras.saving.register_keras_serializable(package="landslide_tf")
class FocalLoss(_PixelLoss):
    """Focal loss, Eq. 2 of the paper (Lin et al. 2017): `mean(-a (1 - v_t)^b log v_t)`.

    v_t is the probability of the right class: sigmoid(logit) where the mask is 1, else 1 minus it.
    Pixels that are right already weigh little. Shapes, weights and errors are those of `BCELoss`.

    Args:
        balance: a, a factor on the loss of all pixels, above 0.
        focusing: b, at least 0; 0 is cross-entropy times a.
        class_balanced: a for landslide and 1 - a for background, as Lin et al. have it; the paper
            has one a for both.
        reduction: as for `BCELoss`.

    >>> loss = FocalLoss(balance=0.5, focusing=2.0)
    >>> float(loss([[[[1]]]], [[[[0.0]]]]))  # 0.5 x (1 - 0.5)^2 x 0.6931
    0.0866...
    """

    function = staticmethod(focal_loss)
    options = ("balance", "focusing", "class_balanced")

    def __init__(
        self,
        balance: float = 0.25,
        focusing: float = 2.0,
        class_balanced: bool = False,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "focal_loss",
        dtype=None,
    ):
        super().__init__(name, reduction, dtype)
        check_number("balance", plain(balance), above=0)
        check_number("focusing", plain(focusing), low=0)
        self.balance, self.focusing, self.class_balanced = balance, focusing, class_balanced


@keras.saving.register_keras_serializable(package="landslide_tf")
class DiceLoss(_PixelLoss):
    """Dice loss, Eq. 3 of the paper: `1 - (2 sum(y v) + s) / (sum(y) + sum(v) + s)`.

    y is the mask, v = sigmoid(logit). The sums run over all pixels of the batch together, so that
    the value depends on the batch size. It is near 0 for a perfect prediction and at most 1.
    Shapes, weights and errors are those of `BCELoss`.

    Args:
        smooth: s, at least 0. It makes the loss of an empty mask 0 where nothing is predicted.
        reduction: as for `BCELoss`; with "none" the sums are those of each tile.

    >>> mask, logits = [[[[1], [0]]]], [[[[0.0], [0.0]]]]  # probability 0.5 twice
    >>> float(DiceLoss(smooth=1.0)(mask, logits))  # 1 - (2 x 0.5 + 1) / (1 + 1 + 1)
    0.3333...
    """

    function = staticmethod(dice_loss)
    options = ("smooth",)

    def __init__(
        self,
        smooth: float = 1.0,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "dice_loss",
        dtype=None,
    ):
        super().__init__(name, reduction, dtype)
        check_number("smooth", plain(smooth), low=0)
        self.smooth = smooth


@keras.saving.register_keras_serializable(package="landslide_tf")
class WCELoss(_PixelLoss):
    """Weighted cross-entropy, Eq. 4 of the paper: `-mean(w1 y log v + w0 (1 - y) log(1 - v))`.

    y is the mask, v = sigmoid(logit). Shapes, weights of pixels and errors are those of `BCELoss`.

    Args:
        weights: (w0, w1) of background and landslide, both above 0. There is no default, because a
            good choice needs the training masks: `landslide_tf.losses.inverse_frequency_weights`
            makes them of the two classes' numbers of pixels.
        reduction: as for `BCELoss`.

    >>> loss = WCELoss(weights=(1.0, 3.0))
    >>> float(loss([[[[1]]]], [[[[0.0]]]]))  # 3 x 0.6931
    2.0794...
    """

    function = staticmethod(wce_loss)
    options = ("weights",)

    def __init__(
        self,
        weights: tuple[float, float] | None = None,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "wce_loss",
        dtype=None,
    ):
        super().__init__(name, reduction, dtype)
        if weights is None:
            raise InputError(
                "WCELoss needs the weights of background and landslide: give WCELoss((w0, w1)), "
                "for instance WCELoss(inverse_frequency_weights(background_px, landslide_px))"
            )
        try:
            w0, w1 = (float(weight) for weight in weights)
        except (TypeError, ValueError):
            w0 = w1 = math.nan
        if not (0 < w0 < math.inf and 0 < w1 < math.inf):
            raise InputError(
                "`weights` must be two positive numbers, of background and landslide. "
                f"Received: {weights!r}"
            )
        self.weights = (w0, w1)


@keras.saving.register_keras_serializable(package="landslide_tf")
class SumLoss(keras.losses.Loss):
    """The sum of several losses, each times its weight (default 1).

    Args:
        losses: Keras losses with one `reduction`, which is that of the sum.
        weights: a number for each loss; default 1.

    Raises:
        InputError: no loss, something that is no Keras loss, another number of weights than of
            losses, or two kinds of `reduction`.

    >>> loss = SumLoss([BCELoss(), DiceLoss()], weights=(1.0, 0.5))
    >>> float(loss([[[[1], [0]]]], [[[[0.0], [0.0]]]]))  # 0.6931 + 0.5 x 0.3333
    0.8598...
    """

    def __init__(
        self,
        losses: Iterable[keras.losses.Loss],
        weights: Iterable[float] | None = None,
        *,
        name: str = "sum_loss",
        dtype=None,
    ):
        self.losses = list(losses)
        if not self.losses or not all(isinstance(x, keras.losses.Loss) for x in self.losses):
            raise InputError(f"`losses` must be a list of Keras losses. Received: {self.losses}")
        self.weights = tuple(map(float, [1.0] * len(self.losses) if weights is None else weights))
        if len(self.weights) != len(self.losses):
            raise InputError(
                f"`weights` must be one number a loss. Received {len(self.weights)} weights for "
                f"{len(self.losses)} losses"
            )
        reductions = {loss.reduction or "none" for loss in self.losses}
        if len(reductions) > 1:
            raise InputError(
                f"the losses must have one `reduction`. Received: {', '.join(sorted(reductions))}"
            )
        super().__init__(name=name, reduction=self.losses[0].reduction, dtype=dtype)

    def __call__(self, y_true, y_pred, sample_weight=None):
        return sum(
            weight * loss(y_true, y_pred, sample_weight)
            for weight, loss in zip(self.weights, self.losses, strict=True)
        )

    def get_config(self) -> dict:
        """What `from_config` needs."""
        losses = [keras.saving.serialize_keras_object(loss) for loss in self.losses]
        return {"name": self.name, "losses": losses, "weights": self.weights}

    @classmethod
    def from_config(cls, config: dict) -> SumLoss:
        """The loss that `get_config` described."""
        losses = [keras.saving.deserialize_keras_object(loss) for loss in config["losses"]]
        return cls(**{**config, "losses": losses})


LOSS_CLASSES = {"bce": BCELoss, "focal": FocalLoss, "dice": DiceLoss, "wce": WCELoss}
LOSS_OPTIONS = {
    "focal_balance": ("focal", "balance"),
    "focal_focusing": ("focal", "focusing"),
    "focal_class_balanced": ("focal", "class_balanced"),
    "dice_smooth": ("dice", "smooth"),
    "wce_weights": ("wce", "weights"),
}


def loss_from_name(name: str, **options) -> keras.losses.Loss:
    """The loss called `name`: 'bce', 'focal', 'dice', 'wce', or several joined by '+'.

    Args:
        name: several names, such as 'bce+dice', give the sum of the losses.
        options: `focal_balance`, `focal_focusing`, `focal_class_balanced`, `dice_smooth`,
            `wce_weights`; None is the default. Those of a loss that is not in the name have no
            effect.

    Raises:
        InputError: an unknown or repeated name, an unknown option, or 'wce' without `wce_weights`.

    >>> loss_from_name("focal", focal_focusing=1.0).focusing
    1.0
    >>> [loss.name for loss in loss_from_name("bce+dice").losses]
    ['bce_loss', 'dice_loss']
    """
    parts = name.split("+") if isinstance(name, str) else [name]
    if not set(parts) <= set(LOSS_CLASSES) or len(set(parts)) < len(parts):
        raise InputError(
            f"`loss` must be one of {', '.join(map(repr, LOSS_CLASSES))}, or different ones joined "
            f"by '+', such as 'bce+dice'. Received: {name!r}"
        )
    arguments = {part: {} for part in LOSS_CLASSES}
    for key, value in options.items():
        check_choice("option", key, LOSS_OPTIONS)
        loss, argument = LOSS_OPTIONS[key]
        if value is not None:
            arguments[loss][argument] = value
    losses = [LOSS_CLASSES[part](**arguments[part]) for part in parts]
    return losses[0] if len(losses) == 1 else SumLoss(losses, name="_".join(parts) + "_loss")
