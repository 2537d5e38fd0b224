"""The paper's four losses (Eq. 1-4) on logits, and their sum.

Each loss is a function and a Keras class. Notation as in the paper: v is the predicted
probability, y the label (0 or 1), w the weight of a pixel.

Shapes: logits are (B, H, W, 1), masks (B, H, W, 1) or (B, H, W). `sample_weight` is (B,) for whole
tiles, or (B, H, W) or (B, H, W, 1) for pixels; weight 0 leaves a pixel out (no data).

`reduction` has Keras' values:

- "sum_over_batch_size" (the default), "mean" and "mean_with_sample_weight" are the same here: one
  value for the batch, divided by the sum of the weights, so that pixels without data do not count.
  A weight common to the whole batch has no effect. The Dice loss sums over all pixels of the batch
  before it divides; a common weight changes it slightly, because `smooth` is not weighted.
- "none" or None gives one value per tile, (B,): the tile's loss times the mean weight of its pixels
  with a weight above 0. A weight per tile thus multiplies the tile's loss, as in Keras.
- "sum" is the sum of these values.

On JAX, `compile` needs a reduction to one number, because JAX differentiates only functions with a
scalar value.

All losses compute in float32 whatever the input type. They are finite with finite gradients for
logits up to 1e4 in magnitude. A batch in which every weight is 0 has loss 0 (for Dice, see
`dice_loss`).

A mask of 0 and 255 is an error, because it would train towards a negative loss; so is a weight that
is negative or NaN. Outside a compiled function the loss raises `InputError`. Inside one, where
nothing can be raised, the loss is NaN from the first step on.

In `compile` use the classes, for instance `compile("adam", loss=DiceLoss())`. Keras looks up names
in a list of its own losses alone, so `loss="dice_loss"` cannot work; `loss=loss_from_name("dice")`
does. Keras' own losses by name, such as "binary_crossentropy", expect probabilities, not logits.
"""

from landslide_tf.losses.classes import (
    LOSS_CLASSES,
    BCELoss,
    DiceLoss,
    FocalLoss,
    SumLoss,
    WCELoss,
    loss_from_name,
)
from landslide_tf.losses.functions import (
    bce_loss,
    dice_loss,
    focal_loss,
    inverse_frequency_weights,
    wce_loss,
)

__all__ = [
    "LOSS_CLASSES",
    "BCELoss",
    "DiceLoss",
    "FocalLoss",
    "SumLoss",
    "WCELoss",
    "bce_loss",
    "dice_loss",
    "focal_loss",
    "inverse_frequency_weights",
    "loss_from_name",
    "wce_loss",
]
